import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connector_resources.errors import DataError, DestinationUnwritable
from connector_resources.schema import Checked, Quarantined, Undeclared, _most_together, check
from connector_resources.streams import ColumnType, ParentRow, Stream
from tests.landing import (
    Record,
    child,
    children,
    close_spools,
    daily,
    page,
    said,
    snapshot,
    spooled,
)


@pytest.fixture(autouse=True)
def _spools_are_closed() -> Iterator[None]:
    yield
    close_spools()


def checked(folder: Path, stream: Stream, *records: Record, one_by_one: bool = False) -> Checked:
    """Check records that arrived as one page."""
    return check(spooled(folder, stream, [page(*records)]), stream, one_by_one=one_by_one)


def lines(result: Checked) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.file.read_bytes().splitlines()]


def named(name: str, kind: ColumnType) -> dict[str, ColumnType]:
    return {name: kind}


def reasons(result: Checked) -> list[str]:
    return [quarantined.reason for quarantined in result.quarantined]


FITS: list[tuple[ColumnType, str]] = [
    ("string", '"text"'),
    ("string", '""'),
    ("string", "17"),
    ("string", "123456789012345678901234567890"),
    ("string", '"\\ud83d\\ude00 \\u0000 \\n"'),
    ("integer", "0"),
    ("integer", "-9223372036854775808"),
    ("integer", "9223372036854775807"),
    ("number", "2.5"),
    ("number", "17"),
    ("number", "-0.0"),
    ("number", "1e308"),
    ("number", "0.12345678901234567890123"),
    ("decimal", "17"),
    ("decimal", "-17.5"),
    ("decimal", '"17.50"'),
    ("decimal", "0.000000001"),
    ("decimal", "1234567890123456789.123456789"),
    ("decimal", "99999999999999999999999999999.999999999"),
    ("decimal", '"-99999999999999999999999999999.999999999"'),
    ("decimal", "1e28"),
    ("boolean", "true"),
    ("boolean", "false"),
    ("timestamp", '"2026-03-01T10:00:00Z"'),
    ("timestamp", '"2026-03-01T10:00:00.123456+02:00"'),
    ("timestamp", '"2026-03-01T10:00:00"'),
    ("timestamp", '"2026-03-01t10:00:00z"'),
    ("timestamp", '"2024-02-29T23:59:59.999999999Z"'),
    ("timestamp", '"0001-01-01T00:00:00Z"'),
    ("timestamp", '"9999-12-31T23:59:59Z"'),
    ("epoch_ms", "0"),
    ("epoch_ms", "-62135596800000"),
    ("epoch_ms", "253402300799999"),
    ("date", '"2024-02-29"'),
    ("date", '"0001-01-01"'),
    ("date", '"9999-12-31"'),
    ("json", '{"a": [1, 2.5, null, {"b": "c"}]}'),
    ("json", "[]"),
    ("json", '"text"'),
    ("json", "123456789012345678901234567890"),
    ("json", "0.12345678901234567890123"),
    ("json", '{"a": 1, "a": 2}'),
    ("json", "[" * 900 + "]" * 900),
]

DOES_NOT_FIT: list[tuple[ColumnType, str, str]] = [
    ("string", "2.5", "expected string, got 2.5"),
    ("string", "true", "expected string, got true"),
    ("string", '{"a": 1}', 'expected string, got {"a": 1}'),
    ("integer", "2.5", "expected integer, got 2.5"),
    ("integer", "2.0", "expected integer, got 2.0"),
    ("integer", "1e3", "expected integer, got 1e3"),
    ("integer", '"n/a"', 'expected integer, got "n/a"'),
    ("integer", '"17"', 'expected integer, got "17"'),
    ("integer", '""', 'expected integer, got ""'),
    ("integer", "true", "expected integer, got true"),
    ("integer", "9223372036854775808", "expected integer, got 9223372036854775808"),
    ("integer", "-9223372036854775809", "expected integer, got -9223372036854775809"),
    ("integer", "[1]", "expected integer, got [1]"),
    ("number", '"2.5"', 'expected number, got "2.5"'),
    ("number", "1e400", "expected number, got 1e400"),
    ("number", "true", "expected number, got true"),
    ("decimal", '"n/a"', 'expected decimal, got "n/a"'),
    ("decimal", '""', 'expected decimal, got ""'),
    ("decimal", "true", "expected decimal, got true"),
    ("decimal", '"NaN"', 'expected decimal of at most 29 and 9 digits, got "NaN"'),
    ("decimal", '"Infinity"', 'expected decimal of at most 29 and 9 digits, got "Infinity"'),
    ("decimal", "0.0000000001", "expected decimal of at most 29 and 9 digits, got 0.0000000001"),
    ("decimal", "1e29", "expected decimal of at most 29 and 9 digits, got 1e29"),
    ("decimal", "1" * 30, f"expected decimal of at most 29 and 9 digits, got {'1' * 30}"),
    ("boolean", '"true"', 'expected boolean, got "true"'),
    ("boolean", "1", "expected boolean, got 1"),
    ("timestamp", '"2026-03-01"', 'expected timestamp, got "2026-03-01"'),
    ("timestamp", '"2026-02-30T00:00:00Z"', 'expected timestamp, got "2026-02-30T00:00:00Z"'),
    ("timestamp", '"2026-03-01T24:00:00Z"', 'expected timestamp, got "2026-03-01T24:00:00Z"'),
    ("timestamp", "1772359200000", "expected timestamp, got 1772359200000"),
    ("timestamp", '""', 'expected timestamp, got ""'),
    ("epoch_ms", '"1772359200000"', 'expected epoch_ms, got "1772359200000"'),
    ("epoch_ms", "1772359200.5", "expected epoch_ms, got 1772359200.5"),
    ("epoch_ms", "253402300800000", "expected epoch_ms, got 253402300800000"),
    ("epoch_ms", "-62135596800001", "expected epoch_ms, got -62135596800001"),
    ("date", '"2023-02-29"', 'expected date, got "2023-02-29"'),
    ("date", '"2026-3-1"', 'expected date, got "2026-3-1"'),
    ("date", '"2026-03-01T00:00:00Z"', 'expected date, got "2026-03-01T00:00:00Z"'),
    ("string", json.dumps({"a": "x" * 50}), 'expected string, got {"a": "' + "x" * 33 + "…"),
]


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize(("type", "value"), FITS)
def test_a_value_that_fits_its_type_is_kept(tmp_path: Path, type: ColumnType, value: str, one_by_one: bool) -> None:
    stream = snapshot(id="string", v=type)
    result = checked(tmp_path, stream, b'{"id":"1","v":%s}' % value.encode(), one_by_one=one_by_one)
    assert (reasons(result), len(result.file.read_bytes().splitlines())) == ([], 1)


@pytest.mark.parametrize(("type", "value", "reason"), DOES_NOT_FIT)
def test_a_value_that_does_not_fit_sends_its_record_to_quarantine(
    tmp_path: Path, type: ColumnType, value: str, reason: str
) -> None:
    record = f'{{"id": "1",  "v": {value}, "more": 1.50}}'
    result = checked(tmp_path, snapshot(id="string", v=type), {"id": "0"}, record.encode(), {"id": "2"})
    assert result.quarantined == [Quarantined(record, f"{reason} @ $.v", 0, (), None)]
    assert [line["_record"] for line in lines(result)] == [{"id": "0"}, {"id": "2"}]
    assert (result.received, result.first_reason) == (3, f"{reason} @ $.v (page 0)")


@pytest.mark.parametrize("type", ["string", "integer", "number", "decimal", "boolean", "timestamp", "date", "json"])
@pytest.mark.parametrize("record", [{"id": "1"}, {"id": "1", "v": None}])
def test_a_value_may_be_null_or_absent(tmp_path: Path, type: ColumnType, record: Record) -> None:
    result = checked(tmp_path, snapshot(id="string", v=type), record)
    assert (reasons(result), lines(result)) == ([], [{"_page": 0, "_record": record}])


@pytest.mark.parametrize(
    ("stream", "record", "reason"),
    [
        (snapshot(id="string"), {}, "expected string, got nothing @ $.id"),
        (snapshot(id="integer"), {"id": None}, "expected integer, got null @ $.id"),
        (daily(), {"id": "1"}, "expected timestamp, got nothing @ $.at"),
        (daily(), {"id": "1", "at": None}, "expected timestamp, got null @ $.at"),
        (daily(cursor_type="epoch_ms"), {"id": "1", "at": None}, "expected epoch_ms, got null @ $.at"),
        (daily(), {"at": "2026-03-01T00:00:00Z"}, "expected string, got nothing @ $.id"),
        (children(snapshot(id="string")), {"n": 1}, "expected string, got nothing @ $.id"),
    ],
)
def test_keys_and_the_cursor_of_a_window_must_be_there(
    tmp_path: Path, stream: Stream, record: Record, reason: str
) -> None:
    assert reasons(checked(tmp_path, stream, record)) == [reason]


def test_a_cursor_that_only_orders_versions_may_be_missing(tmp_path: Path) -> None:
    assert reasons(checked(tmp_path, snapshot(id="string", at="timestamp", cursor="at"), {"id": "1"})) == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b'{"id":"1","v":"\\ud800"}', "expected text in Unicode, got half of a surrogate pair @ $.v"),
        (b'{"id":"1","v":"\\uDC00\\uD83D"}', "expected text in Unicode, got half of a surrogate pair @ $.v"),
        (b'{"id":"1","new":["\\ud800"]}', "expected text in Unicode, got half of a surrogate pair @ $.new"),
        (b'{"id":"1","\\ud800":1}', "expected text in Unicode, got half of a surrogate pair @ $.\\ud800"),
        (b'{"id":"1","v":"\xff"}', 'expected string, got "�" @ $.v'),
        (b'{"id":"1","new":"\xff"}', 'expected JSON in UTF-8, got "�" @ $.new'),
        (b'{"id":"1","\xff":1}', "expected JSON in UTF-8, got byte 0xff @ $"),
        (b'{"id":"1","v":NaN}', 'expected JSON, got {"id":"1","v":NaN} @ $'),
        (b'{"id":"1","v":}', 'expected JSON, got {"id":"1","v":} @ $'),
        (b"null", "expected object, got null @ $"),
        (b'["1"]', 'expected object, got ["1"] @ $'),
        (b'"1"', 'expected object, got "1" @ $'),
        (b'{"id":"1","id":"2","new":1}', "expected each field once, got 'id' twice @ $"),
        (b'{"id":"1","new":1,"new":2}', "expected each field once, got 'new' twice @ $"),
        (b'{"id":"1","a":%s}' % (b"[" * 5000 + b"]" * 5000), "expected JSON, got an object nested too deeply to be "),
    ],
)
def test_a_record_that_is_no_object_in_unicode_is_quarantined_as_it_came(
    tmp_path: Path, record: bytes, reason: str
) -> None:
    result = checked(tmp_path, snapshot(id="string", v="string"), {"id": "0"}, record, {"id": "2"})
    ((told,), (kept,)) = reasons(result), [quarantined.record for quarantined in result.quarantined]
    assert told.startswith(reason)
    assert kept == record.decode(errors="backslashreplace")
    assert [line["_record"]["id"] for line in lines(result)] == ["0", "2"]


def test_a_field_that_is_there_twice_is_found_when_records_are_looked_at_one_by_one(tmp_path: Path) -> None:
    twice = b'{"id":"1","v":"a","v":"a"}'
    assert reasons(checked(tmp_path, snapshot(id="string", v="string"), twice, one_by_one=True)) == [
        "expected each field once, got 'v' twice @ $"
    ]


def test_spaces_are_not_taken_for_a_field_that_is_there_twice(tmp_path: Path) -> None:
    spaced = b'{ "id" : "1" , "v" : "a" , "\\u006eew" : 1 }'
    result = checked(tmp_path, snapshot(id="string", v="string"), spaced)
    assert (reasons(result), set(result.undeclared)) == ([], {"new"})


def test_a_pair_of_surrogates_is_a_character(tmp_path: Path) -> None:
    result = checked(
        tmp_path, snapshot(id="string", v="string"), b'{"id":"1","v":"\\ud83d\\ude00","new":"\\uD83D\\uDE00"}'
    )
    assert reasons(result) == []
    assert lines(result) == [{"_page": 0, "_record": {"id": "1", "v": "😀"}, "_extra": '{"new":"\\uD83D\\uDE00"}'}]


def test_fields_nobody_declared_are_kept_and_reported_with_type_and_first_page(tmp_path: Path) -> None:
    pages = [
        page({"id": "1"}, {"id": "2"}),
        page(b'{"id":"3","late":null,"object":{"a": 1.50}}', {"id": "4"}),
        page(b'{"late":[1],"id":"5","ID":"x","number":1e3}'),
        page({"id": "6", "late": "text", "text": "t", "flag": True, "n": 1, "nothing": None}),
    ]
    stream = snapshot(id="string")
    result = check(spooled(tmp_path, stream, pages), stream)
    assert result.undeclared == {
        "late": Undeclared("late", "array", 3, 1),
        "object": Undeclared("object", "object", 1, 1),
        "ID": Undeclared("ID", "string", 1, 2),
        "number": Undeclared("number", "number", 1, 2),
        "text": Undeclared("text", "string", 1, 3),
        "flag": Undeclared("flag", "boolean", 1, 3),
        "n": Undeclared("n", "integer", 1, 3),
        "nothing": Undeclared("nothing", "null", 1, 3),
    }
    assert [(line["_record"], line.get("_extra")) for line in lines(result)] == [
        ({"id": "1"}, None),
        ({"id": "2"}, None),
        ({"id": "3"}, '{"late":null,"object":{"a": 1.50}}'),
        ({"id": "4"}, None),
        ({"id": "5"}, '{"late":[1],"ID":"x","number":1e3}'),
        ({"id": "6"}, '{"late":"text","text":"t","flag":true,"n":1,"nothing":null}'),
    ]


def test_fields_of_a_quarantined_record_are_not_reported(tmp_path: Path) -> None:
    result = checked(tmp_path, snapshot(id="integer"), {"id": "x", "new": 1})
    assert (len(result.quarantined), result.undeclared) == (1, {})


def test_names_that_differ_in_case_are_different_fields(tmp_path: Path) -> None:
    result = checked(tmp_path, snapshot(id="string", Name="string"), {"id": "1", "name": "a", "NAME": 2})
    assert lines(result) == [{"_page": 0, "_record": {"id": "1"}, "_extra": '{"name":"a","NAME":2}'}]


@pytest.mark.parametrize("name", ["class", "None", "f0", "_page", "with space", 'a"b', "it's", "😀", "", "a.b", "日本"])
def test_a_column_may_have_any_name(tmp_path: Path, name: str) -> None:
    stream = snapshot(id="string", **named(name, "integer"))
    good, bad = {"id": "1", name: 1}, {"id": "2", name: "x"}
    result = checked(tmp_path, stream, good, bad)
    assert (reasons(result), lines(result)) == (
        [f'expected integer, got "x" @ $.{name}'],
        [{"_page": 0, "_record": good}],
    )


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_a_key_may_have_any_name(tmp_path: Path, name: str) -> None:
    stream = snapshot(**named(name, "string"))
    result = check(spooled(tmp_path, stream, [page({name: "1"}, {name: None}), page({})]), stream)
    assert (reasons(result), lines(result)) == (
        [f"expected string, got null @ $.{name}", f"expected string, got nothing @ $.{name}"],
        [{"_page": 0, "_record": {name: "1"}}],
    )


def test_two_thousand_columns_are_checked(tmp_path: Path) -> None:
    wide: dict[str, ColumnType] = {f"column {number}": "integer" for number in range(2000)}
    stream = snapshot(id="string", **wide)
    record: dict[str, Any] = {"id": "1", **{f"column {number}": number for number in range(2000)}}
    result = checked(tmp_path, stream, record, record | {"column 1999": "x"})
    assert reasons(result) == ['expected integer, got "x" @ $.column 1999']
    assert lines(result) == [{"_page": 0, "_record": record}]


def test_a_record_of_five_megabytes_is_checked(tmp_path: Path) -> None:
    stream = snapshot(id="string", text="string")
    result = checked(tmp_path, stream, {"id": "1", "text": "x" * 5_000_000}, {"id": "2", "text": 2.5})
    assert (reasons(result), len(lines(result)[0]["_record"]["text"])) == (
        ["expected string, got 2.5 @ $.text"],
        5_000_000,
    )
    assert result.longest_line_bytes > 5_000_000


@pytest.mark.parametrize(
    ("records", "sizes", "most"),
    [
        ([], [], 0),
        ([0, 0], [0, 0], 0),
        ([5000], [70], 70),
        ([1000] * 5, [1, 9, 1, 9, 9], 28),  # 24 lines of the first and of the last, and the two between
        ([2047, 1], [5, 5], 10),
        ([1, 2046, 1], [5, 5, 5], 15),
        ([1, 2047, 1], [5, 5, 5], 10),
        ([200] * 100, [*range(100)], sum(range(88, 100))),
    ],
)
def test_what_is_read_at_a_time_lies_in_so_many_bytes_of_pages(records: list[int], sizes: list[int], most: int) -> None:
    assert _most_together(records, sizes) == most


def test_what_is_read_at_a_time_counts_what_was_rewritten(tmp_path: Path) -> None:
    stream = snapshot(id="string")
    text = "x" * 1000
    result = checked(tmp_path, stream, {"id": "1", "new": text}, {"id": "2", "new": text})
    assert result.vector_bytes == result.file.stat().st_size > 2000
    plain = check(spooled(tmp_path / "plain", stream, [page({"id": "1"}), page({"id": "2"})]), stream)
    assert plain.vector_bytes == plain.file.stat().st_size


def test_each_page_that_does_not_fit_is_told_as_soon_as_it_is_found(tmp_path: Path) -> None:
    stream, told = snapshot(id="string"), list[bool]()
    pages = [page({"id": "1"}), page({"id": "2", "new": 1}), page({"id": "3"}), page({"id": "4", "new": 1})]
    spool = spooled(tmp_path, stream, pages)
    result = check(spool, stream, misfit=lambda: told.append((spool.folder / "checked.ndjson").exists()))
    assert told == [False, False]  # before the copy is made
    assert len(lines(result)) == 4


def test_empty_pages_and_no_pages_are_nothing_to_check(tmp_path: Path) -> None:
    stream = snapshot(id="string")
    for pages in ([], [page()], [page(), page(), page()]):
        result = check(spooled(tmp_path / str(len(pages)), stream, pages), stream)
        assert (result.received, result.quarantined, result.undeclared, lines(result)) == (0, [], {}, [])


def test_records_that_fit_are_not_copied(tmp_path: Path) -> None:
    spool = spooled(tmp_path, snapshot(id="string"), [page({"id": "1"}), page({"id": "2"})])
    assert check(spool, snapshot(id="string")).file == spool.pages_file


def test_pages_that_fit_are_copied_as_they_are_beside_those_that_do_not(tmp_path: Path) -> None:
    odd = b'{"id":  "1",\t"j": [1.50, 1e3]}'
    stream = snapshot(id="string", j="json")
    spool = spooled(tmp_path, stream, [page(odd), page({"id": 2.5}), page(odd)])
    result = check(spool, stream)
    assert result.file.read_bytes() == b'{"_page":0,"_record":%s}\n{"_page":2,"_record":%s}\n' % (odd, odd)
    assert result.file != spool.pages_file


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (b"1234567890123456789.123456789", "1234567890123456789.123456789"),
        (b"0.123456789", "0.123456789"),
        (b'"1_000"', "1000"),
        (b'" 17.5 "', "17.5"),
        ('"١٢"'.encode(), "12"),
        (b'"1E+3"', "1000"),
        (b"1e-9", "0.000000001"),
    ],
)
def test_a_decimal_that_is_not_plain_travels_as_plain_text(tmp_path: Path, value: bytes, stored: str) -> None:
    result = checked(tmp_path, snapshot(id="string", v="decimal"), b'{"id":"1","v":%s}' % value, one_by_one=True)
    assert lines(result) == [{"_page": 0, "_record": {"id": "1", "v": stored}}]


def test_a_decimal_of_more_digits_than_a_double_is_never_left_to_the_reader(tmp_path: Path) -> None:
    result = checked(tmp_path, snapshot(id="string", v="decimal"), b'{"id":"1","v":1234567890123456.5}')
    assert lines(result) == [{"_page": 0, "_record": {"id": "1", "v": "1234567890123456.5"}}]


@pytest.mark.parametrize(
    ("value", "is_exact"),
    [
        (b"0.123456789012345678", True),
        (b"[1, 12345678901234567.5]", True),
        (b'{"a": 123456789.123456789}', True),
        (b"0.12345678901234567", False),  # seventeen digits, as servers print doubles
        (b"123456789012345678901234567890", False),
        (b"1.50", False),
    ],
)
def test_a_number_inside_json_that_a_double_cannot_hold_travels_as_text(
    tmp_path: Path, value: bytes, is_exact: bool
) -> None:
    result = checked(tmp_path, snapshot(id="string", j="json"), b'{"id":"1","j":%s}' % value)
    (line,) = result.file.read_bytes().splitlines()
    if is_exact:
        assert json.loads(line) == {"_page": 0, "_record": {"id": "1"}, "_exact": {"j": value.decode()}}
    else:
        assert line == b'{"_page":0,"_record":{"id":"1","j":%s}}' % value
    assert result.exact == ({"j"} if is_exact else set())


MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cursor_type", "value", "cursor"),
    [
        ("timestamp", "2026-03-01T00:00:00Z", MIDNIGHT),
        ("timestamp", "2026-03-01T02:00:00+02:00", MIDNIGHT),
        ("timestamp", "2026-03-01T00:00:00", MIDNIGHT),
        ("epoch_ms", 1772323200000, MIDNIGHT),
        ("date", "2026-03-01", MIDNIGHT),
        ("timestamp", "n/a", None),
        ("timestamp", None, None),
    ],
)
def test_a_quarantined_record_keeps_the_instant_it_belongs_to(
    tmp_path: Path, cursor_type: ColumnType, value: Any, cursor: datetime | None
) -> None:
    (quarantined,) = checked(
        tmp_path, daily(cursor_type=cursor_type, n="integer"), {"id": "1", "at": value, "n": "x"}
    ).quarantined
    assert quarantined.cursor == cursor


def test_a_quarantined_record_keeps_its_page_and_its_parents_partitions(tmp_path: Path) -> None:
    stream = children(daily(), n="integer")
    parent = ParentRow({"thing": "7"}, ("2026-03-01", "2026-03-02"))
    result = check(spooled(tmp_path, stream, [page(), page({"id": "1", "n": "x"}, parent=parent)]), stream)
    assert result.quarantined == [
        Quarantined('{"id": "1", "n": "x"}', 'expected integer, got "x" @ $.n', 1, parent.partitions, None)
    ]


def test_a_damaged_page_is_not_checked(tmp_path: Path) -> None:
    stream = snapshot(id="string")
    spool = spooled(tmp_path, stream, [page({"id": "1"})])
    spool.pages_file.write_bytes(spool.pages_file.read_bytes().replace(b"1", b"2"))
    with pytest.raises(DataError, match=r"source.things: page 0 of the spool .* is damaged\."):
        check(spool, stream)


def test_no_room_for_the_checked_copy_is_named(tmp_path: Path) -> None:
    stream = snapshot(id="string")
    spool = spooled(tmp_path, stream, [page({"id": "x" * 50_000, "new": 1})] * 4)
    spool.close()
    code = """
import resource, sys
from pathlib import Path
from connector_resources.schema import check
from tests.landing import key, open_spool, snapshot
stream = snapshot(id="string")
spool = open_spool(Path(sys.argv[1]), key(stream))
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
try:
    check(spool, stream)
except Exception as error:
    print(type(error).__name__, error)
"""
    assert said(child(code, tmp_path)) == (
        f"{DestinationUnwritable.__name__} The spool {spool.folder} cannot be written (File too large). Make room or "
        "set another folder; the tables are as they were, and what was read is kept."
    )
