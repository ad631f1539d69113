"""The account behind the Aha! sandbox: workspaces, what is planned in them, who asks for what, and the audit of it.

Rule 1: everything follows from (seed, scale, today). Two sandboxes with the same settings answer the same bytes.
Rule 2: references refer. A vote's idea, voter and organization are there, and so are a feature's release, epic,
    initiative and users; the records it embeds are the ones their own lists show. Only what the audit says was
    destroyed is not there any more.
Rule 3: counts count. `comments_count`, `endorsements_count`, embedded lists and the like agree with the lists of the
    children. An idea's `comments_count` is that of its internal and its portal comments together.
Rule 4: every documented field has a value somewhere, however small the scale, and most that may be unset are null
    somewhere and absent elsewhere.
Rule 5: ids grow with the time a record was made, and lists are in no order of time. What can change did so in the 90
    complete UTC days before `today`; workspaces, users and settings were made earlier. Some records of every kind that
    changes did so on the stroke of midnight.
Rule 6: statuses tell one story. A record goes through its workflow in order, and its status, the days and the progress
    that follow from it, its stays and the audits all say when. A release is shipped on the day it was delivered, and
    most of its features were shipped until then.

Votes, features and what else grows is made when it is asked for (see `aha_tables`); the settings of an account are a
few lists made once. Names of companies and their e-mail domains are those of `data.py`.
"""

import math
import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from random import Random

from connector_resources.sandbox.aha_tables import (
    BODIES,
    DAY,
    FAMILY_NAMES,
    GIVEN_NAMES,
    HISTORY_DAYS,
    PEOPLE,
    SPARE_ROWS,
    Dice,
    Record,
    Table,
    body,
    children_of,
    day_of,
    estimate_ident,
    ident,
    investment_ident,
    iso,
    note_ident,
    spread,
    status_time_ident,
    title,
)
from connector_resources.sandbox.data import COMPANIES

HOST = "https://sandbox.aha.io"
API = f"{HOST}/api/v1"

SUITE, APP, WEB, CAMPAIGNS, OPERATIONS = range(5)
_PRODUCTS = (
    ("SUITE", "Everything we sell", True, "product_workspace"),
    ("APP", "Mobile app", False, "product_workspace"),
    ("WEB", "Web shop 🛒", False, "product_workspace"),
    ("CAM", "Campaigns & événements", False, "marketing_workspace"),
    ("OPS", "Operations", False, "team"),
)
_WORK = (APP, WEB, CAMPAIGNS)
_WITH_IDEAS = (APP, WEB)

CUSTOM_OBJECTS = ("incidents", "customers")
"""Keys of the custom tables of workspace APP."""
REPORTS = ("7012345678901290001", "7012345678901290002")
"""Ids of the saved custom reports: one is long, one is empty."""
INTEGRATIONS = (("jira", "Jira of the app"), ("github_issues", "GitHub issues"), ("salesforce", "CRM"))

_STATUSES: Mapping[str, tuple[str, ...]] = {
    "features": ("New", "Ready to develop", "In development", "In review", "Shipped"),
    "epics": ("New", "In design", "In development", "Ready to ship", "Shipped"),
    "ideas": ("Needs review", "Future consideration", "Planned", "Will not implement", "Shipped"),
    "initiatives": ("Not started", "On track", "At risk", "Blocked", "Done"),
    "releases": ("Planned", "In development", "Frozen", "In test", "Shipped"),
    "requirements": ("To do", "In development", "In review", "Rejected", "Done"),
    "key_results": ("Not started", "On track", "At risk", "Missed", "Reached"),
    "goals": ("Not started", "On track", "At risk", "Missed", "Reached"),
    "pages": ("Draft", "In review", "Approved", "Published", "Retired"),
}
_DEAD_ENDS = {"ideas": 3, "requirements": 3, "key_results": 3, "goals": 3}
"""Statuses by position from which no work goes on: nothing passes through them."""
_PASSED_OVER = {"features": 45}
"""How many in a hundred pass over a status between the first and their own."""
_SHARES_BY_RELEASE = (
    (70, 25, 5, 0, 0),
    (25, 25, 25, 10, 15),
    (5, 15, 30, 20, 30),
    (0, 5, 10, 25, 60),
    (2, 1, 1, 2, 94),
)
"""Of a hundred features or epics of a release in each status: how many are in each of their own."""
_SHARES_PARKED = (90, 10, 0, 0, 0)
_STATUSABLE: Mapping[str, str] = {
    "features": "Feature",
    "epics": "Epic",
    "ideas": "Ideas::Idea",
    "initiatives": "Initiative",
    "releases": "Release",
    "requirements": "Requirement",
    "key_results": "KeyResult",
    "goals": "StrategicImperative",
    "pages": "Page",
}
TYPES: Mapping[str, str] = {
    **_STATUSABLE,
    "release_phases": "ReleasePhase",
    "tasks": "Task",
    "personas": "Persona",
    "competitors": "Competitor",
    "creative_briefs": "CreativeBrief",
    "products": "Project",
}
"""What the vendor calls a kind of record in `commentable.type` and the like."""

_WORKFLOW_FIELDS = {
    "release_workflow": "releases",
    "feature_workflow": "features",
    "epic_workflow": "epics",
    "idea_workflow": "ideas",
    "initiative_workflow": "initiatives",
    "requirement_workflow": "requirements",
    "key_result_workflow": "key_results",
    "strategic_imperative_workflow": "goals",
    "page_workflow": "pages",
}
_KINDS_OF_WORK = ("New", "Improvement", "Bug fix", "Research")
_COLORS = ("#2f7cc3", "#64b80b", "#fad46b", "#e5623e", "#bdbdbd", "#8c5bb5")
TAGS = ("import", "mobile", "café", "Q2 goal", "customer: BIG", "tech debt", "日本", "won't fix")
_PROGRESS = (
    "progress_manual",
    "progress_from_requirements",
    "progress_from_features",
    "progress_from_features_completed",
    "progress_from_todos",
)
_VISIBILITY = (
    "Visible to all ideas portal users",
    "Visible to creator and employees",
    "Not visible in portals",
)
_FIELD_TYPES = (
    ("segment", "Segment", "TextField", "Feature", None),
    ("ticket", "Ticket", "UrlField", "Feature", "Support ticket (internal)"),
    ("promised_on", "Promised on", "DateField", "Feature", None),
    ("platforms", "Platforms", "SelectEditable", "Feature", "Platforms the app runs on"),
    ("risk", "Risk", "SelectConstant", "Epic", None),
    ("reach", "Reach", "ScorecardField", "Ideas::Idea", "Reach score"),
    ("related", "Related customers", "LinkMany", "Ideas::Idea", None),
    ("owner_table", "Owner", "LinkMasterDetail", "CustomObjectRecord", "Owner (master)"),
    ("region", "Région", "SelectConstant", "IdeaOrganization", None),
    ("budget", "Budget", "NumberField", "Initiative", None),
)
_OPTIONS = {3: ("iOS", "Android", "Web"), 4: ("low", "medium", "high 🔥"), 8: ("Europe", "Asia", "Americas", "Åland")}
_EARLIER = 400 * DAY


class Account:
    """Everything there is in the sandbox's account, by kind of record.

    `tables` are the records of each kind. The methods and maps beside it say which records hang off which: they give
    indices into those tables.
    """

    def __init__(self, seed: int, scale: float, today: date) -> None:
        self.seed, self.scale = seed, scale
        self.end = int(datetime(today.year, today.month, today.day, tzinfo=UTC).timestamp()) * 1000
        self.tables: dict[str, Table] = {}
        self._status_numbers: dict[str, array[int]] = {}
        self._status_changed: dict[str, array[int]] = {}
        self._dice: dict[str, Dice] = {}
        self._short: dict[tuple[str, int], Record] = {}
        self._workspaces()
        self._people()
        self._strategy()
        self._plans()
        self._ideas()
        self._talk()
        self._pages()
        self._history()
        self._settings()

    # What all kinds share

    def _many(self, base: int, least: int) -> int:
        return max(least, round(base * self.scale))

    def _some(self, base: int, least: int) -> int:
        return max(least, round(base * math.sqrt(self.scale)))

    def _random(self, kind: str) -> Random:
        return Random(f"{self.seed}/{kind}")

    def _add(
        self,
        kind: str,
        size: int,
        make: Callable[[int], Record],
        *,
        short: Callable[[int], Record] | None = None,
        has_spare: bool = False,
        is_old: bool = False,
    ) -> Table:
        """Add a table; `is_old` is for records made before the 90 days."""
        spare = SPARE_ROWS if has_spare else 0
        created, updated = spread(self.seed, kind, size + spare, self.end)
        if is_old:
            created = [time - _EARLIER for time in created]
        self._dice[kind] = Dice(self.seed, kind)
        table = Table(kind, created, updated, make, seed=self.seed, short=short, spare=spare)
        self.tables[kind] = table
        if not is_old:
            self._change_at_midnight(kind)
        if kind in _STATUSES:
            # Drift changes the times of a row and not where it stands, so both are kept beside the table.
            self._status_numbers[kind] = array("b", bytes(len(created)))
            self._status_changed[kind] = array("q", created)
            for index in range(size):
                self._settle(kind, index, self._dice[kind](index, 5, 2), table.updated[index])
        return table

    def _change_at_midnight(self, kind: str) -> None:
        """Move the last change of one row in a hundred, and of one at least, to the midnight (UTC) after it."""
        table = self.tables[kind]
        for first in range(0, len(table), 100):
            for index in range(first, len(table)):
                midnight = -(-table.updated[index] // DAY) * DAY
                if midnight < self.end:
                    table.updated[index] = midnight
                    break

    def _settle(self, kind: str, index: int, number: int, until: int) -> None:
        """Let a record come to a status before `until`, or to an earlier one where there was no time for that.

        The first record of a kind has changed its status, however short the time.
        """
        table = self.tables[kind]
        created = table.created[index]
        number = min(number, (until - created) // (DAY // 2))
        if index == 0:
            number = max(1, number)
        changed = created
        if number > 0:
            changed += (until - created) * (10 + self._dice[kind](index, 86, 51)) // 100
        self._status_numbers[kind][index], self._status_changed[kind][index] = number, changed
        table.updated[index] = max(table.updated[index], changed)

    def _list(self, kind: str, records: Sequence[Record], *, short: Sequence[str] = ()) -> None:
        """Add a table of records that are made already."""
        if short:
            shorts = [{name: record[name] for name in short if name in record} for record in records]
            self._add(kind, len(records), records.__getitem__, short=shorts.__getitem__, is_old=True)
        else:
            self._add(kind, len(records), records.__getitem__, is_old=True)

    def _times(self, kind: str, index: int) -> tuple[str, str]:
        table = self.tables[kind]
        return iso(table.created[index]), iso(table.updated[index])

    def size(self, kind: str) -> int:
        """How many rows a table has, spare ones included."""
        return len(self.tables[kind].created)

    def product_of(self, kind: str, index: int) -> int:
        """Return the workspace of a record."""
        match kind:
            case "products":
                return index
            case "requirements":
                return self.feature_product[self.requirement_feature[index]]
            case "key_results":
                return self.goal_product[self.key_result_goal[index]]
            case "release_phases":
                return self.release_product[self.phase_release[index]]
            case "roll_up_releases":
                return SUITE
            case _:
                return self._products_of[kind][index]

    def reference(self, kind: str, index: int) -> str:
        """Return the key people see, such as APP-12."""
        if kind == "products":
            return _PRODUCTS[index][0]
        if kind == "requirements":
            feature = self.requirement_feature[index]
            number = index - self.requirements_of[feature][0] + 1
            return f"{self.reference('features', feature)}-{number}"
        if kind == "key_results":
            goal = self.key_result_goal[index]
            return f"{self.reference('goals', goal)}-KR-{self.key_results_of[goal].index(index) + 1}"
        return f"{_PRODUCTS[self.product_of(kind, index)][0]}-{_LETTERS[kind]}{index + 1}"

    def find(self, kind: str, text: str) -> int | None:
        """Return the index of the record with this id or key, None if there is none."""
        table = self.tables[kind]
        index = table.find(text)
        if index is None and (kind in _LETTERS or kind in ("products", "requirements", "key_results")):
            index = self._referenced(kind, text)
        return None if index is None or index in table.hidden else index

    def _referenced(self, kind: str, text: str) -> int | None:
        if kind == "products":
            prefixes = [prefix for prefix, *_ in _PRODUCTS]
            return prefixes.index(text) if text in prefixes else None
        numbers = [int(number) for number in re.findall(r"[0-9]{1,9}", text)]
        if not numbers:
            return None
        index = numbers[0] - 1
        if kind in ("requirements", "key_results"):
            siblings = (self.requirements_of if kind == "requirements" else self.key_results_of).get(index, [])
            if len(numbers) != 2 or not 1 <= numbers[1] <= len(siblings):
                return None
            index = siblings[numbers[1] - 1]
        return index if 0 <= index < self.size(kind) and self.reference(kind, index) == text else None

    def links(self, kind: str, index: int) -> tuple[str, str]:
        """Return where people and programs open a record."""
        reference = self.reference(kind, index)
        web = f"{HOST}/{_WEB_PATHS.get(kind, kind)}/{reference}"
        return web, web if kind == "goals" else f"{API}/{kind}/{reference}"

    def _brief(self, kind: str, index: int, *names: str) -> Record:
        """Return id, name, creation and links of a record, and those of its other fields that are named."""
        key = (f"{kind}/{','.join(names)}", index)
        if key not in self._short:
            url, resource = self.links(kind, index)
            record: Record = {
                "id": ident(kind, index),
                "reference_num": self.reference(kind, index),
                "name": self.name(kind, index),
                "created_at": iso(self.tables[kind].created[index]),
                "url": url,
                "resource": resource,
            }
            if "product_id" in names:
                record["product_id"] = ident("products", self.product_of(kind, index))
            if "description" in names:
                record["description"] = self._description(kind, index)
            if "integration_fields" in names:
                record["integration_fields"] = self.integration_fields(kind, index)
            if kind in _SCALING:
                return record
            self._short[key] = record
        return self._short[key]

    def name(self, kind: str, index: int) -> str:
        """Return what people call a record."""
        return title(self._dice[kind], index)

    def _description(self, kind: str, index: int) -> Record | None:
        if index % 11 == 5:
            return None
        table = self.tables[kind]
        created, updated = table.created[index], table.updated[index]
        note: Record = {
            "id": note_ident(kind, index),
            "body": "" if index % 13 == 3 else body(self._dice[kind], index),
            "editor_version": 1,
            "created_at": iso(created),
            "updated_at": iso(created + (updated - created) // 2),
            "attachments": self._attachments(kind, index, 17),
        }
        if index % 2 == 0:
            note["notable_id"] = ident(kind, index)
            note["notable_type"] = TYPES.get(kind, kind)
        return note

    def _attachments(self, kind: str, index: int, every: int) -> list[Record]:
        if index % every != 1:
            return []
        number = index * 64 + _KIND_NUMBERS.get(kind, 63)
        time = iso(self.tables[kind].created[index])
        size = 1_000 + self._dice[kind](index, 9_000_000, 3)
        return [
            {
                "id": ident("attachments", number),
                "download_url": f"{HOST}/attachments/{ident('attachments', number)}/download?size=original",
                "created_at": time,
                "updated_at": time,
                "original_file_size": size,
                "file_size": size,
                "content_type": "application/pdf",
                "file_name": f"Entwurf {index + 1} – final.pdf",
            }
        ]

    def integration_fields(self, kind: str, index: int) -> list[Record]:
        """Return the identity of a record in linked tools."""
        if index % 4 != 1:
            return []
        service, number = ("jira", 0) if index % 8 == 1 else ("github_issues", 1)
        created = iso(self.tables[kind].created[index])
        first = (index * 64 + _KIND_NUMBERS.get(kind, 63)) * 2
        values = (("key", f"MOB-{index + 1}"), ("url", f"https://tracker.example/browse/MOB-{index + 1}"))
        return [
            {
                "id": ident("integration_fields", first + position),
                "name": name,
                "value": value,
                "integration_id": int(ident("integrations", number)),
                "service_name": service,
                "created_at": created,
            }
            for position, (name, value) in enumerate(values)
        ]

    def _custom_fields(self, kind: str, index: int) -> list[Record]:
        updated = iso(self.tables[kind].updated[index])

        def value(number: int, type: str, value: object, **more: object) -> Record:
            key, name, *_ = _FIELD_TYPES[number]
            identifier: int | str = 812_340 + number if number % 2 == 0 else str(812_340 + number)
            head: Record = {"id": identifier, "key": key, "name": name, "updatedAt": updated, "type": type}
            return head | ({} if type == "note" else {"value": value}) | more

        match index % 6:
            case 0:
                return [value(0, "string", "SMB & Mittelstand"), value(9, "number", 12.5)]
            case 1:
                return [
                    value(1, "url", "https://tickets.example/?id=7&lang=ü"),
                    value(2, "date", day_of(self.tables[kind].created[index], 30)),
                    value(9, "number", 1200),
                ]
            case 2:
                full = [{"id": 5_001, "value": "iOS", "color": 3}, {"id": 5_002, "value": "Web", "color": 4}]
                return [
                    value(3, "array", ["iOS", "Web"], full_value=full, email_value=[]),
                    value(0, "string", None),
                ]
            case 3:
                facts = [{"id": ident("score_facts", index * 4 + 3), "name": "Reach", "value": 8}]
                return [
                    value(5, "scorecard", 8, score_facts=facts),
                    value(9, "equation_sheet", {"values": [1, 2.5]}),
                    value(4, "note", None, body=BODIES[4], created_at=updated, updated_at=updated, attachments=[]),
                ]
            case _:
                return []

    def tags(self, kind: str, index: int) -> tuple[list[str], list[Record]]:
        """Return the tags of a record, by name and whole."""
        if index % 3 == 0:
            return [], []
        numbers = sorted({self._dice[kind](index, len(TAGS), salt) for salt in range(4, 5 + index % 3)})
        full = [{"id": 98_120 + number, "name": TAGS[number], "color": _COLORS[number % 6]} for number in numbers]
        return [TAGS[number] for number in numbers], full

    def _scores(self, kind: str, index: int) -> tuple[int, list[Record]]:
        if index % 6 == 0:
            return 0, []
        values = [self._dice[kind](index, 20, 8 + number) for number in range(2)]
        facts = [
            {
                "id": ident("score_facts", (index * 64 + _KIND_NUMBERS.get(kind, 63)) * 4 + number),
                "name": name,
                "value": values[number],
            }
            for number, name in enumerate(("Reach", "Effort"))
        ]
        return sum(values), facts

    def _progress(self, kind: str, index: int) -> float | int | None:
        number = self.status_number(kind, index)
        if number == 0:
            return 0 if index % 2 else None
        if number == 4:
            return 100
        percent = number * 25 - self._dice[kind](index, 20, 11)
        return percent + 0.5 if index % 5 == 1 else percent

    def status_number(self, kind: str, index: int) -> int:
        """Return the position, from 0, of the status a record is in."""
        return self._status_numbers[kind][index]

    def status_changed(self, kind: str, index: int) -> int | None:
        """Return when a record came to its status, None where that is the first one."""
        return self._status_changed[kind][index] if self.status_number(kind, index) > 0 else None

    def _status_changed_on(self, kind: str, index: int) -> str | None:
        changed = self.status_changed(kind, index)
        return None if changed is None else day_of(changed)

    def status_path(self, kind: str, index: int) -> list[tuple[int, int]]:
        """Return the position of each status a record was in, and when it came to it: the first and the last one."""
        created, current = self.tables[kind].created[index], self.status_number(kind, index)
        if current == 0:
            return [(0, created)]
        if kind == "releases":
            return self._release_path(index)
        dice, passed_over = self._dice[kind], _PASSED_OVER.get(kind, 0)
        numbers = [
            number
            for number in range(1, current)
            if number != _DEAD_ENDS.get(kind) and dice(index, 100, 57 + number) >= passed_over
        ]
        shares = [1 + dice(index, 9, 52 + number) for number in range(len(numbers) + 1)]
        length = self._status_changed[kind][index] - created
        steps = [created + length * sum(shares[: step + 1]) // sum(shares) for step in range(len(shares))]
        return [(0, created), *zip([*numbers, current], steps, strict=True)]

    def status(self, kind: str, index: int) -> Record:
        """Return the status a record is in."""
        return self._statuses[kind][self.status_number(kind, index)]

    def _creator(self, kind: str, index: int) -> Record:
        return self.user_refs[self._dice[kind](index, len(self.user_refs), 12)]

    def assignee_number(self, kind: str, index: int) -> int | None:
        """Return the index of the user a record is assigned to."""
        return None if index % 5 == 2 else self._dice[kind](index, len(self.user_refs), 13)

    def _assign(self, record: Record, kind: str, index: int) -> None:
        user = self.assignee_number(kind, index)
        _put(record, "assigned_to_user", None if user is None else self.assignee_refs[user], index)

    def comments_count(self, kind: str, index: int) -> int:
        """How many internal comments there are on a record."""
        comments = self.comments_of.get((kind, index))
        return 0 if comments is None else len(self.tables["comments"].visible(comments))

    # Workspaces and people

    def _workspaces(self) -> None:
        self._add("products", len(_PRODUCTS), self._product, short=self._short_product, is_old=True)
        self._statuses: dict[str, list[Record]] = {}
        self.workflows: list[Record] = []
        for number, (kind, names) in enumerate(_STATUSES.items()):
            self._statuses[kind] = [
                {
                    "id": ident("workflow_statuses", number * 10 + position),
                    "name": name,
                    "position": position + 1,
                    "complete": position == 4,
                    "color": _COLORS[position],
                    "workflow_status_category": None if position == 3 else {"id": str(position + 1), "name": name},
                }
                for position, name in enumerate(names)
            ]
            kinds = enumerate(_KINDS_OF_WORK) if kind == "features" else ()
            self.workflows.append(
                {
                    "id": 8_001 + number,
                    "name": f"{_STATUSABLE[kind]} workflow",
                    "statusable_type": _STATUSABLE[kind],
                    "transitions_only": number % 2 == 1,
                    "workflow_statuses": self._statuses[kind],
                    "workflow_kinds": [{"id": ident("workflow_kinds", n), "name": name} for n, name in kinds],
                }
            )
        self.projects: list[Record] = [
            {
                "id": ident("products", index),
                "reference_prefix": prefix,
                "name": name,
                "product_line": is_line,
                "created_at": iso(self.tables["products"].created[index]),
                "workspace_type": kind,
                "url": f"{HOST}/projects/{prefix}",
            }
            for index, (prefix, name, is_line, kind) in enumerate(_PRODUCTS)
        ]

    def _short_product(self, index: int) -> Record:
        project = self.projects[index]
        names = ("id", "reference_prefix", "name", "product_line", "created_at", "workspace_type", "url")
        return {name: project[name] for name in names}

    def _product(self, index: int) -> Record:
        is_line = index == SUITE
        workflows = {
            field: {
                "id": workflow["id"],
                "name": workflow["name"],
                "statusable_type": workflow["statusable_type"],
                "workflow_type": "standard",
            }
            for field, kind in _WORKFLOW_FIELDS.items()
            for workflow in self.workflows
            if workflow["statusable_type"] == _STATUSABLE[kind]
        }
        screens = self.screens
        return {
            **self._short_product(index),
            "product_line_type": "Division" if is_line else None,
            "updated_at": iso(self.tables["products"].updated[index]),
            "resource": f"{API}/products/{_PRODUCTS[index][0]}",
            "description": self._description("products", index),
            "color": _COLORS[index],
            "children": [self._short_product(child) for child in range(1, 5)] if is_line else [],
            "custom_fields": self._custom_fields("products", index),
            "screen_definition_ids": {screen["screenable_type"]: screen["id"] for screen in screens},
            "screen_definitions": [
                {"id": screen["id"], "screenable_type": screen["screenable_type"], "name": screen["name"]}
                for screen in screens
            ],
            "has_ideas": index in _WITH_IDEAS,
            "has_master_features": index in _WORK,
            "has_epics": index in _WORK,
            **workflows,
            "capacity_planning_enabled": index in _WORK,
            "enhanced_capacity_planning_enabled": index == APP,
            "default_capacity_units": 20 if index == APP else 10,
        }

    def has_role(self, user: int, product: int) -> bool:
        """Whether a user has a role in a workspace."""
        return (user + product) % 3 != 0 or user == 0

    def _people(self) -> None:
        size = self._some(40, 20)
        table = self._add("users", size, self._user, is_old=True)
        self.user_refs: list[Record] = [
            {
                "id": ident("users", index),
                "name": _person(index),
                "email": self.user_email(index),
                "created_at": iso(table.created[index]),
                "updated_at": iso(table.updated[index]),
            }
            for index in range(size)
        ]
        self.assignee_refs = [{**ref, "default_assignee": index % 7 == 0} for index, ref in enumerate(self.user_refs)]

    def user_email(self, index: int) -> str:
        """Return the address a user signs in with."""
        return f"user{index + 1}@headrace.example"

    def _user(self, index: int) -> Record:
        updated = self.tables["users"].updated[index]
        is_administrator = index % 9 == 0
        return {
            **self.user_refs[index],
            "timezone": ("UTC", "Europe/Paris", "Asia/Tokyo", "America/New_York")[index % 4],
            "accessed_at": None if index % 6 == 5 else iso(updated),
            "product_roles": [
                {"role": role, "role_description": words, "product_id": project["id"], "product_name": project["name"]}
                for product, project in enumerate(self.projects)
                if self.has_role(index, product)
                for role, words in (_ROLES[(index + product) % len(_ROLES)],)
            ],
            "user_roles": [
                {
                    "role_id": 4_401,
                    "name": "Roadmap editor ✏️",
                    "scope": {"type": "Project", "name": self.projects[APP]["name"], "id": self.projects[APP]["id"]},
                }
            ]
            if index % 3 == 0
            else [],
            "enabled": index % 10 != 7,
            "paid_seat": index % 4 != 3,
            "paid_seat_group": None if index % 2 else {"id": ident("paid_seat_groups", 0), "name": "Head office"},
            "administrator": is_administrator,
            "administrator_roles": {
                "administer_account": is_administrator,
                "administer_billing": index == 0,
                "administer_configuration": is_administrator,
            },
            "roadmaps_seat": index % 4 != 3,
            "develop_seat": index % 5 == 0,
            "identity_provider": {"type": "saml" if index % 2 else "aha"},
        }

    def product_user(self, product: int, user: int) -> Record:
        """Return the role of a user in a workspace."""
        role, words = _ROLES[(user + product) % len(_ROLES)]
        return {"role": role, "role_description": words, "user": self.user_refs[user]}

    # Goals, initiatives

    def _strategy(self) -> None:
        random = self._random("strategy")
        goals, initiatives = self._many(8, 6), self._many(12, 8)
        lines = (SUITE, *_WORK)
        self.goal_product = array("b", (lines[index % 4] for index in range(goals)))
        self.goal_parent = array("i", (-1 if index < 4 else random.randrange(4) for index in range(goals)))
        self.goal_children = children_of(self.goal_parent)
        # Every fourth goal has no key results.
        key_results = [goal for goal in range(goals) if goal % 4 != 3 for _ in range(2 + goal % 2)]
        self.key_result_goal = array("i", key_results)
        self.key_results_of = children_of(self.key_result_goal)
        self.initiative_product = array("b", (lines[index % 4] for index in range(initiatives)))
        self.initiative_goals = [
            sorted(random.sample(range(goals), index % 3)) if index % 3 else [] for index in range(initiatives)
        ]
        self.initiatives_of_goal: dict[int, list[int]] = {}
        for initiative, served in enumerate(self.initiative_goals):
            for goal in served:
                self.initiatives_of_goal.setdefault(goal, []).append(initiative)
        self._add("goals", goals, self._goal)
        self._add("key_results", len(key_results), self._key_result)
        self._add("initiatives", initiatives, self._initiative)
        self._products_of: dict[str, array[int]] = {
            "goals": self.goal_product,
            "initiatives": self.initiative_product,
        }

    def _goal_ref(self, index: int) -> Record:
        key = ("goal_ref", index)
        if key not in self._short:
            brief = self._brief("goals", index, "description")
            names = ("id", "name", "url", "resource", "created_at", "description")
            self._short[key] = {name: brief[name] for name in names}
        return self._short[key]

    def _key_result_ref(self, index: int) -> Record:
        key = ("key_result_ref", index)
        if key not in self._short:
            record = self._key_result(index)
            goal = self.key_result_goal[index]
            url, resource = (
                f"{self.links('goals', goal)[0]}?kr={index}",
                f"{API}/key_results/{ident('key_results', index)}",
            )
            names = ("id", "name", "reference_num", "position", "created_at", "updated_at", "progress")
            metrics = ("starting_metric", "target_metric", "current_metric")
            self._short[key] = {
                **{name: record[name] for name in names},
                "url": url,
                "resource": resource,
                **{name: record[name] for name in metrics},
            }
        return self._short[key]

    def goals_of_initiative(self, initiative: int) -> list[int]:
        """Return the goals an initiative serves; those of no initiative are none."""
        return [] if initiative < 0 else self.initiative_goals[initiative]

    def _goal_refs(self, initiative: int) -> list[Record]:
        return [self._goal_ref(goal) for goal in self.goals_of_initiative(initiative)]

    def _key_result_refs(self, goals: Sequence[int]) -> list[Record]:
        return [self._key_result_ref(result) for goal in goals for result in self.key_results_of.get(goal, [])[:2]]

    def _goal(self, index: int) -> Record:
        created, updated = self._times("goals", index)
        url, resource = self.links("goals", index)
        parent = self.goal_parent[index]
        record: Record = {
            "id": ident("goals", index),
            "name": self.name("goals", index),
            "reference_num": self.reference("goals", index),
            "effort": self._dice["goals"](index, 5, 20),
            "value": self._dice["goals"](index, 5, 21),
            "color": _COLORS[index % 6],
            "position": index + 1,
            "created_at": created,
            "updated_at": updated,
            "product_id": ident("products", self.goal_product[index]),
            "progress": self._progress("goals", index),
            "progress_source": _PROGRESS[index % 3],
            "url": url,
            "resource": resource,
            "description": self._description("goals", index),
            "success_metric": {
                "name": "Days to first value",
                "description": None if index % 2 else self._description("goals", index),
                "workflow_status": self.status("goals", index),
            },
            "project": self.projects[self.goal_product[index]],
            "time_frame": None if index % 4 == 3 else {"id": 55 + index % 2, "name": f"H{index % 2 + 1}"},
        }
        _put(record, "parent", None if parent < 0 else self._goal_ref(parent), index)
        initiatives = self.initiatives_of_goal.get(index, [])
        return record | {
            "parents": [] if parent < 0 else [self._goal_ref(parent)],
            "initiatives": [self._brief("initiatives", initiative) for initiative in initiatives],
            "key_results": [self._key_result_ref(result) for result in self.key_results_of.get(index, [])],
            "features": [self.short_feature(feature) for feature in self.features_of_goal(index)],
            "releases": [self.short_release(release) for release in self.releases_of_goal(index)],
            "custom_fields": self._custom_fields("goals", index),
            "comments_count": self.comments_count("goals", index),
        }

    def _key_result(self, index: int) -> Record:
        created, updated = self._times("key_results", index)
        progress = self._progress("key_results", index)
        record: Record = {
            "id": ident("key_results", index),
            "name": self.name("key_results", index),
            "reference_num": self.reference("key_results", index),
            "position": self.key_results_of[self.key_result_goal[index]].index(index) + 1,
            "created_at": created,
            "updated_at": updated,
            "progress": progress,
            "starting_metric": None if index % 5 == 4 else "0 %",
            "target_metric": None if index % 7 == 6 else "≥ 80 %",
            "current_metric": None if progress is None else f"{round(progress * 0.8)} %",
            "description": self._description("key_results", index),
            "workflow_status": self.status("key_results", index),
            "custom_fields": self._custom_fields("key_results", index),
        }
        self._assign(record, "key_results", index)
        return record

    def initiatives_of(self, kind: str, initiative: int) -> list[int]:
        """Return the visible records of a kind that serve an initiative."""
        return self.tables[kind].visible(self._by_initiative[kind].get(initiative, []))

    def features_of_goal(self, goal: int) -> list[int]:
        """Return the visible features that serve a goal, each through its initiative."""
        return self.of_goal("features", goal)

    def releases_of_goal(self, goal: int) -> list[int]:
        """Return the releases that serve a goal."""
        return self.of_goal("releases", goal)

    def of_goal(self, kind: str, goal: int) -> list[int]:
        """Return the visible records of a kind that serve a goal, each through its initiative."""
        return [row for each in self.initiatives_of_goal.get(goal, []) for row in self.initiatives_of(kind, each)]

    def _initiative(self, index: int) -> Record:
        created, updated = self._times("initiatives", index)
        url, resource = self.links("initiatives", index)
        score, facts = self._scores("initiatives", index)
        goals = self.initiative_goals[index]
        epics = [self.short_epic(epic) for epic in self.initiatives_of("epics", index)]
        time = self.tables["initiatives"].created[index]
        record: Record = {
            "id": ident("initiatives", index),
            "name": self.name("initiatives", index),
            "reference_num": self.reference("initiatives", index),
            "status": None if index % 3 == 0 else self.status("initiatives", index)["name"],
            "effort": self._dice["initiatives"](index, 5, 20),
            "value": self._dice["initiatives"](index, 5, 21),
            "presented": index % 2 == 0,
            "color": _COLORS[index % 6],
            "start_date": None if index % 5 == 0 else day_of(time, 7),
            "end_date": None if index % 5 == 1 else day_of(time, 97),
            "position": index + 1,
            "score": score,
            "created_at": created,
            "updated_at": updated,
            "product_id": ident("products", self.initiative_product[index]),
            "progress": self._progress("initiatives", index),
            "progress_source": _PROGRESS[index % 4],
            "duration_source": "duration_manual",
            "url": url,
            "resource": resource,
            "project": self.projects[self.initiative_product[index]],
            "workflow_status": self.status("initiatives", index),
            "description": self._description("initiatives", index),
            "attachments": self._attachments("initiatives", index, 5),
            "created_by_user": self._creator("initiatives", index),
            "comments_count": self.comments_count("initiatives", index),
            "goals": self._goal_refs(index),
            "key_results": self._key_result_refs(goals),
            "score_facts": facts,
            "integration_fields": self.integration_fields("initiatives", index),
            "features": [self.short_feature(feature) for feature in self.initiatives_of("features", index)],
            "master_features": epics,
            "epic": epics,
            "releases": [self.short_release(release) for release in self.initiatives_of("releases", index)],
            "custom_fields": self._custom_fields("initiatives", index),
        }
        self._assign(record, "initiatives", index)
        _put(record, "time_frame", {"id": 55, "name": "H1"} if index % 3 else None, index)
        return record

    # Releases, epics, features, requirements

    def _plans(self) -> None:
        random = self._random("plans")
        releases, epics, features = self._many(24, 9), self._many(30, 9) + SPARE_ROWS, self._many(600, 36) + SPARE_ROWS
        phases = self._many(60, 9)

        self.release_product = array("b", (_WORK[index % 3] for index in range(releases)))
        # The first of each workspace is its parking lot.
        self.release_roll_up = array("b", (-1 if index < 3 else index % 3 - 1 for index in range(releases)))
        self.release_initiative = array(
            "i", (-1 if index % 2 else self._initiative_at(random) for index in range(releases))
        )
        self.phase_release = array("i", (random.randrange(releases) for _ in range(phases)))
        self.phases_of = children_of(self.phase_release)

        self._add("releases", releases, self._release, short=self.short_release)
        self._add("epics", epics - SPARE_ROWS, self._epic, short=self.short_epic, has_spare=True)
        self._add("features", features - SPARE_ROWS, self._feature, short=self.short_feature, has_spare=True)
        self._schedule()

        self.epic_product, self.epic_release, self.epic_initiative = array("b"), array("i"), array("i")
        for index in range(epics):
            self.epic_product.append(_WORK[index % 3])
            self.epic_release.append(self._release_at(random, index % 3, self.tables["epics"].created[index]))
            self.epic_initiative.append(-1 if index % 3 == 0 else self._initiative_at(random))
        epics_of = [range(number, epics - SPARE_ROWS, 3) for number in range(3)]

        self.feature_product, self.feature_release = array("b"), array("i")
        self.feature_epic, self.feature_initiative, self.feature_phase = array("i"), array("i"), array("i")
        for index in range(features):
            number = int(random.random() * 3)
            release = self._release_at(random, number, self.tables["features"].created[index])
            phases_here = self.phases_of.get(release)
            self.feature_product.append(_WORK[number])
            self.feature_release.append(release)
            self.feature_epic.append(random.choice(epics_of[number]) if index % 3 == 1 else -1)
            self.feature_initiative.append(self._initiative_at(random) if index % 4 == 1 else -1)
            self.feature_phase.append(phases_here[index % len(phases_here)] if phases_here and index % 5 == 1 else -1)
        self._work_on("epics", self.epic_release)
        self._work_on("features", self.feature_release)

        with_requirements = sorted(random.sample(range(features - SPARE_ROWS), self._many(20, 5)))
        self.requirement_feature = array("i", (f for f in with_requirements for _ in range(1 + f % 5)))
        self.requirements_of = children_of(self.requirement_feature)

        links = min(self._many(40, 12), features - SPARE_ROWS)
        self.link_ends = [tuple(random.sample(range(features - SPARE_ROWS), 2)) for _ in range(links)]
        self.links_of: dict[int, list[int]] = {}
        for link, ends in enumerate(self.link_ends):
            for end in ends:
                self.links_of.setdefault(end, []).append(link)

        self._products_of |= {
            "releases": self.release_product,
            "epics": self.epic_product,
            "features": self.feature_product,
        }
        self._by_initiative = {
            "releases": children_of(self.release_initiative),
            "epics": children_of(self.epic_initiative),
            "features": children_of(self.feature_initiative),
        }
        self.releases_of_roll_up = children_of(self.release_roll_up)
        self.features_of_release, self.epics_of_release = (
            children_of(self.feature_release),
            children_of(self.epic_release),
        )
        self.features_of_epic = children_of(self.feature_epic)

        self._add("roll_up_releases", 2, self._roll_up)
        self._add("release_phases", phases, self._phase)
        self._add("requirements", len(self.requirement_feature), self._requirement)
        self._add("record_links", links, self._link)

    def _initiative_at(self, random: Random) -> int:
        return int(random.random() * len(self.initiative_product))

    def _release_at(self, random: Random, number: int, created: int) -> int:
        """Return a release for work of a workspace that was planned at an instant: its parking lot, or one in work."""
        releases = range(number, len(self.release_product), 3)
        for _ in range(4 if random.random() < 0.7 else 0):
            release = random.choice(releases)
            if self.release_delivered[release] > created + 3 * DAY:
                return release
        return number

    def _schedule(self) -> None:
        """Make releases at an even pace, and deliver those whose time has come: some are early, some are late."""
        random, dice, table = self._random("schedule"), self._dice["releases"], self.tables["releases"]
        self.release_delivered = array("q")
        """When each release was delivered; the end of all days where it was not."""
        for index in range(len(table)):
            pace = HISTORY_DAYS * DAY / len(table)
            table.created[index] = created = self.end - HISTORY_DAYS * DAY + int((index + random.random()) * pace)
            delay = 12 if index % 5 == 0 else dice(index, 10, 52) - 3
            delivered = self._release_days(index)[1] + delay * DAY + DAY // 3 + dice(index, DAY // 3, 53)
            is_due = delivered < self.end and not self.is_parking_lot(index)
            self.release_delivered.append(delivered if is_due else self.end)
            path = self._release_path(index)
            self._status_numbers["releases"][index], self._status_changed["releases"][index] = path[-1]
            table.updated[index] = max(path[-1][1], created + int((self.end - created) * random.random() ** 3))
        self._change_at_midnight("releases")

    def _release_path(self, index: int) -> list[tuple[int, int]]:
        delivered = self.release_delivered[index]
        path = [(0, self.tables["releases"].created[index])]
        if not self.is_parking_lot(index):
            start, end = self._release_days(index)
            for number, percent in ((1, 0), (2, 60), (3, 85)):
                time = start + (end - start) * percent // 100 + DAY // 3
                if time < delivered:
                    path.append((number, time))
        return [*path, (4, delivered)] if self.is_shipped(index) else path

    def _work_on(self, kind: str, releases: Sequence[int]) -> None:
        """Let epics or features come as far as their releases did."""
        throws = {shares: [n for n, share in enumerate(shares) for _ in range(share)] for shares in _SHARES_BY_RELEASE}
        parked = [number for number, share in enumerate(_SHARES_PARKED) for _ in range(share)]
        for index in range(len(self.tables[kind])):
            release = releases[index]
            shares = _SHARES_BY_RELEASE[self.status_number("releases", release)]
            numbers = parked if self.is_parking_lot(release) else throws[shares]
            number = numbers[self._dice[kind](index, len(numbers), 2)]
            self._settle(kind, index, number, self.release_delivered[release] if number == 4 else self.end)
        self._change_at_midnight(kind)

    def _release_days(self, index: int) -> tuple[int, int]:
        """Return the midnights at which the first day and the day of delivery of a release begin."""
        day = self.tables["releases"].created[index] // DAY * DAY
        return day + 3 * DAY, day + (20 + index * 7 % 40) * DAY

    def release_dates(self, index: int) -> tuple[str, str]:
        """Return the first day of a release and the one it is to be delivered."""
        start, end = self._release_days(index)
        return day_of(start), day_of(end)

    def is_shipped(self, index: int) -> bool:
        """Whether a release was delivered."""
        return self.release_delivered[index] < self.end

    def _release_progress(self, index: int) -> float | int | None:
        """Return the share of a release's features that are done, in percent; nobody says so for a parking lot."""
        features = self.tables["features"].visible(self.features_of_release.get(index, []))
        if self.is_parking_lot(index) or not features:
            return None
        percent = 100 * sum(self.status_number("features", feature) == 4 for feature in features) / len(features)
        return int(percent) if percent == int(percent) else round(percent, 1)

    def is_parking_lot(self, index: int) -> bool:
        """Whether a release only keeps what has none yet."""
        return index < 3

    def release_ref(self, index: int) -> Record:
        """Return a release as the records in it embed it."""
        key = ("release_ref", index)
        if key not in self._short:
            start, end = self.release_dates(index)
            brief = self._brief("releases", index, "product_id", "integration_fields")
            self._short[key] = {
                "id": brief["id"],
                "reference_num": brief["reference_num"],
                "name": brief["name"],
                "start_date": start,
                "release_date": end,
                "parking_lot": self.is_parking_lot(index),
                "created_at": brief["created_at"],
                "product_id": brief["product_id"],
                "integration_fields": brief["integration_fields"],
                "url": brief["url"],
                "resource": brief["resource"],
            }
        return self._short[key]

    def short_release(self, index: int) -> Record:
        """Return the list record of a release."""
        roll_up = self.release_roll_up[index]
        record = {
            **self.release_ref(index),
            "owner": self._creator("releases", index),
            "project": self.projects[self.release_product[index]],
        }
        _put(record, "parent", None if roll_up < 0 else self._roll_up(roll_up), index)
        return record

    def _release(self, index: int) -> Record:
        updated = self.tables["releases"].updated[index]
        start, released = self.release_dates(index)
        initiative = self.release_initiative[index]
        goals = self.goals_of_initiative(initiative)
        is_shipped = self.is_shipped(index)
        return {
            **self.short_release(index),
            "end_date": None if index % 5 == 0 else released,
            "development_started_on": start if self.status_number("releases", index) > 0 else None,
            "external_release_date": None if index % 3 == 0 else released,
            "external_release_date_description": None if index % 3 == 1 else "Q2 2026",
            "external_date_resolution": ("exact", "month", "sync")[index % 3],
            "released": is_shipped,
            "master_release": False,
            "released_on": day_of(self.release_delivered[index]) if is_shipped else None,
            "updated_at": iso(updated),
            "position": None if index % 7 == 6 else index + 1,
            "progress": self._release_progress(index),
            "progress_source": _PROGRESS[0 if self.is_parking_lot(index) else 3],
            "duration_source": "duration_manual",
            "status_changed_on": self._status_changed_on("releases", index),
            "theme": self._description("releases", index),
            "custom_fields": self._custom_fields("releases", index),
            "comments_count": self.comments_count("releases", index),
            "workflow_status": self.status("releases", index),
            "goals": self._goal_refs(initiative),
            "key_results": self._key_result_refs(goals),
            "initiatives": [] if initiative < 0 else [self._brief("initiatives", initiative)],
            "created_by_user": self._creator("releases", index),
        }

    def _roll_up(self, index: int) -> Record:
        created = self.tables["roll_up_releases"].created[index]
        url, resource = self.links("roll_up_releases", index)
        return {
            "id": ident("roll_up_releases", index),
            "reference_num": self.reference("roll_up_releases", index),
            "name": f"Autumn {index + 1} 🍂",
            "start_date": day_of(created, 2),
            "release_date": day_of(created, 80),
            "created_at": iso(created),
            "url": url,
            "resource": resource,
        }

    def _phase(self, index: int) -> Record:
        created, updated = self._times("release_phases", index)
        is_milestone = index % 3 == 2
        start = self.tables["release_phases"].created[index]
        days = 0 if is_milestone else 14
        days_over = (self.end - start) // DAY - 3
        return {
            "id": ident("release_phases", index),
            "name": self.name("release_phases", index),
            "start_on": day_of(start, 3),
            "end_on": day_of(start, 3 + days),
            "type": "milestone" if is_milestone else "phase",
            "release_id": int(ident("releases", self.phase_release[index])),
            "created_at": created,
            "updated_at": updated,
            "progress": 100 if days_over > days else max(0, days_over * 100 // (days + 1)),
            "progress_source": _PROGRESS[index % 2],
            "duration_source": "duration_manual",
            "description": self._description("release_phases", index),
            "integration_fields": self.integration_fields("release_phases", index),
            "custom_fields": self._custom_fields("release_phases", index),
        }

    def _work_item(self, kind: str, index: int, product: int, release: int, initiative: int) -> Record:
        """Return what features and epics have in common."""
        table = self.tables[kind]
        created, updated = table.created[index], table.updated[index]
        url, resource = self.links(kind, index)
        score, facts = self._scores(kind, index)
        tags, full_tags = self.tags(kind, index)
        goals = self.goals_of_initiative(initiative)
        path = self.status_path(kind, index)
        start, (_, end) = path[1][1] if len(path) > 1 else created + 5 * DAY, self._release_days(release)
        is_parked = self.is_parking_lot(release)
        due = created + 85 * DAY if is_parked else max(start + 2 * DAY, end - index % 4 * DAY)
        # Few of the records that wait in a parking lot have dates.
        has_dates = not is_parked or index % 5 == 3
        record: Record = {
            "id": ident(kind, index),
            "name": self.name(kind, index),
            "reference_num": self.reference(kind, index),
            "initiative_reference_num": None if initiative < 0 else self.reference("initiatives", initiative),
            "position": index + 1,
            "score": score,
            "created_at": iso(created),
            "updated_at": iso(updated),
            "start_date": day_of(start) if has_dates and index % 5 != 0 else None,
            "due_date": day_of(due) if has_dates and index % 5 > 1 else None,
            "product_id": ident("products", product),
            "progress": self._progress(kind, index),
            "progress_source": _PROGRESS[index % 5],
            "status_changed_on": self._status_changed_on(kind, index),
            "workflow_status": self.status(kind, index),
            "project": self.projects[product],
            "description": self._description(kind, index),
            "attachments": self._attachments(kind, index, 9),
            "integration_fields": self.integration_fields(kind, index),
            "url": url,
            "resource": resource,
            "release": self.release_ref(release),
            "goals": self._goal_refs(initiative),
            "key_results": self._key_result_refs(goals),
            "comments_count": self.comments_count(kind, index),
            "score_facts": facts,
            "tags": tags,
            "full_tags": full_tags,
            "custom_fields": self._custom_fields(kind, index),
        }
        _put(record, "created_by_user", None if index % 25 == 7 else self._creator(kind, index), index)
        self._assign(record, kind, index)
        brief = None if initiative < 0 else self._brief("initiatives", initiative, "description", "integration_fields")
        _put(record, "initiative", brief, index)
        return record

    def short_epic(self, index: int) -> Record:
        """Return the list record of an epic."""
        return self._brief("epics", index)

    def _epic(self, index: int) -> Record:
        release, initiative = self.epic_release[index], self.epic_initiative[index]
        record = self._work_item("epics", index, self.epic_product[index], release, initiative)
        features = self.tables["features"].visible(self.features_of_epic.get(index, []))
        record["duration_source"] = "duration_manual"
        record["features"] = [self.short_feature(feature) for feature in features]
        # The epics of a workspace are every third; some depend on the one before.
        record["epic_links"] = [
            self._relation(number, "epics", before, after)
            for number, (before, after) in ((index - 3, (index - 3, index)), (index, (index, index + 3)))
            if before >= 0 and before % 4 == 0 and after in range(self.size("epics") - SPARE_ROWS)
        ]
        return record | _work_totals("master_feature", index) | _work_totals("epic", index)

    def short_feature(self, index: int) -> Record:
        """Return the list record of a feature."""
        return self._brief("features", index, "product_id")

    def _feature(self, index: int) -> Record:
        product, release = self.feature_product[index], self.feature_release[index]
        epic, phase = self.feature_epic[index], self.feature_phase[index]
        record = self._work_item("features", index, product, release, self.feature_initiative[index])
        kind = self._dice["features"](index, len(_KINDS_OF_WORK), 30)
        record["release_reference_num"] = record["release"]["reference_num"]
        record["epic_reference_num"] = None if epic < 0 else self.reference("epics", epic)
        record["workflow_kind"] = {"id": ident("workflow_kinds", kind), "name": _KINDS_OF_WORK[kind]}
        record["requirements"] = [self._requirement(row) for row in self.requirements_of.get(index, ())]
        record["feature_links"] = [
            self._relation(link, "features", *self.link_ends[link]) for link in self.links_of.get(index, ())
        ]
        brief = None if epic < 0 else self.short_epic(epic)
        _put(record, "epic", brief, index)
        _put(record, "master_feature", brief, index)
        _put(record, "belongs_to_release_phase", None if phase < 0 else self._phase(phase), index)
        return record | _work_totals("feature", index)

    def _requirement(self, index: int) -> Record:
        feature = self.requirement_feature[index]
        created, updated = self._times("requirements", index)
        url, resource = self.links("requirements", index)
        tags, full_tags = self.tags("requirements", index)
        time = self.tables["requirements"].created[index]
        record: Record = {
            "id": ident("requirements", index),
            "name": self.name("requirements", index),
            "reference_num": self.reference("requirements", index),
            "position": index - self.requirements_of[feature][0] + 1,
            "created_at": created,
            "updated_at": updated,
            "release_id": int(ident("releases", self.feature_release[feature])),
            "start_date": None if index % 2 else day_of(time, 1),
            "end_date": None if index % 3 == 1 else day_of(time, 9),
            "created_by_user": self._creator("requirements", index),
            "workflow_status": self.status("requirements", index),
            "url": url,
            "resource": resource,
            "description": self._description("requirements", index),
            "feature": self.short_feature(feature),
            "attachments": self._attachments("requirements", index, 6),
            "tags": tags,
            "full_tags": full_tags,
            "custom_fields": self._custom_fields("requirements", index),
            "integration_fields": self.integration_fields("requirements", index),
            "comments_count": self.comments_count("requirements", index),
        }
        self._assign(record, "requirements", index)
        return record

    def _relation(self, number: int, kind: str, parent: int, child: int) -> Record:
        name, type_id = _LINK_TYPES[number % len(_LINK_TYPES)]
        table = self.tables[kind]
        return {
            "link_type": name,
            "link_type_id": type_id,
            "created_at": iso(max(table.created[parent], table.created[child])),
            "parent_record": self._brief(kind, parent, "product_id"),
            "child_record": self._brief(kind, child, "product_id"),
        }

    def _link(self, index: int) -> Record:
        parent, child = self.link_ends[index]
        relation = self._relation(index, "features", parent, child)
        return {
            "id": ident("record_links", index),
            "link_type": relation["link_type"],
            "link_type_id": relation["link_type_id"],
            "created_at": relation["created_at"],
            "parent_record_type": "Feature",
            "parent_record_id": int(ident("features", parent)),
            "child_record_type": "Feature",
            "child_record_id": int(ident("features", child)),
            "parent_record": relation["parent_record"],
            "child_record": relation["child_record"],
        }

    def record_link(self, index: int, feature: int) -> Record:
        """Return a link as it is listed under a feature, which is one of its ends."""
        return {**self._link(index), "parent": self.link_ends[index][0] == feature}

    # Ideas and who asks for them

    def _ideas(self) -> None:
        random = self._random("ideas")
        ideas, votes = self._many(48, 16), self._many(1200, 48) + SPARE_ROWS
        people = self._many(150, 20)
        portal_people = people + max(4, people // 8)
        self.spam_ideas = {ideas, ideas + 1}
        ideas += 2

        self.idea_product = array("b", (_WITH_IDEAS[index % 2] for index in range(ideas)))
        self.idea_product_list = {APP: list(range(0, ideas, 2)), WEB: list(range(1, ideas, 2))}
        self.categories = 10
        self.portal_people = portal_people
        self.idea_people = people
        self.idea_feature = array("i", (-1 for _ in range(ideas)))
        by_product: dict[int, list[int]] = {product: [] for product in _WITH_IDEAS}
        for feature in range(min(400, len(self.tables["features"].order))):
            if self.feature_product[feature] in by_product:
                by_product[self.feature_product[feature]].append(feature)
        for index in range(0, ideas, 4):
            features = by_product[self.idea_product[index]]
            self.idea_feature[index] = features[index % len(features)] if features else -1
        # Every eighth idea was merged into the one two before, which is in the same workspace.
        self.idea_duplicate_of = array("i", (index - 2 if index % 8 == 6 else -1 for index in range(ideas)))
        for spam in self.spam_ideas:
            self.idea_duplicate_of[spam] = -1
        self.duplicates_of = children_of(self.idea_duplicate_of)

        real = ideas - 2
        # Few ideas get most of the votes.
        self.vote_idea = array("i", (int(real * random.random() ** 2) for _ in range(votes)))
        self.votes_of = children_of(self.vote_idea)
        self.vote_organization = array(
            "i", (int(random.random() * len(COMPANIES)) if index % 4 == 3 else -1 for index in range(votes))
        )
        self.votes_of_organization = children_of(self.vote_organization)

        talked_about = sorted(random.sample(range(real), self._many(25, 8)))
        said = [idea for number, idea in enumerate(talked_about) for _ in range(1 + number % 6)]
        self.said_on = array("i", said)
        self.idea_comments_of = children_of(self.said_on)
        subscriptions = sorted(int(random.random() * real) for _ in range(self._many(110, 12)))
        self.subscription_idea = array("i", subscriptions)
        self.subscriptions_of = children_of(self.subscription_idea)

        self._products_of["ideas"] = self.idea_product
        self._add("idea_organizations", len(COMPANIES), self._organization, short=self.short_organization)
        self._add("idea_users", people, self._idea_user)
        self._add("portal_users", portal_people, self._portal_user)
        self._add("ideas", ideas, self._idea, short=self.short_idea)
        for index, feature in enumerate(self.idea_feature):
            if feature >= 0:
                self._settle("ideas", index, 4 if self.status_number("features", feature) == 4 else 2, self.end)
        self._change_at_midnight("ideas")
        self._add("idea_endorsements", votes - SPARE_ROWS, self._vote, has_spare=True)
        self._add("idea_comments", len(said), self._idea_comment)
        self._add("idea_subscriptions", len(subscriptions), self._subscription)
        self._add("idea_themes", self._some(4, 2), self._theme)
        self._list(
            "idea_categories",
            [
                {
                    "id": ident("idea_categories", index),
                    "name": ("Look & feel", "Réglages", "Speed", "Reports 📈", "Other")[index // 2],
                    "parent_id": int(ident("idea_categories", index % 2)) if index >= 4 else None,
                    "project_id": int(ident("products", _WITH_IDEAS[index % 2])),
                    "created_at": iso(self.end - _EARLIER + index * DAY),
                }
                for index in range(self.categories)
            ],
        )
        self._list(
            "idea_portals",
            [
                {
                    "id": ident("idea_portals", index),
                    "title": name,
                    "portal_enabled": index == 0,
                    "access_type": access,
                    "external_url": f"https://{host}.ideas.example",
                    "created_at": iso(self.end - _EARLIER + index * DAY),
                }
                for index, (name, access, host) in enumerate(
                    (("Ideas for the app", "public", "app"), ("Idées pour la boutique", "submit-only", "shop"))
                )
            ],
        )
        self.portal_products = {0: (APP,), 1: (WEB, APP)}

    def idea_user_of(self, portal_user: int) -> int:
        """Return the person behind a portal user: some people use both portals."""
        return portal_user if portal_user < self.idea_people else portal_user - self.idea_people

    def portal_of(self, portal_user: int) -> int:
        """Return the portal of a portal user."""
        first = self.idea_user_of(portal_user) % 2
        return first if portal_user < self.idea_people else 1 - first

    def organization_of(self, idea_user: int) -> int | None:
        """Return the organization of a person."""
        return None if idea_user % 13 == 12 else idea_user % len(COMPANIES)

    def person(self, idea_user: int) -> tuple[str, str, str]:
        """Return given name, family name and e-mail address of a person behind ideas."""
        given, family = GIVEN_NAMES[idea_user % len(GIVEN_NAMES)], FAMILY_NAMES[idea_user % len(FAMILY_NAMES)]
        _, domain = COMPANIES[idea_user % len(COMPANIES)]
        return given, family, f"person{idea_user + 1}@{domain}"

    def _person_ref(self, kind: str, index: int, idea_user: int) -> Record:
        given, family, email = self.person(idea_user)
        return {
            "id": ident(kind, index),
            "name": f"{given} {family}",
            "email": email,
            "created_at": iso(self.tables[kind].created[index]),
            "title": "Head of sales" if idea_user % 5 == 1 else None,
        }

    def portal_user_ref(self, index: int) -> Record:
        """Return a portal user as other records embed it."""
        return self._person_ref("portal_users", index, self.idea_user_of(index))

    def idea_user_ref(self, index: int) -> Record:
        """Return an idea user as other records embed it."""
        return self._person_ref("idea_users", index, index)

    def organization_ref(self, index: int) -> Record:
        """Return an organization as other records embed it."""
        identifier = ident("idea_organizations", index)
        return {
            "id": identifier,
            "name": COMPANIES[index][0],
            "created_at": iso(self.tables["idea_organizations"].created[index]),
            "url": f"{HOST}/ideas/organizations/{identifier}",
            "resource": f"{API}/idea_organizations/{identifier}",
        }

    def revenue(self, index: int) -> float | int | None:
        """Return the yearly revenue of an organization."""
        return None if index % 6 == 5 else 10_000 * (index + 1) + (0.25 if index % 3 == 1 else 0)

    def short_organization(self, index: int) -> Record:
        """Return the list record of an organization."""
        return {**self.organization_ref(index), "revenue": self.revenue(index)}

    def _organization(self, index: int) -> Record:
        votes = self.tables["idea_endorsements"].visible(self.votes_of_organization.get(index, []))
        _, domain = COMPANIES[index]
        return {
            **self.organization_ref(index),
            "updated_at": iso(self.tables["idea_organizations"].updated[index]),
            "description": self._description("idea_organizations", index),
            "endorsements_count": len(votes),
            "email_domains": f"{domain},mail.{domain}" if index % 4 == 2 else domain,
            "revenue": self.revenue(index),
            "custom_fields": self._custom_fields("idea_organizations", index),
            "integration_fields": self.integration_fields("idea_organizations", index),
        }

    def _idea_user(self, index: int) -> Record:
        ref = self.idea_user_ref(index)
        organization = self.organization_of(index)
        return {
            "id": ref["id"],
            "name": ref["name"],
            "email": ref["email"],
            "phone": f"+49 30 555 {index:04}" if index % 3 == 1 else None,
            "created_at": ref["created_at"],
            "idea_organizations": [] if organization is None else [self.organization_ref(organization)],
            "custom_fields": self._custom_fields("idea_users", index),
        }

    def _portal_user(self, index: int) -> Record:
        person = self.idea_user_of(index)
        given, family, email = self.person(person)
        record: Record = {
            "id": ident("portal_users", index),
            "email": email,
            "first_name": given,
            "last_name": family,
            "enabled": index % 12 != 7,
            "verified": index % 5 != 3,
            "employee": index % 11 == 4,
            "max_endorsements_override": 5 if index % 10 == 2 else None,
            "idea_user_id": ident("idea_users", person),
            "idea_portal_id": ident("idea_portals", self.portal_of(index)),
            "created_at": iso(self.tables["portal_users"].created[index]),
            "unsubscribed": index % 9 == 5,
            "unsubscribed_from_weekly_emails": None if index % 4 == 0 else index % 4 == 1,
        }
        if index % 3:
            record["updated_at"] = iso(self.tables["portal_users"].updated[index])
        return record

    def idea_author(self, index: int) -> tuple[str, int]:
        """Return who made an idea: ("users", index) or ("portal_users", index)."""
        if index % 5 == 0:
            return "users", self._dice["ideas"](index, len(self.user_refs), 12)
        return "portal_users", self._dice["ideas"](index, self.portal_people, 14)

    def visible_votes(self, idea: int) -> list[int]:
        """Return the votes for an idea."""
        return self.tables["idea_endorsements"].visible(self.votes_of.get(idea, []))

    def visible_idea_comments(self, idea: int) -> list[int]:
        """Return the portal comments on an idea, spam left out."""
        return [comment for comment in self.idea_comments_of.get(idea, []) if not self.is_spam_comment(comment)]

    def is_spam_comment(self, index: int) -> bool:
        """Whether a portal comment is held back as spam."""
        return index % 40 == 39

    def votes_count(self, idea: int) -> int:
        """Return the votes of an idea, weights and initial votes included."""
        return self.initial_votes(idea) + sum(self.weight(vote) for vote in self.visible_votes(idea))

    def initial_votes(self, idea: int) -> int:
        """Return the votes an idea was made with."""
        return 3 if idea % 7 == 2 else 0

    def weight(self, vote: int) -> int:
        """Return how many votes a vote counts for."""
        return 1 + vote % 3 if self.vote_organization[vote] >= 0 else 1

    def idea_ref(self, index: int) -> Record:
        """Return an idea as votes and comments embed it."""
        return self._brief("ideas", index)

    def short_idea(self, index: int) -> Record:
        """Return the list record of an idea."""
        created, updated = self._times("ideas", index)
        url, resource = self.links("ideas", index)
        return {
            "id": ident("ideas", index),
            "reference_num": self.reference("ideas", index),
            "name": self.name("ideas", index),
            "created_at": created,
            "updated_at": updated,
            "workflow_status": self.status("ideas", index),
            "description": self._description("ideas", index),
            "url": url,
            "resource": resource,
        }

    def _idea(self, index: int) -> Record:
        score, facts = self._scores("ideas", index)
        tags, full_tags = self.tags("ideas", index)
        product = self.idea_product[index]
        changed = self.status_changed("ideas", index)
        feature, original = self.idea_feature[index], self.idea_duplicate_of[index]
        # The categories of APP are even, those of WEB odd.
        categories = [index % 2 + 2 * (index % 5)] if index % 3 else []
        portal = "app" if product == APP else "shop"
        record: Record = {
            **self.short_idea(index),
            "score": score,
            "product_id": ident("products", product),
            "votes": self.votes_count(index),
            "initial_votes": self.initial_votes(index),
            "status_changed_at": None if changed is None else iso(changed),
            "visibility": _VISIBILITY[index % 3],
            "product": self.projects[product],
            "endorsements_count": len(self.visible_votes(index)),
            "comments_count": self.comments_count("ideas", index) + len(self.visible_idea_comments(index)),
            "score_facts": facts,
            "tags": tags,
            "full_tags": full_tags,
            "categories": [self.tables["idea_categories"].make(category) for category in categories],
            "themes": [self._theme_ref(index % self.size("idea_themes"))] if index % 3 == 1 else [],
            "custom_fields": self._custom_fields("ideas", index),
            "custom_object_links": [self._object_link(index)] if index % 6 == 1 else [],
            "duplicates": [self.short_idea(duplicate) for duplicate in self.duplicates_of.get(index, [])],
            "integration_fields": self.integration_fields("ideas", index),
            "submitted_idea_portal_record_url": None
            if index % 5 == 0
            else f"https://{portal}.ideas.example/ideas/{self.reference('ideas', index)}",
        }
        kind, author = self.idea_author(index)
        if kind == "users":
            record["created_by_user"] = self.user_refs[author]
        else:
            record["created_by_portal_user"] = self.portal_user_ref(author)
            record["created_by_idea_user"] = self.idea_user_ref(self.idea_user_of(author))
        self._assign(record, "ideas", index)
        _put(record, "feature", None if feature < 0 else self.short_feature(feature), index)
        _put(record, "duplicate_of", None if original < 0 else self.short_idea(original), index)
        response = self._description("ideas", index) if index % 4 == 0 else None
        if response is not None:
            response |= {
                "id": note_ident("idea_comments", 1_000_000 + index),
                "body": "<p>We will do it 🎉</p>",
                "responded_by_user": self._creator("ideas", index),
            }
        _put(record, "admin_response", response, index)
        return record

    def _object_link(self, index: int) -> Record:
        return {
            "key": "customers",
            "name": "Customers",
            "record_type": "CustomObjectRecord",
            "record_ids": [int(ident("custom_object_records", index % 4 * 2 + 1))],
        }

    def _theme_ref(self, index: int) -> Record:
        return {
            "id": ident("idea_themes", index),
            "reference_num": self.reference("idea_themes", index),
            "name": self.name("idea_themes", index),
            "created_at": iso(self.tables["idea_themes"].created[index]),
        }

    def _theme(self, index: int) -> Record:
        themes = self.size("idea_themes")
        ideas = range(self.size("ideas") - len(self.spam_ideas))
        return {
            **self._theme_ref(index),
            "description": self._description("idea_themes", index),
            "product": self.projects[APP],
            "ideas": [self.idea_ref(idea) for idea in ideas if idea % 3 == 1 and idea % themes == index],
        }

    def is_proxy(self, vote: int) -> bool:
        """Whether a vote was given on behalf of an organization."""
        return self.vote_organization[vote] >= 0

    def _vote(self, index: int) -> Record:
        created, updated = self._times("idea_endorsements", index)
        idea, organization = self.vote_idea[index], self.vote_organization[index]
        record: Record = {
            "id": ident("idea_endorsements", index),
            "idea_id": ident("ideas", idea),
            "created_at": created,
            "updated_at": updated,
            "value": None if index % 4 < 2 else (index % 90) * 100 + (0.5 if index % 8 == 3 else 0),
            "link": f"https://crm.example/deals/{index + 1}" if index % 4 == 3 else None,
            "weight": self.weight(index),
            "integration_fields": self.integration_fields("idea_endorsements", index),
            "custom_fields": self._custom_fields("idea_endorsements", index) if index % 5 == 0 else [],
            "idea": self.idea_ref(idea),
        }
        portal_user = self._dice["idea_endorsements"](index, self.portal_people, 14)
        person = self.idea_user_of(portal_user)
        if organization >= 0:
            given, family, email = self.person(person)
            record["endorsed_by_user"] = self._creator("idea_endorsements", index)
            record["idea_organization"] = self.organization_ref(organization)
            record["description"] = self._description("idea_endorsements", index)
            record["idea_users"] = [
                {"id": ident("idea_users", person), "first_name": given, "last_name": family, "email": email}
            ]
            own = self.organization_of(person)
            record["associated_idea_organizations"] = [] if own is None else [self.organization_ref(own)]
            return record
        if index % 10 == 5:
            record["endorsed_by_user"] = self._creator("idea_endorsements", index)
        else:
            record["endorsed_by_portal_user"] = self.portal_user_ref(portal_user)
            record["endorsed_by_idea_user"] = self.idea_user_ref(person)
        _put(record, "idea_organization", None, index)
        _put(record, "description", None, index)
        record["idea_users"] = []
        record["associated_idea_organizations"] = []
        return record

    def _idea_comment(self, index: int) -> Record:
        idea = self.said_on[index]
        first = self.idea_comments_of[idea][0]
        is_reply = index > first and index % 3 == 1
        commenter = self._dice["idea_comments"](index, self.portal_people, 14)
        return {
            "id": ident("idea_comments", index),
            "idea_id": ident("ideas", idea),
            "body": body(self._dice["idea_comments"], index),
            "created_at": iso(self.tables["idea_comments"].created[index]),
            "visibility": _VISIBILITY[index % 2],
            "parent_idea_comment_id": int(ident("idea_comments", first)) if is_reply else None,
            "idea_commenter_user": self.portal_user_ref(commenter),
            "idea": self.idea_ref(idea),
            "attachments": self._attachments("idea_comments", index, 8),
        }

    def _subscription(self, index: int) -> Record:
        idea = self.subscription_idea[index]
        ref = self.idea_ref(idea)
        return {
            "id": ident("idea_subscriptions", index),
            "idea_id": ident("ideas", idea),
            "created_at": iso(self.tables["idea_subscriptions"].created[index]),
            "portal_user": self.portal_user_ref(self._dice["idea_subscriptions"](index, self.portal_people, 14)),
            "idea": {"id": ref["id"], "name": ref["name"], "reference_num": ref["reference_num"]},
        }

    # To-dos and comments

    def _talk(self) -> None:
        random = self._random("talk")
        tasks, comments = self._many(300, 36) + SPARE_ROWS, self._many(260, 44) + SPARE_ROWS
        self._sizes = {
            "features": len(self.tables["features"].order),
            "epics": len(self.tables["epics"].order),
            "ideas": self.size("ideas") - len(self.spam_ideas),
            "releases": self.size("releases"),
            "requirements": self.size("requirements"),
            "initiatives": self.size("initiatives"),
            "goals": self.size("goals"),
            "release_phases": self.size("release_phases"),
        }
        self.task_target: list[tuple[str, int] | None] = []
        task_product = array("b")
        for index in range(tasks):
            kind = _TASKABLE[index % len(_TASKABLE)]
            target = None if kind is None else (kind, int(random.random() * self._sizes[kind]))
            self.task_target.append(target)
            task_product.append(_WORK[index % 3] if target is None else self.product_of(*target))
        self._products_of["tasks"] = task_product
        self.tasks_of: dict[tuple[str, int], list[int]] = {}
        for task, target in enumerate(self.task_target):
            if target is not None:
                self.tasks_of.setdefault(target, []).append(task)
        self._sizes |= {"tasks": tasks - SPARE_ROWS, "pages": self._page_count(), "products": len(_PRODUCTS)}
        self._sizes |= {"personas": _MARKET["personas"][1], "competitors": _MARKET["competitors"][1]}
        self._products_of["pages"] = array("b", (_WORK[index % 3] for index in range(self._sizes["pages"])))
        for kind, (products, size) in _MARKET.items():
            self._products_of[kind] = array("b", (products[index % len(products)] for index in range(size)))

        self.comment_target: list[tuple[str, int]] = []
        comment_product = array("b")
        for index in range(comments):
            kind = _COMMENTABLE[index % len(_COMMENTABLE)]
            self.comment_target.append((kind, int(random.random() * self._sizes[kind])))
            comment_product.append(self.product_of(*self.comment_target[-1]))
        self._products_of["comments"] = comment_product
        self.comments_of: dict[tuple[str, int], list[int]] = {}
        for comment, on in enumerate(self.comment_target):
            self.comments_of.setdefault(on, []).append(comment)
        self._add("tasks", tasks - SPARE_ROWS, self._task, short=self.short_task, has_spare=True)
        self._add("comments", comments - SPARE_ROWS, self._comment, has_spare=True)

    def _target(self, kind: str, index: int) -> Record:
        if kind in ("tasks", "release_phases", "products", "personas", "competitors"):
            identifier = ident(kind, index)
            url, resource = f"{HOST}/{kind}/{identifier}", f"{API}/{kind}/{identifier}"
        else:
            url, resource = self.links(kind, index)
        return {"type": TYPES[kind], "id": ident(kind, index), "url": url, "resource": resource}

    def short_task(self, index: int) -> Record:
        """Return the list record of a to-do."""
        created = self.tables["tasks"].created[index]
        return {
            "id": ident("tasks", index),
            "name": self.name("tasks", index),
            "due_date": None if index % 4 == 3 else day_of(created, 14),
            "status": ("pending", "completed", "partially_complete")[index % 3],
            "created_at": iso(created),
        }

    def is_approval(self, task: int) -> bool:
        """Whether a to-do asks for an approval."""
        return task % 5 == 4

    def task_assignee(self, index: int) -> int:
        """Return the user who is to do a to-do."""
        return self._dice["tasks"](index, len(self.user_refs), 13)

    def _task(self, index: int) -> Record:
        updated = iso(self.tables["tasks"].updated[index])
        product = self.product_of("tasks", index)
        target = self.task_target[index]
        status = ("pending", "completed", "pending")[index % 3]
        record: Record = {
            **self.short_task(index),
            "body": body(self._dice["tasks"], index),
            "position": index + 1,
            "updated_at": updated,
            "product_id": ident("products", product),
            "assigned_to_users": []
            if index % 6 == 3
            else [
                {
                    "id": ident("assignments", index * 2),
                    "status": status,
                    "user": self.user_refs[self.task_assignee(index)],
                }
            ],
            "assigned_to_products": [
                {
                    "id": ident("assignments", index * 2 + 1),
                    "status": status,
                    "completed_date": updated,
                    "product": self.projects[product],
                    "response": "Fait ✔",
                }
            ]
            if index % 6 == 3
            else [],
            "created_by_user": self._creator("tasks", index),
            "attachments": self._attachments("tasks", index, 10),
            "url": f"{HOST}/tasks/{ident('tasks', index)}",
            "resource": f"{API}/tasks/{ident('tasks', index)}",
            "comments_count": self.comments_count("tasks", index),
            "custom_fields": self._custom_fields("tasks", index),
        }
        taskable = None
        if target is not None:
            kind, row = target
            place = self._target(kind, row)
            taskable = {
                "id": place["id"],
                "type": place["type"],
                "reference_num": self.reference(kind, row),
                "name": self.name(kind, row),
                "url": place["url"],
                "resource": place["resource"],
            }
        _put(record, "taskable", taskable, index)
        return record

    def _comment(self, index: int) -> Record:
        created, updated = self._times("comments", index)
        kind, row = self.comment_target[index]
        first = self.comments_of[kind, row][0]
        place = self._target(kind, row)
        identifier = ident("comments", index)
        user = self._creator("comments", index)
        reaction = {"id": ident("assignments", 10**9 + index), "name": "👍", "user": user}
        return {
            "id": identifier,
            "body": body(self._dice["comments"], index),
            "created_at": created,
            "updated_at": updated,
            "user": user,
            "attachments": self._attachments("comments", index, 12),
            "url": f"{place['url']}?comment={identifier}",
            "resource": f"{API}/comments/{identifier}",
            "parent_comment_id": ident("comments", first) if index > first else None,
            "reactions": [reaction] if index % 5 == 2 else [],
            "commentable": {
                "type": place["type"],
                "id": place["id"],
                "product_id": ident("products", self.product_of(kind, row)),
                "url": place["url"],
                "resource": place["resource"],
            },
        }

    # Pages, personas, competitors, briefs, canvases

    def _page_count(self) -> int:
        return self._some(8, 6)

    def _pages(self) -> None:
        self._add("pages", self._page_count(), self._page, short=self.short_page)
        for kind, (_, size) in _MARKET.items():
            self._add(kind, size, partial(self._market, kind), short=partial(self._short_market, kind))
        for kind, word in (("strategy_models", "Business"), ("strategy_positions", "Positioning")):
            self._add(kind, 3, partial(self._canvas, kind, word))
            self._products_of[kind] = array("b", (_WORK[index % 3] for index in range(3)))
        self._products_of["strategy_visions"] = array("b", (_WORK[index % 3] for index in range(3)))
        self._products_of["idea_themes"] = array("b", (APP for _ in range(self.size("idea_themes"))))
        self._add("strategy_visions", 3, self._vision)
        self._list("knowledge_bases", [{"id": ident("knowledge_bases", 0), "name": "Handbook"}])

    def in_knowledge_base(self, page: int) -> bool:
        """Whether a page names the knowledge base it belongs to in place of its workspace, which lists it too."""
        return page == 4

    def short_page(self, index: int) -> Record:
        """Return the list record of a page."""
        created, updated = self._times("pages", index)
        url, resource = self.links("pages", index)
        name = self.name("pages", index)
        return {
            "id": ident("pages", index),
            "name": None if index % 6 == 5 else name,
            "title": name,
            "reference_num": self.reference("pages", index),
            "url": url,
            "resource": resource,
            "created_at": created,
            "updated_at": updated,
            "position": index + 1,
            "document_type_name": ("note", "whiteboard")[index % 2],
        }

    def _page(self, index: int) -> Record:
        tags, full_tags = self.tags("pages", index)
        record = {
            **self.short_page(index),
            "document_title": self.name("pages", index),
            # The pages of a workspace are every third.
            "parent_id": int(ident("pages", index % 3)) if 3 <= index != 4 else None,
            "document_type": index % 2,
            "type_name": ("Note", "Whiteboard")[index % 2],
            "emoji_value": "📝" if index % 2 else None,
            "location": "sidebar" if index % 3 == 1 else None,
            "edit_locked": index % 4 == 3,
            "editor_width": "full" if index % 2 else "standard",
            "description": self._description("pages", index),
            "publishing_status": "published" if index % 2 else "draft",
            "tags": tags,
            "full_tags": full_tags,
            "comments_count": self.comments_count("pages", index),
            "collections": [{"id": "7", "name": "Onboarding"}] if index % 3 == 0 else [],
            "custom_fields": self._custom_fields("pages", index),
            "workflow_status": self.status("pages", index),
        }
        if self.in_knowledge_base(index):
            record["knowledge_base_id"] = ident("knowledge_bases", 0)
        else:
            record["product_id"] = ident("products", self.product_of("pages", index))
        return record

    def _short_market(self, kind: str, index: int) -> Record:
        created = iso(self.tables[kind].created[index])
        return {"id": ident(kind, index), "name": self._market_name(kind, index), "created_at": created}

    def _market_name(self, kind: str, index: int) -> str:
        return f"Brief: {self.name(kind, index)}" if kind == "creative_briefs" else _person(index + 3)

    def _market(self, kind: str, index: int) -> Record:
        url, resource = self.links(kind, index)
        record = {
            **self._short_market(kind, index),
            "color": 3_111_107 + index,
            "updated_at": iso(self.tables[kind].updated[index]),
            "url": url,
            "resource": resource,
            "reference_num": self.reference(kind, index),
            "custom_fields": self._custom_fields(kind, index),
            "comments_count": self.comments_count(kind, index),
        }
        if kind == "personas":
            record["occupation"] = None if index % 2 else "Buyer, façade builder"
            record["quote"] = None if index == 2 else "“I have no time for this.”"
        elif kind == "competitors":
            record["subtitle"] = None if index % 2 else "Cheaper & slower"
        return record

    def _canvas(self, kind: str, word: str, index: int) -> Record:
        url, resource = self.links(kind, index)
        return {
            "id": ident(kind, index),
            "name": self.name(kind, index),
            "reference_num": self.reference(kind, index),
            "kind": word,
            "description": self._description(kind, index),
            "components": [
                {"id": 6_001 + index * 10 + number, "name": name, "description": self._description(kind, index)}
                for number, name in enumerate(("Key partners", "Coût", "Revenue"))
            ],
            "url": url,
            "resource": resource,
            "project": self.projects[self.product_of(kind, index)],
        }

    def _vision(self, index: int) -> Record:
        created, updated = self._times("strategy_visions", index)
        identifier = ident("strategy_visions", index)
        return {
            "id": identifier,
            "name": self.name("strategy_visions", index),
            "created_at": created,
            "updated_at": updated,
            "description": self._description("strategy_visions", index),
            "strategy_vision_components": [
                {"id": 6_101 + index * 10 + number, "name": name, "title": None if number else "Where we go"}
                for number, name in enumerate(("Vision", "Werte"))
            ],
            "url": f"{HOST}/strategy_visions/{identifier}",
            "resource": f"{API}/strategy_visions/{identifier}",
            "project": self.projects[self.product_of("strategy_visions", index)],
        }

    # Audits and deletions

    def _history(self) -> None:
        random = self._random("history")
        size = self._many(1_000, 80)
        entries = self._status_audits(random, size * 7 // 10)
        entries += self._other_audits(random, size - len(entries))
        entries.sort()
        # Spare ones are those of the first rows again.
        self.audit_entries = [(kind, row, number) for _, kind, row, number in entries + entries[:SPARE_ROWS]]
        table = self._add("audits", size, self._audit, has_spare=True)
        table.created = array("q", [time for time, *_ in entries] + [self.end - 1] * SPARE_ROWS)
        table.updated = table.created[:]
        deletions = [self._deletion(index) for index in range(12)]
        self._list("deletions", deletions)
        self.historical = [self._historical(index) for index in range(30)]

    def _status_audits(self, random: Random, at_most: int) -> list[tuple[int, str, int, int]]:
        """Return time, kind, row and step of changes of status: all there are of a feature, or none."""
        entries: list[tuple[int, str, int, int]] = []
        features = list(range(len(self.tables["features"])))
        random.shuffle(features)
        for feature in features:
            path = self.status_path("features", feature)
            if len(entries) + len(path) - 1 > at_most:
                break
            entries += [(path[step][1], "features", feature, step) for step in range(1, len(path))]
        return entries

    def _other_audits(self, random: Random, size: int) -> list[tuple[int, str, int, int]]:
        """Return time, kind, row and what happened: one of the negative numbers below."""
        entries = []
        made = set()
        for number in range(size):
            kind = _AUDITED[int(random.random() * len(_AUDITED))]
            row = int(random.random() * self._sizes[kind])
            created, updated = self.tables[kind].created[row], self.tables[kind].updated[row]
            action, time = _UPDATE, created + int(random.random() * (updated - created))
            if number % 6 == 5:
                action = _UPDATE_NOTE
            elif number % 25 == 3:
                action, time = _DESTROY, self.end - DAY - int(random.random() * (HISTORY_DAYS - 1) * DAY)
                # What is cleaned up at night goes on the stroke of midnight.
                time = time // DAY * DAY if number % 2 else time
            elif number % 4 == 0 and (kind, row) not in made:
                action, time = _CREATE, created
                made.add((kind, row))
            entries.append((time, kind, row, action))
        return entries

    def audit_subject(self, index: int) -> tuple[str, int, str, str, int]:
        """Return type and id of what was changed, the action, and kind and index of the primary record."""
        kind, row, number = self.audit_entries[index]
        identifier = int(ident(kind, row))
        if number == _UPDATE_NOTE:
            return "Note", int(note_ident(kind, row)), "update", kind, row
        if number == _DESTROY:
            # Gone: between two ids there are six that are nobody's.
            return TYPES[kind], identifier + 3, "destroy", kind, row
        return TYPES[kind], identifier, "create" if number == _CREATE else "update", kind, row

    def _audit_changes(self, index: int) -> list[Record]:
        kind, row, number = self.audit_entries[index]
        if number == _DESTROY:
            return []
        if number == _UPDATE_NOTE:
            return [{"field_name": "Description", "value": "<del>One line.</del><ins>One line more.</ins>"}]
        if number in (_CREATE, _UPDATE):
            return [{"field_name": "Name", "value": f"<del>Old</del><ins>{self.name(kind, row)}</ins>"}]
        path, names = self.status_path(kind, row), _STATUSES[kind]
        before, after = names[path[number - 1][0]], names[path[number][0]]
        return [{"field_name": "Workflow status", "value": f"<del>{before}</del><ins>{after}</ins>"}]

    def _audit(self, index: int) -> Record:
        changed, identifier, action, kind, row = self.audit_subject(index)
        user = self._creator("audits", index)
        name = self.name(kind, row)
        primary = identifier if changed != "Note" else int(ident(kind, row))
        words = {"create": "created", "update": "updated", "destroy": "deleted"}[action]
        other = self.user_refs[(index + 1) % len(self.user_refs)]
        return {
            "id": ident("audits", index),
            "audit_action": action,
            "created_at": iso(self.tables["audits"].created[index]),
            "interesting": index % 3 != 0,
            "user": user,
            "contributors": [{"user": user}, {"user": other}] if index % 4 == 1 else [{"user": user}],
            "auditable_type": changed,
            "auditable_id": identifier,
            "associated_type": TYPES[kind],
            "associated_id": primary,
            "description": f"{words} {TYPES[kind].lower()} {name}",
            "auditable_url": self.links(kind, row)[0],
            "changes": self._audit_changes(index),
        }

    def _deletion(self, index: int) -> Record:
        user = self.user_refs[index % len(self.user_refs)]
        return {
            "id": ident("deletions", index),
            "status": "restore_in_progress" if index == 3 else "deleted",
            "record": {"name": f"Old idea {index + 1} 🗑", "type": ("Feature", "Epic", "Ideas::Idea")[index % 3]},
            "deleted_by": {"id": user["id"], "name": user["name"], "email": user["email"]},
            "deleted_at": iso(self.end - (index + 1) * 2 * DAY - 12_345),
        }

    def _historical(self, index: int) -> tuple[int, Record, Record]:
        """Return the time of a change of long ago, its row in the index, and the change."""
        time = self.end - (400 + index * 7) * DAY + 3_456_789
        user = self.user_refs[index % len(self.user_refs)]
        kind, row = ("features", "epics")[index % 2], index % 8
        identifier = int(ident(kind, row)) + 3
        entry = {"auditable_id": identifier, "auditable_type": TYPES[kind], **user, "dates_active": [day_of(time)]}
        audit = {
            **self._audit(index),
            "id": ident("historical_audits", index),
            "created_at": iso(time),
            "user": user,
            "contributors": [{"user": user}],
            "auditable_type": TYPES[kind],
            "auditable_id": identifier,
            "associated_type": TYPES[kind],
            "associated_id": identifier,
        }
        return time, entry, audit

    # Teams, fields, screens, plans

    def _settings(self) -> None:
        self._list(
            "custom_field_definitions",
            [
                {
                    "id": ident("custom_field_definitions", index),
                    "key": key,
                    "name": name,
                    "type": f"CustomFieldDefinitions::{form}",
                    "custom_fieldable_type": of,
                    "internal_name": internal,
                }
                for index, (key, name, form, of, internal) in enumerate(_FIELD_TYPES)
            ],
        )
        self.options = {
            definition: [
                {
                    "id": ident("custom_field_options", definition * 10 + number),
                    "value": value,
                    "color": 3 + number,
                    "hidden": number == 2,
                }
                for number, value in enumerate(values)
            ]
            for definition, values in _OPTIONS.items()
        }
        self.screens: list[Record] = [
            {
                "id": 9_001 + number,
                "screenable_type": screenable,
                "name": f"{screenable} screen",
                "custom_field_definitions": [
                    {
                        "id": 812_340 + index,
                        "key": key,
                        "position": position + 1,
                        "name": name,
                        "type": f"CustomFieldDefinitions::{kind}",
                        "api_type": "array" if index in _OPTIONS else "string",
                        "required": index == 0,
                        "configuration_display": None if index % 2 else "Shown to all",
                        "options": [
                            {"id": option["id"], "label": option["value"]} for option in self.options.get(index, [])
                        ],
                        "can_be_required_on_form": True,
                    }
                    for position, (index, (key, name, kind, of, _)) in enumerate(
                        (index, field) for index, field in enumerate(_FIELD_TYPES) if field[3] == screenable
                    )
                ],
            }
            for number, screenable in enumerate(("Feature", "Epic", "Ideas::Idea", "Initiative"))
        ]
        self.schedules: list[Record] = [
            {
                "id": ident("schedules", index),
                "name": name,
                "hours_per_day": hours,
                "story_points_per_day": points,
                "velocity": "1.0",
            }
            for index, (name, hours, points) in enumerate((("Full time", "8.0", "2.0"), ("Halbtags", "4.0", "0.75")))
        ]
        self._list("schedules", self.schedules)
        self._teams()
        self._list(
            "integrations",
            [
                {
                    "id": ident("integrations", index),
                    "name": name,
                    "service_name": service,
                    "created_at": iso(self.end - _EARLIER + index * DAY),
                }
                for index, (service, name) in enumerate(INTEGRATIONS)
            ],
        )
        self._add("custom_object_records", self._many(24, 10), self._object_record)
        self._list(
            "capacity_scenarios",
            [
                {
                    "id": 7_701 + index,
                    "name": name,
                    "planning_interval": "month",
                    "planning_start_date": day_of(self.end, -90),
                    "planning_end_date": day_of(self.end, 180),
                    "estimate_value_layout": "by_team",
                    "data_entry_units": "hours",
                    "archived": index == 1,
                }
                for index, name in enumerate(("Plan A", "Sparplan"))
            ],
        )
        long_ago = iso(self.end - _EARLIER)
        self._list(
            "discovery_groups",
            [{"id": ident("discovery_groups", index), "name": name} for index, name in enumerate(("Beta", "Early 🐣"))],
        )
        self._list(
            "identity_providers",
            [
                {
                    "id": ident("identity_providers", 0),
                    "name": "Single sign-on",
                    "enabled": True,
                    "sso_endpoint": "https://login.example/saml",
                    "created_at": long_ago,
                    "updated_at": long_ago,
                }
            ],
        )
        self._list(
            "paid_seat_groups",
            [
                {
                    "id": ident("paid_seat_groups", index),
                    "name": name,
                    "administrators": [self.user_refs[0]],
                    "capacity": 50,
                    "allocated_seats": sum(user % 2 == 0 for user in range(len(self.user_refs))) if index == 0 else 0,
                    "description": None if index else self._description("goals", 0),
                    "created_at": long_ago,
                    "updated_at": long_ago,
                }
                for index, name in enumerate(("Head office", "Agence de Lyon"))
            ],
        )
        self._list(
            "account_backups",
            [
                {
                    "id": ident("account_backups", index),
                    "status_code": code,
                    "status_description": words,
                    "created_at": iso(self.end - (index + 1) * 7 * DAY),
                    "file_size": "12.5 MB" if code == 2 else "",
                    "download_url": f"{API}/account_backups/{ident('account_backups', index)}/download",
                }
                for index, (code, words) in enumerate(((2, "completed"), (3, "error")))
            ],
        )

    def _teams(self) -> None:
        self._list(
            "team_members",
            [
                {
                    "id": ident("team_members", index),
                    "name": _person(index) if index % 4 else f"Freelancer {index + 1}",
                    "email": self.user_email(index) if index % 4 else f"freelancer{index + 1}@headrace.example",
                    "user_id": ident("users", index) if index % 4 else None,
                    "virtual": index % 4 == 0,
                }
                for index in range(12)
            ],
        )
        members = self.tables["team_members"]
        teams = (("Backend", APP), ("Café 24/7", WEB), ("Everyone's", None))
        # Twelve members in three teams, two of them in two.
        self.membership_of = [(index % 3, index) for index in range(12)] + [(0, 1), (1, 2)]
        self.memberships_of_team: dict[int, list[int]] = {}
        for membership, (team, _) in enumerate(self.membership_of):
            self.memberships_of_team.setdefault(team, []).append(membership)
        schedule = {index: self.schedules[index % 2] for index in range(3)}
        self.team_product = [product for _, product in teams]
        self._list(
            "teams",
            [
                {
                    "id": ident("teams", index),
                    "name": name,
                    "team_members_count": len(self.memberships_of_team[index]),
                    "automatically_calculate_team_members_count": index != 2,
                    "capacity": f"{40 * len(self.memberships_of_team[index])}.0",
                    "hourly_rate": "87.50",
                    "color": _COLORS[index],
                    "start_date": None if index == 2 else day_of(self.end, -300),
                    "end_date": day_of(self.end, 300) if index == 0 else None,
                    **({} if product is None else {"project": self.projects[product]}),
                    "schedule": schedule[index],
                    "custom_fields": [],
                    "team_members": [
                        members.make(self.membership_of[membership][1])
                        for membership in self.memberships_of_team[index]
                    ],
                }
                for index, (name, product) in enumerate(teams)
            ],
        )
        teams_table = self.tables["teams"]
        teams_table.make(0)["custom_fields"] = self._custom_fields("teams", 0)
        self._list(
            "team_memberships",
            [
                {
                    "id": ident("team_memberships", index),
                    "team_member": members.make(member),
                    "team": {"id": ident("teams", team), "name": teams[team][0]},
                    "created_at": iso(self.end - _EARLIER + index * DAY),
                }
                for index, (team, member) in enumerate(self.membership_of)
            ],
        )

    def object_key(self, index: int) -> str:
        """Return the custom table of a custom record."""
        return CUSTOM_OBJECTS[index % 2]

    def _object_record(self, index: int) -> Record:
        created, updated = self._times("custom_object_records", index)
        return {
            "id": ident("custom_object_records", index),
            "product_id": ident("products", APP),
            "key": self.object_key(index),
            "created_at": created,
            "updated_at": updated,
            "custom_fields": self._custom_fields("custom_object_records", index),
            "custom_object_links": [self._object_link(index)] if index % 4 == 0 else [],
            "linked_records": [
                {
                    "key": "idea",
                    "name": "Idea",
                    "record_type": "Ideas::Idea",
                    "record_id": int(ident("ideas", index % 8)),
                }
            ]
            if index % 3
            else [],
            "created_by_user": self._creator("custom_object_records", index),
        }

    def status_times(self, kind: str, index: int) -> list[Record]:
        """Return how long a record was in each status up to the one it is in."""
        path = self.status_path(kind, index)
        ends = [iso(start) for _, start in path[1:]]
        return [
            {
                "id": status_time_ident(kind, index, number),
                "workflow_status_id": self._statuses[kind][number]["id"],
                "status_name": self._statuses[kind][number]["name"],
                "started_at": iso(start),
                "ended_at": end,
                "created_at": iso(start),
            }
            for (number, start), end in zip(path, [*ends, None], strict=True)
        ]

    def investments(self, kind: str, index: int) -> list[Record]:
        """Return the capacity planned for a record; not every epic and feature has some."""
        if index % {"features": 10, "epics": 3}.get(kind, 1) != 0:
            return []
        total = sum(estimate["total"] for estimate in self.estimates(kind, index) if not estimate["ignored"])
        return [
            {
                "id": investment_ident(kind, index),
                "capacity_scenario_id": str(7_701),
                "total": None if index % 20 == 10 else total,
            }
        ]

    def estimates(self, kind: str, index: int) -> list[Record]:
        """Return the estimates that the capacity planned for a record is made of."""
        return [
            {
                "id": estimate_ident(kind, index, number),
                "team_id": ident("teams", number),
                "team_membership_id": ident("team_memberships", index % 12) if number else None,
                "period_start": day_of(self.end, -30) if number != 2 else None,
                "total": 8 + (index + number) % 40,
                "computed": number == 2,
                "ignored": number == 1,
            }
            for number in range(3)
        ]


_LETTERS: Mapping[str, str] = {
    "features": "",
    "epics": "E-",
    "releases": "R-",
    "roll_up_releases": "MR-",
    "initiatives": "S-",
    "goals": "G-",
    "ideas": "I-",
    "pages": "N-",
    "personas": "PE-",
    "competitors": "CO-",
    "creative_briefs": "CB-",
    "strategy_models": "BM-",
    "strategy_positions": "SP-",
    "idea_themes": "IT-",
}
"""What stands between a workspace's prefix and the number in the key of a record."""
_WEB_PATHS = {
    "goals": "strategic_imperatives",
    "ideas": "ideas/ideas",
    "roll_up_releases": "master_releases",
    "products": "projects",
}
_SCALING = frozenset(("features", "ideas"))
"""Kinds with too many records to keep even short ones."""
_KIND_NUMBERS = {
    kind: number
    for number, kind in enumerate(
        (
            "features", "epics", "initiatives", "goals", "key_results", "releases", "release_phases", "requirements",
            "ideas", "idea_themes", "idea_endorsements", "idea_comments", "idea_organizations", "idea_users",
            "comments", "tasks", "pages", "personas", "competitors", "creative_briefs", "products", "strategy_models",
            "strategy_positions", "strategy_visions", "custom_object_records", "teams",
        )
    )
}  # fmt: skip
"""Keeps the ids of what hangs off records of different kinds apart."""
_ROLES = ((10, "Reviewer"), (20, "Viewer"), (30, "Contributor"), (40, "Owner"), (50, "None"))
_LINK_TYPES = (("Depends on", 10), ("Relates to", 20), ("Duplicates", 30))
_TASKABLE = ("features", "features", "epics", "ideas", None, "releases", "requirements")
_COMMENTABLE = (
    "features", "features", "ideas", "epics", "requirements", "initiatives", "goals", "releases", "release_phases",
    "tasks", "pages", "products", "competitors", "personas",
)  # fmt: skip
_AUDITED = ("features", "epics", "ideas", "releases", "requirements")
_CREATE, _UPDATE, _UPDATE_NOTE, _DESTROY = -1, -2, -3, -4
"""What an audit is of, where it is not of a step, from 1, of a record through its workflow."""
_MARKET: Mapping[str, tuple[tuple[int, ...], int]] = {
    "personas": ((APP, WEB), 3),
    "competitors": ((APP, WEB), 3),
    "creative_briefs": ((CAMPAIGNS,), 2),
}
"""Of the kinds that a market study has: the workspaces that have some, and how many there are."""


def _put(record: Record, name: str, value: object, index: int) -> None:
    """Set a field that may be unset: unset ones are null in some records and absent from others."""
    if value is not None or index % 2 == 0:
        record[name] = value


def _person(index: int) -> str:
    name = PEOPLE[index % len(PEOPLE)]
    return name if index < len(PEOPLE) else f"{name} {index // len(PEOPLE) + 1}"


def _work_totals(prefix: str, index: int) -> Record:
    is_set = index % 4 != 0
    return {
        f"{prefix}_only_original_estimate": 480 + index % 7 * 60 if is_set else None,
        f"{prefix}_only_remaining_estimate": index % 7 * 60 if is_set else None,
        f"{prefix}_only_work_done": 480.5 if index % 4 == 1 else (480 if is_set else None),
    }
