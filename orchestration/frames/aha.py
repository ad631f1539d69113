"""Frames of Aha!: features, ideas, and how releases and features get on.

"Today" is the UTC day of the newest load, so a frame changes when something was landed and at no other time.
"""

from typing import TYPE_CHECKING, Any

from orchestration.frames.aha_plots import FEATURES_BY_STATUS, IDEAS_BY_VOTES, LEAD_DAYS, RELEASE_BURN_UP
from orchestration.frames.asset import frame_asset, read
from orchestration.frames.columns import (
    Columns,
    as_days,
    as_instants,
    as_text,
    category,
    day,
    flag,
    instant,
    looked_up,
    number,
    text,
    utc_day,
    whole,
)
from orchestration.frames.email_domains import domain_of
from orchestration.frames.json_lists import counted, exploded, joined
from orchestration.frames.rules import Rules

if TYPE_CHECKING:
    import pandas as pd

FEATURES = Columns(
    id=text("Tells the feature from all others of the account."),
    reference_num=text("The key people see, such as APP-12."),
    name=text("What people call it."),
    product=category("The workspace it belongs to."),
    release=category("The release it is planned for; null without one."),
    release_id=text("That release, `release_progress.id`."),
    epic=category("The epic it belongs to; null without one."),
    initiative=category("The initiative it serves; null without one."),
    kind=category("The kind of work, such as New or Bug fix."),
    status=category("Where it stands, in the words of its workflow."),
    is_complete=flag("Whether that status counts as complete; false where the API gave no status."),
    assignee=category("Who is responsible; null where nobody is."),
    created_by=category("Who made it."),
    created_at=instant("When it was made."),
    updated_at=instant("When it last changed."),
    status_changed_on=day("The day its status last changed."),
    start_date=day("The day its work starts."),
    due_date=day("The day its work is due."),
    days_to_due=whole("Days from today to `due_date`, negative once it is over; null when complete or without one."),
    is_overdue=flag("Whether it is not complete and its `due_date` is over."),
    score=whole("The product value score."),
    progress_percent=number("Percent done, 0 to 100; null where nobody set or derived it."),
    requirements=whole("How many requirements it has."),
    comments=whole("How many comments the API counts on it."),
    tags=text("Its tags, separated by commas; null without any."),
    tags_count=whole("How many tags it has."),
)
FEATURES_RULES = Rules(
    "features",
    ("id",),
    progress_is_a_percentage="progress_percent BETWEEN 0 AND 100",
    made_before_it_changed="created_at <= updated_at",
    starts_before_it_is_due="start_date <= due_date",
    counts_not_negative="requirements >= 0 AND comments >= 0 AND tags_count >= 0",
    overdue_is_not_complete="NOT (is_overdue AND is_complete)",
)


def features(features: "pd.DataFrame") -> "pd.DataFrame":
    """One row per feature, newest first, as it stands. Instants are UTC."""
    today = _today(features["loaded_at"])
    due, complete = as_days(features["due_date"]), features["complete"] == "true"
    days_to_due = (due - today).dt.days.mask(complete)
    frame = features.assign(
        is_complete=complete,
        days_to_due=days_to_due,
        is_overdue=days_to_due < 0,
        requirements=counted(features["requirements"]),
        tags=joined(features["tags"]),
        tags_count=counted(features["tags"]),
    )
    return FEATURES.cast(frame.sort_values(["created_at", "id"], ascending=False))


features_asset = frame_asset(
    features,
    FEATURES,
    FEATURES_BY_STATUS,
    {
        "is_complete": ("features.complete",),
        "days_to_due": ("features.complete", "features.due_date", "features.loaded_at"),
        "is_overdue": ("features.complete", "features.due_date", "features.loaded_at"),
        "tags_count": ("features.tags",),
    },
    features=read(
        "aha",
        "features",
        {
            "id": "id",
            "reference_num": "reference_num",
            "name": "name",
            "product": "project.name",
            "release": "release.name",
            "release_id": "release.id",
            "epic": "epic.name",
            "initiative": "initiative.name",
            "kind": "workflow_kind.name",
            "status": "workflow_status.name",
            "complete": "workflow_status.complete",
            "assignee": "assigned_to_user.name",
            "created_by": "created_by_user.name",
            "created_at": "created_at",
            "updated_at": "updated_at",
            "status_changed_on": "status_changed_on",
            "start_date": "start_date",
            "due_date": "due_date",
            "score": "score",
            "progress_percent": "progress",
            "requirements": "requirements",
            "comments": "comments_count",
            "tags": "tags",
            "loaded_at": "_loaded_at",
        },
    ),
)

IDEAS = Columns(
    id=text("Tells the idea from all others of the account."),
    reference_num=text("The key people see, such as APP-I-8."),
    name=text("What people call it."),
    product=category("The workspace it belongs to."),
    status=category("Where it stands, in the words of its workflow."),
    is_complete=flag("Whether that status counts as complete; false where the API gave no status."),
    created_at=instant("When it was made."),
    updated_at=instant("When it last changed."),
    status_changed_at=instant("When its status last changed."),
    votes=whole("Votes as the API counts them, weights and initial votes included."),
    endorsements=whole("Votes that were landed, each counted once; fewer than `votes` where some are not landed."),
    last_vote_at=instant("When the newest landed vote was given; null without one."),
    categories=text("Its categories, separated by commas; null without any."),
    tags=text("Its tags, separated by commas; null without any."),
    creator=text("Who made it: a portal user, an idea user or a user."),
    creator_domain=category("The domain of that person's e-mail address."),
    assignee=category("Who is responsible; null where nobody is."),
    feature_reference_num=text("The feature it was promoted to; null where it was not."),
    is_promoted=flag("Whether it was promoted to a feature."),
    merged_into=text("The key of the idea it was merged into; null where it was not."),
    score=whole("The product value score."),
    comments=whole("How many comments the API counts on it; which kinds is not documented."),
)
IDEAS_RULES = Rules(
    "ideas",
    ("id",),
    votes_not_negative="votes >= 0 AND endorsements >= 0",
    made_before_it_changed="created_at <= updated_at",
    promoted_to_a_feature="is_promoted = (feature_reference_num IS NOT NULL)",
)


def ideas(ideas: "pd.DataFrame", endorsements: "pd.DataFrame") -> "pd.DataFrame":
    """One row per idea, newest first, with the votes that were landed for it. Instants are UTC.

    A vote that was taken back stays landed: the API does not say that it is gone.
    """
    votes = endorsements.groupby("idea_id")["created_at"]
    frame = ideas.assign(
        is_complete=ideas["complete"] == "true",
        endorsements=looked_up(ideas["id"], votes.size()).fillna(0),
        last_vote_at=as_instants(looked_up(ideas["id"], votes.max())),
        categories=joined(ideas["categories"], field="name"),
        tags=joined(ideas["tags"]),
        creator=_first_known(ideas, "portal_user", "idea_user", "user"),
        creator_domain=domain_of(_first_known(ideas, "portal_user_email", "idea_user_email", "user_email")),
        is_promoted=ideas["feature_reference_num"].notna(),
    )
    return IDEAS.cast(frame.sort_values(["created_at", "id"], ascending=False))


ideas_asset = frame_asset(
    ideas,
    IDEAS,
    IDEAS_BY_VOTES,
    {
        "is_complete": ("ideas.complete",),
        "endorsements": ("endorsements.idea_id",),
        "last_vote_at": ("endorsements.idea_id", "endorsements.created_at"),
        "creator": ("ideas.portal_user", "ideas.idea_user", "ideas.user"),
        "creator_domain": ("ideas.portal_user_email", "ideas.idea_user_email", "ideas.user_email"),
        "is_promoted": ("ideas.feature_reference_num",),
    },
    ideas=read(
        "aha",
        "ideas",
        {
            "id": "id",
            "reference_num": "reference_num",
            "name": "name",
            "product": "product.name",
            "status": "workflow_status.name",
            "complete": "workflow_status.complete",
            "created_at": "created_at",
            "updated_at": "updated_at",
            "status_changed_at": "status_changed_at",
            "votes": "votes",
            "categories": "categories",
            "tags": "tags",
            "portal_user": "created_by_portal_user.name",
            "portal_user_email": "created_by_portal_user.email",
            "idea_user": "created_by_idea_user.name",
            "idea_user_email": "created_by_idea_user.email",
            "user": "created_by_user.name",
            "user_email": "created_by_user.email",
            "assignee": "assigned_to_user.name",
            "feature_reference_num": "feature.reference_num",
            "merged_into": "duplicate_of.reference_num",
            "score": "score",
            "comments": "comments_count",
        },
    ),
    endorsements=read("aha", "idea_endorsements", {"idea_id": "idea_id", "created_at": "created_at"}),
)

RELEASE_PROGRESS = Columns(
    id=text("Tells the release from all others of the account."),
    reference_num=text("The key people see, such as APP-R-5."),
    name=text("What people call it."),
    product=category("The workspace it belongs to."),
    owner=category("Who is responsible."),
    status=category("Where it stands, in the words of its workflow."),
    is_shipped=flag("Whether it was delivered; false where the API does not say."),
    is_parking_lot=flag("Whether it only keeps what has no release yet."),
    start_date=day("The day its work starts."),
    release_date=day("The day it is to be delivered."),
    released_on=day("The day it was delivered."),
    days_late=whole(
        "Days from `release_date` to the day it was delivered or, before that, to today; negative is early, or days "
        "left. Null without these days, and for a parking lot."
    ),
    is_late=flag("Whether `days_late` is above 0."),
    features=whole("How many features are planned for it."),
    done_features=whole("How many of them have a status that counts as complete."),
    done_share=number("`done_features` of `features`, 0 to 1; null without features."),
    progress_percent=number("Percent done as the API gives it, 0 to 100; null where nobody set or derived it."),
)
RELEASE_PROGRESS_RULES = Rules(
    "release_progress",
    ("id",),
    progress_is_a_percentage="progress_percent BETWEEN 0 AND 100",
    done_is_a_part="done_features BETWEEN 0 AND features AND coalesce(done_share, 0) BETWEEN 0 AND 1",
    starts_before_it_ends="start_date <= release_date",
    late_by_days="is_late = (coalesce(days_late, 0) > 0)",
)


def release_progress(releases: "pd.DataFrame", features: "pd.DataFrame") -> "pd.DataFrame":
    """One row per release, the latest release date first: how much of it is done and how late it is."""
    today = _today(releases["loaded_at"])
    complete = (features["complete"] == "true").astype("int64")
    done = complete.groupby(as_text(features["release_id"])).agg(["size", "sum"])
    shipped, parking_lot = _known_true(releases["released"]), _known_true(releases["parking_lot"])
    end = as_days(releases["released_on"]).where(shipped, today)
    days_late = (end - as_days(releases["release_date"])).dt.days.mask(parking_lot)
    planned, finished = (looked_up(as_text(releases["id"]), done[count]).fillna(0) for count in ("size", "sum"))
    frame = releases.assign(
        is_shipped=shipped,
        is_parking_lot=parking_lot,
        days_late=days_late,
        is_late=days_late > 0,
        features=planned,
        done_features=finished,
        done_share=(finished / planned).where(planned > 0),
    )
    return RELEASE_PROGRESS.cast(frame.sort_values(["release_date", "id"], ascending=False))


_LATE = (
    "releases.release_date",
    "releases.released_on",
    "releases.released",
    "releases.parking_lot",
    "releases.loaded_at",
)

release_progress_asset = frame_asset(
    release_progress,
    RELEASE_PROGRESS,
    RELEASE_BURN_UP,
    {
        "is_shipped": ("releases.released",),
        "is_parking_lot": ("releases.parking_lot",),
        "days_late": _LATE,
        "is_late": _LATE,
        "features": ("features.release_id",),
        "done_features": ("features.release_id", "features.complete"),
        "done_share": ("features.release_id", "features.complete"),
    },
    releases=read(
        "aha",
        "releases",
        {
            "id": "id",
            "reference_num": "reference_num",
            "name": "name",
            "product": "project.name",
            "owner": "owner.name",
            "status": "workflow_status.name",
            "released": "released",
            "parking_lot": "parking_lot",
            "start_date": "start_date",
            "release_date": "release_date",
            "released_on": "released_on",
            "progress_percent": "progress",
            "loaded_at": "_loaded_at",
        },
    ),
    features=read("aha", "features", {"release_id": "release.id", "complete": "workflow_status.complete"}),
)

FEATURE_CYCLE_TIME = Columns(
    id=text("Tells the feature from all others of the account."),
    reference_num=text("The key people see, such as APP-12."),
    name=text("What people call it."),
    product=category("The workspace it belongs to."),
    release=category("The release it is planned for; null without one."),
    assignee=category("Who is responsible; null where nobody is."),
    status=category("Where it stands, in the words of its workflow."),
    is_done=flag("Whether that status counts as complete."),
    created_at=instant("When it was made."),
    first_status_change_at=instant("When its status first changed, by the audits that were landed."),
    last_status_change_at=instant("When its status last changed, by the audits that were landed."),
    last_status_change_on=day("The day its status last changed, by the feature itself, else by the audits (UTC)."),
    status_changes=whole("How many audits that were landed say that its status changed."),
    wait_seconds=number("From `created_at` to `first_status_change_at`; null where older audits may be missing."),
    lead_days=whole("Done: days from the day it was made (UTC) to `last_status_change_on`. Null in work."),
    days_in_status=whole("In work: days from `last_status_change_on` to today. Null when done."),
)
FEATURE_CYCLE_TIME_RULES = Rules(
    "feature_cycle_time",
    ("id",),
    changes_in_order="first_status_change_at <= last_status_change_at",
    made_before_its_status_changed="wait_seconds >= 0",
    done_after_it_was_made="lead_days >= -1",
    done_or_in_work="lead_days IS NULL OR days_in_status IS NULL",
)
_STATUS_FIELDS = ("status", "workflow_status", "workflow_status_id")


def feature_cycle_time(features: "pd.DataFrame", audits: "pd.DataFrame") -> "pd.DataFrame":
    """One row per feature that is done or in work, newest first, and how long that took. Instants are UTC.

    Done is a status that counts as complete; in work is any other whose status has changed, by the feature itself or
    an audit. Whether the feature has a day of its last change before there was one is not documented: where it does,
    everything that is not done counts as in work.
    The API has no time at which work began or ended, so the lead time ends with the last change of status: a feature
    moved from one complete status to another seems to have taken longer. That day comes without a zone, and can be
    one beside the UTC day. Changes in between are known from audits, for the twelve months the API keeps them and as
    far as they were landed; `wait_seconds` is null for a feature older than the oldest of them.
    """
    today = _today(features["loaded_at"])
    created = as_instants(features["created_at"])
    changes = _status_changes(audits).groupby("feature_id")["created_at"]
    first, last = (as_instants(looked_up(features["id"], ends)) for ends in (changes.min(), changes.max()))
    changed_on = as_days(features["status_changed_on"]).fillna(utc_day(last))
    done = features["complete"] == "true"
    is_whole = created >= as_instants(audits["created_at"]).min()
    frame = features.assign(
        is_done=done,
        first_status_change_at=first,
        last_status_change_at=last,
        last_status_change_on=changed_on,
        status_changes=looked_up(features["id"], changes.size()).fillna(0),
        wait_seconds=(first - created).dt.total_seconds().where(is_whole),
        lead_days=(changed_on - utc_day(created)).dt.days.where(done),
        days_in_status=(today - changed_on).dt.days.mask(done),
    )
    moved = frame[done | changed_on.notna()]
    return FEATURE_CYCLE_TIME.cast(moved.sort_values(["created_at", "id"], ascending=False))


_MOVES = ("audits.record_type", "audits.record_id", "audits.action", "audits.changes")
_CHANGED_ON = ("features.status_changed_on", *_MOVES, "audits.created_at")

feature_cycle_time_asset = frame_asset(
    feature_cycle_time,
    FEATURE_CYCLE_TIME,
    LEAD_DAYS,
    {
        "is_done": ("features.complete",),
        "first_status_change_at": (*_MOVES, "audits.created_at"),
        "last_status_change_at": (*_MOVES, "audits.created_at"),
        "last_status_change_on": _CHANGED_ON,
        "status_changes": _MOVES,
        "wait_seconds": ("features.created_at", *_MOVES, "audits.created_at"),
        "lead_days": ("features.complete", "features.created_at", *_CHANGED_ON),
        "days_in_status": ("features.complete", "features.loaded_at", *_CHANGED_ON),
    },
    features=read(
        "aha",
        "features",
        {
            "id": "id",
            "reference_num": "reference_num",
            "name": "name",
            "product": "project.name",
            "release": "release.name",
            "assignee": "assigned_to_user.name",
            "status": "workflow_status.name",
            "complete": "workflow_status.complete",
            "created_at": "created_at",
            "status_changed_on": "status_changed_on",
            "loaded_at": "_loaded_at",
        },
    ),
    audits=read(
        "aha",
        "audits",
        {
            "action": "audit_action",
            "created_at": "created_at",
            "record_type": "auditable_type",
            "record_id": "auditable_id",
            "changes": "changes",
        },
    ),
)


def _status_changes(audits: "pd.DataFrame") -> "pd.DataFrame":
    """Return `feature_id` and `created_at` of the audits that say that a feature's status changed, one row each.

    The name of the field is not documented; it comes as a key or in words for people, so case and spaces are ignored.
    """
    is_update, record_type = as_text(audits["action"]) == "update", as_text(audits["record_type"])
    updates = audits[is_update & (record_type.str.lower() == "feature")]
    fields = exploded(updates["changes"], field="field_name").str.lower().str.replace(r"\W+", "_", regex=True)
    of_status = updates.loc[fields[fields.isin(_STATUS_FIELDS)].index.unique()]
    return of_status.assign(
        feature_id=as_text(of_status["record_id"].astype("Int64")), created_at=as_instants(of_status["created_at"])
    )


def _today(loaded_at: "pd.Series[Any]") -> "pd.Timestamp":
    """Return the UTC day of the newest load, without a zone; NaT where nothing was loaded."""
    newest: pd.Timestamp = utc_day(as_instants(loaded_at)).max()
    return newest


def _first_known(frame: "pd.DataFrame", *names: str) -> "pd.Series[Any]":
    """Return the value of the first of the columns that has one, row by row."""
    known = as_text(frame[names[0]])
    for name in names[1:]:
        known = known.fillna(as_text(frame[name]))
    return known


def _known_true(values: "pd.Series[Any]") -> "pd.Series[bool]":
    return values.astype("boolean").fillna(False).astype("bool")
