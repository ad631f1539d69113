"""What `Source.extract` does when a reading that was broken off cannot go on, and where an `HttpSource` reads."""

import copy
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr

from connector_resources.errors import ConfigurationError, MissingCredential, PaginationLoop, RequestRejected
from connector_resources.http.authenticators import NoAuthentication
from connector_resources.http.rate_limit import RateLimit
from connector_resources.resource import HttpSource, Source, setting
from connector_resources.spool import Reason, StartedOver
from connector_resources.streams import Page, Slice, Stream
from tests.landing import page, snapshot

THINGS = snapshot(id="string")


class Scripted(Source):
    """A list of four pages, some of which are refused: a page, with what, and how often."""

    name = "scripted"
    streams = (THINGS,)
    view: str = ""

    def read(self, stream: Stream, slice: Slice, token: str | None = None) -> Iterator[Page]:
        asked.append(token)
        first = 0 if token is None else int(token)
        for number in range(first, 4):
            if refusals and refusals[0][0] == number:
                raise refusals.pop(0)[1]
            yield page({"id": f"{number} of {len(asked)}"}, token=None if number == 3 else str(number + 1))


asked: list[str | None] = []
refusals: list[tuple[int, Exception]] = []
"""What the next refusals are: of which page, and with what."""


@pytest.fixture(autouse=True)
def _nothing_happened() -> None:
    asked.clear()
    refusals.clear()


def read(folder: Path) -> tuple[list[str], Sequence[StartedOver]]:
    """Read all; the records, and what was told."""
    told: list[StartedOver] = []
    spool = Scripted().extract(THINGS, Slice(), folder, started_over=told.append)
    lines = spool.pages_file.read_text().splitlines()
    spool.close()
    return [line.split('"id": ')[1] for line in lines], told


def broken_off(folder: Path, *, after: int) -> None:
    refusals.append((after, RequestRejected("no network", status=503)))
    with pytest.raises(RequestRejected):
        read(folder)
    asked.clear()


REFUSALS = [*(RequestRejected("refused", status=status) for status in (400, 404, 410, 422)), PaginationLoop("a circle")]


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_a_page_token_that_has_expired_starts_over_and_says_so(tmp_path: Path, refusal: Exception) -> None:
    broken_off(tmp_path, after=2)
    refusals.append((2, refusal))
    records, told = read(tmp_path)
    assert asked == ["2", None]
    assert records == [f'"{number} of 2"}}}}' for number in range(4)]
    assert told == [StartedOver("things", 2, Reason.TOKEN_REFUSED, str(refusal))]


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_a_refusal_in_a_reading_from_the_start_is_final(tmp_path: Path, refusal: Exception) -> None:
    refusals.append((2, refusal))
    with pytest.raises(type(refusal), match=str(refusal)):
        read(tmp_path)
    assert asked == [None]


def test_a_page_that_is_refused_again_from_the_start_is_final(tmp_path: Path) -> None:
    broken_off(tmp_path, after=2)
    refusals.extend((2, RequestRejected("refused", status=400)) for _ in range(3))
    with pytest.raises(RequestRejected, match="refused"):
        read(tmp_path)
    assert asked == ["2", None]


@pytest.mark.parametrize("status", [401, 403])
def test_a_credential_that_is_refused_costs_no_page_that_is_there(tmp_path: Path, status: int) -> None:
    broken_off(tmp_path, after=2)
    refusals.append((2, RequestRejected("refused", status=status)))
    with pytest.raises(RequestRejected):
        read(tmp_path)
    assert (read(tmp_path)[1], asked) == ([], ["2", "2"])


def test_a_refusal_later_than_the_first_request_keeps_what_was_read(tmp_path: Path) -> None:
    broken_off(tmp_path, after=2)
    refusals.append((3, RequestRejected("refused", status=400)))
    with pytest.raises(RequestRejected):
        read(tmp_path)
    assert (read(tmp_path)[1], asked) == ([], ["2", "3"])


def test_what_was_read_under_other_settings_starts_over_and_says_so(tmp_path: Path) -> None:
    broken_off(tmp_path, after=2)
    told: list[StartedOver] = []
    Scripted(view="other").extract(THINGS, Slice(), tmp_path, started_over=told.append).close()
    assert (asked, told) == ([None], [StartedOver("things", 2, Reason.SETTINGS_CHANGED)])


class Placed(HttpSource):
    """A source whose vendor has one usual place."""

    name = "placed"
    default_url = "https://api.example/v1/"


class Open(Placed):
    """A source without a credential."""

    name = "open"
    rate_limit = RateLimit()

    def authenticator(self) -> NoAuthentication:
        return NoAuthentication()


@pytest.mark.parametrize("url", ["http://user:hunter2@host.test/v1", "https://hunter2@host.test", "https://[hunter2"])
def test_an_address_with_a_credential_in_it_is_refused_before_anything_is_sent_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _ = Open(base_url=url).client

    assert str(caught.value) == (
        "open: the base URL must read https://host or https://host/path, without a user name or a password. Set "
        "credentials in the variables for them."
    )


class Placeless(HttpSource):
    """A source whose vendor has none."""

    name = "placeless"


def test_requests_go_to_the_usual_place_or_to_the_one_that_is_set() -> None:
    assert (Placed().url, Placed(base_url="http://127.0.0.1:1/").url) == (
        "https://api.example/v1",
        "http://127.0.0.1:1",
    )


def test_a_source_without_any_place_says_what_to_set() -> None:
    with pytest.raises(MissingCredential, match="placeless: base_url is not set, and the connector has no default_url"):
        _ = Placeless().url


class Varied(Source):
    """A source whose fields are of all types that a variable is read as."""

    name = "varied"
    streams = (THINGS,)
    share: float = setting("How much.", variable="VARIED_SHARE", default=1.0)
    key: int = setting("Which.", variable="VARIED_KEY", default=1, secret=True)
    says: bool = setting("Whether.", variable="VARIED_SAYS", default=True)


def test_variables_are_read_as_what_their_fields_are() -> None:
    assert Varied.said_by({"VARIED_SHARE": "0.5", "VARIED_KEY": "7", "VARIED_SAYS": "No", "OTHER": "x"}) == {
        "share": 0.5,
        "key": 7,
        "says": False,
    }


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("VARIED_SHARE", "varied: VARIED_SHARE is 'half'; expected a number."),
        ("VARIED_SAYS", "varied: VARIED_SAYS is 'half'; expected one of 1, true, yes, 0, false, no."),
        ("VARIED_KEY", "varied: VARIED_KEY is not shown, for it is a secret; expected a whole number."),
    ],
)
def test_a_variable_of_the_wrong_kind_is_named_and_shown_unless_it_is_a_secret(variable: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Varied.said_by({variable: "half"})
    assert str(caught.value) == message


class Counting(Scripted):
    """A source that remembers its use, which nothing can be pickled of."""

    _used: list[object] = PrivateAttr(default_factory=list)


def used(source: Source) -> Source:
    if isinstance(source, Counting):
        source._used.append(threading.Lock())
    if isinstance(source, HttpSource):
        source.tell_retries(lambda why: None)
        assert source.client is source.client
    return source


COPIES = {"pickle": lambda source: pickle.loads(pickle.dumps(source)), "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("source", [Counting(view="all"), Open(concurrency=3)], ids=["plain", "http"])
def test_a_source_that_was_used_is_copied_as_one_that_was_not(source: Source, copied: Callable[[Source], Any]) -> None:
    made = copied(used(source))
    assert (type(made), dict(made)) == (type(source), dict(source))
    assert made.__pydantic_fields_set__ == source.__pydantic_fields_set__
    assert getattr(made, "_used", []) == []
    assert getattr(made, "_client", None) is None


def test_sources_are_equal_by_their_fields_and_not_by_their_use() -> None:
    assert used(Open()) == Open() == used(Open())
    assert hash(used(Open())) == hash(Open())
    assert Open() != Open(concurrency=3)
    assert Counting() != Scripted()
    assert Open() != "open"
