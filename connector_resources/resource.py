"""Sources: what reads an account, with its authentication, limits, pages and retries.

A source's facts (its streams, its rate limit) are on the class, its secrets are fields of the instance: the asset
graph loads with an empty environment, and what is missing is complained about when a run starts. It knows nothing of
Dagster, which takes as long to import as 30,000 records take to land: `orchestration.as_resource` makes a resource of
it, and the Python API reads it as it is.
"""

import hashlib
import logging
import math
import os
import threading
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType, new_class
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Protocol, Self, cast
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from connector_resources.config_keys import ConfigKey
from connector_resources.errors import (
    ConfigurationError,
    IncompleteRead,
    MissingCredential,
    PaginationLoop,
    RequestBudgetSpent,
    RequestRejected,
    StreamNotPartitioned,
    UnknownStream,
)
from connector_resources.http.ahead import Ahead, InFlight, Share, Stopped
from connector_resources.http.authenticators import Authenticator, InTurn
from connector_resources.http.client import Client, Statistics, until
from connector_resources.http.deadline import Line
from connector_resources.http.messages import Answer, Request, Response
from connector_resources.http.rate_limit import RateLimit, RateLimiter, Standing, usage_path
from connector_resources.http.rate_usage import UsageLog
from connector_resources.http.retry import RetryPolicy
from connector_resources.http.stream import HttpStream, bound, is_past, open_answer, read_pages
from connector_resources.spool import OnDisk, Reason, Spool, SpoolKey, StartedOver, on_disk, open_spool
from connector_resources.streams import Page, ParentRow, Slice, Stream

logger = logging.getLogger(__name__)

_Asked = ParamSpec("_Asked")

_REREADS = 2
"""How often a list that changed while it was read is read from the start again before that is an error."""


_OF_THE_PACE = ("rate_limit_factor", "daily_request_budget", "concurrency")
"""Settings that say how fast and how much may be read, and change nothing about what is."""

_TOKEN_REFUSED_STATUSES = (400, 404, 410, 422)
"""How APIs answer to a page token that has expired; in a reading from the start these are final."""


def setting(
    description: str, *, variable: str, default: Any = "", secret: bool = False, least: int | None = None
) -> Any:
    """Return the field of a source that `from_environment` fills from `variable`.

    A secret is masked in the web UI, and left out of the source's repr, which logs and tracebacks show. `least` is what
    a configuration of the Python API is held to; the source itself is, where its `check` says so.
    """
    bound = {} if least is None else {"minimum": least}
    return Field(
        default=default,
        repr=not secret,
        description=description + _environment(variable),
        json_schema_extra={"variable": variable, "dagster__is_secret": secret, **bound},
    )


def _environment(variable: str) -> str:
    return f" Environment: {variable}."


_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError
    return _BOOLEANS[text.lower()]


_PARSERS: Mapping[object, tuple[Callable[[str], Any], str]] = {
    bool: (_boolean, f"one of {', '.join(_BOOLEANS)}"),
    int: (int, "a whole number"),
    float: (float, "a number"),
}
"""How the text of a variable is made a field's value, by the field's type, and what the text has to be."""


def _parsed(kind: "type[Source]", field: str, variable: str, text: str) -> Any:
    parse, expected = _PARSERS.get(kind.model_fields[field].annotation, (str, "a text"))
    try:
        return parse(text)
    except ValueError:
        shown = "not shown, for it is a secret" if variable in kind.secrets() else repr(text)
        raise ConfigurationError(f"{kind.name}: {variable} is {shown}; expected {expected}.") from None


def _log_started_over(told: StartedOver) -> None:
    logger.warning("%s", told)


def _at_once(steps: Callable[_Asked, Generator[object, None, Spool]]) -> Callable[_Asked, Spool]:
    """Return what makes all steps of `steps`, and returns what the last one does."""

    def made(*arguments: _Asked.args, **named: _Asked.kwargs) -> Spool:
        with closing(steps(*arguments, **named)) as left:
            while True:
                try:
                    next(left)
                except StopIteration as end:
                    spool: Spool = end.value
                    return spool

    return made


class Source(BaseModel):
    """One account of one vendor: what it holds, as streams, and how it is read.

    `is_made_up` says that its records are made here: there is no credential that could see fewer of them than before.
    `name` is the account's: its assets, tables, files and messages have it. `connector` is the source's, which is the
    same where there is one account; `named` makes others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)  # an input may be a secret

    name: ClassVar[str]
    connector: ClassVar[str]
    streams: ClassVar[tuple[Stream, ...]]
    is_made_up: ClassVar[bool] = False
    config_keys: ClassVar[tuple[ConfigKey, ...]] = ()
    config_needs: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Of each of these sets of keys a configuration has at least one."""
    stream_aliases: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Other names that people know streams by, such as those in Airbyte's connector, and the streams they stand for."""

    @classmethod
    def __pydantic_init_subclass__(cls, **arguments: Any) -> None:
        """Take the name that a connector is declared with for the connector's."""
        super().__pydantic_init_subclass__(**arguments)
        if "name" in vars(cls) and not hasattr(cls, "connector"):
            cls.connector = cls.name

    @classmethod
    def named(cls, name: str, variables: Mapping[str, str] = MappingProxyType({})) -> type[Self]:
        """Return this source as an account of another name, which reads environment variables of its own.

        `variables` has them by field. A field that is not in it has the source's variable with the account's name in
        place of the source's: AHA_EMEA_API_KEY for AHA_API_KEY. Never the source's own: half of one account's
        credentials and half of another's would read the wrong one.
        """
        if name == cls.name and not variables:
            return cls
        fields: dict[str, Any] = {}
        for field, variable in cls.variables().items():
            info = cls.model_fields[field]
            fields[field] = setting(
                (info.description or "").removesuffix(_environment(variable)),
                variable=variables.get(field, f"{name.upper()}_{variable.removeprefix(f'{cls.name.upper()}_')}"),
                default=info.default,
                secret=variable in cls.secrets(),
            )
        members = {
            "__module__": cls.__module__,
            "__doc__": cls.__doc__,
            "__annotations__": {field: cls.model_fields[field].annotation for field in fields},
            "name": name,
            **fields,
        }
        return cast(type[Self], new_class(cls.__name__, (cls,), exec_body=lambda body: body.update(members)))

    @classmethod
    def variables(cls) -> Mapping[str, str]:
        """Return the environment variables that fields come from, by field."""
        found = {field: info.json_schema_extra for field, info in cls.model_fields.items()}
        return {
            field: str(extra["variable"])
            for field, extra in found.items()
            if isinstance(extra, dict) and "variable" in extra
        }

    @classmethod
    def from_environment(cls, **fields: Any) -> Self:
        """Return a source whose fields come from `fields`, else from the environment variables they name.

        Raises ConfigurationError as `said_by` does.
        """
        return cls(**cls.said_by(os.environ, but=fields), **fields)

    @classmethod
    def said_by(cls, environment: Mapping[str, str], *, but: Collection[str] = ()) -> dict[str, Any]:
        """Return the fields that variables of an environment are set for, each as its type, without those in `but`.

        Raises ConfigurationError, naming the variable whose text is not of the field's type.
        """
        return {
            name: _parsed(cls, name, variable, text)
            for name, variable in cls.variables().items()
            if name not in but and (text := environment.get(variable))
        }

    @classmethod
    def secrets(cls) -> Sequence[str]:
        """Return the names of the environment variables that hold this source's secrets."""
        found = (info.json_schema_extra for info in cls.model_fields.values())
        return [
            str(extra["variable"]) for extra in found if isinstance(extra, dict) and extra.get("dagster__is_secret")
        ]

    @classmethod
    def stream(cls, name: str) -> Stream:
        """Return the stream of that name, its own or another. Raises UnknownStream, listing those there are."""
        own_name = cls.stream_aliases.get(name, name)
        for stream in cls.streams:
            if stream.name == own_name:
                return stream
        raise UnknownStream(
            f"{cls.name}: there is no stream {name!r}. Streams: {', '.join(stream.name for stream in cls.streams)}."
        )

    if not TYPE_CHECKING:  # a type checker would take it for leave to set anything

        def __setattr__(self, name: str, value: Any) -> None:
            """Set what is private. Raises ValidationError for all else, as pydantic does, but without the value."""
            if not name.startswith("_"):
                problem = {"type": "frozen_instance", "loc": (name,), "input": None}
                raise ValidationError.from_exception_data(type(self).__name__, [problem], hide_input=True)
            super().__setattr__(name, value)

    def __eq__(self, other: object) -> bool:
        """Whether the other is the same account with the same settings, whatever the two have been used for."""
        if not isinstance(other, Source):
            return NotImplemented
        return type(self) is type(other) and self._fields() == other._fields()

    def __getstate__(self) -> dict[Any, Any]:
        """Return what pickle keeps: the fields. What came with use, such as connections, is of this process."""
        unused = type(self).model_construct(self.model_fields_set, **self._fields())
        return super(Source, unused).__getstate__()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Return the same source, unused."""
        copied = type(self).__new__(type(self))
        copied.__setstate__(deepcopy(self.__getstate__(), memo))
        return copied

    def changed(self, **changes: Any) -> Self:
        """Return the same source with other values of some fields."""
        return type(self)(**{**self._fields(), **changes})

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields}

    @property
    def account(self) -> str:
        """A name for the account read, the same in every process, without a secret in it."""
        return self.name

    def check(self) -> None:
        """Prove that the account can be read. Raises ConfigurationError or RequestError, naming what to change."""
        raise NotImplementedError

    def read(self, stream: Stream, slice: Slice, token: str | None = None) -> Iterator[Page]:
        """Yield the pages of `stream` in `slice`; with `token`, those after the page that carried it.

        The pages of a window may hold records outside it (an API that cannot filter by its end); they are left out
        when the pages are landed.
        """
        raise NotImplementedError

    @property
    def statistics(self) -> Statistics:
        """What this source has cost since it was made."""
        return Statistics()

    def on_disk(
        self, stream: Stream, slice: Slice, spools: Path, not_before: Callable[[Collection[str]], float]
    ) -> OnDisk:
        """Return what `extract` would not ask for again, of the same arguments."""
        return on_disk(spools, SpoolKey.of(self.account, self.name, stream, slice, self._options()), not_before)

    def extracting(
        self,
        stream: Stream,
        slice: Slice,
        spools: Path,
        progress: Callable[[Spool], None] = lambda spool: None,
        *,
        partitions: Sequence[str] = (),
        not_before: Callable[[Collection[str]], float] = lambda runs: 0.0,
        started_over: Callable[[StartedOver], None] = _log_started_over,
        anew: bool = False,
    ) -> Generator[Spool, None, Spool]:
        """Read `slice` into a spool below `spools`; yield it when it is open and after each page, return it complete.

        What an earlier, interrupted extraction of the same slice has on disk is not asked for again, unless it was
        begun before `not_before(runs)`, or the API refuses its page token, or everything is asked for `anew`: see
        `open_spool`, which also says what `partitions` and `started_over` are. `progress` is called after each page.
        Each step may be made in another thread than the one before; `extract` makes all of them, and returns the spool.
        """
        _require_matching(self.name, stream, slice)
        key = SpoolKey.of(self.account, self.name, stream, slice, self._options())
        rereads, is_fresh = 0, False
        while True:
            spool = open_spool(
                spools, key, partitions=partitions, not_before=not_before, started_over=started_over, anew=anew
            )
            resumed_pages = spool.resumed_pages
            with spool.writing() as writer:
                try:
                    yield spool
                    if not spool.is_complete:
                        with _ended(self.read(stream, slice, spool.token)) as pages:
                            for page in pages:
                                writer.append(page)
                                progress(spool)
                                yield spool
                        writer.finish()
                    return spool
                except RequestBudgetSpent as error:
                    spool.mark_paused()
                    raise RequestBudgetSpent(
                        f"{self.name}.{stream.name}: the reading was stopped after {len(spool.marks):,} pages, "
                        f"which are kept for two days: a run for the same goes on after them. {error}"
                    ) from error
                except IncompleteRead as error:
                    spool.discard()
                    rereads += 1
                    if rereads > _REREADS:
                        raise
                    reason, detail = Reason.LIST_CHANGED, str(error)
                except (RequestRejected, PaginationLoop) as error:
                    is_first_request = resumed_pages and len(spool.marks) == resumed_pages
                    if is_fresh or not is_first_request or not _is_refused_token(error):
                        raise
                    spool.discard()
                    is_fresh = True
                    reason, detail = Reason.TOKEN_REFUSED, str(error)
            started_over(StartedOver(stream.name, len(spool.marks), reason, detail))

    extract = _at_once(extracting)

    def _options(self) -> str:
        """Return a short digest of the settings: what is read under others, another key's view say, is not resumed."""
        options = {name: value for name, value in self._fields().items() if name not in _OF_THE_PACE}
        return hashlib.blake2b(repr(sorted(options.items())).encode(), digest_size=6).hexdigest()


@contextmanager
def _ended(pages: Iterator[Page]) -> Iterator[Iterator[Page]]:
    """End a reading with the block: an error that somebody still looks at would keep it, and its threads, alive."""
    try:
        yield pages
    finally:
        if isinstance(pages, Generator):
            pages.close()


def _is_refused_token(error: Exception) -> bool:
    """Whether an error that is the answer to the first request of a reading taken up again may be its token's fault."""
    return isinstance(error, PaginationLoop) or (
        isinstance(error, RequestRejected) and error.status in _TOKEN_REFUSED_STATUSES
    )


def _require_matching(source_name: str, stream: Stream, slice: Slice) -> None:
    if stream.selects_a_window != (slice.window is not None):
        wanted = "needs a window" if stream.selects_a_window else "is read whole and takes no window"
        raise StreamNotPartitioned(f"{source_name}.{stream.name} {wanted}.")
    if (stream.parent is None) != (slice.parents is None):
        wanted = "takes no parents" if stream.parent is None else f"needs rows of {stream.parent.stream.name}"
        raise StreamNotPartitioned(f"{source_name}.{stream.name} {wanted}.")


_MAKING = threading.RLock()


class _Counted(Protocol):
    @property
    def statistics(self) -> Statistics: ...


class _Helpers:
    """The clients of threads that ask ahead, each known to its thread, and the account's copies that others read.

    What those have cost that have ended is kept.
    """

    def __init__(self) -> None:
        self._of_thread = threading.local()
        self._lock = threading.Lock()
        self._working: dict[int, _Counted] = {}
        self._done = Statistics()

    @property
    def of_this_thread(self) -> Client | None:
        """The client of this thread, None in one that does not ask ahead."""
        client: Client | None = getattr(self._of_thread, "client", None)
        return client

    @contextmanager
    def helping(self, client: Client) -> Iterator[None]:
        """Let `client` be that of the thread that is in the block."""
        with self.counting(client):
            self._of_thread.client = client
            try:
                yield
            finally:
                self._of_thread.client = None

    @contextmanager
    def counting(self, counted: _Counted) -> Iterator[None]:
        """Count what `counted` costs until the end of the block."""
        with self._lock:
            self._working[id(counted)] = counted
        try:
            yield
        finally:
            with self._lock:
                del self._working[id(counted)]
                self._done += counted.statistics

    def statistics(self, own: Statistics) -> Statistics:
        """Return what all of them have cost, and `own`."""
        with self._lock:
            return sum((each.statistics for each in self._working.values()), own + self._done)


class _Beside:
    """What a copy of an account that is read beside others has: the account, its part of what is on its way, its end.

    `walk` are the requests that its reading asks ahead.
    """

    def __init__(self, account: "HttpSource", in_flight: InFlight) -> None:
        self.account = account
        self.stopped = threading.Event()
        self.share = Share(in_flight, self.stopped)
        self.line = Line()
        self.walk: Ahead | None = None

    def require_wanted(self) -> None:
        """Raise Stopped where nobody waits for the reading any more."""
        if self.stopped.is_set():
            raise Stopped


class HttpSource(Source):
    """An account behind an HTTP API.

    A connector states `default_url`, `rate_limit` and `streams`, builds its authenticator, and overrides what its
    vendor does differently.
    """

    default_url: ClassVar[str] = ""
    rate_limit: ClassVar[RateLimit]
    expired_statuses: ClassVar[tuple[int, ...]] = (401,)
    retry: ClassVar[RetryPolicy] = RetryPolicy()

    base_url: str = Field(
        default="",
        description="Where the API is served, scheme included, when it is not the vendor's usual place: a regional "
        "host, a proxy, a sandbox.",
    )
    rate_limit_factor: float = Field(
        default=1.0,
        ge=0,
        le=1000,
        description="Multiplies the vendor's published rate limit: 0.9 leaves a tenth to others, 0 is no limit at all.",
    )
    daily_request_budget: int = Field(
        default=0,
        ge=0,
        description="How many requests the account may be sent in a day (UTC) by all runs on a host; 0 is any number. "
        "A run that is expected to need more than are left is refused before its first one. A reading that turns out "
        "to need more stops before the one too many, and goes on from there the next day. "
        "Environment: DAILY_REQUEST_BUDGET.",
    )
    state_folder: str = Field(
        default="data/state",
        description="Where the account's processes share their request budget and rotated tokens.",
    )
    concurrency: int = Field(
        default=8,
        ge=1,
        le=64,
        description="How many requests may be on their way at a time, as far as the rate limit has a use for them; 1 "
        "asks for one after the other.",
    )
    _client: Client | None = PrivateAttr(default=None)
    _in_flight: InFlight | Share | None = PrivateAttr(default=None)
    _helpers: _Helpers | None = PrivateAttr(default=None)
    _beside: _Beside | None = PrivateAttr(default=None)
    _tell_retries: Callable[[str], None] = PrivateAttr(default_factory=lambda: logger.warning)

    @property
    def url(self) -> str:
        """The base URL requests go to, no slash at its end. Raises MissingCredential where it is not known."""
        url = (self.base_url or self.default_url).rstrip("/")
        if not url:
            raise MissingCredential(f"{self.name}: base_url is not set, and the connector has no default_url. Set one.")
        return url

    def authenticator(self) -> Authenticator:
        """Return what signs requests. Raises MissingCredential, naming the environment variable."""
        raise NotImplementedError

    @property
    def statistics(self) -> Statistics:
        """What this source has cost since it was made."""
        own = Statistics() if self._client is None else self._client.statistics
        return own if self._helpers is None else self._helpers.statistics(own)

    @property
    def client(self) -> Client:
        """The client of this account, made at its first use; in a thread that asks ahead, that thread's."""
        if self._helpers is not None and (helper := self._helpers.of_this_thread) is not None:
            return helper
        if self._client is None:
            with _MAKING:  # copies may ask for it in several threads
                self._client = self._client or self._made_client()
        return self._client

    def _made_client(self) -> Client:
        if self._beside is not None:
            return self._beside.account.client.helper(self._beside.stopped)
        return Client(
            name=self.name,
            base_url=self.url,
            authenticator=InTurn(self.authenticator()),
            limiter=self._limiter(self.rate_limit, "account", self.daily_request_budget),
            retry=self.retry,
            expired=self.expired_statuses,
            headers={"User-Agent": "headrace (Dagster connector)"},
            tell=self._tell_retries,
        )

    @contextmanager
    def beside(self) -> Iterator[Self]:
        """Yield a copy of this account, to be read beside others of it, each in one thread at a time.

        Connections, credential, limits, budget and how many requests may be on their way belong to all together. What
        a copy costs it counts by itself, and this account with its own.
        """
        with _MAKING:
            in_flight = self._in_flight = self._in_flight or InFlight(self.concurrency)
            helpers = self._helpers = self._helpers or _Helpers()
        copy = self.model_copy()
        copy._beside = beside = _Beside(self, in_flight.whole if isinstance(in_flight, Share) else in_flight)
        copy._client, copy._helpers, copy._in_flight = None, _Helpers(), beside.share
        with helpers.counting(copy):
            yield copy

    @property
    def whole(self) -> "HttpSource":
        """The account that this is a copy of, to be read beside others; itself where it is none."""
        return self if self._beside is None else self._beside.account

    @property
    def keeps_waiting(self) -> bool:
        """Whether its answers take so long that something else is better done meanwhile."""
        return self._in_flight is not None and self._in_flight.most(math.inf) > 1

    def in_thread(self) -> AbstractContextManager[None]:
        """Return the block in which a thread reads this copy, so that `hang_up` knows what it waits for."""
        assert self._beside is not None
        return self._beside.line

    def hang_up(self) -> None:
        """Let the reading of this copy end with Stopped, wherever it waits; in any thread, and again until it has.

        A connection that is being made is waited for: nobody can interrupt that.
        """
        assert self._beside is not None
        self._beside.share.stop()
        if self._beside.walk is not None:
            self._beside.walk.hang_up()
        self._beside.line.hang_up()

    def pause(self, seconds: float, sleep: Callable[[float], None]) -> None:
        """Sleep; in a copy that is hung up on, no longer than until then. Raises Stopped."""
        (sleep if self._beside is None else until(self._beside.stopped, sleep))(seconds)

    def ahead(self, stream: HttpStream) -> Ahead:
        """Return what sends requests of a stream before it is their turn, as many as its rate limit has a use for."""
        limits = [limit.scaled(self.rate_limit_factor) for limit in (self.rate_limit, stream.rate_limit) if limit]
        rate = min(limit.at_a_time for limit in limits)
        with _MAKING:  # two reads of one source may begin in two threads
            self._in_flight = in_flight = self._in_flight or InFlight(self.concurrency)
            self._helpers = helpers = self._helpers or _Helpers()

        def helping(stopped: threading.Event) -> AbstractContextManager[None]:
            return helpers.helping(self.client.helper(stopped))

        ahead = Ahead(partial(self.fetch, stream), in_flight, rate, helping)
        if self._beside is not None:
            self._beside.walk = ahead
        return ahead

    def read(self, stream: Stream, slice: Slice, token: str | None = None) -> Iterator[Page]:
        """Yield the pages of `stream` in `slice`, in the order the API gives them; see `Source.read`."""
        if not isinstance(stream, HttpStream):
            raise UnknownStream(f"{self.name}.{stream.name} is not read over HTTP.")
        return self._read(stream, slice, token)

    def _read(self, stream: HttpStream, slice: Slice, token: str | None) -> Iterator[Page]:
        # What an answer or a page is refused for may show something of it.
        with self.client.hiding():
            yield from read_pages(self, stream, slice, token, self.ahead(stream))

    def first_request(self, stream: HttpStream, slice: Slice, parent: ParentRow | None) -> Request:
        """Return the first request under a parent: path filled in, window and page size as parameters."""
        path = stream.path
        if parent is not None:
            path = path.format_map({name: quote(str(value), safe="") for name, value in parent.fields.items()})
        params = dict(stream.params)
        cursor, window = stream.cursor, slice.window
        if cursor is not None and window is not None:
            if cursor.since is not None:
                params[cursor.since] = bound(window.start - cursor.lookback, cursor.format)
            if cursor.until is not None:
                params[cursor.until] = bound(window.end, cursor.format)
        return stream.paginator.first(Request(path, stream.method, params))

    def fetch(self, stream: HttpStream, request: Request) -> Response:
        """Send a request, with limits, credentials and retries; also called in threads that ask ahead."""
        client, beside = self.client, self._beside
        if beside is not None:
            beside.require_wanted()
        limiters: tuple[RateLimiter, ...] = ()
        if stream.rate_limit is not None:
            limiters = (self._limiter(stream.rate_limit, stream.name),)
            limiters[0].sleep = client.limiter.sleep
        before, began = replace(client.statistics), client.clock()
        try:
            response = client.send(request, limiters)
            if beside is not None:
                beside.require_wanted()  # what was hung up on may be half an answer
            return response
        finally:
            if self._in_flight is not None:
                cost = client.statistics.since(before)
                self._in_flight.answered(client.clock() - began - cost.wait_seconds, is_troubled=cost.retries > 0)

    def open(self, stream: HttpStream, request: Request, response: Response) -> Answer:
        """Find the records in an answer at the stream's record path."""
        return open_answer(f"{self.name}.{stream.name}", stream.records, request, response)

    def next_request(self, stream: HttpStream, slice: Slice, request: Request, answer: Answer) -> Request | None:
        """Ask the paginator, and stop a list that comes newest first once it is past the window's start."""
        cursor, window = stream.cursor, slice.window
        if cursor is not None and cursor.newest_first and window is not None:
            if is_past(cursor, answer.records, window.start - cursor.lookback):
                return None
        return stream.paginator.next(request, answer)

    def requests_per_minute(self, stream: Stream) -> float:
        """Return how many requests a minute a stream may make at most, by all limits it is under; inf where none is."""
        own = stream.rate_limit if isinstance(stream, HttpStream) else None
        limits = [limit.scaled(self.rate_limit_factor) for limit in (self.rate_limit, own) if limit is not None]
        return min(limit.in_a_minute for limit in limits)

    def requests_on_day_of(self, instant: datetime) -> int:
        """Return how many requests this host has sent to the account on a UTC day, at most six days ago."""
        log = UsageLog(usage_path(self._limiter(self.rate_limit, "account").path))
        return log.used_on_day_of(instant.timestamp())

    def require(self, field: str) -> str:
        """Return a field that must be set. Raises MissingCredential, naming the environment variable it comes from."""
        value: str = getattr(self, field)
        if not value:
            raise MissingCredential(
                f"{self.name}: {self.variables().get(field, field)} is not set. Set it in the environment or in the "
                "file .env. With CONNECTOR_MODE=sandbox no account is needed."
            )
        return value

    def trying(self, tries: int) -> Self:
        """Return this account, whose requests are tried so often at most."""
        other = self.changed()
        other.client.retry = replace(self.retry, tries=min(tries, self.retry.tries))
        return other

    def without_budget(self) -> Self:
        """Return this account, to be read beyond the requests that a day may have."""
        return self.changed(daily_request_budget=0)

    def tell_retries(self, tell: Callable[[str], None]) -> None:
        """Have `tell` told of each try that has failed and is followed by another: why, and when that comes."""
        self._tell_retries = tell
        if self._client is not None:
            self._client.tell = tell  # which those of other threads ask

    def standing(self) -> Standing:
        """Return what holds the account back now."""
        return self.client.limiter.standing()

    def account_of(self, *identity: str) -> str:
        """Return an account name made of our name for it and a short digest of what tells accounts apart."""
        digest = hashlib.blake2b("\0".join(identity).encode(), digest_size=6).hexdigest()
        return f"{self.name}-{digest}"

    def _limiter(self, limit: RateLimit, what: str, per_day: int = 0) -> RateLimiter:
        path = Path(self.state_folder) / "rate_limits" / f"{self.account}.{what}"
        return RateLimiter(limit.scaled(self.rate_limit_factor), path, per_day=per_day)
