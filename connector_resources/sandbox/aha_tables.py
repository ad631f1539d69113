"""What the Aha! sandbox's records are made of: ids, times, texts, and tables that make a record when it is asked for.

A table holds a few numbers a record (its times, its parents) and no record: a million records cost some megabytes and
a second, and a page of two hundred is made while it is answered. Whatever else is in a record follows from the seed,
its kind and its index, so the same settings always give the same bytes.
"""

import zlib
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any

from connector_resources.sandbox.faults import Change

Record = dict[str, Any]

DAY = 86_400_000
HISTORY_DAYS = 90
SPARE_ROWS = 8
"""Rows a table keeps back, to be inserted while somebody reads it."""

_FIRST_ID = 7_012_000_000_000_000_000
_IDS_OF_A_KIND = 10_000_000_000_000
_STRIDE = 7  # leaves gaps in which an id is nobody's

KINDS = (
    "products", "users", "initiatives", "goals", "key_results", "releases", "roll_up_releases", "release_phases",
    "epics", "features", "requirements", "ideas", "idea_categories", "idea_themes", "idea_endorsements",
    "idea_comments", "idea_subscriptions", "idea_portals", "portal_users", "idea_organizations", "idea_users",
    "comments", "tasks", "pages", "personas", "competitors", "creative_briefs", "strategy_models",
    "strategy_positions", "strategy_visions", "audits", "deletions", "custom_field_definitions",
    "custom_field_options", "teams", "team_memberships", "team_members", "schedules", "integrations", "record_links",
    "custom_object_records", "capacity_scenarios", "discovery_groups", "identity_providers", "paid_seat_groups",
    "account_backups", "knowledge_bases", "historical_audits", "workflow_statuses", "workflow_kinds",
    "integration_fields", "attachments", "score_facts", "assignments",
)  # fmt: skip
_CODES = {kind: code for code, kind in enumerate(KINDS, start=1)}
_NOTES = 100
"""Added to the code of a kind: the ids of the descriptions of its records."""
_STATUS_TIMES, _INVESTMENTS, _ESTIMATES = 200, 300, 400


def ident(kind: str, index: int, family: int = 0) -> str:
    """Return the id of a record: nineteen decimal digits, growing with the index and so with the time it was made."""
    return str(_FIRST_ID + (family + _CODES[kind]) * _IDS_OF_A_KIND + index * _STRIDE + 1)


def note_ident(kind: str, index: int) -> str:
    """Return the id of the description of a record."""
    return ident(kind, index, _NOTES)


def status_time_ident(kind: str, index: int, number: int) -> str:
    """Return the id of a stay in a status."""
    return ident(kind, index * 8 + number, _STATUS_TIMES)


def investment_ident(kind: str, index: int) -> str:
    """Return the id of the capacity planned for a record."""
    return ident(kind, index, _INVESTMENTS)


def estimate_ident(kind: str, index: int, number: int) -> str:
    """Return the id of one estimate of that capacity."""
    return ident(kind, index * 8 + number, _ESTIMATES)


def index_of(kind: str, text: str, family: int = 0) -> int | None:
    """Return the index of the record of that kind with this id, None if the id is none of theirs."""
    if not (text.isascii() and text.isdecimal() and len(text) == 19):
        return None
    number = int(text) - _FIRST_ID - (family + _CODES[kind]) * _IDS_OF_A_KIND
    if not 0 <= number < _IDS_OF_A_KIND or number % _STRIDE != 1:
        return None
    return number // _STRIDE


def investment_of(text: str) -> tuple[str, int] | None:
    """Return the kind and index of the record that a capacity investment with this id is planned for."""
    for kind in ("epics", "features", "initiatives", "products"):
        if (index := index_of(kind, text, _INVESTMENTS)) is not None:
            return kind, index
    return None


@lru_cache(maxsize=4096)
def _day(number: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=number)).strftime("%Y-%m-%d")


def iso(milliseconds: int) -> str:
    """Return an instant as the vendor writes it: `2026-03-01T09:30:00.000Z`."""
    days, rest = divmod(milliseconds, DAY)
    hours, rest = divmod(rest, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{_day(days)}T{hours:02}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}Z"


def day_of(milliseconds: int, days_later: int = 0) -> str:
    """Return the day of an instant, in UTC, or one `days_later`."""
    return _day(milliseconds // DAY + days_later)


class Dice:
    """Numbers that look drawn and follow from the seed, a kind and an index."""

    def __init__(self, seed: int, kind: str) -> None:
        self._key = zlib.crc32(f"{seed}/{kind}".encode()) * 0x9E3779B1

    def __call__(self, index: int, sides: int, salt: int = 0) -> int:
        """Return a number from 0 to `sides` - 1; another `salt` is another throw."""
        x = (self._key + index * 0x9E3779B97F4A7C15 + salt * 0xD1B54A32D192ED03) & 0xFFFFFFFFFFFFFFFF
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        return ((x ^ (x >> 27)) >> 8) % sides


class Table:
    """All records of one kind.

    `make` gives the whole record at an index, `short` the list record where that is another. `order` is the order of
    lists, which is that of nothing in the record. Rows in `hidden` are in no list and have no detail: spare ones, and
    removed ones. `version` changes with every change.
    """

    def __init__(
        self,
        kind: str,
        created: Sequence[int],
        updated: Sequence[int],
        make: Callable[[int], Record],
        *,
        seed: int,
        short: Callable[[int], Record] | None = None,
        spare: int = 0,
    ) -> None:
        self.kind = kind
        self.created, self.updated = array("q", created), array("q", updated)
        self._make = make
        self.short = short
        self.version = 0
        size = len(self.created) - spare
        self._spare = list(range(size, len(self.created)))
        self.hidden: set[int] = set(self._spare)
        self._renamed: dict[int, int] = {}
        self.order = list(range(size))
        Random(f"{seed}/{kind}/order").shuffle(self.order)

    def __len__(self) -> int:
        return len(self.order)

    def make(self, index: int) -> Record:
        """Return the whole record."""
        record = self._make(index)
        if index in self._renamed and "name" in record:
            record = {**record, "name": f"{record['name']} (changed {self._renamed[index]})"}
        return record

    def find(self, text: str) -> int | None:
        """Return the index of the record with this id, None if there is none."""
        index = index_of(self.kind, text)
        return None if index is None or index >= len(self.created) or index in self.hidden else index

    def visible(self, indices: Sequence[int]) -> list[int]:
        """Return those of the indices whose records are there."""
        return [index for index in indices if index not in self.hidden]

    def drift(self, change: Change, now: int) -> None:
        """Change the table behind a reader's back: a row at the top of the list comes, goes or is edited."""
        if not self.order:
            return
        first = self.order[0]
        if change == "insert" and self._spare:
            index = self._spare.pop(0)
            self.hidden.discard(index)
            self.order.insert(0, index)
            self.created[index] = self.updated[index] = now
        elif change == "remove":
            self.order.pop(0)
            self.hidden.add(first)
        else:
            self.updated[first] = now
            self._renamed[first] = self.version + 1
        self.version += 1


def spread(seed: int, kind: str, size: int, end: int) -> tuple[list[int], list[int]]:
    """Return when each of `size` records was made, ascending, and last changed: all in the 90 days before `end`."""
    random = Random(f"{seed}/{kind}/times").random
    length = HISTORY_DAYS * DAY
    created = sorted(end - length + int(random() * length) for _ in range(size))
    return created, [time + int((end - time) * random() ** 3) for time in created]


def children_of(parents: Sequence[int]) -> dict[int, list[int]]:
    """Return the indices of the children by parent, from the parent of each; -1 is none."""
    children: dict[int, list[int]] = {}
    for child, parent in enumerate(parents):
        if parent >= 0:
            children.setdefault(parent, []).append(child)
    return children


VERBS = (
    "Import", "Export", "Share", "Archive", "Search", "Translate", "Merge", "Restore", "Sort", "Print", "Draw", "Sign",
)  # fmt: skip
SUBJECTS = (
    "contacts", "invoices & credit notes", "reports", "the dark theme 🌗", "workspaces", "<b>bold</b> labels",
    "naïve façades", "日本語の名前", "“quoted” names", "العربية", "dashboards", "calendars", "files > 2 GB", "boards",
    "Größen und Maße", "keyboard shortcuts ⌨️", "filters", "O'Brien's list",
)  # fmt: skip
ENDINGS = ("", " by e-mail", " at night", " from the phone", " in bulk", " twice", " without a mouse")
BODIES = (
    "<p>Read a CSV file &amp; say what was left out.</p>",
    "<p>People asked for it <strong>three</strong> times 🎉.</p><ul><li>first</li><li>second</li></ul>",
    '<p>See <a href="https://wiki.example/page?a=1&amp;b=2">the page</a>; “quoted”, naïve, 東京.</p>',
    "<h2>Why</h2><p>It saves an hour a week.</p><p>Tab\there, newline\nthere, backslash \\ too.</p>",
    "<p>مرحبا — שלום — Привет — 👩‍👩‍👧</p>",
    "<p>One line.</p>",
)
LONG_BODY = "<p>" + "A long text goes on and on, with ümlauts and “quotes”. " * 120 + "</p>"
PEOPLE = (
    "Ines Roy", "Omar Diaz", "Zoë Müller", "Noah Adeyemi", "佐藤 美咲", "Priya Raman", "Łukasz Żak", "Sofía Núñez",
    "Ada O'Brien", "Mehmet Çelik", "Grace Kim", "Björn Åkesson", "Chloé Lefèvre", "Đặng Thị Mai", "Elena Petrova",
    "Tomás Ibáñez", "Yusuf Khan", "Marta Kowalska", "Sam Lee", "Ngozi Okafor",
)  # fmt: skip
GIVEN_NAMES = ("Lea", "Jonas", "Amélie", "Søren", "Inés", "Kofi", "Mei", "Anya", "Luca", "Zofia", "Ravi", "Hana")
FAMILY_NAMES = ("Blum", "García", "Ødegård", "Nowak", "Tanaka", "Smith", "O'Neill", "D'Angelo", "Şahin", "Novák", "Li")


def title(dice: Dice, index: int) -> str:
    """Return a name for a record."""
    throw = dice(index, len(VERBS) * len(SUBJECTS) * len(ENDINGS))
    throw, ending = divmod(throw, len(ENDINGS))
    verb, subject = divmod(throw, len(SUBJECTS))
    return f"{VERBS[verb]} {SUBJECTS[subject]}{ENDINGS[ending]}"


def body(dice: Dice, index: int) -> str:
    """Return rich text; about one in fifty is long."""
    throw = dice(index, len(BODIES) * 50, 1)
    return LONG_BODY if throw == 0 or index == 1 else BODIES[throw % len(BODIES)]
