"""Streams read over HTTP, and the one loop that reads them.

A read is a walk: for each parent (or once, where there is none) the paginator names request after request until it
names none. Where the walk stands after a page is that page's token: the parent's position and the next request, as
JSON. A read that is given a token goes on from there and makes no request it has made before.

What stops a walk that an API would keep going for ever: the same request twice, a page that brings nothing new, a
hundred empty pages, more records than the server counts, or a hundred thousand pages, under one parent. A list that
moved by a page between two requests brings nothing new either: so that page is asked for once more, and the earlier one
that had its records. In a list that stands still both have them at the same time.

A list whose server counts it is complete when every record that was there at its first page has come. Pages shift when
records come and go meanwhile, so the count alone does not tell: one that goes from a page already read and one that
comes at the end leave it as it was, and a record between them is skipped. What does tell are the records themselves.
All that are older than the reading were there at the start; when they are as many as were counted then, none is
missing. When they are fewer, some of those that are newer were there too and have been edited, or others are missing:
the list is walked a second time, and both walks must have met the same records.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any, Protocol, TypedDict

import msgspec
from xxhash import xxh3_64_intdigest

from connector_resources.errors import (
    IncompleteRead,
    MalformedPage,
    PaginationLoop,
    RecordsNotFound,
    RequestRejected,
)
from connector_resources.http.ahead import Ahead, in_order
from connector_resources.http.messages import Answer, Request, Response, shown_keys
from connector_resources.http.paginators import Foresighted, Paginator, SinglePage
from connector_resources.http.rate_limit import RateLimit
from connector_resources.streams import Column, Cursor, Page, ParentRow, Slice, Stream

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HttpStream(Stream):
    """A stream behind a URL.

    `path` may name fields of the parent in braces: `/goals/{goal_id}/key_results`. `records` is the dotted path to
    the list in the answer, "" where the answer is the list; an object there is one record, which `has_one_record` says
    for people. `rate_limit` comes on top of the source's own.
    """

    path: str
    records: str = ""
    paginator: Paginator = field(default_factory=SinglePage)
    params: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    rate_limit: RateLimit | None = None
    has_one_record: bool = field(default=False, repr=False)

    @property
    def endpoint(self) -> str:
        """The request for people, such as `GET /products/{product_id}/users`."""
        return f"{self.method} {self.path}"

    def json_path(self, column: Column) -> str | None:
        """Return where in an answer the value of a column is, as a JSON path; None where it is in none.

        `$.data.accounts[*].domain` is the field `domain` of each of the objects in the list.
        """
        if column.parent is not None or column.path == "":
            return None
        if column.path is not None and column.path.startswith("$"):
            return column.path
        return f"{self.record_path}.{column.path or column.name}"

    @property
    def record_path(self) -> str:
        """Where in an answer the records are, as a JSON path."""
        return "$" + (f".{self.records}" if self.records else "") + ("" if self.has_one_record else "[*]")


class Walk(Protocol):
    """What the loop needs of a source. `HttpSource` has it all; a connector overrides what its vendor does else."""

    def first_request(self, stream: HttpStream, slice: Slice, parent: ParentRow | None) -> Request:
        """Return the first request under a parent."""
        ...

    def fetch(self, stream: HttpStream, request: Request) -> Response:
        """Send a request, with limits, credentials and retries."""
        ...

    def open(self, stream: HttpStream, request: Request, response: Response) -> Answer:
        """Find the records in an answer."""
        ...

    def next_request(self, stream: HttpStream, slice: Slice, request: Request, answer: Answer) -> Request | None:
        """Return the request after this one."""
        ...


_SUSPICIOUS_PARENTS = 10
"""So many parents that all of them being removed since they were listed is not to be believed."""
_MOST_EMPTY_PAGES = 100
"""So many empty pages one after the other, each naming a next one, are no list. A walk that the connector plans itself
(its requests carry where it stands) has an end and may meet more of them."""
_MOST_PAGES = 100_000
"""Twenty million records in pages of 200: more than a list of the vendors we know can have."""
_FIRST_REQUESTS = 256
"""So many are kept: more than are ever asked for ahead."""
_CLOCKS_APART_SECONDS = 60.0
"""How far the clocks of a vendor's servers may be apart, the one that dates answers and the one that dates records."""


def read_pages(
    walk: Walk, stream: HttpStream, slice: Slice, token: str | None = None, ahead: Ahead | None = None
) -> Iterator[Page]:
    """Yield the pages of `stream` in `slice`, from the start or from after the page whose token is given.

    What is certain to be asked is sent by `ahead` before it is its turn; without it one request goes after the other.
    The pages and their order are the same, and `ahead` is closed with them. Raises PaginationLoop, IncompleteRead,
    RecordsNotFound, MalformedPage, RequestRejected or RequestRetryable, each naming the stream and the page.
    """
    parents: tuple[ParentRow | None, ...] = (None,) if slice.parents is None else slice.parents
    place = _Place() if token is None else msgspec.json.decode(token, type=_Place)
    position, missing = place.parent, place.missing
    request = None if place.request is None else Request.decode(place.request)
    chain = _Chain.taken_up(stream, place)

    @lru_cache(maxsize=_FIRST_REQUESTS)  # asked for ahead, and again when it is their turn
    def first_request(position: int) -> Request:
        return walk.first_request(stream, slice, parents[position])

    with in_order(partial(walk.fetch, stream)) if ahead is None else ahead as ahead:
        ahead.expect_lists(first_request, position, len(parents))
        while position < len(parents):
            parent = parents[position]
            if request is None:
                request = first_request(position)
            while request is not None:
                try:
                    response = ahead.fetch(request)
                except RequestRejected as error:
                    if error.status == 404 and parent is not None and not chain.pages:
                        # The parent was removed after it was listed; it has no children any more.
                        missing += 1
                        if missing == len(parents) >= _SUSPICIOUS_PARENTS:
                            raise RequestRejected(
                                f"{stream.name}: 404 for every one of {missing} parents, the last at {request.path}. "
                                "They cannot all be gone: the path or the host is wrong, or the credential may not "
                                "read this.",
                                status=404,
                            ) from error
                        after = _Place(parent=position + 1, missing=missing)
                        yield Page((), after.token(len(parents)), parent, is_gone=True)
                        break
                    raise
                answer = _opened_in_turn(walk, ahead, stream, chain, request, response)
                following = _added(walk, ahead, stream, slice, chain, request, answer)
                is_whole = stream.cursor is None or not stream.cursor.newest_first  # else it may be cut short
                if following is None:
                    if is_whole:
                        chain.finish()
                        if chain.is_doubtful:
                            chain.compare(_walked_again(walk, ahead, stream, slice, parent, chain.began))
                    after = _Place(parent=position + 1, missing=missing)
                else:
                    _expect(ahead, stream, slice, request, answer, following)
                    after = chain.place(position, following, missing)
                ends_list = following is None if is_whole else None
                yield Page(answer.records, after.token(len(parents)), parent, chain.total, ends_list=ends_list)
                request = following
            ahead.end_list()
            position, request, chain = position + 1, None, _Chain(stream)


def _opened_in_turn(
    walk: Walk, ahead: Ahead, stream: HttpStream, chain: "_Chain", request: Request, response: Response
) -> Answer:
    """Return the next answer of a list, as if it had been asked for after all those before it.

    Pages asked for together are answered in any order. One that counts what those before it do was not answered after
    a change of the list that they were answered before, nor the other way round; any other is asked for anew.
    """
    answer = walk.open(stream, request, response)
    if ahead.is_early and chain.pages and stream.paginator.total(answer) != chain.total:
        ahead.forget_list()
        answer = walk.open(stream, request, ahead.fetch(request))
    return answer


def _expect(
    ahead: Ahead, stream: HttpStream, slice: Slice, request: Request, answer: Answer, following: Request
) -> None:
    """Let the page after an answer be asked for, and those behind it where they are certain to be asked too."""
    paginator, cursor = stream.paginator, stream.cursor
    may_end_early = cursor is not None and cursor.newest_first and slice.window is not None
    if isinstance(paginator, Foresighted) and not may_end_early:
        ahead.expect(following, partial(paginator.ahead, request, answer))
    else:
        ahead.expect(following)


def _added(
    walk: Walk, ahead: Ahead, stream: HttpStream, slice: Slice, chain: "_Chain", request: Request, answer: Answer
) -> Request | None:
    """Add an answer to its list and return the next request."""
    cursor = stream.cursor
    try:
        if cursor is not None and cursor.newest_first and slice.window is not None:
            chain.look_for_order(cursor, request, answer)
        chain.add(request, answer)
        if chain.repeats is not None:
            earlier, again = (walk.open(stream, each, ahead.fetch(each)) for each in (chain.repeats, request))
            chain.require_moved(answer, earlier, again)
        following = walk.next_request(stream, slice, request, answer)
        if following is None and chain.is_unordered:
            return stream.paginator.next(request, answer)
        return following
    except MalformedPage as error:  # what is said of one value does not know where it was
        where = f"{stream.name}: {request.method} {request.path}, page {chain.pages}"
        raise MalformedPage(f"{where}: {error} The API may have changed; compare with the reference.") from None


def _walked_again(
    walk: Walk, ahead: Ahead, stream: HttpStream, slice: Slice, parent: ParentRow | None, began: float | None
) -> "_Chain":
    """Return a whole list as it is now; what is newer is newer than the first walk, which `began` then."""
    chain = _Chain(stream, began=began)
    request: Request | None = walk.first_request(stream, slice, parent)
    while request is not None:
        answer = _opened_in_turn(walk, ahead, stream, chain, request, ahead.fetch(request))
        following = _added(walk, ahead, stream, slice, chain, request, answer)
        if following is not None:
            _expect(ahead, stream, slice, request, answer, following)
        request = following
    return chain


class _Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a walk stands after a page: what a token holds, so that a walk taken up again checks what it would have."""

    parent: int = 0
    request: dict[str, Any] | None = None
    received: int = 0
    total: int | None = None
    pages: int = 0
    last_page: int | None = None
    missing: int = 0
    first_total: int | None = None
    began: float | None = None
    newer: int = 0
    repeated: int = 0
    oldest: datetime | None = None
    is_unordered: bool = False

    def token(self, parents: int) -> str | None:
        """Return the place as a page token; None behind the last parent."""
        if self.request is None and self.parent >= parents:
            return None
        return msgspec.json.encode(self).decode()


def parents_behind(token: str | None, parents: int) -> int:
    """Return how many of the parents are done where a walk under `parents` of them stands at `token`."""
    return parents if token is None else msgspec.json.decode(token, type=_Place).parent


@dataclass(slots=True)
class _Chain:
    """The pages of one list so far, to notice when they lead in circles or do not add up.

    Requests, pages and keys are known by hashes of 64 bits. `keys` has the page on which each record was met last, and
    `newer_keys` those newer than the list: `began` is when its first page was answered (seconds since 1970, by the
    server's clock). `newer` and `repeated` count records behind the first page. Of a list that comes newest first,
    `oldest` is the earliest cursor met. Where a page has only records of earlier ones, `repeats` is the request for one
    of those.
    """

    stream: HttpStream
    received: int = 0
    total: int | None = None
    first_total: int | None = None
    pages: int = 0
    last_page: int | None = None
    began: float | None = None
    newer: int = 0
    repeated: int = 0
    empty_pages: int = 0
    oldest: datetime | None = None
    is_unordered: bool = False
    is_taken_up: bool = False
    keys: dict[int, int] = field(default_factory=dict)
    newer_keys: set[int] = field(default_factory=set)
    requests_seen: set[int] = field(default_factory=set)
    repeats: Request | None = None
    _asked: dict[int, Request] = field(default_factory=dict)
    _where: str = ""
    _first_page: tuple[msgspec.Raw, ...] = ()
    _key_of: "_Keys | None" = None
    _fields: "_Fields | None" = None

    @classmethod
    def taken_up(cls, stream: HttpStream, place: _Place) -> "_Chain":
        """Return the list that stands at `place`."""
        return cls(
            stream,
            place.received,
            place.total,
            place.first_total,
            place.pages,
            place.last_page,
            place.began,
            place.newer,
            place.repeated,
            oldest=place.oldest,
            is_unordered=place.is_unordered,
            is_taken_up=place.pages > 0,
        )

    def add(self, request: Request, answer: Answer) -> None:
        self.pages += 1
        total = self.stream.paginator.total(answer)
        self._where = where = f"{self.stream.name}: {request.method} {request.path}, page {self.pages}"
        request_mark = xxh3_64_intdigest(request.key)
        page_mark = xxh3_64_intdigest(b"\n".join(answer.records))
        is_first = not self.requests_seen
        if request_mark in self.requests_seen:
            raise self._circle("the same request again")
        self.requests_seen.add(request_mark)
        if is_first and answer.records and page_mark == self.last_page:  # a page the token should have led past
            raise self._circle("the same page of records again")
        self.last_page = page_mark
        self._require_an_end(request, answer)
        # A record that comes moves others to later pages, where they are met again. One that goes moves others to
        # pages that have been read already, so they would be missed.
        if self.total is not None and total is not None and total < self.total:
            raise IncompleteRead(
                f"{where}: the server counted {self.total} records before and {total} now. Records went while the list "
                "was read, so others may have been missed; it is read again."
            )
        self.total = self.total if total is None else total
        self.first_total = self.total if self.first_total is None else self.first_total
        self.received += len(answer.records)
        self._add_keys(request, answer)
        if self.total is not None and self.received > self.total and self.repeats is None:
            raise IncompleteRead(
                f"{where}: the server counts {self.total} records and sent {self.received} in {self.pages} pages. "
                "Nothing was written; run it again."
            )

    def look_for_order(self, cursor: Cursor, request: Request, answer: Answer) -> None:
        """Note where a list that comes newest first does not, before its answer is added; it is read to its end then.

        A record may be newer than one before it by the cursor's `lookback`, because a walk goes so much further down
        than the start of its window. One that an earlier page had was moved by others that came; which those were, a
        walk taken up again does not know. One without a readable cursor has no place in time.
        """
        if self.is_unordered:
            return
        fields = self._fields = self._fields or _Fields((cursor.column,))
        for position, record in enumerate(answer.records, 1):
            try:
                moment = _moment(cursor, fields(record))
            except (msgspec.DecodeError, MalformedPage):
                continue
            if moment is None:
                continue
            if self.oldest is not None and moment - self.oldest > cursor.lookback and not self._has(record):
                self.is_unordered = True
                logger.warning(
                    "%s: %s %s, page %d: record %d is newer by '%s' than one before it, in a list that comes newest "
                    "first. The list is read to its end, because records of the window may be anywhere in it.",
                    *(self.stream.name, request.method, request.path, self.pages + 1, position, cursor.column),
                )
                return
            self.oldest = moment if self.oldest is None else min(self.oldest, moment)

    def _has(self, record: msgspec.Raw) -> bool:
        """Whether an earlier page had the record."""
        keys = _Keys(self.stream, None)
        [(key, _)] = keys.of([record])
        return key in self.keys or key in (before for before, _ in keys.of(self._first_page))

    def _require_an_end(self, request: Request, answer: Answer) -> None:
        self.empty_pages = 0 if answer.records or request.carried else self.empty_pages + 1
        if self.empty_pages > _MOST_EMPTY_PAGES or self.pages > _MOST_PAGES:
            what = f"{self.empty_pages} empty pages" if self.empty_pages else f"{self.pages:,} pages"
            raise PaginationLoop(
                f"{self._where}: {what}, and each names a next one. The API leads the reader on; nothing was written. "
                "Run it again, or report it to the vendor."
            )

    def _add_keys(self, request: Request, answer: Answer) -> None:
        """Note the keys of a page; those of the first not before there is a second, because most lists have one."""
        self._asked[self.pages] = request
        if self.pages == 1:
            self._first_page = answer.records
            self.began = _dated(answer.response) if self.began is None else self.began
            return
        if self._key_of is None:
            self._key_of = _Keys(self.stream, self.began)
            self._note(self._key_of.of(self._first_page), 1)
        before, page = len(self.keys), self._key_of.of(answer.records)
        met = [self.keys[key] for key, _ in page if key in self.keys]
        self._note(page, self.pages)
        self.newer += sum(is_newer for _, is_newer in page)
        self.repeated += len(page) - (len(self.keys) - before)
        self.repeats = self._asked.get(met[0]) if met and before == len(self.keys) else None

    def _note(self, keys: Sequence[tuple[int, bool]], page: int) -> None:
        for key, is_newer in keys:
            self.keys[key] = page
            if is_newer:
                self.newer_keys.add(key)

    def require_moved(self, last: Answer, earlier: Answer, again: Answer) -> None:
        """Tell a list that moved, whose last page had only records of earlier ones, from one that goes in circles.

        `earlier` answers `repeats` anew, and `again` what `last` did. Where the last page is as it was, and the earlier
        one has its records at the same time, nothing moved. Else others came before them: so many more are counted, or
        some went as well, and others may have been missed. Raises PaginationLoop or IncompleteRead.
        """
        assert self._key_of is not None
        there, then, now = ({key for key, _ in self._key_of.of(page.records)} for page in (earlier, last, again))
        if then == now <= there:
            raise self._circle("only records that earlier pages had")
        if self.repeated > self._growth:
            raise IncompleteRead(
                f"{self._where}: only records that earlier pages had. The list moved by pages while it was read, and "
                "others of its records may have been missed; it is read again."
            )

    def _circle(self, what: str) -> PaginationLoop:
        return PaginationLoop(
            f"{self._where}: {what}. The API leads the reader in circles; nothing was written. Run it again, or report "
            "it to the vendor."
        )

    def place(self, parent: int, request: Request, missing: int) -> _Place:
        """Return where the walk stands, with `request` the next to be made."""
        return _Place(
            parent,
            request.encode(),
            self.received,
            self.total,
            self.pages,
            self.last_page,
            missing,
            self.first_total,
            self.began,
            self.newer,
            self.repeated,
            self.oldest,
            self.is_unordered,
        )

    def finish(self) -> None:
        """Raise IncompleteRead where the records received are not those that the server counts."""
        if self.total is None:
            return
        if self.received != self.total:
            raise IncompleteRead(
                f"{self._where}: the server counts {self.total} records and sent {self.received} in {self.pages} "
                "pages. Nothing was written; run it again."
            )
        if self.is_taken_up and (self.newer or self.repeated > self._growth):
            raise IncompleteRead(
                f"{self._where}: the list changed since its first pages were read, and others of its records may have "
                "been missed; it is read again."
            )

    @property
    def is_doubtful(self) -> bool:
        """Whether records older than the list are fewer than were counted at its first page."""
        return self.total is not None and self.newer + self.repeated > self._growth

    def compare(self, again: "_Chain") -> None:
        """Raise IncompleteRead where a second walk shows that this one may have missed a record."""
        gone = sum(key not in again.keys for key in self.keys)
        is_shifted = self.repeated > self._growth  # by one that came to the front, perhaps from pages yet to be read
        missed = sum(key not in self.keys for key in again.keys if is_shifted or key not in again.newer_keys)
        if gone or missed:
            raise IncompleteRead(
                f"{self._where}: {gone} records went while the list was read, and {missed} were missed; it is read "
                "again."
            )

    @property
    def _growth(self) -> int:
        return (self.total or 0) - (self.first_total or 0)


class _Fields:
    """Cuts the fields of some names out of records, undecoded, at a third of the cost of all fields."""

    def __init__(self, names: Iterable[str]) -> None:
        self._decoder = msgspec.json.Decoder(TypedDict("_Fields", dict.fromkeys(names, msgspec.Raw), total=False))  # type: ignore[operator]  # made at run time

    def __call__(self, record: msgspec.Raw) -> Mapping[str, msgspec.Raw]:
        """Return the fields that are there, others among them perhaps. Raises msgspec.DecodeError."""
        try:
            fields: Mapping[str, msgspec.Raw] = self._decoder.decode(record)
        except msgspec.DecodeError:
            return fields_of(record)
        return fields


class _Keys:
    """Tells the hashes of records' keys, and whether the cursor of each is not before `began`.

    A record without a readable key is known by its whole text, and one without a readable cursor is not newer.
    """

    def __init__(self, stream: HttpStream, began: float | None) -> None:
        own = {column.name for column in stream.columns if column.parent is None}
        self._keys = [name for name in stream.primary_key if name in own]
        self._cursor = None if began is None else stream.cursor
        self._began = datetime.fromtimestamp((began or 0.0) - _CLOCKS_APART_SECONDS, UTC)
        names = [*self._keys, *((self._cursor.column,) if self._cursor is not None else ())]
        self._fields = _Fields(names)
        # All records of a page at once take half of the time that they take one by one.
        self._page: msgspec.json.Decoder[Any] | None = None
        if self._keys and len(set(names)) == len(names) and all(map(_is_plain, names)):
            places = {name: f"f{number}" for number, name in enumerate(names)}
            fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [(places[name], msgspec.Raw) for name in self._keys]
            if self._cursor is not None:
                fields.append((places[self._cursor.column], _TYPES[self._cursor.format] | None, None))
                self._cursor_of = attrgetter(places[self._cursor.column])
            record = msgspec.defstruct(
                "Keyed", fields, rename={place: name for name, place in places.items()}, gc=False
            )
            self._page = msgspec.json.Decoder(list[record])  # type: ignore[valid-type]  # made at run time
            self._key_of = attrgetter(*(places[name] for name in self._keys))

    def of(self, records: Sequence[msgspec.Raw]) -> list[tuple[int, bool]]:
        """Return the hash of each record of a page, and whether the record is newer."""
        if self._page is None:
            return [self._of_one(record) for record in records]
        try:
            decoded = self._page.decode(b"[" + b",".join(records) + b"]")
        except (msgspec.DecodeError, UnicodeDecodeError):  # one has no key, or a value of another type
            return [self._of_one(record) for record in records]
        keys = map(self._key_of, decoded)
        if len(self._keys) == 1:
            marks = [hash((bytes(key),)) for key in keys]
        else:
            marks = [hash((*map(bytes, key),)) for key in keys]
        if self._cursor is None:
            return [(mark, False) for mark in marks]
        return [(mark, self._is_newer(self._cursor_of(record))) for mark, record in zip(marks, decoded, strict=True)]

    def _of_one(self, record: msgspec.Raw) -> tuple[int, bool]:
        try:
            fields = self._fields(record)
        except msgspec.DecodeError:
            return hash(bytes(record)), False
        key = hash(tuple(bytes(fields[name]) for name in self._keys if name in fields) or bytes(record))
        try:
            return key, self._cursor is not None and self._is_newer(_cursor_value(self._cursor, fields))
        except MalformedPage:
            return key, False

    def _is_newer(self, value: datetime | int | None) -> bool:
        try:
            return value is not None and _instant(value) >= self._began
        except OverflowError:
            return False


def _is_plain(name: str) -> bool:
    """Whether a name stands in JSON as it is, without an escape."""
    return msgspec.json.encode(name) == b'"%s"' % name.encode()


def _dated(response: Response) -> float | None:
    """Return when an answer was made by its `Date` header, in seconds since 1970; None where it does not say.

    A date that has no place in UTC (behind its last year) is taken for none.
    """
    try:
        seconds = parsedate_to_datetime(response.headers["date"]).timestamp()
        datetime.fromtimestamp(seconds - _CLOCKS_APART_SECONDS, UTC)
        return seconds
    except (KeyError, ValueError, OverflowError):
        return None


_BRACE = ord("{")
_NOT_ALL = {202: "a promise", 204: "no content", 205: "no content", 206: "a part"}
"""Statuses that mean success and come without the list that was asked for."""


def open_answer(stream_name: str, records: str, request: Request, response: Response) -> Answer:
    """Split an answer into raw records and the envelope around them, decoding nothing inside a record.

    `{"data": {"accounts": [{…}, {…}], "next": "…"}}` with the path `data.accounts` gives two records and the
    envelope `{"data": {"next": …}}`. A record with half of a surrogate pair is cut out like any other, to be put aside
    when it is checked. Raises MalformedPage for what is not JSON or is nested too deeply, RecordsNotFound naming the
    keys that are there.
    """
    where = f"{stream_name}: {request.method} {request.path}"
    body = response.body
    if response.status in _NOT_ALL:
        raise MalformedPage(
            f"{where}: status {response.status}, which is {_NOT_ALL[response.status]}, and no answer with records. "
            "Run it again, or report it to the vendor."
        )
    try:
        body.decode()
        try:
            envelope, items = _opened(body, records, where)
        except msgspec.DecodeError:
            masked = _Masked.of(body)
            if masked is None:
                raise
            envelope, items = _opened(masked.text, records, where)
            items = masked.restored(items, where)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedPage(
            f"{where}: the answer is not whole JSON ({_shortened(error)}; {_kind(response)}, {len(body):,} bytes). "
            "Check the host; if it is right, run it again."
        ) from None
    except _RepeatedKey as error:
        raise MalformedPage(
            f"{where}: a key of the answer is there twice (keys: {shown_keys(error.names)}), and one of them would be "
            "left out. The API may have changed; compare with the reference."
        ) from None
    except RecursionError:
        raise MalformedPage(
            f"{where}: the answer is nested too deeply to be read ({len(body):,} bytes). "
            "Nothing was written; find the record at the vendor, or leave this stream out."
        ) from None
    if any(memoryview(item)[0] != _BRACE and _first_byte(item) != b"{" for item in items):
        raise MalformedPage(f"{where}: expected a list of objects at '{records}', found another kind of value.")
    return Answer(response, items, envelope)


def _kind(response: Response) -> str:
    """Tell what an answer says that it is, where that is one of the usual things to say."""
    said = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not said:
        return "no content type"
    return said if _USUAL_TYPE.fullmatch(said) else "an unusual content type"


_USUAL_TYPE = re.compile(r"(?:application|text)/[a-z0-9.+-]{1,28}")


@dataclass(frozen=True, slots=True)
class _Masked:
    """An answer with every half of a surrogate pair masked: for one of them msgspec refuses the whole answer."""

    text: bytes
    mask: bytes
    halves: int

    @classmethod
    def of(cls, body: bytes) -> "_Masked | None":
        """Return the masked answer; None where there is nothing to mask."""
        mask = b"<half>"  # its first byte is in it once, so that what is around a mask never looks like one
        while mask in body:
            mask = b"<" + mask[1:-1] + b"~>"
        halves = 0

        def masked(escape: re.Match[bytes]) -> bytes:
            nonlocal halves
            if escape[1] is None:
                return escape[0]
            halves += 1
            return mask + escape[1]

        text = _ESCAPE.sub(masked, body)
        return cls(text, mask, halves) if halves else None

    def unmasked(self, value: msgspec.Raw) -> msgspec.Raw:
        """Return a value as it came."""
        return msgspec.Raw(bytes(value).replace(self.mask, b"\\u"))

    def restored(self, items: tuple[msgspec.Raw, ...], where: str) -> tuple[msgspec.Raw, ...]:
        """Return the records as they came. Raises MalformedPage where the envelope has some of the halves."""
        restored = tuple(map(self.unmasked, items))
        if sum(bytes(item).count(self.mask) for item in items) != self.halves:
            raise MalformedPage(
                f"{where}: half of a surrogate pair outside the records, where it cannot be put aside. "
                "Run it again, or report it to the vendor."
            )
        return restored


_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
"""An escape in a JSON text; its group is there in half of a surrogate pair only."""


def _opened(body: bytes, records: str, where: str) -> tuple[Mapping[str, msgspec.Raw], tuple[msgspec.Raw, ...]]:
    if records and (opened := _opened_at_once(body, tuple(records.split(".")))) is not None:
        return opened
    # An object with a path into it is validated whole when its keys are read.
    node = msgspec.Raw(body) if records and body[:1] == b"{" else msgspec.json.decode(body, type=msgspec.Raw)
    envelope, found = _split(node, tuple(records.split(".")) if records else (), where, records)
    if records:  # of a key that is there twice msgspec takes the second value, and says nothing
        _ENVELOPE.decode(_without(body, found).decode())
    if _first_byte(found) == b"[":
        return envelope, msgspec.json.decode(found, type=tuple[msgspec.Raw, ...])
    return envelope, (found,)


def _opened_at_once(
    body: bytes, path: tuple[str, ...]
) -> tuple[Mapping[str, msgspec.Raw], tuple[msgspec.Raw, ...]] | None:
    """Open an answer that begins with its records and is written without blanks, in half of the time.

    Returns None for another, or one with something wrong in it, about which there is more to be said.
    """
    begins, decoder = _ways(path)
    if (beginning := begins.match(body)) is None:
        return None
    try:
        found = decoder.decode(body)
    except msgspec.DecodeError:
        return None
    for _ in path:
        found = found.inner
    listed, start = b",".join(found), beginning.end()
    end = start + len(listed)
    if body[start:end] != listed or body[end : end + 1] != b"]":
        return None
    around = body[:start] + body[end:]
    _ENVELOPE.decode(around.decode())
    return _split(msgspec.Raw(around), path, "", "")[0], found


@lru_cache(maxsize=256)
def _ways(path: tuple[str, ...]) -> tuple[re.Pattern[bytes], msgspec.json.Decoder[Any]]:
    begins, kind = rb"\[", tuple[msgspec.Raw, ...]
    for name in reversed(path):
        begins = rb"\{" + re.escape(msgspec.json.encode(name)) + b":" + begins
        kind = msgspec.defstruct("Around", [("inner", kind)], rename={"inner": name}, gc=False)  # type: ignore[assignment]
    return re.compile(begins), msgspec.json.Decoder(kind)


def _without(body: bytes, found: msgspec.Raw) -> bytes:
    """Return an answer with null for the records in it, which need not be read for that."""
    value = bytes(found)
    head, start = value[:64], body.index(value[:64])  # the search for something long takes long itself
    while not body.startswith(value, start):
        start = body.index(head, start + 1)
    return body[:start] + b"null" + body[start + len(value) :]


class _RepeatedKey(Exception):
    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names


def _once(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise _RepeatedKey(names)


_ENVELOPE = json.JSONDecoder(object_pairs_hook=_once, parse_int=str, parse_float=str)


def _split(
    node: msgspec.Raw, path: Sequence[str], where: str, whole: str
) -> tuple[Mapping[str, msgspec.Raw], msgspec.Raw]:
    if not path:
        return {}, node
    if _first_byte(node) != b"{":
        raise RecordsNotFound(f"{where}: no '{whole}' in the answer, which is not an object. The API may have changed.")
    level = msgspec.json.decode(node, type=dict[str, msgspec.Raw])
    if path[0] not in level or bytes(memoryview(level[path[0]])[:5]) == b"null":
        raise RecordsNotFound(
            f"{where}: no '{whole}' in the answer (keys: {shown_keys(level)}). The API may have changed; compare with "
            "the reference."
        )
    inner, found = _split(level.pop(path[0]), path[1:], where, whole)
    envelope: dict[str, msgspec.Raw] = level
    if inner:
        envelope[path[0]] = inner  # type: ignore[assignment]  # a level of the envelope stands where its raw text stood
    return envelope, found


def _first_byte(raw: msgspec.Raw) -> bytes:
    """Return the byte that tells what kind of value a raw slice is; `Raw` has no subscript of its own."""
    return bytes(memoryview(raw)[:64]).lstrip()[:1]


def bound(instant: datetime, format: str) -> str:
    """Write an instant as a filter takes it: `2026-03-01T09:30:00.000Z` (iso) or milliseconds since 1970 (epoch_ms)."""
    utc = instant.astimezone(UTC)
    if format == "epoch_ms":
        return str(round(utc.timestamp() * 1000))
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def is_before(cursor: Cursor, record: msgspec.Raw, instant: datetime) -> bool:
    """Whether a record's cursor lies before `instant`; a record without one does not.

    Raises MalformedPage for a cursor that is no instant: where a walk may stop cannot be told then.
    """
    moment = _moment(cursor, fields_of(record))
    return moment is not None and moment < instant


def is_past(cursor: Cursor, records: Sequence[msgspec.Raw], instant: datetime) -> bool:
    """Whether a list that comes newest first is past `instant` with this page: its last two records lie before it.

    One alone may be where it does not belong, which shows only in what comes after it. Of a page with one record that
    one tells. Raises MalformedPage where the cursor of the last is no instant.
    """
    if not records or not is_before(cursor, records[-1], instant):
        return False
    try:
        return all(is_before(cursor, record, instant) for record in records[-2:-1])
    except MalformedPage:
        return False


def fields_of(record: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Return the fields of a record undecoded, also those of one with half of a surrogate pair, to be put aside later.

    Raises msgspec.DecodeError for what is not an object.
    """
    try:
        return msgspec.json.decode(record, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        masked = _Masked.of(bytes(record))
        if masked is None:
            raise
        fields = msgspec.json.decode(masked.text, type=dict[str, msgspec.Raw])
        return {name: masked.unmasked(value) for name, value in fields.items()}


def _moment(cursor: Cursor, fields: Mapping[str, msgspec.Raw]) -> datetime | None:
    value = _cursor_value(cursor, fields)
    try:
        return None if value is None else _instant(value)
    except OverflowError as error:
        raise MalformedPage(f"the cursor '{cursor.column}' of a record is no instant: {_shortened(error)}.") from None


def _cursor_value(cursor: Cursor, fields: Mapping[str, msgspec.Raw]) -> datetime | int | None:
    value = fields.get(cursor.column)
    if value is None or bytes(value) == b"null":
        return None
    try:
        decoded: datetime | int = _CURSORS[cursor.format].decode(value)
    except msgspec.DecodeError as error:
        raise MalformedPage(f"the cursor '{cursor.column}' of a record is no instant: {_shortened(error)}.") from None
    return decoded


def _instant(value: datetime | int) -> datetime:
    if isinstance(value, int):
        return _EPOCH + timedelta(milliseconds=value)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


_TYPES: Mapping[str, Any] = {"iso": datetime, "epoch_ms": int}
_CURSORS = {name: msgspec.json.Decoder(kind) for name, kind in _TYPES.items()}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _shortened(error: Exception) -> str:
    return str(error)[:120]


__all__ = [
    "HttpStream",
    "Walk",
    "bound",
    "fields_of",
    "is_before",
    "is_past",
    "open_answer",
    "parents_behind",
    "read_pages",
]
