"""What every destination does with an extraction: landed whole, or not at all.

A destination is added to `DESTINATIONS`; each operation of each test is followed by a look at what must always hold
(`Store.holds_together`).
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_resources.destinations.duckdb import DuckDB, Landed
from connector_resources.destinations.duckdb_tables import PartitionFacts, combined_version, quoted
from connector_resources.errors import (
    ConnectorError,
    DataError,
    IncompleteRead,
    InvalidSlice,
    PartitionMissing,
    SchemaConflict,
    TooManyQuarantined,
)
from connector_resources.schema import Undeclared
from connector_resources.streams import Column, ColumnType, Cursor, Page, ParentRow, Slice, Stream, Window
from tests.landing import (
    Record,
    children,
    close_spools,
    columns,
    daily,
    days,
    key,
    opened,
    page,
    partitions_of,
    snapshot,
    spooled,
    window,
)
from tests.test_schema import DOES_NOT_FIT, FITS

DESTINATIONS: dict[str, Callable[[Path], DuckDB]] = {
    "duckdb": lambda folder: DuckDB(folder / "store.duckdb", folder / "temporary", lock_timeout_seconds=5),
}

MARCH_1, MARCH_2, MARCH_3 = window("2026-03-01"), window("2026-03-02"), window("2026-03-03")
MARCH = window("2026-03-01", "2026-03-04")


class Store:
    """A destination, and what has been landed in it from here."""

    def __init__(self, destination: DuckDB, folder: Path) -> None:
        self.destination = destination
        self.folder = folder
        self.query = destination.query
        self.tables: set[str] = set()

    def land(
        self,
        stream: Stream,
        *records: Record | Page,
        window: Window | None = None,
        partitions: Sequence[str] | None = None,
        run_id: str = "run",
        source: str = "source",
    ) -> Landed:
        """Land records, which come as one page, or pages."""
        pages = [each for each in records if isinstance(each, Page)]
        if not pages:
            pages = [page(*(each for each in records if not isinstance(each, Page)))]
        spool = spooled(self.folder / "spools", stream, pages, Slice(window))
        asked = partitions_of(stream, window) if partitions is None else partitions
        try:
            landed = self.destination.land(source, stream, spool, partitions=asked, window=window, run_id=run_id)
            self.tables.add(table(stream, source=source))
            return landed
        finally:
            spool.discard()
            if table(stream, source=source) in self.tables:
                self.holds_together(stream, source)

    def rows(self, stream: Stream, *names: str, suffix: str = "", source: str = "source") -> list[tuple[Any, ...]]:
        """The values of a table, in order."""
        selected = ", ".join(map(quoted, names or [*(column.name for column in stream.columns), "_partition"]))
        return self.query(f"SELECT {selected} FROM {table(stream, suffix, source)} ORDER BY ALL")

    def holds_together(self, stream: Stream, source: str = "source") -> None:
        """The state tells how many rows each partition has; keys are unique in it; the newest version is current."""
        name, names = table(stream, source=source), ", ".join(map(quoted, stream.primary_key))
        newest = "" if stream.cursor is None else f"{quoted(stream.cursor.column)} DESC NULLS LAST, "
        current = table(stream, "_current", source)
        wrong = f"""
            SELECT 'state' AS what, partition AS which FROM
            (SELECT partition, rows FROM _state WHERE schema = ? AND name = ?) FULL JOIN
            (SELECT _partition AS partition, count(*) AS counted FROM {name} GROUP BY ALL) USING (partition)
            WHERE rows IS DISTINCT FROM coalesce(counted, 0)
            UNION ALL SELECT 'key', _partition FROM {name} GROUP BY {names}, _partition HAVING count(*) > 1
            UNION ALL SELECT 'current', _partition FROM (FROM {name} SELECT {names}, _partition QUALIFY row_number()
            OVER (PARTITION BY {names} ORDER BY {newest}_partition DESC) = 1
            EXCEPT ALL FROM {current} SELECT {names}, _partition)
            UNION ALL SELECT 'not current', _partition FROM (FROM {current} SELECT {names}, _partition EXCEPT ALL
            FROM {name} SELECT {names}, _partition QUALIFY row_number()
            OVER (PARTITION BY {names} ORDER BY {newest}_partition DESC) = 1)
        """
        assert self.query(wrong, [source, stream.name]) == []


def table(stream: Stream, suffix: str = "", source: str = "source") -> str:
    return f"{quoted(source)}.{quoted(stream.name + suffix)}"


@pytest.fixture(params=DESTINATIONS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    yield Store(DESTINATIONS[request.param](tmp_path), tmp_path)
    close_spools()


def at(id: str, instant: str, **values: Any) -> dict[str, Any]:
    return {"id": id, "at": f"2026-03-{instant}:00:00Z", **values}


# -- what is landed is what was sent ----------------------------------------------------------------------------------

LANDED: list[tuple[ColumnType, str, Any]] = [
    ("string", '"text"', "text"),
    ("string", "17", "17"),
    ("string", "123456789012345678901234567890", "123456789012345678901234567890"),
    ("string", '"\\ud83d\\ude00\\u0000\\n\\"\'"', "😀\0\n\"'"),
    ("integer", "-9223372036854775808", -(2**63)),
    ("integer", "9223372036854775807", 2**63 - 1),
    ("number", "17", 17.0),
    ("number", "1e308", 1e308),
    ("number", "0.1", 0.1),
    ("decimal", "0.1", Decimal("0.1")),
    ("decimal", '"17.50"', Decimal("17.5")),
    ("decimal", '"1_000"', Decimal(1000)),
    ("decimal", "1234567890123456.7", Decimal("1234567890123456.7")),
    ("decimal", "1234567890123456789.123456789", Decimal("1234567890123456789.123456789")),
    ("boolean", "false", False),
    ("timestamp", '"2026-03-01T10:00:00Z"', datetime(2026, 3, 1, 10, tzinfo=UTC)),
    ("timestamp", '"2026-03-01T10:00:00.5-02:00"', datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)),
    ("timestamp", '"2026-03-01T10:00:00"', datetime(2026, 3, 1, 10, tzinfo=UTC)),
    ("timestamp", '"2026-03-01T23:59:59.9999999Z"', datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC)),
    ("epoch_ms", "1772359200123", datetime(2026, 3, 1, 10, 0, 0, 123_000, tzinfo=UTC)),
    ("epoch_ms", "-62135596800000", datetime(1, 1, 1, tzinfo=UTC)),
    ("date", '"2024-02-29"', date(2024, 2, 29)),
    ("json", '{"b": [1, null], "a": "é"}', '{"b":[1,null],"a":"é"}'),
    ("json", "123456789012345678901234567890", "123456789012345678901234567890"),
    ("json", '{"a": 0.123456789012345678}', '{"a": 0.123456789012345678}'),
    ("json", '"text"', '"text"'),
    ("json", '{"a": 1, "a": 2}', '{"a":1,"a":2}'),
    ("json", "null", None),
]


REFUSED_BY_A_READER: list[tuple[ColumnType, str, Any]] = [
    ("decimal", '"\u0661\u0662"', Decimal(12)),
    ("timestamp", '"2026-03-01t10:00:00z"', datetime(2026, 3, 1, 10, tzinfo=UTC)),
    ("decimal", "99999999999999999999999999999.999999999", Decimal("99999999999999999999999999999.999999999")),
    ("json", '{"a": 0.123456789012345678}', '{"a": 0.123456789012345678}'),
]


@pytest.mark.parametrize("cases", [LANDED, REFUSED_BY_A_READER], ids=["read as they are", "put right"])
def test_values_are_landed_as_they_were_sent(store: Store, cases: list[tuple[ColumnType, str, Any]]) -> None:
    stream = Stream(
        name="things",
        description="",
        columns=(*columns(id="string"), *(Column(f"{n}", kind, "") for n, (kind, _, _) in enumerate(cases))),
        primary_key=("id",),
    )
    # Each has a page of its own: what makes one page be looked at record by record must not help another.
    store.land(stream, *(page(f'{{"id":"{n}","{n}":{value}}}'.encode()) for n, (_, value, _) in enumerate(cases)))
    rows = {key: values[: len(cases)] for key, *values in store.query("SELECT * FROM source.things")}
    expected = {
        f"{n}": [value if n == other else None for other in range(len(cases))] for n, (_, _, value) in enumerate(cases)
    }
    assert rows == expected


@st.composite
def json_objects(draw: st.DrawFn, types: dict[str, ColumnType]) -> bytes:
    """The text of a record that may fit, may not, and may have fields nobody declared."""
    fields = []
    anything = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    )
    for name, kind in types.items():
        known = [value for each, value in FITS if each == kind and len(value) < 1000]
        known += [value for each, value, _ in DOES_NOT_FIT if each == kind]
        text = draw(st.none() | st.sampled_from(known) | st.builds(json.dumps, anything, ensure_ascii=st.booleans()))
        if text is not None:
            fields.append(f"{json.dumps(name)}: {text}")
    if draw(st.booleans()):
        new = draw(st.dictionaries(st.text(min_size=1).map("new {}".format), anything, max_size=2))
        fields += [f"{json.dumps(name, ensure_ascii=False)}:{json.dumps(value)}" for name, value in new.items()]
    return "{{{}}}".format(", ".join(draw(st.permutations(fields)))).encode()


TYPES: dict[str, ColumnType] = {
    "a string": "string",
    "integer": "integer",
    "number": "number",
    "decimal": "decimal",
    "boolean": "boolean",
    "timestamp": "timestamp",
    "epoch_ms": "epoch_ms",
    "date": "date",
    "json": "json",
}


@pytest.mark.parametrize("destination", DESTINATIONS.values(), ids=DESTINATIONS)
@pytest.mark.parametrize("examples", [15, pytest.param(300, marks=pytest.mark.soak)])
def test_every_record_is_landed_unchanged_or_quarantined_as_it_came(
    destination: Callable[[Path], DuckDB], examples: int
) -> None:
    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(st.lists(json_objects(TYPES), min_size=1, max_size=25))
    def check(records: list[bytes]) -> None:
        stream = snapshot(id="integer", **TYPES)
        numbered = [
            b'{"id":%d%s%s' % (n, b"" if record == b"{}" else b",", record[1:]) for n, record in enumerate(records)
        ]
        folder = Path(tempfile.mkdtemp())
        try:
            store = Store(replace(destination(folder), max_quarantined_share=1.0), folder)
            landed = store.land(stream, *numbered)
            kept = store.query(f"SELECT * FROM {table(stream)}") if landed.rows else []
            aside = store.query(f"SELECT record FROM {table(stream, '_quarantine')}") if landed.quarantined else []
        finally:
            close_spools()
            shutil.rmtree(folder)
        assert (len(kept), len(aside), landed.received) == (landed.rows, landed.quarantined, len(records))
        assert {row[0] for row in kept} | {json.loads(text)["id"] for (text,) in aside} == set(range(len(records)))
        assert {text.encode() for (text,) in aside} <= set(numbered)
        for row in kept:
            sent = json.loads(numbered[row[0]], parse_int=Number, parse_float=Number)
            for (name, kind), stored in zip(TYPES.items(), row[1:], strict=False):
                assert is_same(kind, sent.pop(name, None), stored)
            del sent["id"]
            extra = row[1 + len(TYPES)]
            assert is_same("json", sent or None, extra)

    check()


class Number(str):
    """A number as it was written."""

    __slots__ = ()


def is_same(kind: ColumnType, sent: Any, stored: Any) -> bool:
    """Whether a stored value is the one that was sent."""
    if sent is None or stored is None:
        return sent is None and stored is None
    if kind == "json":
        return is_same_json(sent, json.loads(stored, parse_int=Number, parse_float=Number))
    if kind == "epoch_ms":
        return bool(stored == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(sent)))
    if kind == "timestamp":
        instant = datetime.fromisoformat(sent.upper())
        return bool(stored == (instant if instant.tzinfo else instant.replace(tzinfo=UTC)))
    made: dict[ColumnType, Callable[[Any], Any]] = {
        "string": str,
        "integer": int,
        "number": float,
        "decimal": Decimal,
        "boolean": bool,
        "date": date.fromisoformat,
    }
    return bool(made[kind](sent) == stored)


def is_same_json(sent: Any, stored: Any) -> bool:
    if isinstance(sent, Number):
        is_double = float(sent) == float(stored) and len(Decimal(sent).as_tuple().digits) <= 17
        return isinstance(stored, Number) and (Decimal(sent) == Decimal(stored) or is_double)
    if isinstance(sent, dict):
        return sent.keys() == stored.keys() and all(is_same_json(sent[name], stored[name]) for name in sent)
    if isinstance(sent, list):
        return len(sent) == len(stored) and all(map(is_same_json, sent, stored))
    return bool(type(sent) is type(stored) and sent == stored)


def test_a_field_that_is_there_twice_is_quarantined_and_the_others_are_landed(store: Store) -> None:
    stream = snapshot(id="string", n="integer")
    twice = b'{"id":"x","n":1,"n":2}'
    landed = store.land(stream, *({"id": str(n), "n": n} for n in range(20)), twice)
    assert (landed.rows, landed.quarantined, landed.received) == (20, 1, 21)
    assert landed.first_reason == "expected each field once, got 'n' twice @ $ (page 0)"
    assert store.rows(stream, "record", "reason", suffix="_quarantine") == [
        (twice.decode(), "expected each field once, got 'n' twice @ $")
    ]


def test_fields_nobody_declared_are_kept_as_they_were_sent(store: Store) -> None:
    stream = snapshot(id="string")
    landed = store.land(stream, {"id": "1"}, b'{"id":"2","new":{"a": 1.50},"ID":12345678901234567890.5}')
    assert store.rows(stream, "id", "_extra") == [("1", None), ("2", '{"new":{"a": 1.50},"ID":12345678901234567890.5}')]
    assert landed.undeclared == (Undeclared("new", "object", 1, 0), Undeclared("ID", "number", 1, 0))


ODD_NAMES = (
    ["order", "My-Field", "my_field", "with space", 'a"b', "it's", "😀", "a.b", "rowid", "keep", "target", "a\\b"]
)  # fmt: skip


def test_names_of_columns_are_only_names(store: Store) -> None:
    stream = replace(daily(), columns=(*daily().columns, *(Column(name, "json", "") for name in ODD_NAMES)))
    values = {n: {name: [n, index] for index, name in enumerate(ODD_NAMES)} for n in (1, 2, 3)}
    store.land(stream, at("1", "01T10", **values[1]), at("1", "01T10", **values[2]), window=MARCH_1)
    store.land(stream, at("1", "02T10", **values[3]), window=MARCH_2)
    rows = [tuple(f"[{n},{index}]" for index in range(len(ODD_NAMES))) for n in (2, 3)]
    assert store.rows(stream, *ODD_NAMES) == rows
    assert store.rows(stream, *ODD_NAMES, suffix="_current") == rows[1:]
    frame = store.destination.read_frame("source", "things", current=True)
    assert frame[ODD_NAMES].to_dict("split", index=False)["data"] == [list(rows[1])]


@pytest.mark.parametrize("name", ["order", 'a"b', "it's", "😀", "a.b"])
def test_names_of_streams_and_sources_are_only_names(store: Store, name: str) -> None:
    stream = daily(name, n="integer")
    for number in (1, 2):
        store.land(stream, at("1", "01T10", n=number), source=f"select {name}", window=MARCH_1)
    store.land(replace(stream, columns=daily(n="number", new="json").columns), source=f"select {name}", window=MARCH_2)
    assert store.rows(stream, "n", source=f"select {name}", suffix="_current") == [(2.0,)]
    assert store.destination.landed_partitions(f"select {name}", name) == ["2026-03-01", "2026-03-02"]


@pytest.mark.parametrize("name", ["keep", "rowid", "order", 'a"b'])
def test_a_key_may_have_any_name(store: Store, name: str) -> None:
    stream = replace(daily(), columns=(Column(name, "string", ""), *columns(at="timestamp")), primary_key=(name,))
    stamps = [{name: "1", "at": f"2026-03-0{day}T10:00:00Z"} for day in (1, 1, 2)]
    store.land(stream, *stamps, window=MARCH)
    assert store.rows(stream, name, "_partition", suffix="_current") == [("1", "2026-03-02")]


@pytest.mark.parametrize("name", ["_extra", "_partition", "_Is_Current", "_page", "_loaded_at", "_RUN_ID"])
def test_a_column_that_would_hide_our_own_is_refused(store: Store, name: str) -> None:
    stream = replace(snapshot(id="string"), columns=(*columns(id="string"), Column(name, "string", "")))
    with pytest.raises(SchemaConflict) as told:
        store.land(stream, {"id": "1"})
    assert str(told.value) == f"source.things: the column name {name!r} is taken by our own."


def test_two_thousand_columns_are_landed(store: Store) -> None:
    wide: dict[str, ColumnType] = {f"column {number}": "integer" for number in range(2000)}
    stream = snapshot(id="string", **wide)
    store.land(stream, {"id": "1", **dict(zip(wide, range(2000), strict=True))})
    assert store.rows(stream, *wide) == [tuple(range(2000))]


@pytest.mark.parametrize(("size", "field"), [(5_000_000, "text"), (5_000_000, "new"), (35_000_000, "text")])
def test_a_record_of_many_megabytes_is_landed(store: Store, size: int, field: str) -> None:
    stream = snapshot(id="string", text="string")
    store.land(stream, {"id": "0"}, {"id": "1", field: "x" * size}, {"id": "2"})
    stored = store.query("SELECT id, length(coalesce(text, _extra->>'new')) FROM source.things ORDER BY id")
    assert stored == [("0", None), ("1", size), ("2", None)]


@pytest.mark.parametrize("field", ["about", "new"])
def test_many_records_of_many_kilobytes_are_landed_and_landed_again(store: Store, field: str) -> None:
    stream = snapshot(id="string", about="json")
    for said in ("this", "that"):
        about = {"said": said, "text": "x" * 100_000}
        pages = [page(*({"id": f"{number}-{row}", field: about} for row in range(35))) for number in range(10)]
        store.land(stream, *pages)
        column = "about" if field == "about" else "_extra"
        found = f"FROM source.things WHERE {column}::VARCHAR LIKE '%{said}%' AND length({column}::VARCHAR) > 100000"
        assert store.query(f"SELECT count(*) {found}") == [(350,)]


def test_a_row_of_six_hundred_texts_is_landed_and_landed_again(store: Store) -> None:
    wide: dict[str, ColumnType] = {f"column {number}": "string" for number in range(600)}
    stream = snapshot(id="string", **wide)
    for said in ("this", "that"):
        store.land(stream, {"id": "1", **dict.fromkeys(wide, said)})
        assert store.rows(stream, *wide) == [(said,) * 600]


# -- partitions -------------------------------------------------------------------------------------------------------


def test_a_partition_is_replaced_and_the_others_stay(store: Store) -> None:
    stream = daily(n="integer")
    store.land(stream, at("1", "01T10", n=1), at("2", "02T10", n=1), at("3", "03T10", n=1), window=MARCH)
    store.land(stream, at("4", "02T11", n=2), window=MARCH_2)
    assert store.rows(stream, "id", "_partition") == [("1", "2026-03-01"), ("3", "2026-03-03"), ("4", "2026-03-02")]


def test_an_empty_partition_has_no_rows_and_its_state_says_so(store: Store) -> None:
    stream = daily()
    store.land(stream, at("1", "01T10"), at("2", "02T10"), window=MARCH)
    landed = store.land(stream, window=MARCH_1, run_id="second")
    assert landed.partitions == {"2026-03-01": PartitionFacts(0, f"{0:016x}")}
    assert store.rows(stream, "id") == [("2",)]
    assert store.query("SELECT partition, rows, run_id FROM _state ORDER BY ALL") == [
        ("2026-03-01", 0, "second"),
        ("2026-03-02", 1, "run"),
        ("2026-03-03", 0, "run"),
    ]


def test_an_empty_first_load_makes_the_table(store: Store) -> None:
    stream = snapshot(id="string", n="integer", price="decimal", at="timestamp", day="date", flag="boolean", j="json")
    assert store.land(stream, page()).rows == 0
    assert [row[:2] for row in store.query("DESCRIBE source.things")] == [
        ("id", "VARCHAR"),
        ("n", "BIGINT"),
        ("price", "DECIMAL(38,9)"),
        ("at", "TIMESTAMP WITH TIME ZONE"),
        ("day", "DATE"),
        ("flag", "BOOLEAN"),
        ("j", "JSON"),
        ("_extra", "JSON"),
        ("_partition", "VARCHAR"),
        ("_is_current", "BOOLEAN"),
        ("_page", "INTEGER"),
        ("_loaded_at", "TIMESTAMP WITH TIME ZONE"),
        ("_run_id", "VARCHAR"),
    ]
    assert store.destination.landed_partitions("source", "things") == ["all"]
    assert store.rows(stream, suffix="_current") == []


def test_an_extraction_without_a_page_is_an_empty_partition(store: Store) -> None:
    spool = spooled(store.folder / "spools", snapshot(id="string"), [])
    landed = store.destination.land(
        "source", snapshot(id="string"), spool, partitions=["all"], window=None, run_id="run"
    )
    assert (landed.rows, landed.received) == (0, 0)


@pytest.mark.parametrize("cursor_type", ["timestamp", "epoch_ms", "date"])
def test_a_window_takes_its_start_and_leaves_its_end(store: Store, cursor_type: ColumnType) -> None:
    stream = daily(cursor_type=cursor_type)
    leap_day = window("2024-02-29")
    if cursor_type == "date":
        cursors: list[Any] = ["2024-02-28", "2024-02-29", "2024-03-01"]
        inside = [1]
    else:
        instants = [
            leap_day.start - timedelta(milliseconds=1),
            leap_day.start,
            leap_day.end - timedelta(milliseconds=1),
            leap_day.end,
        ]
        cursors = [
            int(instant.timestamp() * 1000) if cursor_type == "epoch_ms" else instant.isoformat()
            for instant in instants
        ]
        inside = [1, 2]
    landed = store.land(stream, *({"id": str(n), "at": cursor} for n, cursor in enumerate(cursors)), window=leap_day)
    assert store.rows(stream, "id", "_partition") == [(str(n), "2024-02-29") for n in inside]
    assert (landed.received, landed.rows, landed.left_out) == (len(cursors), len(inside), len(cursors) - len(inside))


def test_a_row_lands_in_the_day_of_its_instant_in_utc(store: Store) -> None:
    stream = daily()
    late = {"id": "1", "at": "2026-03-01T23:30:00-01:00"}
    early = {"id": "2", "at": "2026-03-02T00:30:00+01:00"}
    store.land(stream, late, early, window=MARCH)
    assert store.rows(stream, "id", "_partition") == [("1", "2026-03-02"), ("2", "2026-03-01")]


def test_the_facts_of_a_partition_are_its_rows_and_first_and_last_cursor(store: Store) -> None:
    landed = store.land(daily(), at("1", "01T10"), at("2", "01T12"), at("3", "02T10"), window=MARCH)
    facts = {
        partition: (facts.rows, facts.first_cursor, facts.last_cursor) for partition, facts in landed.partitions.items()
    }
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert facts == {
        "2026-03-01": (2, noon - timedelta(hours=2), noon),
        "2026-03-02": (1, noon + timedelta(hours=22), noon + timedelta(hours=22)),
        "2026-03-03": (0, None, None),
    }
    stored = store.query("SELECT partition, rows, data_version, first_cursor, last_cursor FROM _state")
    assert {key: PartitionFacts(*values) for key, *values in stored} == landed.partitions


def test_a_snapshot_is_replaced_whole(store: Store) -> None:
    stream = snapshot(id="string", n="integer")
    store.land(stream, {"id": "1", "n": 1}, {"id": "2", "n": 1})
    store.land(stream, {"id": "2", "n": 2}, {"id": "3", "n": 2}, run_id="second")
    assert store.rows(stream, "id", "n", "_partition", "_run_id") == [
        ("2", 2, "all", "second"),
        ("3", 2, "all", "second"),
    ]


# -- versions of a record ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "kept"),
    [
        ([("01T10", 1), ("01T12", 2), ("01T11", 3)], 2),
        ([("01T12", 1), ("01T11", 2), ("01T10", 3)], 1),
        ([("01T10", 1), ("01T10", 2), ("01T10", 3)], 3),
    ],
)
def test_of_several_copies_in_a_batch_the_newest_is_kept(
    store: Store, versions: list[tuple[str, int]], kept: int
) -> None:
    stream = daily(n="integer")
    pages = [page(at("1", instant, n=n), at(f"other {n}", instant, n=0)) for instant, n in versions]
    landed = store.land(stream, *pages, window=MARCH_1)
    assert (landed.rows, landed.duplicates) == (4, 2)
    assert store.query("SELECT n FROM source.things WHERE id = '1'") == [(kept,)]


def test_a_copy_without_a_cursor_is_the_oldest(store: Store) -> None:
    stream = snapshot(id="string", at="timestamp", n="integer", cursor="at")
    store.land(stream, at("1", "01T10", n=1), {"id": "1", "at": None, "n": 2}, {"id": "1", "n": 3})
    assert store.rows(stream, "n") == [(1,)]


def test_of_copies_without_an_order_the_last_one_is_kept(store: Store) -> None:
    stream = snapshot(id="string", n="integer")
    store.land(stream, *(page(*({"id": "1", "n": 10 * p + r} for r in range(5))) for p in range(4)))
    assert store.rows(stream, "n", "_page") == [(34, 3)]


def test_of_a_record_in_two_partitions_only_the_newest_is_current(store: Store) -> None:
    stream = daily(n="integer")
    store.land(stream, at("1", "02T10", n=2), at("2", "02T10", n=2), window=MARCH_2)
    store.land(stream, at("1", "01T10", n=1), window=MARCH_1)
    assert store.rows(stream, "id", "n", suffix="_current") == [("1", 2), ("2", 2)]
    store.land(stream, at("1", "03T10", n=3), window=MARCH_3)
    assert store.rows(stream, "id", "n", suffix="_current") == [("1", 3), ("2", 2)]
    assert store.rows(stream, "id", "n") == [("1", 1), ("1", 2), ("1", 3), ("2", 2)]


def test_an_older_version_is_current_again_when_the_newer_one_is_gone(store: Store) -> None:
    stream = daily(n="integer")
    store.land(stream, at("1", "01T10", n=1), at("1", "02T10", n=2), at("1", "03T10", n=3), window=MARCH)
    store.land(stream, at("9", "03T10"), window=MARCH_3)
    assert store.rows(stream, "id", "n", suffix="_current") == [("1", 2), ("9", None)]
    store.land(stream, window=window("2026-03-02", "2026-03-04"))
    assert store.rows(stream, "id", "n", suffix="_current") == [("1", 1)]


def test_a_version_without_a_newer_cursor_is_current_in_the_later_partition(store: Store) -> None:
    things = daily()
    parts = children(things, n="integer")
    for day, number in (("2026-03-02", 2), ("2026-03-01", 1)):
        store.land(parts, page({"id": "a", "n": number}, parent=ParentRow({"thing": "1"}, (day,))), partitions=[day])
    assert store.rows(parts, "n", suffix="_current") == [(2,)]


def test_the_newest_cursor_is_current_wherever_its_row_lies(store: Store) -> None:
    parts = children(daily(), at="timestamp")
    parts = replace(parts, cursor=Cursor("at"))
    for day, instant in (("2026-03-01", "09T10"), ("2026-03-02", "05T10"), ("2026-03-03", "07T10")):
        store.land(parts, page(at("a", instant), parent=ParentRow({"thing": "1"}, (day,))), partitions=[day])
    assert store.rows(parts, "_partition", suffix="_current") == [("2026-03-01",)]
    store.land(parts, page(), partitions=["2026-03-01"])
    assert store.rows(parts, "_partition", suffix="_current") == [("2026-03-03",)]


def test_many_records_are_current_in_the_right_partition(store: Store) -> None:
    stream = daily(n="integer")
    for round_, day in enumerate((3, 1, 2, 1, 3, 2)):
        records = [at(str(n), f"0{day}T{n % 24:02}", n=round_) for n in range(0, 60, 1 + round_ % 3)]
        store.land(stream, *records, window=window(f"2026-03-0{day}"))


# -- replays and versions of data -------------------------------------------------------------------------------------


def test_replaying_gives_the_same_rows_and_the_same_data_version(store: Store) -> None:
    stream = daily(n="integer", j="json")
    spool = spooled(
        store.folder / "spools",
        stream,
        [page(*(at(str(n), f"0{1 + n % 3}T10", n=n, j=[n]) for n in range(30))), page(at("1", "01T11", n=0))],
        Slice(MARCH),
    )
    seen = []
    for run in range(3):
        landed = store.destination.land(
            "source", stream, spool, partitions=days(MARCH), window=MARCH, run_id=f"run {run}"
        )
        store.holds_together(stream)
        seen.append((landed.partitions, landed.data_version, store.rows(stream)))
    assert seen == [seen[0]] * 3
    assert len(store.query("SELECT * FROM _state")) == 3


def version(store: Store, *records: Record) -> str:
    return store.land(snapshot(id="string", n="integer", j="json"), *records).data_version


def test_a_data_version_does_not_depend_on_the_order_of_the_rows(store: Store) -> None:
    records = [{"id": str(n), "n": n} for n in range(100)]
    assert version(store, *records) == version(store, *records[::-1])


def test_a_data_version_changes_with_any_value(store: Store) -> None:
    records: list[Record] = [
        {"id": "1", "n": 1},
        {"id": "1", "n": 2},
        {"id": "2", "n": 1},
        {"id": "1"},
        {"id": "1", "n": 1, "new": 1},
        {"id": "1", "n": 1, "j": [1]},
    ]
    versions = [version(store, record) for record in records]
    versions += [version(store, *records[1:3])]
    assert len(set(versions)) == len(versions)


def test_equal_rows_do_not_cancel_out_in_a_data_version(store: Store) -> None:
    def version(*values: int) -> str:
        frame = pd.DataFrame({"n": pd.Series(values, dtype="int64")})
        facts = store.destination.write_frame("frames", "f", frame, partitions=["all"], run_id="run")
        return facts["all"].data_version

    assert len({version(), version(1), version(1, 1), version(1, 1, 1), version(2, 2)}) == 5


def test_equal_partitions_do_not_cancel_out_in_a_data_version() -> None:
    one, other = PartitionFacts(1, "00000000000000ff"), PartitionFacts(1, "000000000000ff00")
    versions = [
        combined_version({"a": one, "b": one}),
        combined_version({"a": other, "b": other}),
        combined_version({"a": one, "b": other}),
        combined_version({"a": other, "b": one}),
        combined_version({"a": one, "b": one, "c": one}),
        combined_version({"a": one}),
    ]
    assert (len(set(versions)), versions[-1]) == (6, one.data_version)
    assert combined_version({"b": other, "a": one}) == versions[2]


# -- columns that change ----------------------------------------------------------------------------------------------


def test_columns_are_matched_by_name_when_their_order_changes(store: Store) -> None:
    store.land(daily(a="integer", b="integer"), at("1", "01T10", a=1, b=10), window=MARCH_1)
    store.land(daily(b="integer", a="integer"), at("2", "02T10", a=2, b=20), window=MARCH_2)
    assert store.rows(daily(), "id", "a", "b") == [("1", 1, 10), ("2", 2, 20)]


def test_a_new_column_is_null_in_older_rows_and_current_at_once(store: Store) -> None:
    store.land(daily(), at("1", "01T10"), window=MARCH_1)
    wider = daily(n="integer", j="json")
    store.land(wider, at("2", "02T10", n=2, j=[2]), window=MARCH_2)
    assert store.rows(wider, "id", "n", "j") == [("1", None, None), ("2", 2, "[2]")]
    assert store.rows(wider, "id", "n", "j", suffix="_current") == [("1", None, None), ("2", 2, "[2]")]


def test_a_column_that_is_no_longer_declared_keeps_its_older_values(store: Store) -> None:
    store.land(daily(n="integer"), at("1", "01T10", n=1), window=MARCH_1)
    store.land(daily(), at("2", "02T10"), window=MARCH_2)
    assert store.rows(daily(n="integer"), "id", "n") == [("1", 1), ("2", None)]


def test_a_column_whose_name_changes_its_case_stays_one_column(store: Store) -> None:
    store.land(daily(name="string"), at("1", "01T10", name="a"), window=MARCH_1)
    store.land(daily(Name="string"), at("2", "02T10", Name="b"), window=MARCH_2)
    assert store.rows(daily(), "id", "name") == [("1", "a"), ("2", "b")]


WIDENED: list[tuple[ColumnType, Any, ColumnType, Any, list[Any]]] = [
    ("integer", 2**53, "number", 2.5, [float(2**53), 2.5]),
    ("integer", 2**63 - 1, "decimal", "2.5", [Decimal(2**63 - 1), Decimal("2.5")]),
    ("integer", 1, "string", "b", ["1", "b"]),
    ("integer", 1, "json", [2], ["1", "[2]"]),
    ("boolean", True, "string", "b", ["true", "b"]),
    ("boolean", True, "json", [2], ["true", "[2]"]),
    ("number", 2.5, "string", "b", ["2.5", "b"]),
    ("decimal", "2.5", "string", "b", ["2.500000000", "b"]),
    ("date", "2026-03-01", "string", "b", ["2026-03-01", "b"]),
    ("timestamp", "2026-03-01T10:00:00Z", "string", "b", ["2026-03-01 10:00:00+00", "b"]),
    ("json", {"a": 1}, "string", "b", ['{"a":1}', "b"]),
    (
        "timestamp",
        "2026-03-01T10:00:00Z",
        "epoch_ms",
        0,
        [datetime(2026, 3, 1, 10, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)],
    ),
]


def test_columns_become_wider_and_keep_their_values(store: Store) -> None:
    cases = list(enumerate(WIDENED))
    before, after = daily(**{f"v{n}": case[0] for n, case in cases}), daily(**{f"v{n}": case[2] for n, case in cases})
    first, second = {f"v{n}": case[1] for n, case in cases}, {f"v{n}": case[3] for n, case in cases}
    store.land(before, at("1", "01T10", **first), window=MARCH_1)
    store.land(after, at("2", "02T10", **second), window=MARCH_2)
    expected = [(str(n + 1), *(case[4][n] for case in WIDENED)) for n in range(2)]
    for suffix in ("", "_current"):
        stored = store.query(f"SELECT id, {', '.join(first)} FROM {table(after, suffix)} ORDER BY id")
        assert stored == expected


@pytest.mark.parametrize(
    ("stored", "first", "declared", "second", "value"),
    [
        ("number", 2.5, "integer", 2**53, float(2**53)),
        ("string", "b", "integer", 2, "2"),
        ("json", [1], "integer", 2, "2"),
        ("decimal", "2.5", "integer", 2, Decimal(2)),
        ("string", "b", "json", {"a": 1}, '{"a":1}'),
    ],
)
def test_a_wider_column_takes_narrower_values(
    store: Store, stored: ColumnType, first: Any, declared: ColumnType, second: Any, value: Any
) -> None:
    store.land(daily(v=stored), at("1", "01T10", v=first), window=MARCH_1)
    store.land(daily(v=declared), at("2", "02T10", v=second), window=MARCH_2)
    assert store.query("SELECT v FROM source.things WHERE id = '2'") == [(value,)]


@pytest.mark.parametrize(
    ("before", "first", "after", "second", "stored_as", "declared_as", "choices"),
    [
        ("timestamp", "2026-03-01T10:00:00Z", "integer", 1, "TIMESTAMP WITH TIME ZONE", "BIGINT", "VARCHAR"),
        ("date", "2026-03-01", "timestamp", None, "DATE", "TIMESTAMP WITH TIME ZONE", "VARCHAR"),
        ("number", 2.5, "decimal", None, "DOUBLE", "DECIMAL(38,9)", "VARCHAR"),
        ("boolean", True, "integer", None, "BOOLEAN", "BIGINT", "VARCHAR or JSON"),
        ("integer", 2**53 + 1, "number", 1, "BIGINT", "DOUBLE", "DECIMAL(38,9) or DOUBLE or VARCHAR or JSON"),
        ("number", 2.5, "integer", 2**53 + 1, "DOUBLE", "BIGINT", "VARCHAR"),
    ],
)
def test_a_change_that_values_would_not_survive_is_refused(
    store: Store,
    before: ColumnType,
    first: Any,
    after: ColumnType,
    second: Any,
    stored_as: str,
    declared_as: str,
    choices: str,
) -> None:
    store.land(daily(v=before), at("1", "01T10", v=first), window=MARCH_1)
    rows = store.rows(daily(v=before))
    with pytest.raises(SchemaConflict) as told:
        store.land(daily(v=after), at("2", "01T11", v=second), window=MARCH_1)
    assert str(told.value) == (
        f"source.things 2026-03-01: column 'v' is stored as {stored_as} and declared as {declared_as}; values would "
        f"not survive the change. Declare it as {stored_as} or {choices}, or drop the table and materialise all "
        "partitions again."
    )
    assert store.rows(daily(v=before)) == rows


# -- failures ---------------------------------------------------------------------------------------------------------


def everything(store: Store) -> dict[str, Any]:
    """All that is stored, by table."""
    tables = store.query(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'store' ORDER BY ALL"
    )
    return {
        f"{schema}.{name}": (
            store.query(f"DESCRIBE {quoted(schema)}.{quoted(name)}"),
            store.query(f"SELECT * FROM {quoted(schema)}.{quoted(name)} ORDER BY ALL"),
        )
        for schema, name in tables
    }


def land_incomplete(store: Store) -> None:
    spool = opened(store.folder / "spools", key(daily()))
    with spool.writing() as writer:
        writer.append(page(at("9", "01T10"), token="more"))
    store.destination.land("source", daily(), spool, partitions=["2026-03-01"], window=MARCH_1, run_id="failed")


def land_damaged(store: Store) -> None:
    spool = spooled(store.folder / "spools", daily(), [page(at("9", "01T10"))])
    spool.pages_file.write_bytes(spool.pages_file.read_bytes().replace(b"9", b"8"))
    store.destination.land("source", daily(), spool, partitions=["2026-03-01"], window=MARCH_1, run_id="failed")


FAILURES: list[tuple[str, Callable[[Store], object], type[ConnectorError], str]] = [
    (
        "a type that cannot change",
        lambda store: store.land(daily(n="date"), at("9", "01T10"), window=MARCH_1, run_id="failed"),
        SchemaConflict,
        "source.things 2026-03-01: column 'n' is stored as BIGINT and declared as DATE; values would not survive the ",
    ),
    (
        "too many bad records",
        lambda store: store.land(
            daily(n="integer"), at("9", "01T10", n="x"), *(at(str(n), "01T10") for n in range(8)), window=MARCH_1
        ),
        TooManyQuarantined,
        "source.things 2026-03-01: 1 of 9 records do not fit their declaration; the first: expected integer, got ",
    ),
    (
        "a row of another partition",
        lambda store: store.land(daily(), at("9", "01T10"), at("8", "03T10"), window=MARCH, partitions=["2026-03-01"]),
        InvalidSlice,
        "There are rows of 2026-03-03, which is not among the partitions being written (2026-03-01). Leave them out, ",
    ),
    (
        "an extraction that is not complete",
        land_incomplete,
        IncompleteRead,
        "source.things 2026-03-01: the extraction has not come to its end. Run it again; it goes on from there.",
    ),
    ("a damaged page", land_damaged, DataError, "source.things: page 0 of the spool "),
]


@pytest.mark.parametrize(
    ("write", "error", "message"), [case[1:] for case in FAILURES], ids=[case[0] for case in FAILURES]
)
def test_a_failed_write_leaves_everything_as_it_was(
    store: Store, write: Callable[[Store], object], error: type[ConnectorError], message: str
) -> None:
    store.land(daily(n="integer"), at("1", "01T10", n=1), at("2", "02T10", n=2), window=MARCH)
    before = everything(store)
    with pytest.raises(error) as told:
        write(store)
    assert str(told.value).startswith(message)
    assert everything(store) == before
    store.land(daily(n="integer"), at("3", "01T10", n=3), window=MARCH_1)
    assert store.rows(daily(), "id") == [("2",), ("3",)]


# -- quarantine -------------------------------------------------------------------------------------------------------


def test_quarantined_records_are_replaced_with_their_partition(store: Store) -> None:
    stream = daily(n="integer")
    tolerant = Store(replace(store.destination, max_quarantined_share=1.0), store.folder)
    bad = [at("1", "01T10", n="x"), at("2", "02T10", n="y"), at("3", "02T11", n=3)]
    landed = tolerant.land(stream, *bad, window=MARCH)
    assert (landed.quarantined, landed.rows, landed.left_out) == (2, 1, 0)
    tolerant.land(stream, at("1", "01T12", n=1), window=MARCH_1, run_id="second")
    assert store.rows(stream, "record", "reason", "_page", "_partition", "_run_id", suffix="_quarantine") == [
        (json.dumps(bad[1]), 'expected integer, got "y" @ $.n', 0, "2026-03-02", "run")
    ]
    tolerant.land(stream, window=MARCH)
    assert store.rows(stream, "record", suffix="_quarantine") == []


@pytest.mark.parametrize(
    ("record", "partition"),
    [
        (at("1", "02T10", n="x"), ["2026-03-02"]),
        ({"id": "1", "at": "n/a"}, ["2026-03-01"]),
        ({"id": "1", "at": "2026-03-03T00:30:00+01:00", "n": "x"}, ["2026-03-02"]),
    ],
)
def test_a_quarantined_record_lies_in_the_partition_of_its_cursor(
    store: Store, record: Record, partition: list[str]
) -> None:
    stream = daily(n="integer")
    good = [at(str(n), f"{day}T10") for n in range(10) for day in ("01", "02")]
    landed = store.land(stream, *good, record, window=MARCH)
    assert (landed.quarantined, landed.rows, landed.left_out) == (1, 20, 0)
    assert [row[0] for row in store.rows(stream, "_partition", suffix="_quarantine")] == partition


def some(count: int, instant: str, **values: Any) -> list[Record]:
    return [at(f"{instant} {n} {values}", instant, **values) for n in range(count)]


NO_CURSOR: Record = {"id": "none", "at": "n/a"}
PARTS = children(daily(), n="integer")


@pytest.mark.parametrize(
    ("stream", "records", "within", "told_of"),
    [
        # Everything there is of an old day is bad, and the API has listed a thousand others after it.
        (daily(n="integer"), [*some(18, "01T10", n="x"), *some(994, "04T10")], MARCH_1, "2026-03-01: 18 of 18"),
        (daily(n="integer"), [*some(9, "01T10"), *some(9, "02T10"), *some(1, "02T11", n="x"), *some(1, "03T10", n="x")],
         MARCH, "2026-03-03: 1 of 1"),
        (daily(n="integer"), [*some(2, "03T10", n="x"), *some(99, "01T10"), *some(3, "02T10", n="x")],
         MARCH, "2026-03-02: 3 of 3"),
        (daily(n="integer"), [*some(8, "01T10"), NO_CURSOR, *some(99, "02T10")], MARCH, "2026-03-01: 1 of 9"),
        (daily(n="integer"), [NO_CURSOR, *some(99, "04T10")], MARCH_1, "2026-03-01: 1 of 1"),
        (snapshot(id="string", n="integer"), [{"id": "1", "n": "x"}, {"id": "2"}], None, "all: 1 of 2"),
        (
            PARTS,
            [
                page(*({"id": str(n)} for n in range(99)), parent=ParentRow({"thing": "1"}, ("2026-03-01",))),
                page({"id": "1", "n": "x"}, parent=ParentRow({"thing": "2"}, ("2026-03-01", "2026-03-02"))),
            ],
            None,
            "2026-03-02: 1 of 1",
        ),
    ],
)  # fmt: skip
def test_a_partition_with_too_many_bad_records_is_refused_however_many_others_were_received(
    store: Store, stream: Stream, records: list[Record | Page], within: Window | None, told_of: str
) -> None:
    partitions = days(MARCH) if stream is PARTS else None
    store.land(stream, window=within, partitions=partitions)
    before = everything(store)
    with pytest.raises(TooManyQuarantined) as told:
        store.land(stream, *records, window=within, partitions=partitions)
    assert str(told.value).startswith(f"source.{stream.name} {told_of} records do not fit their declaration; the first")
    assert everything(store) == before


def test_a_refusal_names_the_first_reason_of_its_partition_and_how_many_more_there_are(store: Store) -> None:
    records = [*some(1, "03T10", n="z"), *some(9, "01T10"), *some(1, "01T11", n="x"), *some(1, "02T10", n="y")]
    with pytest.raises(TooManyQuarantined) as told:
        store.land(daily(n="integer"), page(*records[:5]), page(*records[5:]), window=MARCH)
    assert str(told.value) == (
        'source.things 2026-03-02: 1 of 1 records do not fit their declaration; the first: expected integer, got "y" @ '
        "$.n (page 1) (and too many in 1 more partitions). The table is as it was. Correct the declaration of the "
        "column and run again."
    )


def test_bad_records_outside_the_window_neither_count_nor_are_kept(store: Store) -> None:
    stream = daily(n="integer")
    landed = store.land(stream, *some(1000, "04T00", n="x"), *some(3, "01T10"), window=MARCH_1)
    assert (landed.rows, landed.quarantined, landed.first_reason, landed.left_out) == (3, 0, None, 1000)
    landed = store.land(
        stream, *some(5, "04T00", n="outside"), *some(1, "01T11", n="y"), *some(9, "01T10"), window=MARCH_1
    )
    assert (landed.rows, landed.quarantined, landed.left_out) == (9, 1, 5)
    assert landed.first_reason == 'expected integer, got "y" @ $.n (page 0)'
    assert [row[0] for row in store.rows(stream, "_partition", suffix="_quarantine")] == ["2026-03-01"]


def test_a_thousand_quarantined_records_are_kept(store: Store) -> None:
    stream = snapshot(id="string", n="integer")
    bad = [{"id": str(n), "n": "x"} for n in range(1000)]
    store.land(stream, *bad, *({"id": f"good {n}"} for n in range(9000)))
    assert store.rows(stream, "record", suffix="_quarantine") == sorted((json.dumps(record),) for record in bad)


# -- tables that were landed before a column was declared --------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "told_of"),
    [
        (
            lambda store: store.destination.parent_rows(
                "source", children(daily(new="integer"), unless_empty="new"), ["2026-03-01"]
            ),
            "source.things has no column 'new' (columns: id, at)",
        ),
        (
            lambda store: store.destination.read_frame("source", "things", columns={"id": "id", "n": "new"}),
            "source.things has no column 'new' (columns: id, at)",
        ),
        (
            lambda store: store.destination.read_frame("source", "things", columns={"n": "new.name"}),
            "source.things has no column 'new' (columns: id, at)",
        ),
        (lambda store: store.query("SELECT new FROM source.things"), "source.things has no column 'new'"),
        (lambda store: store.query('SELECT t."new" FROM source.things t'), "source.things has no column 'new'"),
        (
            lambda store: store.query("SELECT t.new FROM source.things t JOIN source.things USING (id)"),
            "A table of 'SELECT t.new FROM source.things t JOIN source.things USING (id)' has no column 'new'",
        ),
    ],
)
def test_a_column_that_a_table_does_not_have_is_named(
    store: Store, read: Callable[[Store], object], told_of: str
) -> None:
    store.land(daily(), at("1", "01T10"), window=MARCH_1)
    with pytest.raises(SchemaConflict) as told:
        read(store)
    assert str(told.value) == (
        f"{told_of}. It may have been landed before the column was declared: materialise it again, and then what is "
        "made from it."
    )


# -- substreams -------------------------------------------------------------------------------------------------------


def test_rows_of_a_substream_land_in_each_partition_of_their_parent(store: Store) -> None:
    things = daily()
    store.land(things, at("1", "01T10"), at("1", "02T10"), at("2", "02T10"), window=MARCH)
    parts = children(things, n="integer")
    parents = store.destination.parent_rows("source", parts, days(MARCH))
    assert parents == (
        ParentRow({"thing": "1"}, ("2026-03-01", "2026-03-02")),
        ParentRow({"thing": "2"}, ("2026-03-02",)),
    )
    pages = [
        page({"id": "a", "n": 1}, {"id": "b", "n": 2}, parent=parents[0]),
        page({"id": "a", "n": 3}, parent=parents[1]),
    ]
    landed = store.land(parts, *pages, partitions=days(MARCH))
    assert store.rows(parts) == [
        ("a", 1, "1", "2026-03-01"),
        ("a", 1, "1", "2026-03-02"),
        ("a", 3, "2", "2026-03-02"),
        ("b", 2, "1", "2026-03-01"),
        ("b", 2, "1", "2026-03-02"),
    ]
    assert [facts.rows for facts in landed.partitions.values()] == [2, 3, 0]
    assert store.rows(parts, "parent_id", "id", suffix="_current") == [("1", "a"), ("1", "b"), ("2", "a")]


def test_a_quarantined_row_of_a_substream_lies_in_each_partition_of_its_parent(store: Store) -> None:
    parts = children(daily(), n="integer")
    parent = ParentRow({"thing": "1"}, ("2026-03-01", "2026-03-02"))
    good = [{"id": str(n)} for n in range(10)]
    store.land(parts, page(*good, {"id": "x", "n": "y"}, parent=parent), partitions=["2026-03-01", "2026-03-02"])
    assert store.rows(parts, "_partition", suffix="_quarantine") == [("2026-03-01",), ("2026-03-02",)]


@pytest.mark.parametrize(("kind", "nothing"), [("integer", 0), ("json", [])])
def test_parents_are_asked_unless_their_own_count_says_they_have_nothing(
    store: Store, kind: ColumnType, nothing: object
) -> None:
    things = snapshot(id="string", parts=kind)
    something = [1] if kind == "json" else 1
    store.land(things, *({"id": str(n), "parts": value} for n, value in enumerate((nothing, something, None))))
    parts = children(things, unless_empty="parts")
    assert store.destination.parent_rows("source", parts, None) == (
        ParentRow({"thing": "1"}, ()),
        ParentRow({"thing": "2"}, ()),
    )


def test_each_parent_is_asked_once_and_in_a_stable_order(store: Store) -> None:
    things = Stream(
        name="things",
        description="",
        columns=columns(id="string", owner="integer"),
        primary_key=("id",),
    )
    parts = children(things)
    assert parts.parent is not None
    parts = replace(parts, parent=replace(parts.parent, fields={"thing": "owner"}))
    store.land(things, *({"id": str(n), "owner": owner} for n, owner in enumerate((20, 3, 20, None, 100, 3))))
    assert store.destination.parent_rows("source", parts, None) == tuple(
        ParentRow({"thing": owner}) for owner in (3, 20, 100)
    )


def test_only_current_parents_are_asked_when_no_partition_is_named(store: Store) -> None:
    things = daily(owner="string")
    parts = children(things)
    assert parts.parent is not None
    parts = replace(parts, parent=replace(parts.parent, fields={"thing": "owner"}))
    store.land(things, at("1", "01T10", owner="old"), at("1", "02T10", owner="new"), window=MARCH)
    assert store.destination.parent_rows("source", parts, None) == (ParentRow({"thing": "new"}, ("2026-03-02",)),)
    assert store.destination.parent_rows("source", parts, ["2026-03-01"]) == (
        ParentRow({"thing": "old"}, ("2026-03-01",)),
    )


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        (["2026-03-09"], "partition 2026-03-09 has not been landed in {path}."),
        (
            ["2026-03-01", "2026-03-08", "2026-03-09"],
            "partition 2026-03-08 has not been landed in {path} (and 1 more).",
        ),
    ],
)
def test_partitions_that_were_never_landed_are_named(store: Store, asked: list[str], what: str) -> None:
    things = daily()
    store.land(things, at("1", "01T10"), window=MARCH)
    message = f"source.things: {what.format(path=store.destination.path)} Materialise source/things first."
    for read in (
        lambda: store.destination.read_frame("source", "things", partitions=asked),
        lambda: store.destination.parent_rows("source", children(things), asked),
    ):
        with pytest.raises(PartitionMissing) as told:
            read()
        assert str(told.value) == message


def test_a_table_and_a_database_that_are_not_there_are_named(store: Store) -> None:
    path = store.destination.path
    with pytest.raises(PartitionMissing) as told:
        store.destination.read_frame("source", "things")
    assert str(told.value) == f"There is no database {path} yet. Materialise an asset first."
    assert store.destination.landed_partitions("source", "things") == []
    assert not path.exists()
    store.land(snapshot("others", id="string"), {"id": "1"})
    with pytest.raises(PartitionMissing) as told:
        store.destination.read_frame("source", "things")
    assert str(told.value) == (f"source.things: nothing has been landed in {path}. Materialise source/things first.")


def test_landed_partitions_are_listed_in_order_with_the_empty_ones(store: Store) -> None:
    store.land(daily(), at("3", "03T10"), window=MARCH_3)
    store.land(daily(), window=MARCH_1)
    assert store.destination.landed_partitions("source", "things") == ["2026-03-01", "2026-03-03"]
    assert store.destination.landed_partitions("source", "other") == []


def test_the_preview_is_the_five_newest_rows(store: Store) -> None:
    landed = store.land(daily(), *(at(str(n), f"01T0{n}") for n in range(9)), window=MARCH_1)
    assert [row["id"] for row in landed.preview] == ["8", "7", "6", "5", "4"]


# -- frames -----------------------------------------------------------------------------------------------------------


def times(*texts: str | None) -> "pd.Series[Any]":
    return pd.Series([pd.NaT if text is None else pd.Timestamp(text) for text in texts], dtype="datetime64[us]")


def instants(*texts: str | None) -> "pd.Series[Any]":
    localized: pd.Series[Any] = times(*texts).dt.tz_localize("UTC")
    return localized


FRAMES: dict[str, "pd.Series[Any]"] = {
    "integers": pd.Series([1, 2**62 + 1, -1]),
    "small integers": pd.Series([1, 2, 3], dtype="int32"),
    "uint8": pd.Series([1, 2, 255], dtype="uint8"),
    "Int64": pd.Series([2**62 + 1, None, 3], dtype="Int64"),
    "Int64 without nulls": pd.Series([1, 2, 3], dtype="Int64"),
    "Int32": pd.Series([1, None, 3], dtype="Int32"),
    "Float64": pd.Series([1.5, None, 3], dtype="Float64"),
    "doubles": pd.Series([1.5, None, 0.1]),
    "bool": pd.Series([True, False, True]),
    "boolean": pd.Series([True, None, False], dtype="boolean"),
    "boolean without nulls": pd.Series([True, True, False], dtype="boolean"),
    "str": pd.Series(["a", None, "😀"]),
    "string": pd.Series(["a", None, ""], dtype="string"),
    "category": pd.Series(["b", None, "a"], dtype="category"),
    "instants": instants("2026-03-01T10:00:00.123456", None, "2024-02-29"),
    "times without zone": times("2026-03-01T10:00:00", None, "2024-02-29"),
    "nanoseconds without zone": pd.Series([pd.Timestamp("2026-03-01T10:00:00.123456789"), pd.NaT, pd.NaT]),
    "all null str": pd.Series([None, None, None], dtype="str"),
    "all null float64": pd.Series([None, None, None], dtype="float64"),
    "all null Int64": pd.Series([None, None, None], dtype="Int64"),
    "all null boolean": pd.Series([None, None, None], dtype="boolean"),
    "all null category": pd.Series([None, None, None], dtype=pd.CategoricalDtype(pd.Index([], dtype="str"))),
    "all null instants": pd.Series([None, None, None], dtype="datetime64[us, UTC]"),
}


@pytest.mark.parametrize("rows", [3, 0])
def test_a_frame_comes_back_as_it_was(store: Store, rows: int) -> None:
    frame = pd.DataFrame(FRAMES)[:rows]
    if rows == 0:
        frame["category"] = frame["category"].cat.remove_unused_categories()
    facts = store.destination.write_frame("frames", "all kinds", frame, partitions=["all"], run_id="run")
    assert facts["all"].rows == rows
    pd.testing.assert_frame_equal(store.destination.read_frame("frames", "all kinds"), frame)


def test_a_frame_in_another_zone_comes_back_in_utc(store: Store) -> None:
    utc = instants("2026-03-01T10:00:00", None)
    frame = pd.DataFrame({"at": utc.dt.tz_convert("America/New_York")})
    store.destination.write_frame("frames", "f", frame, partitions=["all"], run_id="run")
    pd.testing.assert_frame_equal(store.destination.read_frame("frames", "f"), pd.DataFrame({"at": utc}))


def test_a_frame_written_whole_replaces_its_columns_too(store: Store) -> None:
    first = pd.DataFrame({"a": [1], "b": ["x"]})
    second = pd.DataFrame({"c": [True, False], "a": ["text", None]})
    for frame in (first, second, first[:0], second):
        store.destination.write_frame("frames", "f", frame, partitions=["all"], run_id="run")
        pd.testing.assert_frame_equal(store.destination.read_frame("frames", "f"), frame)


def dated(*days: int, **values: Any) -> pd.DataFrame:
    return pd.DataFrame({"at": instants(*(f"2026-03-0{day}T10" for day in days)), **values})


def test_a_frame_is_written_partition_by_partition(store: Store) -> None:
    def write(frame: pd.DataFrame, partitions: list[str]) -> dict[str, int]:
        facts = store.destination.write_frame(
            "frames", "f", frame, partitions=partitions, run_id="run", partition_column="at"
        )
        return {partition: facts.rows for partition, facts in facts.items()}

    assert write(dated(1, 1, 2, n=[1, 2, 3]), days(MARCH)) == {"2026-03-01": 2, "2026-03-02": 1, "2026-03-03": 0}
    assert write(dated(1, n=[4]), ["2026-03-01"]) == {"2026-03-01": 1}
    assert write(dated(3, more=["x"], n=[2.5]), ["2026-03-03"]) == {"2026-03-03": 1}
    read = store.destination.read_frame
    pd.testing.assert_frame_equal(
        read("frames", "f"), dated(1, 2, 3, n=[4.0, 3.0, 2.5], more=pd.Series([None, None, "x"], dtype="str"))
    )
    pd.testing.assert_frame_equal(
        read("frames", "f", partitions=["2026-03-02"]), dated(2, n=[3.0], more=pd.Series([None], dtype="str"))
    )
    assert store.destination.landed_partitions("frames", "f") == days(MARCH)


def test_a_frame_of_a_day_that_is_not_being_written_is_refused(store: Store) -> None:
    def write(frame: pd.DataFrame) -> None:
        store.destination.write_frame(
            "frames", "f", frame, partitions=["2026-03-01"], run_id="run", partition_column="at"
        )

    write(dated(1, n=[1]))
    before = everything(store)
    with pytest.raises(InvalidSlice) as told:
        write(dated(1, 2, n=[2, 2]))
    assert str(told.value) == (
        "There are rows of 2026-03-02, which is not among the partitions being written (2026-03-01). Leave them out, "
        "or write that partition too."
    )
    assert everything(store) == before


@pytest.mark.parametrize("values", [[{"a": 1}], [[1, 2]], [b"bytes"], ["text", 1]])
def test_a_column_of_objects_that_are_not_text_is_refused(store: Store, values: list[Any]) -> None:
    with pytest.raises(SchemaConflict) as told:
        store.destination.write_frame(
            "frames", "f", pd.DataFrame({"v": pd.Series(values, dtype=object)}), partitions=["all"], run_id="run"
        )
    assert str(told.value) == "frames.f: the column 'v' holds objects that are not text. Give it a dtype."
    assert not store.destination.path.exists()


def test_a_frame_may_have_any_names(store: Store) -> None:
    frame = pd.DataFrame({"order": [1], "my column": [2], 'a"b': [3], "😀": [4], "rowid": [5]})
    store.destination.write_frame("select.from", "group", frame, partitions=["all"], run_id="run")
    read = store.destination.read_frame("select.from", "group", columns={str(name): str(name) for name in frame})
    pd.testing.assert_frame_equal(read, frame)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a", "B", "b"], "the columns 'B' and 'b' differ at most in case. Rename one."),
        (["a", "a"], "the columns 'a' and 'a' differ at most in case. Rename one."),
        (["a", "_partition"], "the column name '_partition' is taken by our own."),
        (["_LOADED_AT"], "the column name '_LOADED_AT' is taken by our own."),
    ],
)
def test_columns_of_a_frame_that_cannot_be_told_apart_are_refused(store: Store, names: list[str], reason: str) -> None:
    frame = pd.DataFrame([list(range(len(names)))], columns=names)
    with pytest.raises(SchemaConflict) as told:
        store.destination.write_frame("frames", "f", frame, partitions=["all"], run_id="run")
    assert str(told.value) == f"frames.f: {reason}"


def test_columns_of_a_frame_reach_into_json(store: Store) -> None:
    dotted: dict[str, ColumnType] = {"a.b": "string"}
    stream = snapshot(id="string", status="json", **dotted)
    store.land(
        stream,
        {"id": "1", "status": {"name": "Shipped", "deep": {"n": 1}, "list": [1, 2]}, "a.b": "whole"},
        {"id": "2", "status": None},
        {"id": "3", "status": "text"},
    )
    chosen = {"key": "id", "name": "status.name", "n": "status.deep.n", "list": "status.list", "dotted": "a.b"}
    frame = store.destination.read_frame("source", "things", columns=chosen)
    nothing = dict.fromkeys(("name", "n", "list", "dotted"))
    expected = [
        {"key": "1", "name": "Shipped", "n": "1", "list": "[1,2]", "dotted": "whole"},
        {"key": "2", **nothing},
        {"key": "3", **nothing},
    ]
    pd.testing.assert_frame_equal(frame, pd.DataFrame(expected, dtype="str"))


def test_a_frame_of_a_stream_has_its_types_whatever_its_rows(store: Store) -> None:
    stream = daily(n="number", name="string", j="json")
    store.land(stream, at("1", "01T10", n=1, name="a", j=[1]), at("2", "02T10"), window=MARCH)
    dtypes = ["str", "datetime64[us, UTC]", "float64", "str", "str"]
    for partitions in (["2026-03-01"], ["2026-03-02"], ["2026-03-03"], days(MARCH)):
        frame = store.destination.read_frame("source", "things", partitions=partitions)
        assert [str(kind) for kind in frame.dtypes] == dtypes
    assert list(frame.columns) == ["id", "at", "n", "name", "j"]


def test_a_frame_of_a_stream_has_all_versions_or_the_newest(store: Store) -> None:
    store.land(daily(), at("1", "01T10"), at("1", "02T10"), window=MARCH)
    assert len(store.destination.read_frame("source", "things")) == 2
    newest = store.destination.read_frame("source", "things", current=True)
    assert newest["at"].tolist() == [datetime(2026, 3, 2, 10, tzinfo=UTC)]
