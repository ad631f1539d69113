"""The Python API: sources and what they read, by the names PyAirbyte users know.

    import connector_resources as ab

    source = ab.get_source("source-aha", config={"api_key": "…", "url": "https://acme.aha.io"})
    source.check()
    source.select_streams(["ideas", "idea_comments"])
    result = source.read()
    ideas = result["ideas"].to_pandas()

Nothing here reads or lands by itself: the engine, the tables, the spools and the state are those of the assets, so
that a script goes on where a scheduled run has stopped, and the other way round.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from connector_resources import catalog
from connector_resources.environment import Mode
from connector_resources.errors import ConnectorError, UnknownStream
from connector_resources.exceptions import (
    AirbyteConnectorCheckFailedError,
    AirbyteConnectorNotRegisteredError,
    AirbyteConnectorReadError,
    AirbyteStreamNotFoundError,
    PyAirbyteInputError,
    PyAirbyteNoStreamsSelectedError,
)
from connector_resources.strategies import WriteStrategy
from connector_resources.streams import Cursor, Stream

if TYPE_CHECKING:
    from connector_resources import resource
    from connector_resources.caches import CacheBase
    from connector_resources.datasets import InMemoryDataset, LazyDataset
    from connector_resources.documents import Document
    from connector_resources.results import ReadResult

_PREFIX = "source-"

_TRIES_OF_A_CHECK = 2

_NOT_HERE = {
    "version": "connectors are part of this package; install the version of it that you want",
    "use_python": "connectors run in this process",
    "pip_url": "connectors are part of this package, or of one that announces them as headrace.sources",
    "local_executable": "connectors run in this process",
    "docker_image": "connectors run in this process",
    "use_host_network": "connectors run in this process",
    "source_manifest": "manifests of Airbyte are not read yet",
    "install_root": "there is nothing to install",
    "config_change_callback": "a token that is renewed is kept below data/state, and the config stays as it was given",
}
"""Arguments of PyAirbyte's that mean nothing here, or nothing yet, and why."""


def get_source(
    name: str,
    config: Mapping[str, Any] | None = None,
    *,
    streams: str | Sequence[str] | None = None,
    mode: Mode | None = None,
    account: str | None = None,
    start_date: date | str | None = None,
    progress: bool | None = None,
    install_if_missing: bool = True,
    no_executor: bool = False,
    **others: Any,
) -> "Source":
    """Return the source of that name, such as `source-aha` or `aha`.

    `config` has PyAirbyte's keys or this project's names of fields; without one the account is the one that the assets
    read: the sandbox's, or with `mode="live"` (CONNECTOR_MODE) the one whose credentials the environment has. With real
    credentials a source is live by itself. `account` names one account beside others of the same connector: its tables
    have a schema of that name, as with accounts.toml. `start_date` is the first day (UTC) that is read of streams in
    days; by default PARTITIONS_START, else everything. `progress` switches the bars on stderr on or off; by default
    they are where somebody sees them. `streams` selects some, "*" all.

    `install_if_missing` and `no_executor` change nothing, for nothing is installed; what else PyAirbyte takes is
    refused with the reason. Raises AirbyteConnectorNotRegisteredError, AirbyteConnectorValidationFailedError (naming
    keys and never values), AirbyteStreamNotFoundError, PyAirbyteInputError.
    """
    del install_if_missing, no_executor
    for argument, value in others.items():
        if argument not in _NOT_HERE:
            raise PyAirbyteInputError(f"get_source takes no argument {argument!r}.", guidance="help(get_source)")
        if value not in (None, False) and (argument, value) not in (("version", "latest"), ("use_python", True)):
            raise PyAirbyteInputError(
                f"get_source: {argument} means nothing here: {_NOT_HERE[argument]}.", guidance="Leave it out."
            )
    return Source(name, config, streams=streams, mode=mode, account=account, start_date=start_date, progress=progress)


def get_available_connectors(install_type: str | None = None) -> list[str]:
    """Return the names of the connectors there are: those of this package, and what other packages announce.

    `install_type` is PyAirbyte's; every connector here is a Python one, so "docker" has none.
    """
    if str(install_type).lower().endswith("docker"):
        return []
    from connector_resources.sources import discover

    return sorted(f"{_PREFIX}{kind.name}" for kind in discover())


_OF_USE = ("_hydrated", "_opens")
"""What a source finds out of its configuration when it is used."""


def _kind(name: str) -> "type[resource.Source]":
    from connector_resources.sources import discover

    kinds = {kind.name: kind for kind in discover()}
    if (found := kinds.get(name.removeprefix(_PREFIX))) is None:
        meant = _meant(name.removeprefix(_PREFIX), kinds, _PREFIX)
        raise AirbyteConnectorNotRegisteredError(
            f"There is no connector {name!r}.{meant} There are {', '.join(_PREFIX + each for each in sorted(kinds))}.",
            connector_name=name,
        )
    return found


def _meant(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return a question about the name that is nearest to one that is not known; nothing where none is near."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    return f" Did you mean {prefix}{close[0]}?" if close else ""


class Source:
    """One account of one connector: what there is to read in it, and the reading. Made by `get_source`."""

    connector_type = "source"

    def __init__(
        self,
        name: str,
        config: Mapping[str, Any] | None = None,
        *,
        streams: str | Sequence[str] | None = None,
        mode: Mode | None = None,
        account: str | None = None,
        start_date: date | str | None = None,
        progress: bool | None = None,
        validate: bool = False,
        cursor_key_overrides: Mapping[str, str] | None = None,
        primary_key_overrides: Mapping[str, str | Sequence[str]] | None = None,
    ) -> None:
        kind = _kind(name)
        self._kind = kind if account is None else kind.named(_checked_account(kind, account))
        if mode not in (None, "sandbox", "live"):
            raise PyAirbyteInputError("mode is sandbox or live.", input_value=str(mode))
        self._asked_mode = mode
        if start_date is not None:
            from connector_resources.connecting import first_day

            first_day("sandbox", start_date)  # what is no day is refused here, in whichever mode
        self._start_date = start_date
        self._progress = progress
        self._config: Mapping[str, Any] | None = None
        self._connected: resource.Source | None = None
        self._cursors: dict[str, str] = {}
        self._primary_keys: dict[str, tuple[str, ...]] = {}
        self._selected: list[str] | None = None  # nobody has selected any
        if config is not None:
            self.set_config(config, validate=validate)
        self.set_cursor_keys(**(cursor_key_overrides or {}))
        self.set_primary_keys(**(primary_key_overrides or {}))
        if streams is not None:
            self.select_streams(streams)

    def __repr__(self) -> str:
        selected = f"{len(self._selected or ())} of {len(self._kind.streams)} streams selected"
        try:
            return f"<Source {self.name}: {selected}, {self.mode}>"
        except ConnectorError:  # what is set contradicts itself; whoever uses it is told
            return f"<Source {self.name}: {selected}>"

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle keeps: what it was told. What came with use is of this process."""
        told = {name: value for name, value in vars(self).items() if name not in _OF_USE}
        # The class of an account is made where it is asked for, and found under no name.
        return {**told, "_connected": None, "_kind": (self._kind.connector, self._kind.name)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become the source that was told the same."""
        connector, account = state["_kind"]
        self.__dict__ |= {**state, "_kind": _kind(connector).named(account)}

    @property
    def name(self) -> str:
        """The connector's name, such as `source-aha`."""
        return f"{_PREFIX}{self._kind.connector}"

    @property
    def account(self) -> str:
        """The name of the account: the schema of its tables, unless a cache has its own."""
        return self._kind.name

    @property
    def mode(self) -> Mode:
        """Where it reads: `sandbox` or `live`. Raises PyAirbyteInputError where what is set contradicts itself."""
        from connector_resources.connecting import mode_of

        return mode_of(self._kind, self._opens, self._asked_mode)

    @cached_property
    def _opens(self) -> Mode | None:
        """What the credentials in the configuration open."""
        from connector_resources.connecting import opened_by

        return opened_by(self._kind, self._hydrated)

    @cached_property
    def _hydrated(self) -> Mapping[str, Any] | None:
        """The configuration with what its references stand for."""
        from connector_resources.secrets import resolved

        return None if self._config is None else resolved(self._config)

    @property
    def connector_version(self) -> str | None:
        """The version of the package that the connector is part of; None where that is not known."""
        from importlib.metadata import PackageNotFoundError, packages_distributions, version

        package = packages_distributions().get(self._kind.__module__.partition(".")[0], ["headrace"])[0]
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    @property
    def docs_url(self) -> str:
        """Where the connector's page is, in the documentation of this project."""
        return f"docs/connectors/{self._kind.connector}.md"

    # -- configuration -----------------------------------------------------------------------------------------------

    def set_config(self, config: Mapping[str, Any], *, validate: bool = True) -> None:
        """Take another configuration; `secret_reference::NAME` in it is looked up where it is used.

        Raises AirbyteConnectorValidationFailedError for one that does not fit, naming keys and never values.
        """
        if not isinstance(config, Mapping):
            raise PyAirbyteInputError(f"config is a {type(config).__name__}.", guidance="Give it a mapping of keys.")
        if validate:
            self.validate_config(config)
        from connector_resources.configs import guarded

        self._config = guarded(self._kind, config)
        self._connected = None
        for known in _OF_USE:
            self.__dict__.pop(known, None)

    def get_config(self) -> dict[str, Any]:
        """Return a copy of the configuration, which `set_config` takes; a secret in it is shown as `****`."""
        from connector_resources.configs import guarded

        copy: dict[str, Any] = guarded(self._kind, self._config or {})
        return copy

    @property
    def config_hash(self) -> str | None:
        """A digest that changes with the configuration, without a way back to it; None without one."""
        from hashlib import blake2b

        if self._config is None:
            return None
        return blake2b(json.dumps(self._config, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()

    def validate_config(self, config: Mapping[str, Any] | None = None) -> None:
        """Raise AirbyteConnectorValidationFailedError where a configuration does not fit; no request is made."""
        from connector_resources.configs import fields_of
        from connector_resources.secrets import resolved

        if (config := self._config if config is None else config) is not None:
            fields_of(self._kind, resolved(config))

    @property
    def config_spec(self) -> dict[str, Any]:
        """The JSON schema of the configuration; a secret has `airbyte_secret: true`."""
        from connector_resources.configs import spec

        return spec(self._kind)

    def print_config_spec(
        self,
        format: Literal["yaml", "json"] = "yaml",
        *,
        output_file: Path | str | None = None,
        stderr: bool = False,
    ) -> None:
        """Print the schema of the configuration to stdout, or to stderr, or write it to a file."""
        from connector_resources.configs import print_spec

        print_spec(self.config_spec, format, output_file, is_error=stderr)

    def check(self) -> None:
        """Prove that the account can be read.

        Raises AirbyteConnectorCheckFailedError saying why not and what to change, or PyAirbyteInputError.
        """
        from connector_resources.resource import HttpSource

        connected = self.connected
        try:
            if isinstance(connected, HttpSource):  # nobody waits minutes to hear that a host is not there
                connected = connected.trying(_TRIES_OF_A_CHECK)
            connected.check()
        except ConnectorError as error:
            raise AirbyteConnectorCheckFailedError(
                f"{self.name} cannot be read. {error}", connector_name=self.name
            ) from error
        _say(f"Connection check succeeded for `{self.name}`{self._whose}.")

    @property
    def _whose(self) -> str:
        """What a person has to know of where it reads."""
        from connector_resources.resource import HttpSource

        is_stand_in = self.mode == "sandbox" and issubclass(self._kind, HttpSource)
        return ", from the sandbox: no real account" if is_stand_in else ""

    @property
    def connected(self) -> "resource.Source":
        """The source behind this one, ready to be read: what assets get of a resource."""
        if self._connected is None:
            from connector_resources.connecting import connected

            self._connected = connected(self._kind, self._hydrated, self.mode)
        return self._connected

    # -- streams -----------------------------------------------------------------------------------------------------

    def get_available_streams(self) -> list[str]:
        """Return the names of all streams, those that are off by default among them."""
        return [stream.name for stream in self._kind.streams]

    def select_streams(self, streams: str | Sequence[str]) -> None:
        """Select streams by name instead of those selected before; "*" is what `select_all_streams` does.

        Raises AirbyteStreamNotFoundError, listing those there are.
        """
        if streams == "*":
            self.select_all_streams()
            return
        names = [streams] if isinstance(streams, str) else list(streams)
        self._selected = list(dict.fromkeys(self._stream(name).name for name in names))

    def select_all_streams(self) -> None:
        """Select all streams but those that need an administrator, a larger plan or a setting.

        These are off by default; they are in when ENABLED_STREAMS has them, and can be selected by name.
        """
        from connector_resources.environment import environment

        enabled = {name.strip() for name in environment().get("ENABLED_STREAMS", "").split(",")}
        on = {f"{self.account}.*", *(f"{self.account}.{stream.name}" for stream in self._kind.streams)} & enabled
        self._selected = [
            stream.name
            for stream in self._kind.streams
            if stream.enabled or on & {f"{self.account}.*", f"{self.account}.{stream.name}"}
        ]

    def get_selected_streams(self) -> list[str]:
        """Return the names of the streams that were selected."""
        return list(self._selected or ())

    def set_primary_key(self, stream_name: str, primary_key: str | Sequence[str]) -> None:
        """Tell records of a stream apart by other columns than those declared.

        Raises AirbyteStreamNotFoundError, or PyAirbyteInputError for a column that is not declared.
        """
        stream = self._stream(stream_name)
        columns = (primary_key,) if isinstance(primary_key, str) else tuple(primary_key)
        for column in columns or ("",):
            _require_column(stream, column)
        self._primary_keys[stream.name] = columns

    def set_primary_keys(self, **primary_keys: str | Sequence[str]) -> None:
        """Tell records apart by other columns, for several streams."""
        for name, columns in primary_keys.items():
            self.set_primary_key(name, columns)

    def set_cursor_key(self, stream_name: str, cursor_key: str) -> None:
        """Tell the newest version of a record by another column than the declared cursor.

        An API filters by its own cursor only, so the stream is then read whole every time, and replaced. Raises
        AirbyteStreamNotFoundError, or PyAirbyteInputError for a column that is not declared.
        """
        stream = self._stream(stream_name)
        _require_column(stream, cursor_key)
        self._cursors[stream.name] = cursor_key

    def set_cursor_keys(self, **cursor_keys: str) -> None:
        """Tell the newest versions by other columns, for several streams."""
        for name, column in cursor_keys.items():
            self.set_cursor_key(name, column)

    def _stream(self, name: str) -> Stream:
        """Return a stream as it is read, with what was set for it."""
        try:
            stream = self._kind.stream(name)
        except UnknownStream as error:
            raise AirbyteStreamNotFoundError(
                f"{self.name} has no stream {name!r}.{_meant(str(name), self.get_available_streams())}",
                stream_name=str(name),
                connector_name=self.name,
                available_streams=self.get_available_streams(),
            ) from error
        if (cursor := self._cursors.get(stream.name)) is not None and (
            stream.cursor is None or stream.cursor.column != cursor
        ):
            stream = replace(stream, cursor=Cursor(cursor))
        if (key := self._primary_keys.get(stream.name)) is not None:
            stream = replace(stream, primary_key=key)
        return stream

    def get_stream_json_schema(self, stream_name: str) -> dict[str, Any]:
        """Return the JSON schema of a stream's records, as the API sends them."""
        return catalog.json_schema(self._stream(stream_name))

    @property
    def discovered_catalog(self) -> catalog.AirbyteCatalog:
        """All streams with their schemas, keys and sync modes; no request is made, for they are declared."""
        return catalog.AirbyteCatalog([catalog.described(self._stream(name)) for name in self.get_available_streams()])

    @property
    def configured_catalog(self) -> catalog.ConfiguredAirbyteCatalog:
        """The streams that are selected, all where none is."""
        return self.get_configured_catalog()

    def get_configured_catalog(
        self, streams: Literal["*"] | Sequence[str] | None = None, *, force_full_refresh: bool = False
    ) -> catalog.ConfiguredAirbyteCatalog:
        """Return these streams, or the selected ones, or "*" all of them, and how each is read."""
        names = self._selected if streams is None else streams
        if not names or names == "*":
            names = self.get_available_streams()
        return catalog.ConfiguredAirbyteCatalog(
            [catalog.configured(self._stream(name), force_full_refresh=force_full_refresh) for name in names]
        )

    # -- records without a cache -------------------------------------------------------------------------------------

    def get_records(
        self,
        stream: str,
        *,
        limit: int | None = None,
        stop_event: Any = None,
        normalize_field_names: bool = False,
        prune_undeclared_fields: bool = False,
    ) -> "LazyDataset":
        """Return the records of a stream as its API sends them, read while they are iterated; nothing is stored.

        Each iteration asks the API anew. `limit` is the most that come. Where `stop_event` (a threading.Event) is set,
        reading ends. `normalize_field_names` turns names into small letters, digits and underscores,
        `prune_undeclared_fields` leaves out what the schema does not have. Raises AirbyteStreamNotFoundError, and what
        the API answers with while it is iterated.
        """
        from connector_resources.datasets import LazyDataset

        declared = self._stream(stream)
        if limit is not None and limit < 0:
            raise PyAirbyteInputError("get_records: limit is below 0.", input_value=limit)

        def records() -> Iterator[dict[str, Any]]:
            names = {column.name for column in declared.columns}
            if limit == 0:
                return
            for number, record in enumerate(
                self._records(declared, is_look=limit is not None or stop_event is not None), 1
            ):
                if stop_event is not None and stop_event.is_set():
                    return
                if prune_undeclared_fields:
                    record = {name: value for name, value in record.items() if name in names}
                yield _normalized(record) if normalize_field_names else record
                if number == limit:
                    return  # before another page is asked for

        return LazyDataset(records, stream=declared)

    def _records(self, stream: Stream, *, is_look: bool) -> Iterator[dict[str, Any]]:
        """Yield the records of a stream; a look, which may end anywhere, asks for nothing before it is wanted."""
        from connector_resources.connecting import first_day, sandbox_today
        from connector_resources.records import records
        from connector_resources.resource import HttpSource

        source = self.connected
        if is_look and isinstance(source, HttpSource):
            source = source.changed(concurrency=1)
        return records(source, stream, first_day(self.mode, self._start_date), sandbox_today())

    def get_documents(
        self,
        stream: str,
        title_property: str | None = None,
        content_properties: Sequence[str] | None = None,
        metadata_properties: Sequence[str] | None = None,
        *,
        render_metadata: bool = False,
    ) -> "Iterator[Document]":
        """Return the records of a stream as documents, read while they are iterated; see `to_documents`."""
        from connector_resources.documents import documents_of

        return documents_of(
            self.get_records(stream),
            self._stream(stream),
            title_property=title_property,
            content_properties=content_properties,
            metadata_properties=metadata_properties,
            render_metadata=render_metadata,
            source=self.account,
        )

    def get_samples(
        self,
        streams: Literal["*"] | Sequence[str] | None = None,
        *,
        limit: int = 5,
        on_error: Literal["raise", "ignore", "log"] = "raise",
    ) -> "dict[str, InMemoryDataset | None]":
        """Return the first records of these streams, of the selected ones, or of all where none is.

        With `on_error` "ignore" or "log" a stream that cannot be read is None.
        """
        names = self._selected if streams is None else streams
        if not names or names == "*":
            names = self.get_available_streams()
        elif isinstance(names, str):
            names = [names]
        found: dict[str, InMemoryDataset | None] = {}
        for name in names:
            try:
                found[name] = self.get_records(name, limit=limit).fetch_all()
            except ConnectorError as error:
                if on_error == "raise":
                    raise
                if on_error == "log":
                    _say(f"{self.name}.{name}: no sample. {error}")
                found[name] = None
        return found

    def print_samples(
        self,
        streams: Literal["*"] | Sequence[str] | None = None,
        *,
        limit: int = 5,
        on_error: Literal["raise", "ignore", "log"] = "log",
    ) -> None:
        """Print the first records of streams as tables to stdout."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = Console()
        for name, sample in self.get_samples(streams, limit=limit, on_error=on_error).items():
            if sample is None:
                continue
            records = list(sample)
            table = Table(title=f"{self.name}: {name}", title_justify="left", show_lines=True)
            table.add_column("field")
            for number in range(len(records)):
                table.add_column(str(number + 1), overflow="fold")
            for field in dict.fromkeys(field for record in records for field in record):
                table.add_row(Text(field), *(Text(_shown(record.get(field))) for record in records))
            console.print(table if records else Text(f"{self.name}: {name} has no records."))

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(
        self,
        cache: "CacheBase | None" = None,
        *,
        streams: str | Sequence[str] | None = None,
        write_strategy: "str | WriteStrategy" = "auto",
        force_full_refresh: bool = False,
        skip_validation: bool = False,
    ) -> "ReadResult":
        """Read streams into a cache, each in a transaction of its own, and return what is there.

        A stream in days is read for the days that are missing or were not over when they were read, whoever has read
        them: this, another script, or a scheduled run. Snapshots are read whole. `write_strategy` is one of

        - "auto": a day, or a snapshot, replaces what was there of it;
        - "merge": the same, and records that a snapshot does not have any more stay;
        - "replace": everything is read, and replaces all there is;
        - "append": what is new since the last read comes beside what is there.

        With `force_full_refresh` complete days are read again, too. `cache` is by default the database of the assets;
        `streams` are read instead of those selected; where nobody has selected any, it is those of
        `select_all_streams`. `skip_validation` changes nothing: an account that cannot be read
        fails at its first request.

        A stream that fails takes no other along. When all have been tried, AirbyteConnectorReadError says which failed
        and why; its `result` has those that did not, and what was read of the others is gone on with next time.
        """
        from connector_resources.caches import cache_to_read_into
        from connector_resources.connecting import first_day
        from connector_resources.resource import HttpSource
        from connector_resources.results import ReadResult
        from connector_resources.sync import Sync
        from connector_resources.watching import watcher

        del skip_validation
        strategy = _strategy(write_strategy)
        selected = self._wanted(streams)
        if isinstance(self.connected, HttpSource):
            self.connected.authenticator()  # where a credential is missing no database is made
        cache = cache_to_read_into(cache)
        cache.bind(self.mode)
        if cache.is_of_assets:
            self._require_place_with_assets(strategy, selected)
        if self._whose and self._progress is not False:
            _say(f"{self.account}: reading{self._whose[1:]}.")
        with watcher(self.connected, self._progress) as watching:
            outcome = Sync(
                self.connected,
                cache,
                self.mode,
                first_day(self.mode, self._start_date),
                strategy,
                is_full=force_full_refresh,
                watcher=watching,
            ).read(selected)
        done = [stream.name for stream in selected if stream.name in outcome.read]
        result = ReadResult(
            sum(outcome.read[name].records for name in done),
            cache,
            {name: cache.dataset(self.account, name, stream=self._stream(name)) for name in done},
            self.name,
            self._kind.stream_aliases,
        )
        if outcome.failed:
            raise _failed(self.name, outcome.failed, result)
        return result

    def _require_place_with_assets(self, strategy: str, selected: Sequence[Stream]) -> None:
        """Raise PyAirbyteInputError for rows that would be in the tables of the assets beside theirs."""
        from connector_resources.connecting import account_of_assets

        if strategy == "append":
            raise PyAirbyteInputError(
                "The assets replace days and snapshots in this database; what is appended would be there twice.",
                guidance="Give it a cache of its own, such as new_local_cache().",
            )
        if others := [stream.name for stream in selected if stream != self._kind.stream(stream.name)]:
            raise PyAirbyteInputError(
                f"The assets read {others[0]} into this database by the declared key and cursor.",
                guidance="Give another key or cursor a cache of its own, such as new_local_cache().",
            )
        theirs = account_of_assets(self._kind) if self.mode == "live" and self._config is not None else None
        if theirs not in (None, self.connected.account):
            raise PyAirbyteInputError(
                f"The assets read another account into the schema {self.account} than the config has.",
                guidance="Name this one with account=…, or give it a cache of its own, such as new_local_cache().",
            )

    def _wanted(self, streams: str | Sequence[str] | None) -> list[Stream]:
        before = self._selected
        try:
            if streams is not None or before is None:
                self.select_streams("*" if streams is None else streams)
            names = self._selected
        finally:
            self._selected = before
        if not names:
            raise PyAirbyteNoStreamsSelectedError(
                f"{self.name}: no stream is selected.",
                connector_name=self.name,
                available_streams=self.get_available_streams(),
            )
        return [self._stream(name) for name in names]


def _failed(name: str, failed: Mapping[str, ConnectorError], result: "ReadResult") -> AirbyteConnectorReadError:
    """Return the error that says of each stream why it could not be read."""
    reasons = [f"{stream}: {error}" for stream, error in failed.items()]
    whole = "no stream was read" if not result else f"{', '.join(result)} {'was' if len(result) == 1 else 'were'} read"
    error = AirbyteConnectorReadError(
        f"{name}: {len(failed)} stream{'' if len(failed) == 1 else 's'} failed; {whole}. " + " · ".join(reasons),
        connector_name=name,
    )
    error.result, error.failed = result, dict(failed)
    first = next(iter(failed.values()))
    error.__cause__ = first
    return error


def _strategy(given: "str | WriteStrategy") -> Literal["auto", "append", "replace", "merge"]:
    try:
        return WriteStrategy(given).value
    except ValueError:
        raise PyAirbyteInputError(
            "read: there is no such write_strategy.",
            guidance="It is one of auto, append, replace, merge.",
            input_value=str(given),
        ) from None


_TAKEN = ("frames", "documents", "main", "temp", "system", "memory", "pg_catalog", "information_schema", "store")
"""Schemas of the project's own, and of DuckDB's."""


def _checked_account(kind: "type[resource.Source]", name: str) -> str:
    import re

    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise PyAirbyteInputError(
            "account is no name for one.",
            guidance="Small letters, digits and single underscores, a letter first, such as aha_emea.",
            input_value=name,
        )
    from connector_resources.sources import discover

    if name in _TAKEN or name in {other.name for other in discover()} - {kind.name}:
        raise PyAirbyteInputError(
            "account is a name that means something else already.",
            guidance=f"Take another, such as {kind.name}_{name}.",
            input_value=name,
        )
    return name


def _require_column(stream: Stream, column: str) -> None:
    if column not in {each.name for each in stream.columns}:
        raise PyAirbyteInputError(
            f"{stream.name} has no column {column!r}.",
            guidance=f"Columns: {', '.join(each.name for each in stream.columns)}.",
        )


def _normalized(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record under normalized names; fields that would have one and the same keep their own."""
    import re

    plain = {name: re.sub(r"[^a-z0-9_]", "_", name.lower()) for name in record}
    names = list(plain.values())
    return {own if names.count(plain[own]) > 1 else plain[own]: value for own, value in record.items()}


def _shown(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


_SHOWN = 200


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 -- as everything the API tells people
