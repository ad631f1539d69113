"""What every stream of every connector keeps, read from its vendor's sandbox and landed.

A new connector is found and held to all of this without a line here, whether it is in this package or in another one
that is installed beside it: `python -m pytest tests/contract -k library` asks for those of one vendor.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from connector_resources.destinations.duckdb_tables import TYPES, PartitionFacts
from connector_resources.errors import ConnectorError, MalformedPage, PaginationLoop, RequestRetryable
from connector_resources.http.retry import RetryPolicy
from connector_resources.http.stream import HttpStream
from connector_resources.resource import HttpSource, Source
from connector_resources.sandbox.faults import KINDS, Change, Kind
from connector_resources.sandbox.vendors import vendors
from connector_resources.sources import discover
from connector_resources.spool import PageMark, Spool
from connector_resources.streams import Slice, Stream
from tests.contract.conftest import DAYS, SUBJECTS, Contract, Reading, Subject, running_contract, table, window_of

Faulty = tuple[Contract, Subject]

STREAMS = pytest.mark.parametrize("subject", SUBJECTS, ids=str)
WINDOWED = pytest.mark.parametrize(
    "subject", [subject for subject in SUBJECTS if subject.stream.selects_a_window], ids=str
)
DAILY = pytest.mark.parametrize("subject", [subject for subject in SUBJECTS if subject.stream.is_partitioned], ids=str)
SUBSTREAMS = pytest.mark.parametrize(
    "subject", [subject for subject in SUBJECTS if subject.stream.parent is not None], ids=str
)
OVER_HTTP = pytest.mark.parametrize(
    "subject", [subject for subject in SUBJECTS if isinstance(subject.stream, HttpStream)], ids=str
)


def kept_alike(subject: Subject) -> tuple[object, ...]:
    """Return what decides how a stream's requests follow from one another, and what of them is kept."""
    stream = subject.stream
    http = (stream.paginator, stream.method, stream.has_one_record) if isinstance(stream, HttpStream) else ()
    unless = stream.parent is not None and stream.parent.unless_empty is not None
    shape = (type(stream), stream.parent is not None, unless, stream.selects_a_window, stream.is_partitioned)
    return subject.kind.name, *shape, *map(repr, http)


_widest: dict[tuple[object, ...], Subject] = {}
for _subject in SUBJECTS:
    _widest[kept_alike(_subject)] = max(
        (_widest.get(kept_alike(_subject), _subject), _subject), key=lambda each: len(each.stream.columns)
    )
ONE_OF_A_KIND = pytest.mark.parametrize(
    "subject",
    [
        pytest.param(subject, id=str(subject), marks=[] if subject in _widest.values() else [pytest.mark.soak])
        for subject in SUBJECTS
    ],
)
"""The stream with the most columns of those that are read alike; `make soak` takes the others, too."""


# What is landed


@STREAMS
def test_a_stream_gives_records(contract: Contract, subject: Subject) -> None:
    assert contract.reading(subject).landed.rows > 0


@STREAMS
def test_every_record_fits_its_declaration(contract: Contract, subject: Subject) -> None:
    landed = contract.reading(subject).landed
    assert (landed.quarantined, landed.first_reason, [field.name for field in landed.undeclared]) == (0, None, [])


@STREAMS
def test_the_table_has_the_declared_columns_in_their_order_and_types(contract: Contract, subject: Subject) -> None:
    contract.reading(subject)
    stored = contract.store.query(f"DESCRIBE {table(subject)}")
    declared = [(column.name, TYPES[column.type]) for column in subject.stream.columns]
    assert [(name, kind) for name, kind, *_ in stored if not name.startswith("_")] == declared


@STREAMS
def test_every_declared_column_holds_a_value_somewhere(contract: Contract, subject: Subject) -> None:
    counts = contract.reading(subject).table.counts
    assert [name for name, count in counts.items() if count == 0] == []


@STREAMS
def test_keys_are_never_null_and_name_one_current_row_each(contract: Contract, subject: Subject) -> None:
    reading = contract.reading(subject)
    found = reading.table
    assert (found.keys_with_null, reading.landed.duplicates) == (0, 0)
    assert found.current_rows + found.deleted_rows == found.keys


@WINDOWED
def test_a_row_lies_in_the_partition_of_its_cursor(contract: Contract, subject: Subject) -> None:
    contract.reading(subject)
    assert subject.stream.cursor is not None
    day = f"""strftime("{subject.stream.cursor.column}", '%Y-%m-%d')"""
    days = contract.store.query(f"SELECT DISTINCT {day}, _partition FROM {table(subject)}")
    assert [(day, partition) for day, partition in days if day != partition or partition not in DAYS] == []


@SUBSTREAMS
def test_a_row_says_which_parent_it_belongs_to_and_that_is_landed(contract: Contract, subject: Subject) -> None:
    contract.reading(subject)
    assert subject.parent is not None
    assert subject.stream.references, "No column says which parent a row belongs to: see Parent.told_as."
    same = " AND ".join(
        f'parent."{of}"::VARCHAR = child."{name}"::VARCHAR' for name, of in subject.stream.references.items()
    )
    told = " AND ".join(f'child."{name}" IS NOT NULL' for name in subject.stream.references)
    missing = f"NOT EXISTS (SELECT 1 FROM {table(subject.parent)} AS parent WHERE {same})"
    ((rows, without),) = contract.store.query(
        f"SELECT count(*), count(*) FILTER ({missing}) FROM {table(subject)} AS child WHERE {told}"
    )
    assert (rows > 0, without) == (True, 0)


@STREAMS
def test_what_the_server_counts_and_sends_is_in_the_table_or_outside_the_window(
    contract: Contract, subject: Subject
) -> None:
    reading = contract.reading(subject)
    received = sum(mark.received for mark in reading.marks)
    wrong_totals = [(total, came) for total, came in lists(reading.marks) if total not in (None, came)]
    assert (reading.table.keys + reading.landed.left_out, wrong_totals) == (received, [])


def lists(marks: list[PageMark]) -> list[tuple[int | None, int]]:
    """Return for each list that was read what the server counts, None where it does not, and what came."""
    found, came = [], 0
    for mark in marks:
        came += mark.received
        if mark.token is None or ('"parent":' in mark.token and '"request":' not in mark.token):
            found.append((mark.total, came))
            came = 0
    return found


# Reading it again


@DAILY
def test_days_one_by_one_are_the_days_of_the_range_cell_by_cell(
    contract: Contract, subject: Subject, tmp_path: Path
) -> None:
    facts = contract.reading(subject).landed.partitions
    filled = [day for day in DAYS if facts[day].rows]
    # A day whose first row lies on the stroke of midnight shows which side of it the windows include.
    at_midnight = [day for day in filled if (first := facts[day].first_cursor) and first == window_of((day,)).start]
    days = tuple(sorted({filled[len(filled) // 2], *(at_midnight or filled)[:1]}))
    single = contract.database("single")
    for day in days:
        spool = contract.source(subject.kind).extract(subject.stream, contract.slice(subject, (day,)), tmp_path)
        contract.land(single, subject, spool, (day,))
    assert contract.rows(single, subject) == contract.rows(contract.store, subject, days)


@ONE_OF_A_KIND
def test_a_broken_extraction_goes_on_with_what_is_missing(again: "Again", contract: Contract, subject: Subject) -> None:
    whole = contract.reading(subject)
    second = again(subject)
    assert (second.resumed_pages, second.calls) == (second.kept_pages, sum(whole.costs[second.kept_pages :]))


def without_token(mark: PageMark) -> PageMark:
    """Return what a page is on disk; its token has the second at which its list was begun."""
    return msgspec.structs.replace(mark, token=None)


@ONE_OF_A_KIND
def test_a_reading_with_eight_requests_on_their_way_is_the_one_that_asks_for_one_after_the_other(
    contract: Contract, subject: Subject, tmp_path: Path
) -> None:
    whole, source = contract.reading(subject), contract.source(subject.kind)
    spool = source.extract(subject.stream, contract.slice(subject), tmp_path)
    assert list(map(without_token, spool.marks)) == list(map(without_token, whole.marks))
    assert source.statistics.requests == sum(whole.costs)
    assert contract.land(contract.database("ahead"), subject, spool).partitions == whole.landed.partitions


@ONE_OF_A_KIND
def test_a_second_reading_gives_the_same_data_versions(again: "Again", contract: Contract, subject: Subject) -> None:
    assert again(subject).partitions == contract.reading(subject).landed.partitions


@dataclass(frozen=True)
class SecondReading:
    """A reading that was broken off and taken up again."""

    kept_pages: int
    resumed_pages: int
    calls: int
    partitions: Mapping[str, PartitionFacts]


Again = Callable[[Subject], SecondReading]


@pytest.fixture(scope="module")
def again(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Again:
    """Read every stream a second time, with a break in the middle; each once."""
    done: dict[str, SecondReading] = {}

    def read(subject: Subject) -> SecondReading:
        if str(subject) in done:
            return done[str(subject)]
        whole, asked, spools = contract.reading(subject), contract.slice(subject), tmp_path_factory.mktemp("again")
        kept = broken_off(contract, subject, asked, spools, whole)
        contract.sandbox.fail()
        calls = contract.sandbox.calls()
        spool = contract.source(subject.kind, concurrency=1).extract(subject.stream, asked, spools)
        calls = contract.sandbox.calls() - calls
        landed = contract.land(contract.database("again"), subject, spool)
        return done.setdefault(str(subject), SecondReading(kept, spool.resumed_pages, calls, landed.partitions))

    return read


class Killed(Exception):
    """Ends the reading of a source without a server."""


def broken_off(contract: Contract, subject: Subject, asked: Slice, spools: Path, whole: Reading) -> int:
    """Read about half of a slice, until every connection is dropped; returns how many pages are on disk then."""
    source = contract.source(subject.kind, concurrency=1)
    if isinstance(source, HttpSource):
        answered = sum(whole.costs) // 2
        drop = {"pattern": f"* /{subject.kind.name}/*", "kind": "drop", "skip": answered, "times": 1_000_000}
        contract.sandbox.fail(drop)
        source.client.retry = RetryPolicy(tries=1)
        with pytest.raises(RequestRetryable):
            source.extract(subject.stream, asked, spools)
        return sum(sent <= answered for sent in accumulate(whole.costs))
    kept = len(whole.marks) // 2

    def stop(spool: Spool) -> None:
        if len(spool.marks) == kept:
            raise Killed

    with pytest.raises(Killed):
        source.extract(subject.stream, asked, spools, stop)
    return kept


# What servers refuse, and what they do to readers


@OVER_HTTP
def test_a_parameter_the_vendor_does_not_know_is_refused(contract: Contract, subject: Subject) -> None:
    asked = contract.slice(subject)
    source = contract.source(subject.kind)
    assert isinstance(source, HttpSource)
    next(source.read(subject.stream, asked))
    request = contract.sandbox.last_request()
    url = f"{contract.sandbox.url}{request['path']}?{request['query']}&made_up=1"
    signed = source.authenticator().sign()
    answer = requests.request(
        request["method"], url, headers=dict(signed.headers), params=dict(signed.params), timeout=10
    )
    assert (answer.status_code, "made_up" in answer.text) == (REFUSED.get(subject.kind.name, 400), True)


REFUSED = {"aha": 422}
"""The status with which a vendor's sandbox refuses a parameter it does not know, where it is not 400."""

OUTCOMES: dict[Kind, type[ConnectorError] | None] = {
    "429": None,
    "500": None,
    "drop": None,
    "truncate": None,
    "html": MalformedPage,
    "repeat_page": None,
    "drift_row": None,
    "slow": None,
}
"""What a fault on the second page ends with: an error, or (None) the table as the server has it."""

CHANGES: tuple[Change, ...] = ("update", "insert", "remove")
FAULTS = [
    *({"kind": kind} for kind in KINDS if kind != "drift_row"),
    *({"kind": "drift_row", "change": change} for change in CHANGES),
]

PAGED = {"aha": "features"}
"""A stream of several pages of a vendor, where it is not the first that can be asked for a window."""


def paged(kind: type[Source]) -> Stream:
    """Return a stream of several pages."""
    windowed = [stream.name for stream in kind.streams if stream.selects_a_window]
    return kind.stream(PAGED.get(kind.name) or windowed[0])


@pytest.fixture(scope="module", params=vendors())
def faulty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    kind = next(kind for kind in discover() if kind.name == request.param)
    with running_contract(tmp_path_factory.mktemp("faulty")) as contract:
        subject = Subject(kind, paged(kind))
        contract.reading(subject)
        yield contract, subject


def test_every_fault_has_an_outcome_and_every_vendor_a_source() -> None:
    assert tuple(OUTCOMES) == KINDS
    assert {kind.name for kind in discover()} >= set(vendors())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(fault.values()))
def test_a_fault_ends_with_the_right_table_or_a_named_error(
    faulty: Faulty, fault: dict[str, Any], tmp_path: Path
) -> None:
    contract, subject = faulty
    before = set(contract.rows(contract.store, subject))
    asked = contract.slice(subject)
    contract.sandbox.fail({"pattern": f"* /{subject.kind.name}/*", "skip": 1, "seconds": 0.05, **fault})
    source = contract.source(subject.kind)
    assert isinstance(source, HttpSource)
    waits: list[float] = []
    source.client.sleep = waits.append
    error = OUTCOMES[fault["kind"]]
    if error is not None:
        with pytest.raises(error):
            source.extract(subject.stream, asked, tmp_path)
    hit = contract.database("hit")
    contract.land(hit, subject, source.extract(subject.stream, asked, tmp_path))
    contract.sandbox.fail()
    contract.land(
        contract.store, subject, contract.source(subject.kind).extract(subject.stream, asked, tmp_path / "clean")
    )
    after, found = set(contract.rows(contract.store, subject)), set(contract.rows(hit, subject))
    # A row that changes while it is read may come as it was or as it is; no other row may be missing or different.
    assert before & after <= found <= before | after
    assert len(before & after) > 50
    assert len(waits) == (fault["kind"] in ("429", "500", "drop", "truncate"))


def test_a_server_that_repeats_a_page_for_ever_is_a_loop_with_a_name(faulty: Faulty, tmp_path: Path) -> None:
    contract, subject = faulty
    contract.sandbox.fail({"pattern": f"* /{subject.kind.name}/*", "kind": "repeat_page", "skip": 1, "times": 1_000})
    with pytest.raises(PaginationLoop, match=rf"{subject.stream.name}: GET "):
        contract.source(subject.kind).extract(subject.stream, contract.slice(subject), tmp_path)
    contract.sandbox.fail()


def test_a_broken_answer_leaves_the_table_as_it_was(faulty: Faulty, tmp_path: Path) -> None:
    contract, subject = faulty
    before = contract.store.query(f"SELECT * FROM {table(subject)} ORDER BY ALL")
    contract.sandbox.fail({"pattern": f"* /{subject.kind.name}/*", "kind": "html", "skip": 1})
    with pytest.raises(MalformedPage, match=rf"{subject.kind.name}\.{subject.stream.name}: GET .*text/html"):
        contract.source(subject.kind).extract(subject.stream, contract.slice(subject), tmp_path)
    contract.sandbox.fail()
    assert contract.store.query(f"SELECT * FROM {table(subject)} ORDER BY ALL") == before
