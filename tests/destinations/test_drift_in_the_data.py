"""Data that is not what it was: each record is landed as it was sent or put aside as it came, and the counts add up."""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.errors import TooManyQuarantined
from connector_resources.streams import Column, ColumnType, Stream
from tests.destinations.test_contract import (
    DESTINATIONS,
    MARCH_1,
    MARCH_2,
    WIDENED,
    Number,
    Store,
    at,
    is_same,
    store,  # noqa: F401 -- a fixture
    table,
)
from tests.landing import close_spools, daily, page, snapshot
from tests.test_schema import DOES_NOT_FIT, FITS

# What an API starts to send one day

DRIFT: dict[str, tuple[bytes, str | None]] = {
    "a field is gone": (b'{"id":"1","name":"x"}', None),
    "a column that was null fills up": (b'{"id":"1","later":{"a":[1]}}', None),
    "a new field has no name": (b'{"id":"1","":1}', None),
    "a new field's name has a null character": (b'{"id":"1","a\\u0000\'b":1}', None),
    "an integer is a decimal": (b'{"id":"1","n":2.5}', "expected integer, got 2.5 @ $.n"),
    "an integer is a whole decimal": (b'{"id":"1","n":2.0}', "expected integer, got 2.0 @ $.n"),
    "an integer is too large": (
        b'{"id":"1","n":9223372036854775808}', "expected integer, got 9223372036854775808 @ $.n",
    ),
    "a number is a text": (b'{"id":"1","n":"2"}', 'expected integer, got "2" @ $.n'),
    "an integer is an object": (b'{"id":"1","n":{"value":2}}', 'expected integer, got {"value":2} @ $.n'),
    "a key is null": (b'{"id":null,"n":2}', "expected string, got null @ $.id"),
    "a key is gone": (b'{"n":2}', "expected string, got nothing @ $.id"),
    "not a number": (b'{"id":"1","x":NaN}', 'expected JSON, got {"id":"1","x":NaN} @ $'),
    "infinity": (b'{"id":"1","x":-Infinity}', 'expected JSON, got {"id":"1","x":-Infinity} @ $'),
    "a number that is too large": (b'{"id":"1","x":1e999}', "expected number, got 1e999 @ $.x"),
    "a byte that is no UTF-8": (
        b'{"id":"1","name":"\xff"}', 'expected string, got "\N{REPLACEMENT CHARACTER}" @ $.name',
    ),
    "half of a character": (
        rb'{"id":"1","name":"\ud83d"}', "expected text in Unicode, got half of a surrogate pair @ $.name",
    ),
    "a key twice": (b'{"id":"1","n":1,"n":2}', "expected each field once, got 'n' twice @ $"),
    "five megabytes": (b'{"id":"1","name":"%s"}' % (b"x" * 5_000_000), None),
}  # fmt: skip


@pytest.mark.parametrize(("record", "reason"), DRIFT.values(), ids=DRIFT)
def test_a_record_that_drifts_is_landed_or_put_aside_with_its_reason_and_page_and_the_others_are_landed(
    store: Store,  # noqa: F811 -- the fixture
    record: bytes,
    reason: str | None,
) -> None:
    stream = snapshot(id="string", n="integer", x="number", name="string", later="json")
    good = [{"id": f"good {number}", "n": number, "x": 0.5, "name": "é", "later": None} for number in range(20)]

    landed = store.land(stream, page(*good[:10]), page(*good[10:15], record, *good[15:]))

    aside = [] if reason is None else [(record.decode(errors="backslashreplace"), reason, 1)]
    kept = store.rows(stream, "record", "reason", "_page", suffix="_quarantine") if landed.quarantined else []
    assert kept == aside
    assert (landed.received, landed.rows, landed.quarantined) == (21, 21 - len(aside), len(aside))
    assert store.query(f"SELECT count(*) FROM {table(stream)} WHERE id LIKE 'good %' AND x = 0.5") == [(20,)]


def test_types_that_mix_on_one_page_are_told_apart_record_by_record(store: Store) -> None:  # noqa: F811
    stream = replace(snapshot(id="integer", n="integer"))
    values = ["1", "1.5", '"1"', "true", "null", "[1]", "2"]
    records = [f'{{"id":{number},"n":{value}}}'.encode() for number, value in enumerate(values)]
    lenient = Store(replace(store.destination, max_quarantined_share=1.0), store.folder)

    lenient.land(stream, *records)

    assert store.rows(stream, "id", "n") == [(0, 1), (4, None), (6, 2)]
    assert [text for (text,) in store.rows(stream, "record", suffix="_quarantine")] == sorted(
        record.decode() for record in (*records[1:4], records[5])
    )


def test_more_bad_records_than_the_share_fail_before_the_commit(store: Store) -> None:  # noqa: F811
    stream = snapshot(id="string", n="integer")
    store.land(stream, {"id": "before", "n": 1})
    bad = [{"id": str(number), "n": "x" if number < 3 else number} for number in range(20)]

    with pytest.raises(TooManyQuarantined):
        store.land(stream, *bad)

    assert store.rows(stream, "id", "n") == [("before", 1)]


# Any records, any declaration

KINDS: tuple[ColumnType, ...] = (
    "string", "integer", "number", "decimal", "boolean", "timestamp", "epoch_ms", "date", "json",
)  # fmt: skip
NAMES = ["a", "A", "with space", 'quo"te', "back\\slash", "é😀", "select", "_page2", "a.b", "$"]
IDS = [b"1", b"2", b'"1"', b'"x"', b'"\\u0078"', b"null", b"1.5", b"true", b'"\\ud800"', b'""']

Text = st.SearchStrategy[bytes]


def written(text: str, is_ascii: bool) -> bytes:
    """A JSON string; half of a surrogate pair stays an escape."""
    try:
        return json.dumps(text, ensure_ascii=is_ascii).encode()
    except UnicodeEncodeError:
        return json.dumps(text).encode()


strings: Text = st.builds(written, st.text(st.characters(codec=None, exclude_categories=()), max_size=8), st.booleans())
digits = st.text("0123456789", min_size=1, max_size=40).map(lambda text: text.lstrip("0") or "0")
numbers: Text = st.one_of(
    st.sampled_from([2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 0]).map(lambda n: str(n).encode()),
    st.builds(lambda sign, whole: f"{sign}{whole}".encode(), st.sampled_from(["", "-"]), digits),
    st.builds(lambda sign, whole, part: f"{sign}{whole}.{part}".encode(), st.sampled_from(["", "-"]), digits, digits),
    st.builds(lambda whole, power: f"{whole}e{power}".encode(), digits, st.integers(-400, 400)),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda x: repr(x).encode()),
)
broken: Text = st.sampled_from([b"NaN", b"Infinity", b"-Infinity", b'"\xff"', b"", b"01", b"'x'", b'"\\x"', b"nul"])
scalars: Text = st.one_of(strings, numbers, st.sampled_from([b"null", b"true", b"false"]))


def objects(values: Text) -> Text:
    pairs = st.tuples(strings, values).map(b":".join)
    return st.lists(pairs, max_size=3).map(lambda fields: b"{%s}" % b", ".join(fields))


anything: Text = st.recursive(
    scalars,
    lambda inner: objects(inner) | st.lists(inner, max_size=3).map(lambda values: b"[%s]" % b" ,".join(values)),
    max_leaves=6,
)


@st.composite
def batches(draw: st.DrawFn) -> tuple[dict[str, ColumnType], list[tuple[bytes, bool]]]:
    """A declaration, and records with whether each must fit it."""
    names = draw(st.lists(st.sampled_from(NAMES), unique_by=str.casefold, max_size=5))
    types = {name: draw(st.sampled_from(KINDS)) for name in names}
    fitting = {kind: [value.encode() for each, value in FITS if each == kind and len(value) < 1000] for kind in KINDS}
    near = {kind: [value.encode() for each, value, _ in DOES_NOT_FIT if each == kind] for kind in KINDS}
    records = []
    for _ in range(draw(st.integers(1, 12))):
        must_fit = draw(st.booleans())
        fields = [(b'"id"', draw(st.sampled_from(IDS[:4] if must_fit else IDS)))]
        for name, kind in types.items():
            value = st.sampled_from(fitting[kind])
            if not must_fit:
                value = value | anything | broken | (st.sampled_from(near[kind]) if near[kind] else anything)
            if draw(st.booleans()):
                fields.append((written(name, draw(st.booleans())), draw(value)))
        if not must_fit:
            fields += draw(
                st.lists(st.tuples(strings, anything), max_size=2)
            )  # a new field, or one that is there twice
        between = draw(st.sampled_from([b",", b", ", b" ,\t"]))
        colon = draw(st.sampled_from([b":", b" : "]))
        text = b"{%s}" % between.join(colon.join(field) for field in draw(st.permutations(fields)))
        records.append((text, must_fit))
    return types, records


@pytest.mark.parametrize("destination", DESTINATIONS.values(), ids=DESTINATIONS)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(batch=batches(), size=st.integers(1, 5))
@example(batch=({"a": "json"}, [(b'{"id":1,"a":{"b":0.123456789012345678,"b":[1]}}', True)]), size=1)
@example(batch=({"a": "decimal"}, [(b'{"id":1,"a":1234567890123456789.123456789}', True)]), size=1)
@example(batch=({"a": "string"}, [(b'{"id":1,"a":"1","a":"2"}', False), (b'{"id":"2"}', True)]), size=2)
def test_any_record_is_landed_as_it_was_sent_or_put_aside_as_it_came_and_the_counts_add_up(
    destination: Callable[[Path], DuckDB], batch: tuple[dict[str, ColumnType], list[tuple[bytes, bool]]], size: int
) -> None:
    types, records = batch
    stream = Stream(
        name="things",
        description="",
        columns=(Column("id", "string", ""), *(Column(name, kind, "") for name, kind in types.items())),
        primary_key=("id",),
    )
    texts = [text for text, _ in records]
    folder = Path(tempfile.mkdtemp())
    try:
        lenient = Store(replace(destination(folder), max_quarantined_share=1.0), folder)
        landed = lenient.land(stream, *(page(*texts[start : start + size]) for start in range(0, len(texts), size)))
        rows = lenient.query(f"SELECT * FROM {table(stream)}") if landed.rows else []
        put_aside = lenient.query(f"SELECT record FROM {table(stream, '_quarantine')}") if landed.quarantined else []
    finally:
        close_spools()
        shutil.rmtree(folder)

    aside = Counter(text for (text,) in put_aside)
    assert (landed.received, len(rows), aside.total()) == (len(texts), landed.rows, landed.quarantined)
    assert landed.received == landed.rows + landed.quarantined + landed.duplicates + landed.left_out
    assert not aside - Counter(text.decode(errors="backslashreplace") for text in texts)
    assert not [text for text, must_fit in records if must_fit and text.decode() in aside]
    last: dict[str, list[tuple[str, Any]]] = {}
    for text in texts:
        if text.decode(errors="backslashreplace") not in aside:
            fields = json.loads(text, object_pairs_hook=list, parse_int=Number, parse_float=Number)
            last[str(dict(fields)["id"])] = fields
    assert {row[0] for row in rows} == set(last)
    for row in rows:
        sent = dict(last[row[0]])
        assert len(sent) == len(last[row[0]]), "a field that is there twice was landed"
        for (name, kind), stored in zip(types.items(), row[1:], strict=False):
            assert is_landed(kind, sent.pop(name, None), stored), (name, kind, stored)
        del sent["id"]
        assert is_landed("json", list(sent.items()) or None, row[1 + len(types)])


def is_landed(kind: ColumnType, sent: Any, stored: Any) -> bool:
    """Whether a stored value is the one that was sent; objects, as lists of pairs, in their order and with all keys."""
    if kind != "json" or sent is None or stored is None:
        return is_same(kind, sent, stored)
    return is_equal(sent, json.loads(stored, object_pairs_hook=list, parse_int=Number, parse_float=Number))


def is_equal(sent: Any, stored: Any) -> bool:
    if isinstance(sent, Number):
        is_double = float(sent) == float(stored) and len(Decimal(sent).as_tuple().digits) <= 17
        return isinstance(stored, Number) and (Decimal(sent) == Decimal(stored) or is_double)
    if isinstance(sent, list | tuple):
        return len(sent) == len(stored) and all(map(is_equal, sent, stored))
    return bool(type(sent) is type(stored) and sent == stored)


# Any declaration, then a wider one


@pytest.mark.parametrize("destination", DESTINATIONS.values(), ids=DESTINATIONS)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    cases=st.lists(st.sampled_from(WIDENED), min_size=1, max_size=5),
    new=st.lists(st.sampled_from(KINDS), max_size=3),
    is_reversed=st.booleans(),
    count=st.integers(1, 4),
)
def test_values_of_a_day_stay_what_they_were_when_a_later_day_is_declared_wider(
    destination: Callable[[Path], DuckDB],
    cases: Sequence[tuple[ColumnType, Any, ColumnType, Any, Sequence[Any]]],
    new: Sequence[ColumnType],
    is_reversed: bool,
    count: int,
) -> None:
    numbered = list(enumerate(cases))
    before = daily(**{f"v{n}": case[0] for n, case in numbered})
    wider = [(f"v{n}", case[2]) for n, case in numbered] + [(f"new{n}", kind) for n, kind in enumerate(new)]
    after = daily(**dict(reversed(wider) if is_reversed else wider))
    folder = Path(tempfile.mkdtemp())
    try:
        lenient = Store(destination(folder), folder)
        first = [at(str(n), "01T10", **{f"v{m}": case[1] for m, case in numbered}) for n in range(count)]
        lenient.land(before, *first, window=MARCH_1)
        lenient.land(after, at("x", "02T10", **{f"v{n}": case[3] for n, case in numbered}), window=MARCH_2)
        names = ", ".join(f'"{name}"' for name, _ in wider)
        rows = lenient.query(f"SELECT {names} FROM {table(after)} WHERE _partition = '2026-03-01'")
        (later,) = lenient.query(f"SELECT {names} FROM {table(after)} WHERE _partition = '2026-03-02'")
    finally:
        close_spools()
        shutil.rmtree(folder)

    assert rows == [(*(case[4][0] for case in cases), *(None for _ in new))] * count
    assert later == (*(case[4][1] for case in cases), *(None for _ in new))
