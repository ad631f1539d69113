"""Aha! roadmaps: workspaces and what is planned in them, ideas and who votes for them, and the audit of it all.

API reference: https://www.aha.io/api (version 1). A key belongs to one user and sees what that user sees: lists leave
out the rest without a word, and asking for it by id is a 404.

Stop rule: pages are numbered from 1, and the list ends at the page that the envelope's `pagination.total_pages`
names; a list without that key comes whole. `per_page` is 200 at most. Rate limit: 20 requests in a second and 300 in
a minute for the whole account.

How fresh and how complete a read is:

- Lists come in no documented order and can shift while they are read. `pagination.total_records` is checked against
  what came; a list that changed meanwhile is read again.
- Whether `updated_since` includes its bound is not documented. It is sent a minute early, and what lies outside the
  window is left out again.
- The API holds the newest version of a record only. A day of the past, read today, has the records whose last change
  was on that day.
- Deletes are hard: the record is gone from its list. `audits` with the action `destroy` name what went, by type and
  id, for twelve months; its streams leave those records out of `_current`. `deletions` name them without the id, for 7
  to 30 days, so no record can be told by them.
- Whether a vote, a comment or a requirement changes its parent's `updated_at` is not documented. Votes and internal
  comments come from lists of their own. Substreams of daily streams (requirements, idea_comments,
  idea_subscriptions, …) are read under the parents of the day asked for: what was added to an older parent without
  touching it is found when that parent's day is read again.
- `/time_tracking_events` can only be written; totals of work done are on features and epics.
- Pages of a knowledge base are listed under its id alone, and no list names the ids; they are not read.

Streams that need a role, a plan or a setting that not every account has are declared and off.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, NoReturn
from urllib.parse import quote, urlsplit

import msgspec

from connector_resources.config_keys import ConfigKey
from connector_resources.document_fields import (
    DocumentFields,
    Neighbours,
    Passage,
    People,
    Record,
    Remark,
    Thread,
    instant_of,
    value_at,
)
from connector_resources.errors import (
    ConfigurationError,
    DataError,
    MalformedPage,
    PaginationLoop,
    RequestRejected,
)
from connector_resources.http.ahead import Ahead
from connector_resources.http.authenticators import BearerToken
from connector_resources.http.messages import Answer, Request, Response
from connector_resources.http.paginators import PageNumber
from connector_resources.http.rate_limit import RateLimit
from connector_resources.http.stream import HttpStream, bound, fields_of, open_answer
from connector_resources.resource import HttpSource, setting
from connector_resources.streams import Column, Cursor, Deletions, Page, Parent, ParentRow, Slice, Stream

PAGES = PageNumber(size=200, total_pages="pagination.total_pages", total_records="pagination.total_records")
UNCOUNTED_PAGES = PageNumber(size=200)
"""For lists that take a page number and answer without `pagination`: they end at a page that is not full."""

ALL_FIELDS = {"fields": "*"}
"""Lists send short records unless asked for every field."""

UPDATED = Cursor("updated_at", since="updated_since", lookback=timedelta(minutes=1))


@dataclass(frozen=True, kw_only=True)
class DetailedStream(HttpStream):
    """A list of short records, each replaced by the whole one that `detail` serves for its id.

    `detail_record` is the key of the record in that answer. With `unless_has`, a list record that has that field is
    whole already: `fields=*` worked on a list for which it is not documented.
    """

    detail: str
    detail_record: str
    unless_has: str | None = None

    @property
    def endpoint(self) -> str:
        """Both requests, the list's and the detail's."""
        return f"{super().endpoint}, {'then' if self.unless_has is None else 'where need be'} GET {self.detail}"

    @property
    def record_path(self) -> str:
        """Where the record is in the answer to the second request; in the list's where that may hold it whole."""
        return f"$.{self.detail_record}" if self.unless_has is None else super().record_path


# Columns that many records share. A tuple is spread into a stream's columns where its fields come together.

CREATED_AT = Column("created_at", "timestamp", "When the record was made.")
UPDATED_AT = Column("updated_at", "timestamp", "When the record last changed.")
TIMES = (CREATED_AT, UPDATED_AT)
LINKS = (
    Column("url", "string", "Where a person opens the record in the web application."),
    Column("resource", "string", "Where the API serves the record."),
)
REFERENCE_NUM = Column("reference_num", "string", "The key people see, such as APP-12; moves change it.")
PRODUCT_ID = Column("product_id", "string", "The workspace the record belongs to, products.id.")
PARENT_PRODUCT_ID = Column(
    "product_id", "string", "The workspace the record was listed under, products.id.", parent="product_id"
)
POSITION = Column("position", "integer", "Its place among its siblings as people ordered them, 1 first.")
DESCRIPTION = Column("description", "json", "Rich text: body (HTML), editor_version, times, attachments.")
PROJECT = Column("project", "json", "The workspace: id, reference_prefix, name, product_line, workspace_type, url.")
WORKFLOW_STATUS = Column("workflow_status", "json", "Where it stands: id, name, position, complete, color, category.")
CREATED_BY = Column("created_by_user", "json", "Who made it: id, name, email, times of that user.")
ASSIGNED_TO = Column("assigned_to_user", "json", "Who is responsible: id, name, email, times, default_assignee.")
ATTACHMENTS = Column("attachments", "json", "Files: id, file_name, content_type, file_size, download_url, times.")
CUSTOM_FIELDS = Column("custom_fields", "json", "Values of the account's own fields: key, name, type, value.")
INTEGRATION_FIELDS = Column(
    "integration_fields", "json", "Its identity in linked tools: service_name, integration_id, name, value."
)
TAGS = (
    Column("tags", "json", "Names of its tags."),
    Column("full_tags", "json", "Its tags with id, name and color."),
)
COMMENTS_COUNT = Column("comments_count", "integer", "How many comments the API counts on it; which kinds is not said.")
PROGRESS = (
    Column("progress", "number", "Percent done, 0 to 100; null where nobody set or derived it."),
    Column("progress_source", "string", "How progress comes about: progress_manual, progress_from_requirements, …"),
)
DURATION_SOURCE = Column("duration_source", "string", "How the dates come about: duration_manual, …")
SCORE = (
    Column("score", "integer", "The product value score made of the score facts."),
    Column("score_facts", "json", "What the score is made of: id, name, value of each metric."),
)
GOALS = Column("goals", "json", "Goals it serves: id, name, url, resource, created_at, description.")
KEY_RESULTS = Column("key_results", "json", "Key results it serves or has: id, name, reference_num, metrics, progress.")
TIME_FRAME = Column("time_frame", "json", "The named period it is planned for: id, name.")
COLOR = Column("color", "string", "Its colour on charts, #rrggbb.")


def identity(record: str) -> tuple[Column, Column]:
    """Return the id and name of `record`, a noun with its article."""
    return (
        Column("id", "string", f"Tells {record} from all others of the account; decimal digits, up to 19."),
        Column("name", "string", f"What people call {record}."),
    )


def work_totals(record: str) -> tuple[Column, ...]:
    """Return the three totals of time tracking whose names start with `record`."""
    return (
        Column(f"{record}_only_original_estimate", "number", "First estimate of its own work, children left out."),
        Column(f"{record}_only_remaining_estimate", "number", "Work still to do on itself, children left out."),
        Column(f"{record}_only_work_done", "number", "Work logged on itself, children left out."),
    )


# How records are read as documents: rich text below its name, and the facts that people search by.

REFERENCE = {"reference_num": "reference_num"}
ADDRESS = {"url": "url"}
CREATED_AND_UPDATED = {"created_at": "created_at", "updated_at": "updated_at"}
STATUS = {"status": "workflow_status.name"}
WORKSPACE = {"workspace": "project.name"}
ASSIGNEE = {"assigned_to": "assigned_to_user.name"}
TAG_NAMES = {"tags": "tags"}
ABOUT = Passage("description.body")


def document(
    *facts: Mapping[str, str],
    title: str = "name",
    body: tuple[Passage, ...] = (ABOUT,),
    thread: Thread | None = None,
) -> DocumentFields:
    """Return what a record's document is made of, with these facts."""
    return DocumentFields(title, body, {name: path for each in facts for name, path in each.items()}, thread)


PLANNED = (ADDRESS, REFERENCE, STATUS, WORKSPACE, CREATED_AND_UPDATED)
"""What is known of initiatives, releases, epics and features alike."""
ON_THE_MARKET = (ADDRESS, REFERENCE, CREATED_AND_UPDATED)
CANVAS = document(
    ADDRESS,
    REFERENCE,
    {"kind": "kind"},
    WORKSPACE,
    body=(ABOUT, Passage("components", each=("name", "description.body"))),
)


def _commented(comments: Sequence[Record], _: People) -> Iterator[Remark]:
    """Yield the comments of an idea, oldest first."""
    for comment in sorted(comments, key=lambda each: (str(each["created_at"]), str(each["id"]))):
        author = value_at(comment["idea_commenter_user"], "name")
        yield Remark(str(author or "Somebody"), instant_of(comment["created_at"]), str(comment["body"] or ""))


products = DetailedStream(
    name="products",
    description="Workspaces and product lines, which hold everything else; teams are among them.",
    path="/products",
    records="products",
    params={"include_teams": "true"},
    paginator=PAGES,
    detail="/products/{id}",
    detail_record="product",
    document=document(ADDRESS, {"reference_prefix": "reference_prefix", "kind": "workspace_type"}, CREATED_AND_UPDATED),
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        *identity("the workspace"),
        Column("reference_prefix", "string", "What the keys of its records start with, such as APP."),
        Column("product_line", "boolean", "Whether it groups workspaces instead of holding features."),
        Column("product_line_type", "string", "The kind of group a product line is, such as Division."),
        Column("workspace_type", "string", "product_workspace, marketing_workspace, team, …"),
        *TIMES,
        *LINKS,
        DESCRIPTION,
        COLOR,
        Column("children", "json", "The workspaces grouped directly under a product line, as short records."),
        CUSTOM_FIELDS,
        Column("screen_definition_ids", "json", "Which screen each type of record uses: type to screen id."),
        Column("screen_definitions", "json", "The screens in use, with their fields."),
        Column("has_ideas", "boolean", "Whether ideas are switched on in the workspace."),
        Column("has_master_features", "boolean", "The former name of has_epics; both come."),
        Column("has_epics", "boolean", "Whether epics are switched on in the workspace."),
        Column("release_workflow", "json", "The workflow of releases: id, name, statusable_type, workflow_type."),
        Column("feature_workflow", "json", "The workflow of features, as release_workflow."),
        Column("epic_workflow", "json", "The workflow of epics, as release_workflow."),
        Column("idea_workflow", "json", "The workflow of ideas, as release_workflow."),
        Column("initiative_workflow", "json", "The workflow of initiatives, as release_workflow."),
        Column("requirement_workflow", "json", "The workflow of requirements, as release_workflow."),
        Column("key_result_workflow", "json", "The workflow of key results, as release_workflow."),
        Column("strategic_imperative_workflow", "json", "The workflow of goals, as release_workflow."),
        Column("page_workflow", "json", "The workflow of pages, as release_workflow."),
        Column("capacity_planning_enabled", "boolean", "Whether estimates are planned for single records."),
        Column("enhanced_capacity_planning_enabled", "boolean", "Whether estimates are planned for teams."),
        Column("default_capacity_units", "integer", "The unit of estimates: 10 minutes, 20 points."),
    ),
)

of_product = Parent(products, {"product_id": "id"})

users = HttpStream(
    name="users",
    description="People with an account. Needs a key of an administrator.",
    path="/users",
    records="users",
    paginator=PAGES,
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        *identity("the user"),
        Column("email", "string", "The address the user signs in with."),
        Column("timezone", "string", "The zone the user sees times in, by name."),
        *TIMES,
        Column("accessed_at", "timestamp", "When the user last used the application."),
        Column("product_roles", "json", "Roles in workspaces: role, role_description, product_id, product_name."),
        Column("user_roles", "json", "Roles of the account's own making: role_id, name, scope."),
        Column("enabled", "boolean", "Whether the user may sign in."),
        Column("paid_seat", "boolean", "Whether the user takes up a paid seat."),
        Column("paid_seat_group", "json", "The group whose seats the user counts to: id, name."),
        Column("administrator", "boolean", "Whether the user administers anything at all."),
        Column("administrator_roles", "json", "What the user administers: account, billing, configuration."),
        Column("roadmaps_seat", "boolean", "Whether the user has a seat of Aha! Roadmaps."),
        Column("develop_seat", "boolean", "Whether the user has a seat of Aha! Develop."),
        Column("identity_provider", "json", "How the user signs in: type."),
    ),
)

product_users = HttpStream(
    name="product_users",
    description="Who has which role in which workspace: one record a workspace and user.",
    path="/products/{product_id}/users",
    records="project_users",
    paginator=PAGES,
    parent=of_product,
    primary_key=("product_id", "user_id"),
    columns=(
        PARENT_PRODUCT_ID,
        Column("user_id", "string", "The user, users.id; taken from user.id of the record.", path="user.id"),
        Column("role", "integer", "The role as a number."),
        Column("role_description", "string", "The role in words, such as Owner."),
        Column("user", "json", "The user: id, name, email, times."),
    ),
)

initiatives = HttpStream(
    name="initiatives",
    description="Themes of work that serve goals and hold epics, features and releases.",
    path="/initiatives",
    records="initiatives",
    params=ALL_FIELDS,
    paginator=PAGES,
    document=document(*PLANNED, ASSIGNEE),
    primary_key=("id",),
    cursor=UPDATED,
    columns=(
        *identity("the initiative"),
        REFERENCE_NUM,
        Column("status", "string", "The status as a plain word, from before workflows."),
        Column("effort", "integer", "Estimated effort, on the scale of the effort and value chart."),
        Column("value", "integer", "Estimated value, on the scale of the effort and value chart."),
        Column("presented", "boolean", "Whether it is shown in presentations."),
        COLOR,
        Column("start_date", "date", "The day its work starts."),
        Column("end_date", "date", "The day its work ends."),
        POSITION,
        *SCORE,
        *TIMES,
        PRODUCT_ID,
        *PROGRESS,
        DURATION_SOURCE,
        *LINKS,
        PROJECT,
        WORKFLOW_STATUS,
        DESCRIPTION,
        ATTACHMENTS,
        ASSIGNED_TO,
        CREATED_BY,
        TIME_FRAME,
        COMMENTS_COUNT,
        GOALS,
        KEY_RESULTS,
        INTEGRATION_FIELDS,
        Column("features", "json", "Its features, as short records."),
        Column("master_features", "json", "Its epics, under their former name, as short records."),
        Column("epic", "json", "Its epics, as short records: a list in spite of the name."),
        Column("releases", "json", "Its releases, as short records."),
        CUSTOM_FIELDS,
    ),
)

goals = HttpStream(
    name="goals",
    description="What the business wants to reach, with a measure of success.",
    path="/goals",
    records="goals",
    paginator=PAGES,
    document=document(
        ADDRESS,
        REFERENCE,
        WORKSPACE,
        CREATED_AND_UPDATED,
        body=(ABOUT, Passage("success_metric", "How success is measured", each=("name", "description.body"))),
    ),
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        *identity("the goal"),
        REFERENCE_NUM,
        Column("effort", "integer", "Estimated effort, on the scale of the effort and value chart."),
        Column("value", "integer", "Estimated value, on the scale of the effort and value chart."),
        COLOR,
        POSITION,
        *TIMES,
        PRODUCT_ID,
        *PROGRESS,
        *LINKS,
        DESCRIPTION,
        Column("success_metric", "json", "How success is measured: name, description, and the goal's workflow_status."),
        PROJECT,
        TIME_FRAME,
        Column("parent", "json", "The goal above it: id, name, url, resource, created_at, description."),
        Column("parents", "json", "All goals above it, as parent."),
        Column("initiatives", "json", "Initiatives that serve it, as short records."),
        KEY_RESULTS,
        Column("features", "json", "Features that serve it, as short records."),
        Column("releases", "json", "Releases that serve it, as short records."),
        CUSTOM_FIELDS,
        COMMENTS_COUNT,
    ),
)

key_results = HttpStream(
    name="key_results",
    description="Measurable results by which a goal is judged.",
    path="/goals/{goal_id}/key_results",
    records="key_results",
    paginator=PAGES,
    parent=Parent(goals, {"goal_id": "id"}, unless_empty="key_results"),
    document=document(
        REFERENCE,
        STATUS,
        ASSIGNEE,
        CREATED_AND_UPDATED,
        {"progress": "progress", "goal_id": "goal_id"},
        body=(
            ABOUT,
            Passage("starting_metric", "At the start", is_html=False),
            Passage("current_metric", "Now", is_html=False),
            Passage("target_metric", "To reach", is_html=False),
        ),
    ),
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        *identity("the key result"),
        Column("goal_id", "string", "The goal it belongs to, goals.id.", parent="goal_id"),
        REFERENCE_NUM,
        POSITION,
        *TIMES,
        Column("progress", "number", "Percent of the way from the starting to the target metric."),
        Column("starting_metric", "string", "The measured value at the start, as people wrote it."),
        Column("target_metric", "string", "The value to reach, as people wrote it."),
        Column("current_metric", "string", "The value now, as people wrote it."),
        DESCRIPTION,
        ASSIGNED_TO,
        WORKFLOW_STATUS,
        CUSTOM_FIELDS,
    ),
)

releases = DetailedStream(
    name="releases",
    description="What is delivered together on a date: releases, parking lots and the releases inside roll-ups.",
    path="/products/{product_id}/releases",
    records="releases",
    params=ALL_FIELDS,
    paginator=PAGES,
    detail="/releases/{id}",
    detail_record="release",
    unless_has="updated_at",
    parent=of_product,
    document=document(
        *PLANNED, {"release_date": "release_date", "released": "released"}, body=(Passage("theme.body"),)
    ),
    primary_key=("id",),
    cursor=UPDATED,
    columns=(
        *identity("the release"),
        REFERENCE_NUM,
        Column("start_date", "date", "The day its work starts."),
        Column("release_date", "date", "The day it is delivered, for those inside."),
        Column("end_date", "date", "The day its work ends."),
        Column("development_started_on", "date", "The day development started."),
        Column("external_release_date", "date", "The delivery date told to the outside."),
        Column("external_release_date_description", "string", "That date in words, such as Q2 2026."),
        Column("external_date_resolution", "string", "How exact that date is: exact, month, sync, …"),
        Column("parking_lot", "boolean", "Whether it only keeps what has no release yet."),
        Column("released", "boolean", "Whether it was delivered."),
        Column("released_on", "date", "The day it was delivered."),
        Column("master_release", "boolean", "Whether it rolls up releases of several workspaces."),
        *TIMES,
        PRODUCT_ID,
        *LINKS,
        POSITION,
        *PROGRESS,
        DURATION_SOURCE,
        Column("status_changed_on", "date", "The day its status last changed."),
        Column("theme", "json", "What it is about, as rich text."),
        INTEGRATION_FIELDS,
        Column("owner", "json", "Who is responsible: id, name, email, times."),
        PROJECT,
        Column("parent", "json", "The roll-up release it is in, as a short record."),
        CUSTOM_FIELDS,
        COMMENTS_COUNT,
        WORKFLOW_STATUS,
        GOALS,
        KEY_RESULTS,
        Column("initiatives", "json", "Initiatives it serves, as short records."),
        CREATED_BY,
    ),
)

roll_up_releases = HttpStream(
    name="roll_up_releases",
    description="Releases that gather releases of several workspaces.",
    path="/products/{product_id}/roll_up_releases",
    records="roll_up_releases",
    paginator=PAGES,
    parent=of_product,
    primary_key=("id",),
    columns=(
        *identity("the roll-up release"),
        PARENT_PRODUCT_ID,
        REFERENCE_NUM,
        Column("start_date", "date", "The day its work starts."),
        Column("release_date", "date", "The day it is delivered."),
        CREATED_AT,
        *LINKS,
    ),
)

release_phases = HttpStream(
    name="release_phases",
    description="Phases and milestones of releases.",
    path="/release_phases",
    records="release_phases",
    paginator=PAGES,
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        *identity("the phase"),
        Column("start_on", "date", "The first day."),
        Column("end_on", "date", "The last day; that of a milestone itself."),
        Column("type", "string", "phase or milestone."),
        Column("release_id", "string", "The release it belongs to, releases.id."),
        *TIMES,
        *PROGRESS,
        DURATION_SOURCE,
        DESCRIPTION,
        INTEGRATION_FIELDS,
        CUSTOM_FIELDS,
    ),
)

WORK_ITEM = (
    REFERENCE_NUM,
    Column("initiative_reference_num", "string", "The key of its initiative."),
    POSITION,
    *SCORE,
    *TIMES,
    Column("start_date", "date", "The day its work starts."),
    Column("due_date", "date", "The day its work is due."),
    Column("status_changed_on", "date", "The day its status last changed."),
    PRODUCT_ID,
    *PROGRESS,
    *LINKS,
    CREATED_BY,
    ASSIGNED_TO,
    WORKFLOW_STATUS,
    PROJECT,
    DESCRIPTION,
    ATTACHMENTS,
    INTEGRATION_FIELDS,
    Column("release", "json", "The release it is planned for, as a short record."),
    Column("initiative", "json", "The initiative it serves, as a short record."),
    GOALS,
    KEY_RESULTS,
    COMMENTS_COUNT,
    *TAGS,
    CUSTOM_FIELDS,
)
"""What features and epics have in common."""

epics = HttpStream(
    name="epics",
    description="Large pieces of work that hold features; once called master features.",
    path="/epics",
    records="epics",
    params=ALL_FIELDS,
    paginator=PAGES,
    document=document(*PLANNED, ASSIGNEE, TAG_NAMES, {"initiative": "initiative.name", "release": "release.name"}),
    primary_key=("id",),
    cursor=UPDATED,
    columns=(
        *identity("the epic"),
        *WORK_ITEM,
        DURATION_SOURCE,
        Column("features", "json", "Its features, as short records."),
        Column("epic_links", "json", "Dependencies: link_type, parent_record, child_record."),
        *work_totals("epic"),
        *work_totals("master_feature"),
    ),
)

features = HttpStream(
    name="features",
    description="Pieces of work to deliver in a release.",
    path="/features",
    records="features",
    params=ALL_FIELDS,
    paginator=PAGES,
    document=document(
        *PLANNED,
        ASSIGNEE,
        TAG_NAMES,
        {"kind": "workflow_kind.name", "release": "release.name", "epic": "epic.name"},
        body=(ABOUT, Passage("requirements", "Requirements", each=("name", "description.body"))),
    ),
    primary_key=("id",),
    cursor=UPDATED,
    columns=(
        *identity("the feature"),
        *WORK_ITEM,
        Column("release_reference_num", "string", "The key of its release."),
        Column("epic_reference_num", "string", "The key of its epic."),
        Column("workflow_kind", "json", "The kind of work: id and name, such as New or Bug fix."),
        Column("epic", "json", "The epic it belongs to, as a short record."),
        Column("master_feature", "json", "The former name of epic; the same value."),
        Column("belongs_to_release_phase", "json", "The phase of its release it is planned for."),
        Column("requirements", "json", "Its requirements, each as in the stream requirements."),
        Column("feature_links", "json", "Dependencies: link_type, parent_record, child_record."),
        *work_totals("feature"),
    ),
)

requirements = HttpStream(
    name="requirements",
    description="What a feature consists of, each with a status of its own.",
    path="/features/{feature_id}/requirements",
    records="requirements",
    paginator=PAGES,
    parent=Parent(features, {"feature_id": "id"}, unless_empty="requirements"),
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        *identity("the requirement"),
        Column("feature_id", "string", "The feature it belongs to, features.id.", parent="feature_id"),
        REFERENCE_NUM,
        POSITION,
        *TIMES,
        Column("release_id", "string", "The release of its feature, releases.id."),
        Column("start_date", "date", "The day its work starts."),
        Column("end_date", "date", "The day its work ends."),
        CREATED_BY,
        ASSIGNED_TO,
        WORKFLOW_STATUS,
        *LINKS,
        DESCRIPTION,
        Column("feature", "json", "The feature it belongs to, as a short record."),
        ATTACHMENTS,
        *TAGS,
        CUSTOM_FIELDS,
        INTEGRATION_FIELDS,
        COMMENTS_COUNT,
    ),
)

record_links = HttpStream(
    name="record_links",
    description="Dependencies between records, listed under each feature at either end. One call a feature.",
    enabled=False,
    path="/features/{feature_id}/record_links",
    records="record_links",
    params={"parent_and_child_links": "true"},
    parent=Parent(features, {"feature_id": "id"}),
    primary_key=("feature_id", "id"),
    cursor=Cursor("created_at"),
    columns=(
        Column("id", "string", "Tells the link from all others of the account."),
        Column("feature_id", "string", "The feature it was listed under, features.id.", parent="feature_id"),
        Column("link_type", "string", "What the link says: Depends on, Relates to, …"),
        Column("link_type_id", "integer", "The type as a number."),
        CREATED_AT,
        Column("parent_record_type", "string", "The type of the record the link starts from."),
        Column("parent_record_id", "string", "The id of the record the link starts from."),
        Column("child_record_type", "string", "The type of the record the link points to."),
        Column("child_record_id", "string", "The id of the record the link points to."),
        Column("parent", "boolean", "Whether the feature it was listed under is the end it starts from."),
        Column("parent_record", "json", "The record the link starts from, short."),
        Column("child_record", "json", "The record the link points to, short."),
    ),
)

ideas = HttpStream(
    name="ideas",
    description="What customers and colleagues ask for.",
    path="/ideas",
    records="ideas",
    params=ALL_FIELDS,
    paginator=PAGES,
    document=document(
        ADDRESS,
        REFERENCE,
        STATUS,
        {"workspace": "product.name", "votes": "votes", "visibility": "visibility"},
        TAG_NAMES,
        {"categories": "categories.name", "feature": "feature.reference_num"},
        CREATED_AND_UPDATED,
        body=(ABOUT, Passage("admin_response.body", "Response")),
        thread=Thread(
            Neighbours("idea_comments", ("idea_id", "id", "body", "created_at", "idea_commenter_user"), path="id"),
            _commented,
            heading="Comments",
        ),
    ),
    primary_key=("id",),
    cursor=UPDATED,
    columns=(
        *identity("the idea"),
        REFERENCE_NUM,
        *TIMES,
        WORKFLOW_STATUS,
        Column("status_changed_at", "timestamp", "When its status last changed."),
        DESCRIPTION,
        *LINKS,
        *SCORE,
        PRODUCT_ID,
        Column("product", "json", "The workspace, as project elsewhere."),
        Column("votes", "integer", "Votes it has, weights included."),
        Column("initial_votes", "integer", "Votes it was given when it was made, without voters."),
        Column("endorsements_count", "integer", "How many votes are in idea_endorsements."),
        Column("visibility", "string", "Who sees it, in words, such as Visible to all ideas portal users."),
        Column("created_by_user", "json", "Who made it, where that was a user: id, name, email, times."),
        Column("created_by_portal_user", "json", "Who made it, where that was a portal user: id, name, email."),
        Column("created_by_idea_user", "json", "The same person as an idea user: id, name, email, title."),
        ASSIGNED_TO,
        Column("feature", "json", "The feature it was promoted to, as a short record."),
        Column("admin_response", "json", "The official answer: rich text, and responded_by_user."),
        COMMENTS_COUNT,
        *TAGS,
        Column("categories", "json", "Its categories: id, name, parent_id, project_id, created_at."),
        Column("themes", "json", "Its themes, on accounts that have them."),
        CUSTOM_FIELDS,
        Column("custom_object_links", "json", "Links to custom tables: key, name, record_type, record_ids."),
        Column("duplicates", "json", "Ideas merged into it, as short records."),
        Column("duplicate_of", "json", "The idea it was merged into, as a short record; it stays readable."),
        Column("submitted_idea_portal_record_url", "string", "Where the portal it came in through shows it."),
        INTEGRATION_FIELDS,
    ),
)

idea_categories = HttpStream(
    name="idea_categories",
    description="Categories of ideas, a tree in each workspace.",
    path="/products/{product_id}/idea_categories",
    records="idea_categories",
    paginator=PAGES,
    parent=replace(of_product, told_as={"product_id": "project_id"}),
    primary_key=("id",),
    cursor=Cursor("created_at"),
    columns=(
        *identity("the category"),
        Column("parent_id", "string", "The category above it; null at the top."),
        Column("project_id", "string", "The workspace it belongs to, products.id."),
        CREATED_AT,
    ),
)

idea_themes = HttpStream(
    name="idea_themes",
    description="Groups of similar ideas. Newer accounts only.",
    enabled=False,
    path="/idea_themes",
    records="idea_themes",
    paginator=PAGES,
    primary_key=("id",),
    cursor=Cursor("created_at"),
    columns=(
        *identity("the theme"),
        REFERENCE_NUM,
        CREATED_AT,
        DESCRIPTION,
        Column("product", "json", "The workspace, as project elsewhere."),
        Column("ideas", "json", "Its ideas, as short records."),
    ),
)

idea_endorsements = HttpStream(
    name="idea_endorsements",
    description="Votes for ideas, proxy votes on behalf of organizations among them.",
    path="/ideas/endorsements",
    records="idea_endorsements",
    params={"fields": "*,associated_idea_organizations"},
    paginator=PAGES,
    primary_key=("id",),
    cursor=UPDATED,
    columns=(
        Column("id", "string", "Tells the vote from all others of the account."),
        Column("idea_id", "string", "The idea voted for, ideas.id."),
        *TIMES,
        Column("value", "number", "What the idea is worth to the voter; its unit is the account's choice."),
        Column("link", "string", "A link the voter gave, such as to a deal in a CRM."),
        Column("weight", "integer", "How many votes it counts for."),
        Column("endorsed_by_portal_user", "json", "The voter, where that was a portal user: id, name, email."),
        Column("endorsed_by_idea_user", "json", "The voter as an idea user: id, name, email, title."),
        Column("endorsed_by_user", "json", "The voter, where that was a user: id, name, email, times."),
        Column("idea_organization", "json", "The organization voted for by proxy: id, name, url, resource."),
        DESCRIPTION,
        INTEGRATION_FIELDS,
        CUSTOM_FIELDS,
        Column("idea", "json", "The idea voted for, as a short record."),
        Column("idea_users", "json", "People voted for by proxy: id, first_name, last_name, email."),
        Column("associated_idea_organizations", "json", "Organizations of those people: id, name."),
    ),
)

idea_comments = HttpStream(
    name="idea_comments",
    description="Comments on ideas that portal users see. One call an idea: its comments_count may leave these out.",
    path="/ideas/{idea_id}/idea_comments",
    records="idea_comments",
    params=ALL_FIELDS,
    paginator=PAGES,
    # No unless_empty: the reference does not say whether an idea's comments_count counts portal comments, internal
    # ones or both, and an idea left out because of it would lose its comments without a sign.
    parent=Parent(ideas, {"idea_id": "id"}),
    primary_key=("id",),
    cursor=Cursor("created_at"),
    columns=(
        Column("id", "string", "Tells the comment from all others of its kind."),
        Column("idea_id", "string", "The idea commented on, ideas.id."),
        Column("body", "string", "What was said, as HTML."),
        CREATED_AT,
        Column("visibility", "string", "Who sees it, in words."),
        Column("parent_idea_comment_id", "string", "The comment it answers."),
        Column("idea_commenter_user", "json", "Who said it: id, name, email, created_at."),
        Column("idea", "json", "The idea commented on, as a short record."),
        ATTACHMENTS,
    ),
)

idea_subscriptions = HttpStream(
    name="idea_subscriptions",
    description="Portal users who hear of changes to an idea. One call an idea: nothing on an idea counts them.",
    path="/ideas/{idea_id}/subscriptions",
    records="idea_subscriptions",
    params=ALL_FIELDS,
    paginator=PAGES,
    parent=Parent(ideas, {"idea_id": "id"}),
    primary_key=("id",),
    cursor=Cursor("created_at"),
    columns=(
        Column("id", "string", "Tells the subscription from all others of the account."),
        Column("idea_id", "string", "The idea subscribed to, ideas.id."),
        CREATED_AT,
        Column("portal_user", "json", "Who subscribed: id, name, email, created_at."),
        Column("idea", "json", "The idea: id, name, reference_num."),
    ),
)

idea_portals = HttpStream(
    name="idea_portals",
    description="Web sites on which ideas are handed in and voted for.",
    path="/idea_portals",
    records="idea_portals",
    paginator=PAGES,
    primary_key=("id",),
    cursor=Cursor("created_at"),
    columns=(
        Column("id", "string", "Tells the portal from all others of the account."),
        Column("title", "string", "The portal's heading."),
        Column("portal_enabled", "boolean", "Whether the portal is open."),
        Column("access_type", "string", "Who may use it: public, submit-only, …"),
        Column("external_url", "string", "Where the portal is."),
        CREATED_AT,
    ),
)

portal_users = HttpStream(
    name="portal_users",
    description="Accounts of people on one portal each. Read portal by portal, which every account can.",
    path="/idea_portals/{idea_portal_id}/portal_users",
    records="portal_users",
    params=ALL_FIELDS,
    paginator=PAGES,
    parent=Parent(idea_portals, {"idea_portal_id": "id"}),
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        Column("id", "string", "Tells the portal user from all others of the account."),
        Column("email", "string", "The address the person signs in with."),
        Column("first_name", "string", "Given name."),
        Column("last_name", "string", "Family name."),
        Column("enabled", "boolean", "Whether the person may sign in."),
        Column("verified", "boolean", "Whether the address was confirmed."),
        Column("employee", "boolean", "Whether the person counts as one of the company."),
        Column("max_endorsements_override", "integer", "How many votes the person has, where not as all others."),
        Column("idea_user_id", "string", "The person across portals, idea_users.id."),
        Column("idea_portal_id", "string", "The portal, idea_portals.id."),
        CREATED_AT,
        Column("updated_at", "timestamp", "When the account last changed; not all accounts send it."),
        Column("unsubscribed", "boolean", "Whether the person wants no messages."),
        Column("unsubscribed_from_weekly_emails", "boolean", "Whether the person wants no weekly summary."),
    ),
)

idea_organizations = HttpStream(
    name="idea_organizations",
    description="Companies on whose behalf people vote. Needs the plan Ideas Advanced.",
    path="/idea_organizations",
    records="idea_organizations",
    params=ALL_FIELDS,
    paginator=PAGES,
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        *identity("the organization"),
        *TIMES,
        *LINKS,
        DESCRIPTION,
        Column("endorsements_count", "integer", "How many votes were given on its behalf."),
        Column("email_domains", "string", "Domains whose addresses belong to it, separated by commas."),
        Column("revenue", "decimal", "Its yearly revenue, in the account's currency."),
        CUSTOM_FIELDS,
        INTEGRATION_FIELDS,
    ),
)

idea_users = HttpStream(
    name="idea_users",
    description="People behind ideas and votes, each once, whichever portals they use.",
    path="/idea_users",
    records="idea_users",
    params=ALL_FIELDS,
    paginator=PAGES,
    primary_key=("id",),
    cursor=Cursor("created_at"),
    columns=(
        *identity("the idea user"),
        Column("email", "string", "The person's address."),
        Column("phone", "string", "The person's telephone number."),
        CREATED_AT,
        Column("idea_organizations", "json", "Organizations the person belongs to: id, name, url."),
        CUSTOM_FIELDS,
    ),
)

comments = HttpStream(
    name="comments",
    description="What users say on any kind of record; comments of portal users are in idea_comments, never here.",
    path="/products/{product_id}/comments",
    records="comments",
    params=ALL_FIELDS,
    paginator=PAGES,
    parent=of_product,
    document=document(
        ADDRESS,
        {"author": "user.name", "on_type": "commentable.type", "on_id": "commentable.id"},
        CREATED_AND_UPDATED,
        title="Comment {id}",
        body=(Passage("body"),),
    ),
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        Column("id", "string", "Tells the comment from all others of its kind."),
        PARENT_PRODUCT_ID,
        Column("body", "string", "What was said, as HTML."),
        *TIMES,
        Column("user", "json", "Who said it: id, name, email, times."),
        ATTACHMENTS,
        *LINKS,
        Column("parent_comment_id", "string", "The comment it answers, comments.id."),
        Column("reactions", "json", "Reactions of others to it."),
        Column("commentable", "json", "The record commented on: type, id, product_id, url, resource."),
    ),
)

tasks = HttpStream(
    name="tasks",
    description="To-dos and approvals, on a record or on their own.",
    path="/tasks",
    records="tasks",
    params=ALL_FIELDS,
    paginator=PAGES,
    document=document(
        ADDRESS,
        {"status": "status", "due_date": "due_date", "on": "taskable.reference_num"},
        CREATED_AND_UPDATED,
        body=(Passage("body"),),
    ),
    primary_key=("id",),
    cursor=UPDATED,
    columns=(
        *identity("the to-do"),
        Column("body", "string", "What is to be done, as HTML."),
        Column("due_date", "date", "The day it is due."),
        Column("status", "string", "pending, completed, partially_complete, …"),
        POSITION,
        *TIMES,
        PRODUCT_ID,
        Column("assigned_to_users", "json", "Who is to do it, and how far each is: id, status, user."),
        Column("assigned_to_products", "json", "Workspaces that are to do it: status, completed_date, response."),
        CREATED_BY,
        ATTACHMENTS,
        *LINKS,
        COMMENTS_COUNT,
        CUSTOM_FIELDS,
        Column("taskable", "json", "The record it is on: id, type, reference_num, name, url, resource."),
    ),
)

pages = DetailedStream(
    name="pages",
    description="Notes and documents of a workspace. One call a page: only that has tags and custom fields.",
    path="/products/{product_id}/pages",
    records="pages",
    paginator=PAGES,
    detail="/pages/{id}",
    detail_record="page",
    parent=of_product,
    document=document(ADDRESS, REFERENCE, TAG_NAMES, {"kind": "document_type_name"}, CREATED_AND_UPDATED),
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        *identity("the page"),
        Column("title", "string", "The heading in the list of pages."),
        Column("document_title", "string", "The heading inside the document."),
        REFERENCE_NUM,
        *LINKS,
        *TIMES,
        Column("parent_id", "string", "The page above it, pages.id; null at the top."),
        POSITION,
        Column("document_type", "integer", "The kind of document as a number."),
        Column("document_type_name", "string", "The kind of document in words: note, whiteboard, …"),
        Column("type_name", "string", "The kind of page in words."),
        Column("emoji_value", "string", "The emoji shown beside its title."),
        Column("location", "json", "Where it is shown."),
        Column("edit_locked", "boolean", "Whether nobody may edit it now."),
        Column("editor_width", "string", "How wide the document is shown."),
        DESCRIPTION,
        PRODUCT_ID,
        Column("knowledge_base_id", "string", "The knowledge base it belongs to, in place of a workspace."),
        Column("publishing_status", "string", "Whether readers of the knowledge base see it."),
        *TAGS,
        COMMENTS_COUNT,
        Column("collections", "json", "Collections it is in."),
        CUSTOM_FIELDS,
        WORKFLOW_STATUS,
    ),
)

MARKET_RECORD = (
    PARENT_PRODUCT_ID,
    REFERENCE_NUM,
    *TIMES,
    *LINKS,
    Column("color", "integer", "Its colour on charts, as a number."),
    CUSTOM_FIELDS,
    COMMENTS_COUNT,
)
"""What personas, competitors and creative briefs have in common."""

personas = DetailedStream(
    name="personas",
    description="Types of customer that a workspace works for. One call a persona.",
    path="/products/{product_id}/personas",
    records="personas",
    paginator=PAGES,
    detail="/personas/{id}",
    detail_record="persona",
    parent=of_product,
    document=document(
        *ON_THE_MARKET,
        body=(Passage("occupation", "Occupation", is_html=False), Passage("quote", "In their words", is_html=False)),
    ),
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        *identity("the persona"),
        *MARKET_RECORD,
        Column("occupation", "string", "What such a customer does for a living."),
        Column("quote", "string", "What such a customer would say."),
    ),
)

competitors = DetailedStream(
    name="competitors",
    description="Rivals that a workspace watches. One call a competitor.",
    path="/products/{product_id}/competitors",
    records="competitors",
    paginator=PAGES,
    detail="/competitors/{id}",
    detail_record="competitor",
    parent=of_product,
    document=document(*ON_THE_MARKET, body=(Passage("subtitle", is_html=False),)),
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        *identity("the competitor"),
        *MARKET_RECORD,
        Column("subtitle", "string", "The rival in a few words."),
    ),
)

creative_briefs = DetailedStream(
    name="creative_briefs",
    description="Briefs for campaigns of marketing workspaces. One call a brief.",
    path="/products/{product_id}/creative_briefs",
    records="creative_briefs",
    paginator=PAGES,
    detail="/creative_briefs/{id}",
    detail_record="creative_brief",
    parent=of_product,
    document=document(*ON_THE_MARKET, body=()),
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(*identity("the brief"), *MARKET_RECORD),
)

STRATEGY_CANVAS = (
    REFERENCE_NUM,
    Column("kind", "string", "Which canvas it is, such as Business or Positioning."),
    DESCRIPTION,
    Column("components", "json", "The fields of the canvas: id, name, description."),
    *LINKS,
    PROJECT,
)
"""What strategy models and positions have in common."""

strategy_models = HttpStream(
    name="strategy_models",
    description="Business models on a canvas.",
    path="/strategy_models",
    records="strategy_models",
    paginator=PAGES,
    document=CANVAS,
    primary_key=("id",),
    columns=(*identity("the model"), *STRATEGY_CANVAS),
)

strategy_positions = HttpStream(
    name="strategy_positions",
    description="Statements of how a product is positioned.",
    path="/strategy_positions",
    records="strategy_positions",
    paginator=PAGES,
    document=CANVAS,
    primary_key=("id",),
    columns=(*identity("the positioning"), *STRATEGY_CANVAS),
)

strategy_visions = HttpStream(
    name="strategy_visions",
    description="Statements of where a product is to go.",
    path="/strategy_visions",
    records="strategy_visions",
    paginator=PAGES,
    document=document(
        ADDRESS,
        WORKSPACE,
        CREATED_AND_UPDATED,
        body=(ABOUT, Passage("strategy_vision_components", each=("name", "title"))),
    ),
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        *identity("the vision"),
        *TIMES,
        DESCRIPTION,
        Column("strategy_vision_components", "json", "Its parts: id, name, title."),
        *LINKS,
        PROJECT,
    ),
)

audits = HttpStream(
    name="audits",
    description="Who changed what, for the last twelve months: one record a change, never changed again.",
    path="/audits",
    records="audits",
    params=ALL_FIELDS,
    paginator=PAGES,
    primary_key=("id",),
    cursor=Cursor(
        "created_at",
        since="created_since",
        until="created_before",
        lookback=timedelta(minutes=1),
        horizon=timedelta(days=365),
    ),
    deletions=Deletions(
        action="audit_action",
        deleted="destroy",
        type="auditable_type",
        id="auditable_id",
        at="created_at",
        streams={
            "Competitor": competitors,
            "CreativeBrief": creative_briefs,
            "Epic": epics,
            "Feature": features,
            "Ideas::Idea": ideas,
            "Initiative": initiatives,
            "KeyResult": key_results,
            "Page": pages,
            "Persona": personas,
            "Project": products,
            "Release": releases,
            "ReleasePhase": release_phases,
            "Requirement": requirements,
            "StrategicImperative": goals,
            "Task": tasks,
        },
    ),
    columns=(
        Column("id", "string", "Tells the change from all others; later changes have higher numbers."),
        Column("audit_action", "string", "create, update or destroy."),
        Column("created_at", "timestamp", "When the change was made."),
        Column("interesting", "boolean", "Whether the application shows it in activity lists."),
        Column("user", "json", "Who changed it: id, name, email, times."),
        Column("contributors", "json", "Everybody who took part in the change, each under user."),
        Column("auditable_type", "string", "The type of the record changed, a secondary one included."),
        Column("auditable_id", "string", "The id of the record changed."),
        Column("associated_type", "string", "The type of the primary record it belongs to."),
        Column("associated_id", "string", "The id of that primary record."),
        Column("description", "string", "The change in words."),
        Column("auditable_url", "string", "Where a person opens the record changed."),
        Column("changes", "json", "What changed: field_name, and value as an HTML difference."),
    ),
)

historical_audits = HttpStream(
    name="historical_audits",
    description="Which user changed which record on which days, more than twelve months ago: an index. The changes "
    "themselves cost the account tokens and are not read.",
    enabled=False,
    path="/historical_audits",
    records="historical_audits",
    paginator=PAGES,
    primary_key=("auditable_type", "auditable_id", "id"),
    columns=(
        Column("auditable_type", "string", "The type of the record changed."),
        Column("auditable_id", "string", "The id of the record changed."),
        Column("id", "string", "Who changed it, users.id."),
        Column("name", "string", "What people call that user."),
        Column("email", "string", "The address that user signs in with."),
        Column("created_at", "timestamp", "When that user was made."),
        Column("updated_at", "timestamp", "When that user last changed."),
        Column("dates_active", "json", "The days with changes of that record by that user."),
    ),
)

deletions = HttpStream(
    name="deletions",
    description="What was deleted in the last days and can be restored, without its id; see audits for that.",
    path="/deletions",
    records="deletions",
    paginator=PAGES,
    primary_key=("id",),
    cursor=Cursor("deleted_at"),
    columns=(
        Column("id", "string", "Tells the deletion from all others; not the id of what was deleted."),
        Column("status", "string", "How far a restore is, such as restore_in_progress."),
        Column("record", "json", "What was deleted: name, type and, on some accounts, reference_num."),
        Column("deleted_by", "json", "Who deleted it: id, name, email."),
        Column("deleted_at", "timestamp", "When it was deleted."),
    ),
)

custom_field_definitions = HttpStream(
    name="custom_field_definitions",
    description="The account's own fields.",
    path="/custom_field_definitions",
    records="custom_field_definitions",
    primary_key=("id",),
    columns=(
        *identity("the field"),
        Column("key", "string", "How the API names the field in custom_fields."),
        Column("type", "string", "The kind of field: CustomFieldDefinitions:: and TextField, SelectConstant, …"),
        Column("custom_fieldable_type", "string", "The type of record that has the field, such as Feature."),
        Column("internal_name", "string", "What administrators call the field."),
    ),
)

custom_field_options = HttpStream(
    name="custom_field_options",
    description="What can be chosen in the account's own fields.",
    path="/custom_field_definitions/{custom_field_definition_id}/custom_field_options",
    records="custom_field_options",
    parent=Parent(custom_field_definitions, {"custom_field_definition_id": "id", "type": "type"}),
    primary_key=("custom_field_definition_id", "id"),
    columns=(
        Column("id", "string", "Tells the option from all others of its field."),
        Column(
            "custom_field_definition_id",
            "string",
            "The field, custom_field_definitions.id.",
            parent="custom_field_definition_id",
        ),
        Column("value", "string", "What people choose."),
        Column("color", "integer", "Its colour, as a number."),
        Column("hidden", "boolean", "Whether it can no longer be chosen."),
    ),
)

WITHOUT_OPTIONS = frozenset(
    f"CustomFieldDefinitions::{kind}"
    for kind in ("TextField", "UrlField", "DateField", "ScorecardField", "LinkMany", "LinkMasterDetail")
)
"""Types of field in which nothing is chosen from a list; every other type is asked for its options."""

screen_definitions = HttpStream(
    name="screen_definitions",
    description="Which fields the screens of records show. Needs a configuration administrator.",
    enabled=False,
    path="/screen_definitions",
    records="screen_definitions",
    paginator=UNCOUNTED_PAGES,
    primary_key=("id",),
    columns=(
        Column("id", "integer", "Tells the screen from all others of the account."),
        Column("name", "string", "What people call the screen."),
        Column("screenable_type", "string", "The type of record the screen is for."),
        Column("custom_field_definitions", "json", "Its fields: key, name, type, position, required, options."),
    ),
)

workflows = HttpStream(
    name="workflows",
    description="Statuses that records go through; one workflow can serve several workspaces.",
    path="/products/{product_id}/workflows",
    records="workflows",
    parent=of_product,
    primary_key=("product_id", "id"),
    columns=(
        Column("id", "integer", "Tells the workflow from all others of the account."),
        PARENT_PRODUCT_ID,
        Column("name", "string", "What people call the workflow."),
        Column("statusable_type", "string", "The type of record that goes through it."),
        Column("transitions_only", "boolean", "Whether only listed steps between statuses are allowed."),
        Column("workflow_statuses", "json", "Its statuses: id, name, position, complete, color."),
        Column("workflow_kinds", "json", "Kinds of work it is for: id, name."),
    ),
)

teams = HttpStream(
    name="teams",
    description="Teams whose capacity is planned.",
    path="/teams",
    records="teams",
    params=ALL_FIELDS,
    paginator=PAGES,
    primary_key=("id",),
    columns=(
        *identity("the team"),
        Column("team_members_count", "integer", "How large the team is; typed in where not calculated."),
        Column("automatically_calculate_team_members_count", "boolean", "Whether that number follows the members."),
        Column("capacity", "decimal", "What the team can do, made of its members and its schedule."),
        Column("hourly_rate", "decimal", "What an hour of the team costs, in the account's currency."),
        COLOR,
        Column("start_date", "date", "The first day the team is there."),
        Column("end_date", "date", "The last day the team is there."),
        PROJECT,
        Column("schedule", "json", "Its working time: id, name, hours_per_day, story_points_per_day, velocity."),
        CUSTOM_FIELDS,
        Column("team_members", "json", "Who is in the team."),
    ),
)

team_memberships = HttpStream(
    name="team_memberships",
    description="Who is in which team.",
    path="/teams/{team_id}/team_memberships",
    records="team_memberships",
    params=ALL_FIELDS,
    paginator=PAGES,
    # No unless_empty: a team's team_members_count is typed in by people unless it is calculated, and a team with
    # members can say 0.
    parent=Parent(teams, {"team_id": "id"}),
    primary_key=("id",),
    cursor=Cursor("created_at"),
    columns=(
        Column("id", "string", "Tells the membership from all others of the account."),
        Column("team_id", "string", "The team, teams.id.", parent="team_id"),
        Column("team_member", "json", "Who is in it: id, name, email, user_id, virtual."),
        Column("team", "json", "The team: id, name."),
        CREATED_AT,
    ),
)

team_members = HttpStream(
    name="team_members",
    description="People whose capacity is planned, users or not.",
    path="/team_members",
    records="team_members",
    paginator=PAGES,
    primary_key=("id",),
    columns=(
        *identity("the team member"),
        Column("email", "string", "The person's address."),
        Column("user_id", "string", "The user the person is, users.id; null for a virtual one."),
        Column("virtual", "boolean", "Whether the person has no user of their own."),
    ),
)

schedules = HttpStream(
    name="schedules",
    description="Working times that teams follow.",
    path="/schedules",
    records="schedules",
    params=ALL_FIELDS,
    paginator=PAGES,
    primary_key=("id",),
    columns=(
        *identity("the schedule"),
        Column("hours_per_day", "decimal", "Working hours of a day."),
        Column("story_points_per_day", "decimal", "Story points of a day."),
        Column("velocity", "decimal", "How much the team gets done, in the account's own measure."),
    ),
)

integrations = HttpStream(
    name="integrations",
    description="Connections of the account to other tools.",
    path="/integrations",
    records="integrations",
    paginator=PAGES,
    primary_key=("id",),
    cursor=Cursor("created_at"),
    columns=(
        *identity("the integration"),
        Column("service_name", "string", "The tool: jira, github_issues, …"),
        CREATED_AT,
    ),
)


def status_times(of: HttpStream, kind: str) -> HttpStream:
    """Return the stream of how long each record of the stream `of` was in each status."""
    return HttpStream(
        name=f"{kind}_workflow_status_times",
        description=f"How long {of.name.replace('_', ' ')} were in each status. Must be activated on the account; "
        "one call a record.",
        enabled=False,
        path=f"/{of.name}/{{{kind}_id}}/workflow_status_times",
        records="workflow_status_times",
        paginator=PAGES,
        parent=Parent(of, {f"{kind}_id": "id"}),
        primary_key=("id",),
        cursor=Cursor("created_at"),
        columns=(
            Column("id", "string", "Tells the stay in a status from all others of the account."),
            Column(f"{kind}_id", "string", f"The record that was in the status, {of.name}.id.", parent=f"{kind}_id"),
            Column("workflow_status_id", "string", "The status, as in workflows.workflow_statuses."),
            Column("status_name", "string", "What people call the status."),
            Column("started_at", "timestamp", "When the record came into the status."),
            Column("ended_at", "timestamp", "When it left the status; null while it is in it."),
            CREATED_AT,
        ),
    )


def capacity(of: HttpStream, kind: str) -> tuple[HttpStream, HttpStream]:
    """Return the investments planned for records of the stream `of`, and the estimates those are made of."""
    investments = HttpStream(
        name=f"{kind}_capacity_investments",
        description=f"Capacity planned for {of.name}. Needs capacity planning; one call a record.",
        enabled=False,
        path=f"/{of.name}/{{{kind}_id}}/capacity_investments",
        records="capacity_investments",
        paginator=PAGES,
        parent=Parent(of, {f"{kind}_id": "id"}),
        primary_key=("id",),
        columns=(
            Column("id", "string", "Tells the investment from all others of the account."),
            Column(f"{kind}_id", "string", f"The record planned for, {of.name}.id.", parent=f"{kind}_id"),
            Column("capacity_scenario_id", "string", "The scenario it belongs to, capacity_scenarios.id."),
            Column("total", "number", "All of it together, in the scenario's units."),
        ),
    )
    estimates = HttpStream(
        name=f"{kind}_capacity_estimates",
        description=f"What the capacity planned for {of.name} is made of, by team and period. One call an investment.",
        enabled=False,
        path="/capacity_investments/{capacity_investment_id}/estimate_values",
        records="estimate_values",
        paginator=PAGES,
        parent=Parent(investments, {"capacity_investment_id": "id"}),
        primary_key=("id",),
        columns=(
            Column("id", "string", "Tells the estimate from all others of the account."),
            Column(
                "capacity_investment_id",
                "string",
                f"The investment it is part of, {kind}_capacity_investments.id.",
                parent="capacity_investment_id",
            ),
            Column("team_id", "string", "The team that gives the capacity, teams.id."),
            Column("team_membership_id", "string", "The member that gives it, team_memberships.id."),
            Column("period_start", "date", "The first day of the period."),
            Column("total", "number", "How much, in the scenario's units."),
            Column("computed", "boolean", "Whether it is a sum the application made of others."),
            Column("ignored", "boolean", "Whether it is left out of sums."),
        ),
    )
    return investments, estimates


capacity_scenarios = HttpStream(
    name="capacity_scenarios",
    description="Alternative plans of who works on what. Needs capacity planning.",
    enabled=False,
    path="/capacity_scenarios",
    records="capacity_scenarios",
    paginator=PAGES,
    primary_key=("id",),
    columns=(
        Column("id", "integer", "Tells the scenario from all others of the account."),
        Column("name", "string", "What people call the scenario."),
        Column("planning_interval", "string", "How long a period is, such as month."),
        Column("planning_start_date", "date", "The first day planned."),
        Column("planning_end_date", "date", "The last day planned."),
        Column("estimate_value_layout", "string", "How estimates are laid out on the page."),
        Column("data_entry_units", "string", "The unit people type estimates in."),
        Column("archived", "boolean", "Whether it was put aside."),
    ),
)

custom_object_records = HttpStream(
    name="custom_object_records",
    description="Records of the custom tables that AHA_CUSTOM_OBJECTS names. Needs the plan Enterprise+.",
    enabled=False,
    path="/products/{product}/custom_objects/{key}/records",
    records="custom_object_records",
    paginator=PAGES,
    primary_key=("id",),
    cursor=UPDATED,
    columns=(
        Column("id", "string", "Tells the record from all others of the account."),
        PRODUCT_ID,
        Column("key", "string", "The custom table."),
        *TIMES,
        CUSTOM_FIELDS,
        Column("custom_object_links", "json", "Links to other custom tables: key, record_type, record_ids."),
        Column("linked_records", "json", "Records it is linked to: key, name, record_type, record_id."),
        CREATED_BY,
    ),
)

custom_report_rows = HttpStream(
    name="custom_report_rows",
    description="Rows of the list reports that AHA_CUSTOM_REPORTS names, as the report shows them.",
    enabled=False,
    path="/bookmarks/custom_pivots/{report_id}",
    records="rows",
    params={"view": "list"},
    paginator=PAGES,
    primary_key=("report_id", "row_number"),
    columns=(
        Column("report_id", "string", "The saved report, by the id in its address.", path=""),
        Column(
            "row_number", "integer", "Orders the rows as the report does; another day it is another row's.", path=""
        ),
        Column("columns", "json", "The report's columns, in the order of the cells.", path="$.columns"),
        Column("cells", "json", "The row as the API gives it.", path="$.rows[*]"),
    ),
)


discovery_groups = HttpStream(
    name="discovery_groups",
    description="Groups of people to interview. Needs Aha! Discovery; the reference does not describe the records.",
    enabled=False,
    path="/discovery_groups",
    records="discovery_groups",
    paginator=PAGES,
    primary_key=("id",),
    columns=identity("the group"),
)

identity_providers = HttpStream(
    name="identity_providers",
    description="Services that users sign in with. Needs an account administrator.",
    enabled=False,
    path="/identity_providers",
    records="identity_providers",
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        *identity("the provider"),
        Column("enabled", "boolean", "Whether users can sign in with it."),
        Column("sso_endpoint", "string", "Where users are sent to sign in."),
        *TIMES,
    ),
)

paid_seat_groups = HttpStream(
    name="paid_seat_groups",
    description="Groups that share paid seats. Needs an account administrator.",
    enabled=False,
    path="/paid_seat_groups",
    records="paid_seat_groups",
    primary_key=("id",),
    cursor=Cursor("updated_at"),
    columns=(
        *identity("the group"),
        Column("administrators", "json", "Who gives out the seats: id, name, email, times."),
        Column("capacity", "integer", "How many seats the group has."),
        Column("allocated_seats", "integer", "How many of them are taken."),
        DESCRIPTION,
        *TIMES,
    ),
)

account_backups = HttpStream(
    name="account_backups",
    description="Backups of the account that were ordered. Needs an account administrator and the plan Enterprise+.",
    enabled=False,
    path="/account_backups",
    records="account_backups",
    primary_key=("id",),
    cursor=Cursor("created_at"),
    columns=(
        Column("id", "string", "Tells the backup from all others of the account."),
        Column("status_code", "integer", "0 queued, 1 in progress, 2 completed, 3 error."),
        Column("status_description", "string", "The same in words."),
        CREATED_AT,
        Column("file_size", "string", "How large the file is, in words; empty where not known."),
        Column("download_url", "string", "Where the file is fetched, with a key."),
    ),
)


def _named_by(url: str) -> dict[str, str]:
    """Return the fields of an account that is named by its address: the same ones, however that is written.

    Raises ConfigurationError for what is neither an address (https://acme.aha.io, acme.aha.io, a sandbox's) nor a
    sub-domain (acme).
    """
    text = url.strip().rstrip("/")
    address = text if "://" in text else f"https://{text}"
    parts = urlsplit(address)
    host = parts.netloc.lower()
    if parts.scheme not in ("https", "http") or re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]+)?", host) is None:
        raise ConfigurationError("expected the account's address, such as https://acme.aha.io @ $.url")
    if host == text.lower() and "." not in host and ":" not in host:
        return {"subdomain": host}
    if not host.endswith(".aha.io"):
        return {"base_url": address}
    if parts.scheme == "http":
        raise ConfigurationError("expected https://, for the key would be sent unencrypted @ $.url")
    account = host.removesuffix(".aha.io")  # a path is of the page that was open in the browser
    return {"subdomain": host if "." in account else account}


class Aha(HttpSource):
    """One Aha! account, read through its REST API with one user's key."""

    name: ClassVar[str] = "aha"
    rate_limit: ClassVar[RateLimit] = RateLimit(per_second=20, per_minute=300)
    streams: ClassVar[tuple[Stream, ...]] = (
        products,
        users,
        product_users,
        initiatives,
        goals,
        key_results,
        releases,
        roll_up_releases,
        release_phases,
        epics,
        features,
        requirements,
        ideas,
        idea_categories,
        idea_endorsements,
        idea_comments,
        idea_subscriptions,
        idea_portals,
        portal_users,
        idea_organizations,
        idea_users,
        comments,
        tasks,
        pages,
        personas,
        competitors,
        creative_briefs,
        strategy_models,
        strategy_positions,
        strategy_visions,
        audits,
        deletions,
        custom_field_definitions,
        custom_field_options,
        workflows,
        teams,
        team_memberships,
        team_members,
        schedules,
        integrations,
        # Off until the configuration turns them on.
        idea_themes,
        historical_audits,
        record_links,
        screen_definitions,
        status_times(epics, "epic"),
        status_times(features, "feature"),
        status_times(ideas, "idea"),
        status_times(initiatives, "initiative"),
        status_times(key_results, "key_result"),
        status_times(releases, "release"),
        status_times(requirements, "requirement"),
        status_times(pages, "page"),
        capacity_scenarios,
        *capacity(epics, "epic"),
        *capacity(features, "feature"),
        *capacity(initiatives, "initiative"),
        *capacity(products, "product"),
        custom_object_records,
        custom_report_rows,
        discovery_groups,
        identity_providers,
        paid_seat_groups,
        account_backups,
    )
    config_keys: ClassVar[tuple[ConfigKey, ...]] = (
        ConfigKey(
            name="url",
            schema={
                "type": "string",
                "title": "Account",
                "description": "The account's address as in the browser, such as https://acme.aha.io.",
                "examples": ["https://acme.aha.io"],
            },
            stands_for=("subdomain", "base_url"),
            fields=_named_by,
        ),
    )
    config_needs: ClassVar[tuple[tuple[str, ...], ...]] = (("api_key",), ("url", "subdomain", "base_url"))
    stream_aliases: ClassVar[Mapping[str, str]] = {
        f"{stream.name}_stream": stream.name
        for stream in (features, goals, idea_categories, idea_comments, idea_endorsements, ideas, products, users)
    }

    subdomain: str = setting(
        "The account's sub-domain (acme) or its whole host name (acme.euw4.aha.io).", variable="AHA_SUBDOMAIN"
    )
    api_key: str = setting(
        "An API key of a user: Settings, Personal, Developer, API keys.", variable="AHA_API_KEY", secret=True
    )
    custom_objects: str = setting(
        "Custom tables to read, each as a workspace's prefix or id and the table's key: APP:incidents,APP:customers.",
        variable="AHA_CUSTOM_OBJECTS",
    )
    custom_reports: str = setting(
        "Saved list reports to read, by the number in their address: 7012345678901290001,7012345678901290002.",
        variable="AHA_CUSTOM_REPORTS",
    )

    @property
    def url(self) -> str:
        """The account's API. Raises MissingCredential, or ConfigurationError for what is no host."""
        if self.base_url:
            parts = urlsplit(self.base_url)
            if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc or parts.query:
                raise ConfigurationError(
                    f"{self.name}: the base URL is not an address such as https://acme.aha.io or "
                    "https://acme.aha.io/api/v1."
                )
            address = self.base_url.rstrip("/")
            return address if address.endswith("/api/v1") else f"{address}/api/v1"
        subdomain = self.require("subdomain")
        if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", subdomain) is None:
            raise ConfigurationError(
                f"{self.name}: {self.variables()['subdomain']} is neither a sub-domain (acme) nor a host name "
                "(acme.euw4.aha.io). "
                "Take it from the address of the account in the browser, without https:// and without a path."
            )
        host = subdomain if "." in subdomain else f"{subdomain}.aha.io"
        return f"https://{host.lower()}/api/v1"

    @property
    def account(self) -> str:
        """A name for the account, made of its host: the rate limit is the account's, whoever's key is used."""
        return self.account_of(urlsplit(self.url).netloc.lower())

    def authenticator(self) -> BearerToken:
        """Return what signs requests. Raises MissingCredential, naming the key's variable."""
        return BearerToken(self.require("api_key"))

    def check(self) -> None:
        """Ask who the key belongs to. Raises RequestRejected for a bad key, ConfigurationError for a wrong host."""
        request = Request("/me")
        try:
            open_answer(self.name, "user", request, self.client.send(request))
        except RequestRejected as error:
            if error.status == 401:
                raise RequestRejected(
                    f"{self.name}: 401 from GET /me. The key is wrong or was revoked; set "
                    f"{self.variables()['api_key']} to one that is listed under Settings, Personal, Developer, API "
                    "keys.",
                    status=401,
                ) from None
            if error.status == 404:
                self._refuse_host("404 from GET /me")
            raise
        except DataError:
            self._refuse_host("GET /me was not answered as the API does")

    def _refuse_host(self, what: str) -> NoReturn:
        raise ConfigurationError(
            f"{self.name}: {what} by {urlsplit(self.url).netloc}. There is no account at this host; check "
            f"{self.variables()['subdomain']} against the address of the account in the browser."
        ) from None

    def read(self, stream: Stream, slice: Slice, token: str | None = None) -> Iterator[Page]:
        """Yield the pages of `stream`; see `Source.read`.

        Custom tables and reports are read one after the other, as if they were parents. Fields of which the reference
        says that nothing is chosen in them are not asked for their options.
        """
        if stream.name == custom_object_records.name:
            return self._read_each(stream, slice, self._custom_objects(), token)
        if stream.name == custom_report_rows.name:
            reports = [{"report_id": report} for report in _split(self.require("custom_reports"))]
            return self._read_each(stream, slice, reports, token)
        if stream.name == custom_field_options.name and slice.parents is not None:
            asked = tuple(parent for parent in slice.parents if parent.fields["type"] not in WITHOUT_OPTIONS)
            return super().read(stream, replace(slice, parents=asked), token)
        return super().read(stream, slice, token)

    def _read_each(
        self, stream: Stream, slice: Slice, fields: list[dict[str, str]], token: str | None
    ) -> Iterator[Page]:
        parents = tuple(ParentRow(each) for each in fields)
        for page in super().read(stream, replace(slice, parents=parents), token):
            yield replace(page, parent=None)

    def _custom_objects(self) -> list[dict[str, str]]:
        pairs = [entry.partition(":") for entry in _split(self.require("custom_objects"))]
        if any(not product or not key for product, _, key in pairs):
            raise ConfigurationError(
                f"{self.name}: {self.variables()['custom_objects']} must list a workspace and a table each, such as "
                "APP:incidents,APP:customers."
            )
        return [{"product": product, "key": key} for product, _, key in pairs]

    def first_request(self, stream: HttpStream, slice: Slice, parent: ParentRow | None) -> Request:
        """Return the first request under a parent; `historical_audits` needs both of its bounds."""
        request = super().first_request(stream, slice, parent)
        if stream.name == historical_audits.name:
            now = datetime.now(UTC)
            a_year_ago = now.replace(year=now.year - 1, day=min(now.day, 28))
            # Aha! was founded in 2013: nothing is older.
            return request.with_params(
                created_since="2013-01-01T00:00:00.000Z", created_before=bound(a_year_ago, "iso")
            )
        return request

    def fetch(self, stream: HttpStream, request: Request) -> Response:
        """Send a request; a refusal says what Aha! means by it."""
        try:
            return super().fetch(stream, request)
        except RequestRejected as error:
            where = f"{self.name}.{stream.name}: {error.status} from {request.method} {request.path}."
            if error.status == 403:
                raise RequestRejected(
                    f"{where} The user of {self.variables()['api_key']} has no role that may read this, or the "
                    f"account's plan is without it. ({stream.description}) Change the role or turn the stream off.",
                    status=403,
                ) from None
            if error.status == 404 and stream.name in (custom_object_records.name, custom_report_rows.name):
                field = "custom_objects" if stream.name == custom_object_records.name else "custom_reports"
                raise ConfigurationError(
                    f"{where} {self.variables()[field]} names what is not there, or not visible."
                ) from None
            if error.status == 404 and stream.parent is None:
                raise RequestRejected(
                    f"{where} The account's plan is without this list, or {self.variables()['subdomain']} is wrong. "
                    f"({stream.description}) Turn the stream off, or correct the sub-domain.",
                    status=404,
                ) from None
            raise

    def open(self, stream: HttpStream, request: Request, response: Response) -> Answer:
        """Find the records in an answer, and make them whole."""
        if stream.name == custom_report_rows.name:
            return self._report_rows(stream, request, response)
        answer = super().open(stream, request, response)
        if isinstance(stream, DetailedStream):
            return self._detailed(stream, answer)
        if stream.name == product_users.name:
            where = f"{self.name}.{stream.name}: GET {request.path}"
            return replace(answer, records=tuple(_with_user_id(where, record) for record in answer.records))
        return answer

    def _detailed(self, stream: DetailedStream, answer: Answer) -> Answer:
        """Replace short records by whole ones.

        A record whose detail is not found was deleted after it was listed: it is left out, and taken off the server's
        count. Where that list has other pages, their count differs now, and the list is read again.
        """
        with self.ahead(stream) as ahead:
            details = [self._detail_of(stream, record) for record in answer.records]
            if asked := [request for request in details if request is not None]:
                ahead.expect(asked[0], lambda: iter(asked))
            whole = [
                self._detail(stream, record, request, ahead)
                for record, request in zip(answer.records, details, strict=True)
            ]
        found = tuple(record for record in whole if record is not None)
        total = stream.paginator.total(answer)
        if total is None or len(found) == len(whole):
            return replace(answer, records=found)
        pagination = {**answer.value("pagination"), "total_records": total - (len(whole) - len(found))}
        envelope = {**answer.envelope, "pagination": msgspec.Raw(msgspec.json.encode(pagination))}
        return replace(answer, records=found, envelope=envelope)

    def _detail_of(self, stream: DetailedStream, record: msgspec.Raw) -> Request | None:
        """Return the request for the whole record; None where it is whole, or without an id that can be asked for."""
        fields = fields_of(record)
        is_whole = stream.unless_has is not None and stream.unless_has in fields
        if is_whole or (record_id := _readable_id(fields)) is None:
            return None
        return Request(stream.detail.format(id=quote(record_id, safe="")))

    def _detail(
        self, stream: DetailedStream, record: msgspec.Raw, request: Request | None, ahead: Ahead
    ) -> msgspec.Raw | None:
        """Return the whole record; one for which there is nothing to ask stays as it is, to be put aside if need be."""
        if request is None:
            return record
        try:
            response = ahead.fetch(request)
        except RequestRejected as error:
            if error.status == 404:
                return None
            raise
        record_id = _readable_id(fields_of(record))
        details = open_answer(f"{self.name}.{stream.name}", stream.detail_record, request, response).records
        if len(details) != 1 or _readable_id(fields_of(details[0])) not in (record_id, None):
            raise MalformedPage(
                f"{self.name}.{stream.name}: GET {request.path}: asked for one record, got another. Nothing was "
                "written; run it again."
            )
        return details[0]

    def _report_rows(self, stream: HttpStream, request: Request, response: Response) -> Answer:
        """Make records of rows that are lists, each with the report's columns beside it.

        `{"columns": [{"title": …}], "rows": [[{"plain_value": …}, …], …], "pagination": [{"total_pages": 2, …}]}`:
        reports send the envelope's `pagination` as a list of one.
        """
        where = f"{self.name}.{stream.name}: GET {request.path}"
        try:
            report = msgspec.json.decode(response.body, type=_Report)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedPage(f"{where}: the answer is not a list report ({str(error)[:120]}).") from None
        pagination = report.pagination[0] if isinstance(report.pagination, list) else report.pagination
        page = int(str(request.params[PAGES.page]))
        if int(pagination.get("current_page", page)) != page:
            # The rows are numbered below, so that the same page again would not look the same to the reader.
            raise PaginationLoop(f"{where}: asked for page {page}, got another. Nothing was written; run it again.")
        report_id = request.path.rpartition("/")[2]
        records = (
            {
                "report_id": report_id,
                "row_number": (page - 1) * PAGES.size + number,
                "columns": report.columns,
                "cells": cells,
            }
            for number, cells in enumerate(report.rows, start=1)
        )
        envelope = {"pagination": msgspec.Raw(msgspec.json.encode(pagination))}
        return Answer(response, tuple(msgspec.Raw(msgspec.json.encode(record)) for record in records), envelope)


class _Report(msgspec.Struct):
    columns: msgspec.Raw
    rows: list[msgspec.Raw]
    pagination: Annotated[list[dict[str, int | str]], msgspec.Meta(min_length=1)] | dict[str, int | str]


def _readable_id(fields: Mapping[str, msgspec.Raw]) -> str | None:
    try:
        return str(msgspec.json.decode(fields["id"], type=str | int))
    except (KeyError, msgspec.DecodeError):
        return None


class _Nested(msgspec.Struct):
    id: str | int


class _Membership(msgspec.Struct):
    user: _Nested


def _with_user_id(where: str, record: msgspec.Raw) -> msgspec.Raw:
    """Return the record with its `user.id` beside it as `user_id`, the rest as it came."""
    try:
        user_id = msgspec.json.decode(record, type=_Membership).user.id
    except msgspec.DecodeError as error:
        raise MalformedPage(f"{where}: a record names no user ({error}). The API may have changed.") from None
    return msgspec.Raw(b'{"user_id":' + msgspec.json.encode(user_id) + b"," + bytes(record)[1:])


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
