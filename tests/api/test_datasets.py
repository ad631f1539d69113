"""Datasets: every way out shows the same rows with the same values, and filters hold for all of them.

Arrow and SQLAlchemy, which need extras, have tests of their own: `test_arrow.py`, `test_sql_engine.py`.
"""

import dataclasses
import gc
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from connector_resources.caches import DuckDBCache
from connector_resources.datasets import InMemoryDataset, LazyDataset, SQLDataset
from connector_resources.destinations.duckdb_rows import decoded
from connector_resources.destinations.files import write
from connector_resources.errors import DestinationUnwritable, PartitionMissing
from connector_resources.exceptions import PyAirbyteInputError
from connector_resources.sources.drift import Drift
from connector_resources.streams import Column, Parent, Stream
from tests.api.things import USERS, cache_in, land, user
from tests.landing import child, columns, daily, said, snapshot, window

NOON = datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path: Path) -> DuckDBCache:
    return cache_in(tmp_path)


def ids(dataset: SQLDataset) -> list[Any]:
    return sorted(record["id"] for record in dataset)


def test_a_dataset_says_what_it_is_and_opens_nothing_for_it(
    cache: DuckDBCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = cache.dataset("crm", "users", stream=USERS)
    monkeypatch.chdir(tmp_path)
    assert repr(dataset) == "CachedDataset(crm.users in own.duckdb)"
    assert repr(dataset.with_filter("id > 1", name="Ada")) == "SQLDataset(crm.users in own.duckdb, 2 filters)"
    assert repr(InMemoryDataset([{"id": 1}])) == "InMemoryDataset(1 record)"
    lazy = LazyDataset(lambda: iter(()), stream=USERS)
    assert repr(lazy) == "LazyDataset(records of users, read while they are walked through)"
    assert repr(lazy.fetch_all()) == "InMemoryDataset(0 records of users)"
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert repr(dataset) == f"CachedDataset(crm.users in {tmp_path / 'own.duckdb'})"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["below"]


# Values


def test_a_record_has_the_declared_columns_as_values_of_python(cache: DuckDBCache) -> None:
    land(cache, user(1))
    (record,) = cache["users"]
    assert record == {
        "id": 1,
        "name": "Person 1",
        "price": Decimal("1.5"),
        "score": 0.25,
        "active": True,
        "created_at": NOON,
        "day": date(2026, 3, 1),
        "plan": {"name": "basic", "seats": [1, 2]},
    }
    assert list(record) == cache["users"].column_names
    assert record["created_at"].tzinfo is UTC
    assert list(cache["users"].records) == [record]


def test_a_record_with_nothing_in_it_comes_with_none_everywhere(cache: DuckDBCache) -> None:
    land(cache, {"id": 1})
    assert list(cache["users"]) == [{**dict.fromkeys(cache["users"].column_names), "id": 1}]


def test_fields_that_nobody_declared_are_part_of_the_record_they_came_in(cache: DuckDBCache) -> None:
    land(cache, user(1, owner={"id": 7}, Name="by another case"), user(2))
    first, second = sorted(cache["users"], key=lambda record: int(record["id"]))
    assert first["owner"] == {"id": 7}
    assert (first["name"], first["Name"]) == ("Person 1", "by another case")
    assert set(second) == set(cache["users"].column_names)
    assert cache["users"].column_names == [column.name for column in USERS.columns]


def test_a_frame_has_times_with_their_zone_and_what_json_holds(cache: DuckDBCache) -> None:
    land(cache, user(1), user(2, created_at=None, plan=None))
    frame = cache["users"].to_pandas().sort_values("id", ignore_index=True)
    assert frame["created_at"].dtype == "datetime64[us, UTC]"
    assert frame["created_at"][0] == pd.Timestamp(NOON)
    assert frame["created_at"].isna().tolist() == [False, True]
    assert frame["plan"].tolist() == [{"name": "basic", "seats": [1, 2]}, None]
    assert frame["name"].dtype == "str"
    assert list(frame.columns) == cache["users"].column_names


def test_numbers_with_gaps_stay_whole_in_a_frame(cache: DuckDBCache) -> None:
    many = 2**53 + 1
    stream = snapshot("accounts", id="string", number="integer", vip="boolean")
    land(cache, {"id": "a", "number": many, "vip": True}, {"id": "b"}, stream=stream)
    frame = cache["accounts"].to_pandas().set_index("id")
    assert frame.loc["a", "number"] == many
    assert (str(frame["number"].dtype), str(frame["vip"].dtype)) == ("Int64", "boolean")


def test_decimals_keep_every_place_they_have(cache: DuckDBCache) -> None:
    text = "12345678901234567890.123456789"
    land(cache, b'{"id": 1, "price": %s}' % text.encode())
    assert cache["users"].to_pandas()["price"].tolist() == [Decimal(text)]
    assert next(iter(cache["users"]))["price"] == Decimal(text)


def test_a_decimal_with_more_places_than_a_column_holds_is_not_cut(cache: DuckDBCache) -> None:
    """It goes where it is whole: a declared decimal to quarantine, a number inside JSON to a Decimal."""
    land(cache, b'{"id": 1, "plan": {"rate": 0.12345678901234567891, "many": 123456789012345678901234567890}}')
    (record,) = cache["users"]
    assert record["plan"] == {"rate": Decimal("0.12345678901234567891"), "many": 123456789012345678901234567890}
    assert cache["users"].to_pandas()["plan"].tolist() == [record["plan"]]


def test_a_frame_of_what_pandas_has_no_types_for_is_whole(cache: DuckDBCache) -> None:
    land(cache, {"id": 1.5, "plan": [1]}, {"id": 2.5}, stream=snapshot("plans", id="decimal", plan="json"))
    frame = cache["plans"].to_pandas()
    assert list(zip(frame["id"], frame["plan"], strict=True)) == [(Decimal("1.5"), [1]), (Decimal("2.5"), None)]
    assert list(frame.columns) == ["id", "plan"]


JSON: tuple[str | None, ...] = (
    None,
    "null",
    "{}",
    "[]",
    '"a text"',
    "17",
    "0.5",
    "true",
    "123456789012345678901234567890",
    '{"a": 1, "a": 2}',
    '{"ä 😀": "é\\u0000\\""}',
    '{"rate": 0.12345678901234567891, "many": 123456789012345678901234567890}',
    '{"a": {"b": [1, {"c": null}]}}',
    "[[1], []]",
    '["import", "csv"]',
    '{"id": "7", "position": 3, "complete": false}',
)


def stored(cache: DuckDBCache, column: str, texts: Sequence[str | None]) -> DuckDBCache:
    """Return a cache with a table of one column of this name and type, with these values."""
    cache.store.path.parent.mkdir(exist_ok=True)
    with duckdb.connect(str(cache.store.path)) as connection:
        connection.execute("CREATE SCHEMA crm")
        connection.execute(
            f"CREATE TABLE crm.users AS SELECT range AS n, CAST((?::VARCHAR[])[range + 1] AS {column}) AS v, "
            "NULL::JSON AS _extra, true AS _is_current FROM range(?)",
            [list(texts), len(texts)],
        )
    return cache


@pytest.mark.parametrize(
    "texts",
    [
        [],
        JSON,
        JSON * 200,
        [text for text in JSON if text is not None] * 200,
        [*JSON, *(f'{{"n": [{n}]}}' for n in range(2000))],
        [f'["{n}"]' for n in range(2000)],
        [*(JSON * 100), *(f'{{"n": {n}}}' for n in range(2000))],
    ],
    ids=["none", "each once", "a few again and again", "those without null", "many", "many without null", "many late"],
)
def test_a_frame_has_of_json_what_each_text_holds_however_many_there_are(
    cache: DuckDBCache, texts: Sequence[str | None]
) -> None:
    frame = stored(cache, "JSON", texts).dataset("crm", "users").to_pandas()
    expected = [None if text is None else decoded(text) for text in texts]
    assert list(map(repr, frame["v"])) == list(map(repr, expected))
    assert frame["v"].dtype == object
    assert frame["n"].tolist() == list(range(len(texts)))


def test_what_is_done_to_the_json_of_one_row_is_done_to_no_other(cache: DuckDBCache) -> None:
    texts = ['{"a": 1}', '{"a": [1]}', "[1]", "[[1]]"]
    dataset = stored(cache, "JSON", texts * 300).dataset("crm", "users")
    for frame in (dataset.to_pandas(), dataset.to_pandas()):
        for value, within in zip(frame["v"][:4], ("a", "a", 0, 0), strict=True):
            (value[within] if isinstance(value[within], list) else [value]).clear()
            value.clear()
        assert frame["v"][4:].tolist() == [decoded(text) for text in texts] * 299


def test_decimals_of_every_size_are_those_that_are_stored(cache: DuckDBCache) -> None:
    texts = [
        None,
        "0.000000000",
        "-0.000000001",
        "1.500000000",
        "999999999.999999999",
        "-999999999.999999999",
        "1000000000.000000000",
        "-1000000000.000000001",
        f"{'9' * 29}.999999999",
        f"-{'9' * 29}.999999999",
    ]
    frame = stored(cache, "DECIMAL(38,9)", texts).dataset("crm", "users").to_pandas()
    assert [None if value is None else format(value, "f") for value in frame["v"]] == texts
    assert {type(value) for value in frame["v"]} == {Decimal, type(None)}


@pytest.mark.parametrize("is_on", [True, False])
def test_the_garbage_collector_is_on_after_a_frame_if_it_was_before(cache: DuckDBCache, is_on: bool) -> None:
    land(cache, user(1))
    (gc.enable if is_on else gc.disable)()
    try:
        cache["users"].to_pandas()
        assert gc.isenabled() is is_on
    finally:
        gc.enable()


def test_a_frame_has_what_nobody_declared_as_one_column_and_none_where_there_is_nothing(cache: DuckDBCache) -> None:
    land(cache, user(1, owner="Ada"), user(2))
    frame = cache["users"].to_pandas().set_index("id")
    assert (frame["_extra"][1], frame["_extra"][2]) == ({"owner": "Ada"}, None)
    assert "_extra" not in cache["users"].with_filter(id=2).to_pandas()


def test_a_frame_without_rows_has_the_types_of_one_that_has_some(cache: DuckDBCache) -> None:
    land(cache, user(1))
    empty, full = cache["users"].with_filter(id=2).to_pandas(), cache["users"].to_pandas()
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


# Which rows


def test_of_a_record_that_was_read_on_two_days_the_newest_version_is_shown(cache: DuckDBCache) -> None:
    stream = daily("tickets", title="string")
    for day, title in (("2026-03-01", "old"), ("2026-03-02", "new")):
        land(cache, {"id": "1", "at": f"{day}T10:00:00Z", "title": title}, stream=stream, window=window(day))
    dataset = cache["tickets"]
    assert [record["title"] for record in dataset] == ["new"]
    assert dataset.to_pandas()["title"].tolist() == ["new"]
    assert len(dataset) == 1


def test_where_reads_only_add_to_the_table_all_versions_are_shown(cache: DuckDBCache) -> None:
    land(cache, user(1), read="first")
    land(cache, user(1), user(2), read="second")
    assert ids(cache["users"]) == [1, 1, 2]
    assert len(cache["users"].to_pandas()) == len(cache["users"]) == 3


def test_a_record_that_is_known_to_be_deleted_is_not_shown(cache: DuckDBCache) -> None:
    stream = dataclasses.replace(daily("tickets", gone="boolean"), deleted_flag="gone")
    land(
        cache,
        {"id": "1", "at": "2026-03-01T10:00:00Z", "gone": True},
        {"id": "2", "at": "2026-03-01T10:00:00Z", "gone": False},
        stream=stream,
        window=window("2026-03-01"),
    )
    assert ids(cache["tickets"]) == ["2"]
    assert len(cache["tickets"]) == 1


def test_a_key_of_several_columns_tells_records_apart(cache: DuckDBCache) -> None:
    stream = Stream(
        name="lines", description="", columns=columns(order="integer", line="integer"), primary_key=("order", "line")
    )
    land(cache, {"order": 1, "line": 1}, {"order": 1, "line": 2}, {"order": 1, "line": 1}, stream=stream)
    assert sorted((record["order"], record["line"]) for record in cache["lines"]) == [(1, 1), (1, 2)]


def test_a_stream_and_a_column_may_be_called_order_or_group_or_anything(cache: DuckDBCache) -> None:
    stream = Stream(
        name="order",
        description="",
        columns=(
            Column("order", "integer", ""),
            Column("Group By", "string", ""),
            Column('a "quoted" name', "timestamp", ""),
            Column("select", "json", ""),
        ),
        primary_key=("order",),
    )
    record = {"order": 1, "Group By": "x", 'a "quoted" name': "2026-03-01T10:00:00Z", "select": [1]}
    land(cache, record, stream=stream)
    dataset = cache["order"].with_filter(order=1, **{"Group By": "x", 'a "quoted" name': NOON})
    assert list(dataset) == [{**record, 'a "quoted" name': NOON}]
    assert dataset.to_pandas().iloc[0].to_dict() == {**record, 'a "quoted" name': pd.Timestamp(NOON)}
    assert len(dataset) == 1
    assert cache.run_sql_query('SELECT "order" FROM "order"') == [{"order": 1}]


# Filters


def ways_out(dataset: SQLDataset) -> dict[str, list[Any]]:
    return {
        "records": ids(dataset),
        "pandas": sorted(dataset.to_pandas()["id"].tolist()),
        "length": list(range(1, len(dataset) + 1)),
    }


def test_a_filter_holds_for_every_way_out(cache: DuckDBCache) -> None:
    land(cache, *(user(number) for number in range(1, 6)))
    assert ways_out(cache["users"].with_filter("id <= 3 OR id = 99")) == {
        "records": [1, 2, 3],
        "pandas": [1, 2, 3],
        "length": [1, 2, 3],
    }


def test_filters_add_up_and_the_dataset_they_were_made_of_stays(cache: DuckDBCache) -> None:
    land(cache, *(user(number) for number in range(1, 6)))
    dataset = cache["users"]
    narrowed = dataset.with_filter("id > 1 OR id = 1").with_filter("id < 4 -- and no more", "id <> 2")
    assert (ids(narrowed), ids(dataset)) == ([1, 3], [1, 2, 3, 4, 5])


@pytest.mark.parametrize(
    ("equal", "found"),
    [
        ({"name": "Person 1"}, [1]),
        ({"name": "O'Hara\\"}, [4]),
        ({"id": [1, 3]}, [1, 3]),
        ({"name": None}, [3]),
        ({"name": ("Person 1", None)}, [1, 3]),
        ({"name": []}, []),
        ({"active": False}, [2]),
        ({"price": Decimal("0.000000001")}, [2]),
        ({"score": 0.1}, [2]),
        ({"day": date(2026, 3, 2)}, [2]),
        ({"created_at": datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))}, [1, 3, 4]),
        ({"id": 1, "name": "Person 2"}, []),
    ],
)
def test_a_column_can_be_asked_for_by_its_value(cache: DuckDBCache, equal: dict[str, Any], found: list[int]) -> None:
    land(
        cache,
        user(1),
        b'{"id": 2, "name": "Person 2", "active": false, "price": 0.000000001, "score": 0.1, "day": "2026-03-02"}',
        user(3, name=None),
        user(4, name="O'Hara\\"),
    )
    assert ids(cache["users"].with_filter(**equal)) == found


def test_a_filter_may_be_an_expression_of_sqlalchemy(cache: DuckDBCache) -> None:
    import sqlalchemy as sa

    land(cache, *(user(number) for number in range(1, 4)), user(4, created_at="2026-04-01T00:00:00Z", name="50%\\'"))
    users = cache["users"].to_sql_table()
    assert ids(cache["users"].with_filter(sa.column("id") > 2, sa.column("id").in_([1, 2, 3]))) == [3]
    assert ids(cache["users"].with_filter(sa.column("created_at") > datetime(2026, 3, 15, tzinfo=UTC))) == [4]
    assert ids(cache["users"].with_filter(sa.column("name") == "50%\\'")) == [4]
    assert ids(cache["users"].with_filter(sa.text("id = :id").bindparams(id=2))) == [2]
    assert {column.name for column in users.columns} >= set(cache["users"].column_names)


@pytest.mark.parametrize(
    ("wrong", "said_so"),
    [
        ("no_such_column = 1", 'Referenced column "no_such_column" not found'),
        ("nam = 'Ada'", r'"nam" not found in FROM clause; Candidate bindings "name"[^\n]*\)\.'),
        ("id = = 1", "syntax error"),
        ("id = 'not a number'", "Could not convert string"),
        ("id = 1) OR (true", "Parser Error"),
    ],
)
def test_a_filter_that_is_wrong_is_refused_where_it_is_used(cache: DuckDBCache, wrong: str, said_so: str) -> None:
    land(cache, user(1))
    dataset = cache["users"].with_filter(wrong)
    for use in (list, len, SQLDataset.to_pandas):
        with pytest.raises(PyAirbyteInputError, match=said_so):
            use(dataset)


def test_an_instant_without_a_zone_and_what_is_no_value_are_refused_in_a_filter(cache: DuckDBCache) -> None:
    land(cache, user(1))
    for value in (datetime(2026, 3, 1), {"a": 1}, [[1]]):  # noqa: DTZ001 -- that is what is refused
        with pytest.raises(PyAirbyteInputError, match="cannot be compared"):
            cache["users"].with_filter(created_at=value)
    with pytest.raises(PyAirbyteInputError, match="A filter is SQL"):
        cache["users"].with_filter(5)  # type: ignore[arg-type]  # that is what is refused


# Nothing is held


def test_a_stream_is_walked_through_while_it_is_read_anew_and_keeps_what_it_had(cache: DuckDBCache) -> None:
    land(cache, *(user(number) for number in range(3000)))
    records = iter(cache["users"])
    assert next(records)["id"] == 0
    land(cache, user(1))
    assert sum(1 for _ in records) == 2999
    assert ids(cache["users"]) == [1]


WRITER = """
import sys
from pathlib import Path
from tests.api.things import cache_in, land, user

land(cache_in(Path(sys.argv[1])), user(5))
print("written")
"""


def test_another_process_writes_while_a_stream_is_walked_through(cache: DuckDBCache, tmp_path: Path) -> None:
    land(cache, user(1), user(2))
    frame, records = cache["users"].to_pandas(), iter(cache["users"])
    next(records)
    assert said(child(WRITER, tmp_path)) == "written"
    assert len(list(records)) == 1
    assert (len(frame), ids(cache["users"])) == (2, [5])


def test_a_stream_that_was_never_read_says_so(cache: DuckDBCache) -> None:
    dataset = cache.dataset("crm", "users")
    with pytest.raises(
        PartitionMissing, match=r"crm.users: nothing has been read into .* Read the stream, or materialise it, first"
    ):
        list(dataset)
    land(cache, {"id": "1"}, stream=snapshot("others", id="string"))
    with pytest.raises(PartitionMissing, match=r"crm.users: nothing has been read"):
        dataset.to_pandas()


def test_what_needs_an_extra_says_so(cache: DuckDBCache, monkeypatch: pytest.MonkeyPatch) -> None:
    land(cache, user(1))
    monkeypatch.setitem(sys.modules, "pyarrow.dataset", None)
    with pytest.raises(PyAirbyteInputError, match=r"pyarrow, which is not installed. .*headrace\[arrow\]"):
        cache["users"].to_arrow()


# Streams that are in no cache


def test_a_lazy_dataset_begins_to_read_anew_with_each_loop() -> None:
    begun: list[int] = []

    def read() -> Iterator[dict[str, Any]]:
        begun.append(1)
        yield {"id": 1, "name": "a"}
        yield {"id": 2}

    dataset = LazyDataset(read)
    assert begun == []
    assert [record["id"] for record in dataset] == [record["id"] for record in dataset] == [1, 2]
    assert len(begun) == 2
    assert (next(dataset)["id"], next(dataset)["id"]) == (1, 2)
    with pytest.raises(StopIteration):
        next(dataset)
    assert dataset.column_names == ["id", "name"]


def test_a_lazy_dataset_that_is_closed_ends_the_reading_it_has_begun() -> None:
    ended: list[str] = []

    def read() -> Iterator[dict[str, Any]]:
        try:
            yield {"id": 1}
            yield {"id": 2}
        finally:
            ended.append("ended")

    with LazyDataset(read) as dataset:
        assert next(dataset) == {"id": 1}
        assert ended == []
    assert ended == ["ended"]
    assert next(dataset) == {"id": 1}
    dataset.close()


def test_what_a_lazy_dataset_has_read_is_kept_in_memory() -> None:
    kept = LazyDataset(lambda: iter([{"id": 1}, {"id": 2, "name": "b"}])).fetch_all()
    assert (len(kept), list(kept)[1]) == (2, {"id": 2, "name": "b"})
    assert kept.column_names == ["id", "name"]
    assert kept.to_pandas()["id"].tolist() == [1, 2]


def test_a_dataset_without_records_has_the_columns_of_its_declaration() -> None:
    empty = InMemoryDataset([], stream=USERS)
    assert empty.column_names == list(empty.to_pandas().columns) == [column.name for column in USERS.columns]
    assert LazyDataset(lambda: iter([]), stream=USERS).column_names == empty.column_names


def test_children_have_the_columns_of_their_parents(cache: DuckDBCache) -> None:
    parts = Stream(
        name="parts",
        description="",
        columns=(*columns(id="string"), Column("parent_id", "string", "", parent="user")),
        primary_key=("parent_id", "id"),
        parent=Parent(USERS, {"user": "id"}),
    )
    assert InMemoryDataset([], stream=parts).column_names == ["id", "parent_id"]


# Documents


def test_documents_are_made_of_the_rows_that_a_filter_leaves(cache: DuckDBCache) -> None:
    land(cache, user(1), user(2))
    documents = list(cache["users"].with_filter(id=2).to_documents(title_property="name", content_properties=["plan"]))
    assert [document.metadata["id"] for document in documents] == [2]
    assert "basic" in documents[0].content


def test_a_stream_of_a_connector_is_documented_as_the_connector_declares_it(cache: DuckDBCache) -> None:
    by_name = {stream.name: stream for stream in Drift.streams}
    ms, day = 1_772_359_200_000, window("2026-03-01")
    conversation = {"id": 7, "updatedAt": ms, "createdAt": ms, "status": "open"}
    message = {"id": 1, "conversationId": 7, "body": "Hello", "createdAt": ms, "type": "chat"}
    land(cache, conversation, stream=by_name["conversations"], source="drift", window=day)
    (alone,) = cache["conversations"].to_documents()
    assert "Hello" not in alone.content
    messages = Stream(name="messages", description="", columns=by_name["messages"].columns, primary_key=("id",))
    land(cache, message, stream=messages, source="drift")
    (document,) = cache["conversations"].to_documents()
    assert "Hello" in document.content
    assert document.last_modified == NOON
    assert cache.declared("drift", "conversations") is by_name["conversations"]
    assert cache.declared("crm", "conversations") is None


def test_records_in_memory_can_be_made_documents() -> None:
    (document,) = InMemoryDataset([{"id": 1, "title": "A", "text": "B"}]).to_documents()
    assert "B" in document.content


# A damaged file


@pytest.mark.parametrize(
    "use",
    [
        list,
        SQLDataset.to_pandas,
        lambda users: write(users.selection, users.selection.store.path.with_name("users.csv"), "csv"),
    ],
)
def test_rows_that_cannot_be_read_any_more_are_told_as_damage(cache: DuckDBCache, use: Any) -> None:
    damage(cache)
    for users in (cache["users"], cache["users"].with_filter("id > 5")):
        with pytest.raises(
            DestinationUnwritable, match=r"own\.duckdb is a damaged DuckDB database .* or restore a copy"
        ):
            use(users)
    reading_more = cache["users"].with_filter("id IN (SELECT max(id) FROM crm.users WHERE name > '')")
    with pytest.raises(DestinationUnwritable, match=r"crm\.users: a database is damaged .*own\.duckdb, or one that"):
        use(reading_more)


def damage(cache: DuckDBCache) -> None:
    """Land users, and let the database open and not give all of their values."""
    land(cache, *(user(number, name=f"{number:0100d}") for number in range(20_000)))
    content = bytearray(cache.store.path.read_bytes())
    block = 3 * 4096 + 2 * 262_144
    content[block + 8 : block + 1_000] = bytes(992)
    cache.store.path.write_bytes(content)


@pytest.mark.parametrize("is_text", [False, True])
def test_damage_of_a_database_that_a_statement_of_others_attaches_is_not_told_of_the_cache(
    cache: DuckDBCache, tmp_path: Path, is_text: bool
) -> None:
    land(cache, user(1))
    other = cache_in(tmp_path / "other")
    if is_text:
        other.store.path.parent.mkdir()
        other.store.path.write_text("no database" * 1_000)
    else:
        damage(other)
    attach = f"ATTACH '{other.store.path}' AS other (READ_ONLY)"
    with pytest.raises(
        PyAirbyteInputError, match=r"The query could not be run \(.*(Corrupt database|not a valid DuckDB)"
    ):
        cache.execute_sql([attach, "CREATE TABLE mine AS SELECT max(name) FROM other.crm.users"])
    filtered = cache["users"].with_filter(f"name IN (SELECT name FROM '{other.store.path}')")
    with pytest.raises((DestinationUnwritable, PyAirbyteInputError)) as caught:
        list(filtered)
    assert "own.duckdb is a damaged" not in str(caught.value)
    assert ids(cache["users"]) == [1]
