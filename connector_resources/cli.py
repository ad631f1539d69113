"""The command line: `headrace`, for people without Python and for scripts.

A command is the Python API in other words: the same engine, tables and guarantees. Data goes to stdout and everything
else to stderr. It ends with 0 where all went well, 1 where something failed, 2 where what was asked for cannot be, and
130 where a person stopped it. Nothing heavy is imported before a command needs it.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Literal

import click

from connector_resources.cli_output import Output, as_it_came, in_words
from connector_resources.errors import ConfigurationError, ConnectorError, DestinationUnwritable, RequestBudgetSpent

if TYPE_CHECKING:
    from connector_resources import resource
    from connector_resources.api import Source
    from connector_resources.begun_reads import BegunRead
    from connector_resources.caches import DuckDBCache
    from connector_resources.contents import Contents, Waiting
    from connector_resources.streams import Stream

Mode = Literal["sandbox", "live"]
Command = Callable[..., Any]

OK, FAILED, USAGE, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141


# How a command ends


class _Stopped(click.Abort):
    """A person has stopped a read; the message says what is kept."""


class _Failures(Exception):
    """Some streams failed, the others did not; `reasons` by stream. Whether anything was read all the same."""

    def __init__(self, kind: str, reasons: Mapping[str, ConnectorError], *, has_read: bool = False) -> None:
        super().__init__(" · ".join(f"{stream}: {in_words(error)}" for stream, error in reasons.items()))
        self.kind, self.reasons, self.has_read = kind, reasons, has_read


class _Headrace(click.Group):
    """The commands. Every way out is a code and at most a message; a traceback is a mistake of ours."""

    def main(  # type: ignore[override]  # click's has one form for each way of ending
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        """Run a command, and end the process with its code."""
        arguments = sys.argv[1:] if args is None else list(args)
        output = Output("--json" in arguments)
        with output.logging():
            try:
                sys.exit(self._code(arguments, output, extra))
            except OSError as error:
                if error.errno != errno.EPIPE:
                    raise
                _leave_pipe()
                sys.exit(PIPE_CLOSED)

    def _code(self, arguments: list[str], output: Output, extra: dict[str, Any]) -> int:
        try:
            code = super().main(arguments, "headrace", **{**extra, "standalone_mode": False})
            sys.stdout.flush()
            return code if isinstance(code, int) else OK
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            return USAGE
        except click.UsageError as error:
            if not output.is_json and error.ctx is not None:
                click.echo(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help'.\n", err=True)
            return output.failed("UsageError", error.format_message(), USAGE)
        except click.ClickException as error:
            return output.failed(type(error).__name__, error.format_message(), FAILED)
        except click.Abort as error:
            return output.failed("Interrupted", str(error) or "Stopped.", INTERRUPTED)
        except _Failures as error:
            reasons = {
                stream: {"error": type(reason).__name__, "message": in_words(reason)}
                for stream, reason in error.reasons.items()
            }
            return output.failed(error.kind, str(error), FAILED, failed=reasons)
        except ConnectorError as error:
            return output.failed(type(error).__name__, in_words(error), USAGE if _is_usage(error) else FAILED)
        except OSError as error:
            if error.errno == errno.EPIPE or error.filename is None:
                raise
            return output.failed("OSError", f"{error.filename}: {error.strerror}.", FAILED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which a person needs them."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; who reads no further is no reason for click's own way out."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            raise click.exceptions.Exit(PIPE_CLOSED) from None


def _is_usage(error: ConnectorError) -> bool:
    """Whether what was asked for cannot be, whatever the vendor and the disk say."""
    from connector_resources import exceptions

    return isinstance(
        error,
        exceptions.PyAirbyteInputError
        | exceptions.AirbyteConnectorNotRegisteredError
        | exceptions.AirbyteConnectorValidationFailedError
        | exceptions.AirbyteStreamNotFoundError,
    )


def _leave_pipe() -> None:
    """Let what Python still has for a closed pipe go nowhere, instead of complaining at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (OSError, ValueError):  # it is no file
            continue
    os.close(nowhere)


# What commands have in common


def _options(*options: Command) -> Callable[[Command], Command]:
    def decorated(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


_CONNECTOR = click.argument("connector")
_JSON = click.option("--json", "is_json", is_flag=True, help="JSON on stdout for scripts; errors are JSON on stderr.")
_ACCOUNT = _options(
    click.option(
        "--config",
        "file",
        metavar="FILE",
        help="The account, as JSON or YAML; '-' is standard input. `headrace spec` has the keys.",
    ),
    click.option(
        "--set",
        "pairs",
        metavar="KEY=VALUE",
        multiple=True,
        help="One key of the configuration; again for more, dots reach into objects. Never a secret itself: "
        "`api_key=secret_reference::AHA_API_KEY` takes it from the environment, .env or a prompt.",
    ),
    click.option(
        "--mode",
        type=click.Choice(["sandbox", "live"]),
        help="The vendor, with the credentials of the environment, or the sandbox that stands in for it. "
        "By default what the configuration opens, else CONNECTOR_MODE, else the sandbox.",
    ),
    click.option(
        "--account",
        metavar="NAME",
        help="A name for this account, where there are several of one connector: that of its tables' schema.",
    ),
)
_START = click.option(
    "--start-date",
    metavar="DAY",
    help="The first UTC day (YYYY-MM-DD) of streams that are read by day. By default PARTITIONS_START, else the first.",
)
_STREAMS = click.option(
    "--streams",
    "names",
    metavar="NAMES",
    multiple=True,
    help="Streams with commas between. By default all but those that need an administrator or a larger plan.",
)
_PROGRESS = click.option("--no-progress", is_flag=True, help="Say nothing on stderr while reading.")
_DATABASE = click.option(
    "--duckdb", metavar="FILE", type=click.Path(dir_okay=False), help="A DuckDB file instead of the assets' database."
)


def _source(
    output: Output,
    connector: str,
    file: str | None,
    pairs: Sequence[str],
    mode: Mode | None,
    account: str | None,
    start_date: str | None = None,
    *,
    progress: bool = True,
) -> "Source":
    """Return the source that options describe, with a word about what people should know of it."""
    from connector_resources.api import Source, get_source
    from connector_resources.cli_config import configuration, exposed

    spec = Source(connector).config_spec
    for key in exposed(spec, pairs):
        output.warn(
            f"{key} is a secret. Other users of this machine can see it on the command line, and it stays in the "
            "shell's history: put it into the environment, and write KEY=secret_reference::ITS_VARIABLE."
        )
    source = get_source(
        connector,
        configuration(spec, file, pairs),
        mode=mode,
        account=account,
        start_date=start_date,
        progress=False if output.is_json or not progress else None,
    )
    source.validate_config()
    if source.mode == "sandbox" and not source.get_config() and mode is None and _has_account(source):
        output.say(f"{source.name} reads the sandbox; --mode live or --config reads an account.")
    return source


def _has_account(source: "Source") -> bool:
    """Whether there is a vendor; what a source makes up is the same in the sandbox and live."""
    from connector_resources.resource import HttpSource

    return issubclass(_kind(source), HttpSource)


def _named(names: Sequence[str]) -> list[str] | str:
    """Return the streams that are asked for, all where the option is not given.

    Raises UsageError for one that names none: a variable that is not set shall not read the whole account.
    """
    found: list[str] = []
    for text in names:
        if not (named := [name.strip() for name in text.split(",") if name.strip()]):
            raise click.UsageError("--streams names no stream. Leave it out for all, or name some: --streams a,b.")
        found.extend(named)
    return "*" if not found or found == ["*"] else found


def _kind(source: "Source") -> "type[resource.Source]":
    from connector_resources.sources import discover

    return next(kind for kind in discover() if f"source-{kind.name}" == source.name)


# The commands


@click.group(cls=_Headrace, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="headrace", message="headrace %(version)s")
def cli() -> None:
    """Read the data of SaaS accounts exactly, into a DuckDB database or into files.

    To try it no account is needed: the sandbox on this machine stands in for the vendors.

    \b
      headrace connectors
      headrace streams source-drift
      headrace preview source-drift --streams contacts --limit 2
      headrace read source-drift --streams contacts,conversations
      headrace state
      headrace read source-drift --streams contacts --csv exports

    With an account, say where its secrets are instead of what they are:

    \b
      export AHA_API_KEY=…
      echo '{"url": "acme.aha.io", "api_key": "secret_reference::AHA_API_KEY"}' > aha.json
      headrace check source-aha --config aha.json
      headrace read source-aha --config aha.json

    A read asks only for what is missing: run it again tomorrow, or after an interruption.

    Data goes to stdout, words to stderr; with --json both are JSON. Exit codes: 0 all went well, 1 something failed,
    2 what was asked for cannot be, 130 stopped with Ctrl-C.
    """  # noqa: D301 -- \b is click's


@cli.command()
@_JSON
def connectors(is_json: bool) -> None:
    """List the connectors there are."""
    from connector_resources.sources import discover

    output = Output(is_json)
    kinds = sorted(discover(), key=lambda kind: kind.name)
    if is_json:
        output.data([{"name": f"source-{kind.name}", "streams": len(kind.streams)} for kind in kinds])
        return
    rows = [(f"source-{kind.name}", len(kind.streams), (kind.__doc__ or "").partition("\n")[0]) for kind in kinds]
    output.table(("connector", "streams", "what it reads"), rows)


@cli.command()
@_CONNECTOR
@_JSON
def streams(connector: str, is_json: bool) -> None:
    """List the streams of a connector.

    "by day": only days that are missing, or were not over, are read again. "whole": everything is read each time.
    Those that are off by default (an administrator, a larger plan or a setting is needed) are read where --streams
    names them.
    """
    from connector_resources.api import Source

    output, source = Output(is_json), Source(connector)
    source.select_all_streams()
    on = source.get_selected_streams()
    streams = _kind(source).streams
    if is_json:
        output.data([_about(stream, stream.name in on) for stream in streams])
        return
    rows = [
        (each.name, "" if each.name in on else "off", _how(each), ", ".join(each.primary_key), each.description)
        for each in streams
    ]
    output.table(("stream", "", "read", "key", "what it is"), rows)


def _about(stream: "Stream", is_on: bool) -> dict[str, object]:
    return {
        "name": stream.name,
        "description": stream.description,
        "is_on": is_on,
        "read": _how(stream),
        "primary_key": stream.primary_key,
        "cursor": None if stream.cursor is None else stream.cursor.column,
        "parent": None if stream.parent is None else stream.parent.stream.name,
    }


def _how(stream: "Stream") -> str:
    return "by day" if stream.is_partitioned else "whole"


@cli.command()
@_CONNECTOR
@_JSON
def spec(connector: str, is_json: bool) -> None:
    """Show what a configuration may hold.

    With --json it is the JSON schema, in which secrets have `airbyte_secret`.
    """
    from connector_resources.api import Source

    output, schema = Output(is_json), Source(connector).config_spec
    if is_json:
        output.data(schema)
        return
    output.table(("key", "type", "", "default", "what it is"), list(_keys(schema)))
    one_of = [" or ".join(way["required"][0] for way in need["anyOf"]) for need in schema.get("allOf", ())]
    if needed := [*schema["required"], *one_of]:
        output.text(f"Needed: {', '.join(needed)}.")


def _keys(schema: Mapping[str, Any], above: str = "") -> Iterator[tuple[object, ...]]:
    """Yield a row for each key of a schema, those of objects below theirs."""
    seen = set()
    for form in (schema, *schema.get("oneOf", ())):
        for name, about in form.get("properties", {}).items():
            if name not in seen:
                seen.add(name)
                values = [
                    repr(other["properties"][name]["const"]).replace("'", '"')
                    for other in schema.get("oneOf", ())
                    if "const" in other["properties"].get(name, {})
                ]
                text = " or ".join(values) or about.get("description") or about.get("title", "")
                is_secret = "secret" if about.get("airbyte_secret") else ""
                yield f"{above}{name}", about.get("type", ""), is_secret, about.get("default"), text
                yield from _keys(about, f"{above}{name}.")


@cli.command()
@_CONNECTOR
@_ACCOUNT
@_JSON
def check(connector: str, is_json: bool, **account: Any) -> None:
    """Prove that an account can be read."""
    from connector_resources.exceptions import AirbyteConnectorCheckFailedError

    output = Output(is_json)
    source = _source(output, connector, **account)
    try:
        source.connected.check()
    except ConnectorError as error:
        raise AirbyteConnectorCheckFailedError(f"{source.name} cannot be read. {error}") from error
    if is_json:
        output.data({"connector": source.name, "account": source.account, "mode": source.mode, "ok": True})
    else:
        output.text(f"{source.name} can be read ({source.mode}).")


@cli.command()
@_CONNECTOR
@_STREAMS
@click.option("--limit", type=click.IntRange(min=1), default=5, show_default=True, help="Records of each stream.")
@_ACCOUNT
@_START
@_JSON
def preview(connector: str, names: Sequence[str], limit: int, is_json: bool, **account: Any) -> None:
    """Show the first records of streams; nothing is stored."""
    output = Output(is_json)
    source = _source(output, connector, **account)
    source.select_streams(_named(names))
    found: dict[str, list[dict[str, Any]]] = {}
    failed: dict[str, ConnectorError] = {}
    for name in source.get_selected_streams():
        try:
            found[name] = list(source.get_records(name, limit=limit))
        except ConnectorError as error:
            failed[name] = error
            continue
        if not is_json:
            _show_records(output, f"{source.account}.{name}", found[name])
    if is_json:
        output.data(found)
    if failed:
        raise _Failures("PreviewFailed", failed)


def _show_records(output: Output, title: str, records: Sequence[Mapping[str, Any]]) -> None:
    if not records:
        output.text(f"{title}: no records.")
        return
    fields = dict.fromkeys(field for record in records for field in record)
    rows = [(field, *(as_it_came(record.get(field)) for record in records)) for field in fields]
    output.table(("field", *(f"record {number + 1}" for number in range(len(records)))), rows, title=title, cut=200)


@cli.command()
@_CONNECTOR
@_STREAMS
@_DATABASE
@_options(
    *(
        click.option(
            f"--{form}",
            metavar="FOLDER",
            type=click.Path(file_okay=False),
            help=f"Write each stream to a {kind} file there, too, whole or not at all.",
        )
        for form, kind in (("csv", "CSV"), ("jsonl", "JSON lines"), ("parquet", "Parquet"))
    )
)
@_ACCOUNT
@_START
@click.option(
    "--strategy",
    type=click.Choice(["auto", "append", "replace", "merge"]),
    default="auto",
    show_default=True,
    help="auto: a day, or a stream that is read whole, replaces what was there of it. merge: the same, and records "
    "that are gone stay. replace: everything is read, and replaces all there is. append: what is new comes beside it.",
)
@click.option("--full-refresh", is_flag=True, help="Read complete days again, too, from their first page.")
@_PROGRESS
@_JSON
def read(
    connector: str,
    names: Sequence[str],
    duckdb: str | None,
    csv: str | None,
    jsonl: str | None,
    parquet: str | None,
    strategy: str,
    full_refresh: bool,
    no_progress: bool,
    is_json: bool,
    **account: Any,
) -> None:
    """Read streams into DuckDB or into files.

    That is the database of the assets (DATA_FOLDER/live.duckdb, or sandbox.duckdb), or a DuckDB file of one's own.
    Each stream is landed by itself, whole or not at all.

    Days that are complete are not read again, and an interrupted stream goes on after its last whole page: the same
    command again is all that an interruption needs, for six hours. After that, the stream that was interrupted is read
    from its start. `headrace resume` does the same without being told the options again, and leaves out the streams
    that the interrupted read has done.

    Files hold all there is of a stream in the database, not only what was new.

    \b
      headrace read source-faker --streams users,products
      headrace read source-aha --config aha.json --start-date 2026-01-01 --duckdb crm.duckdb
      headrace read source-drift --mode live --parquet exports --json
    """  # noqa: D301 -- \b is click's
    from connector_resources.begun_reads import BegunRead

    output = Output(is_json)
    source = _source(output, connector, **account, progress=not no_progress)
    source.select_streams(_named(names))
    _require_begun(source, account["start_date"])
    folders = {"csv": csv, "jsonl": jsonl, "parquet": parquet}
    begun = BegunRead(
        connector=source.name,
        account=source.account,
        mode=source.mode,
        streams=tuple(source.get_selected_streams()),
        strategy=strategy,
        full_refresh=full_refresh,
        start_date=account["start_date"],
        duckdb=_absolute(duckdb, "--duckdb"),
        files={form: path for form, folder in folders.items() if (path := _absolute(folder or None, f"--{form}"))},
        config_file=_absolute(account["file"], "--config") if account["file"] != "-" else None,
        has_config=account["file"] is not None or bool(account["pairs"]),
    )
    _read(output, source, begun, begun.streams)


def _absolute(path: str | None, option: str) -> str | None:
    from connector_resources.paths import local

    return None if path is None else str(local(path, option).absolute())


def _require_folder(form: str, folder: Path) -> None:
    """Raise PyAirbyteInputError for a folder that cannot be made or written to; what is made for that does not stay."""
    from connector_resources.exceptions import PyAirbyteInputError

    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PyAirbyteInputError(
            f"--{form}: the folder {folder} cannot be made or written to ({error.strerror}).",
            guidance="Name another; nothing was read.",
        ) from error
    finally:
        for each in made:
            with suppress(OSError):  # it was not made, or another process has put something into it
                each.rmdir()


def _require_begun(source: "Source", start_date: str | None) -> None:
    """Raise UsageError for a first day that has not begun, where a stream is to be read by day."""
    from connector_resources.connecting import first_day

    if start_date is None:
        return
    days = first_day(source.mode, start_date)
    selected = set(source.get_selected_streams())
    by_day = [stream.name for stream in _kind(source).streams if stream.name in selected and stream.is_partitioned]
    if by_day and days > datetime.now(UTC).date():
        raise click.UsageError(f"--start-date: {days} has not begun (UTC), and {by_day[0]} is read by day.")


@cli.command()
@click.argument("connector", required=False)
@click.option(
    "--discard",
    "discarded",
    metavar="NAME",
    multiple=True,
    help="Forget this read instead, as `headrace state` names it; what it has landed stays.",
)
@_ACCOUNT
@_PROGRESS
@_JSON
def resume(
    connector: str | None, discarded: Sequence[str], no_progress: bool, is_json: bool, **account: Any
) -> int | None:
    """Go on with a read that was interrupted or failed.

    That is the newest one (of CONNECTOR, where it is given) that is not done, or not for all of its streams. It is
    asked for what it was asked for before, to the same place, less the streams that are done: what is on disk of a
    stream is not read again, within six hours of its beginning.

    Where nothing of it can be read, that is said, the next one is gone on with, and the exit code is 1.

    A configuration is found again where it was a file; one that was given otherwise has to be given again. `headrace
    state` lists what can be gone on with.

    \b
      headrace resume
      headrace resume source-aha
      headrace resume --discard aha.0f3c2a9d417e
    """  # noqa: D301 -- \b is click's
    output = Output(is_json)
    if discarded:
        return _discard(output, discarded)
    wanted = None if connector is None else f"source-{connector.removeprefix('source-')}"
    asked = [
        (begun, is_running)
        for begun, is_running in _begun()
        if wanted in (None, begun.connector) and account["account"] in (None, begun.account)
    ]
    ended = [begun for begun, is_running in asked if not is_running]
    failed: dict[str, ConnectorError] = {}
    for begun in ended:
        try:
            _resume(output, begun, account, progress=not no_progress)
            break
        except _Failures as error:
            if error.has_read or len(ended) == 1:
                raise
            reason: ConnectorError = ConnectorError(str(error))
        except ConnectorError as error:
            reason = error
            if len(ended) == 1:
                _tell_discard(output, begun)
                raise
        failed[begun.name] = reason
        output.warn(f"The read {begun.name} cannot be gone on with: {in_words(reason)}")
        _tell_discard(output, begun)
    else:
        if is_json:
            output.data(None)
        if not ended:
            output.say(f"Nothing was interrupted{'; a read is still going on' if asked else ''}.")
    if failed:
        raise _Failures("ResumeFailed", failed)
    return OK


def _resume(output: Output, begun: "BegunRead", account: Mapping[str, Any], *, progress: bool) -> None:
    """Go on with one read. Raises what keeps it from that, before anything is on stdout."""
    from connector_resources.exceptions import PyAirbyteInputError

    is_given = account["file"] is not None or bool(account["pairs"])
    if begun.has_config and begun.config_file is None and not is_given:
        raise PyAirbyteInputError(
            f"The read of {begun.account} had a configuration that was not a file alone.",
            guidance="Give it again, with --config or --set.",
        )
    given = {**account, "mode": begun.mode, "start_date": begun.start_date}
    given["file"] = account["file"] if is_given else begun.config_file
    given["account"] = None if f"source-{begun.account}" == begun.connector else begun.account
    source = _source(output, begun.connector, **given, progress=progress)
    left = _left(begun)
    output.say(
        f"Going on with the read of {begun.account} that was begun {begun.begun_at:%Y-%m-%d %H:%M} UTC: "
        f"{len(left)} of {len(begun.streams)} streams are left."
    )
    _read(output, source, begun, left, is_resumed=True)


def _discard(output: Output, names: Sequence[str]) -> int:
    """Forget reads that are not done. Raises UsageError for a name that none has, or one that is going on."""
    from connector_resources.begun_reads import forget

    there = {begun.name: begun for begun, _ in _begun()}
    if unknown := [name for name in names if name not in there]:
        which = f"There are {', '.join(there)}" if there else "There is none"
        raise click.UsageError(f"There is no unfinished read {unknown[0]!r}. {which}.")
    for name in names:
        if not forget(_notes(), there[name]):
            raise click.UsageError(f"The read {name} is still going on. Stop it with Ctrl-C first.")
        if not output.is_json:
            output.text(f"The read {name} is forgotten; what it has landed stays.")
    if output.is_json:
        output.data({"discarded": list(names)})
    return OK


def _tell_discard(output: Output, begun: "BegunRead") -> None:
    output.say(f"`headrace resume --discard {begun.name}` forgets it.")


def _begun() -> "list[tuple[BegunRead, bool]]":
    """Return the reads that are not done, newest first, and whether somebody is at them.

    Those that others have done meanwhile are forgotten: they, too, left nothing to go on with.
    """
    from connector_resources.begun_reads import begun_reads, forget

    return [
        (begun, is_running)
        for begun, is_running in begun_reads(_notes())
        if is_running or not _is_done(begun) or not forget(_notes(), begun)
    ]


def _is_done(begun: "BegunRead") -> bool:
    """Whether others have done what a read was to do. Files are what only it would have written."""
    if begun.files:
        return False
    try:
        return not _left(begun)
    except ConnectorError:  # it is not known; who goes on with it is told why
        return False


def _notes() -> Path:
    from connector_resources.environment import data_folder

    return data_folder() / "state" / "reads"


def _cache(duckdb: str | None, mode: Mode) -> "DuckDBCache":
    from connector_resources.caches import DuckDBCache, get_default_cache

    return get_default_cache(mode) if duckdb is None else DuckDBCache(duckdb)


def _left(begun: "BegunRead") -> list[str]:
    """Return the streams of a read that are not done, whoever has done the others.

    One that is read by day is done when each day that there was at its beginning was read since, or complete before
    where that is enough. Another one is when it has landed since: by a read, or where it is replaced all the same, by
    a run.
    """
    from connector_resources.connecting import first_day
    from connector_resources.contents import contents
    from connector_resources.days import days_between
    from connector_resources.sync import days_left

    cache = _cache(begun.duckdb, begun.mode)
    there = {each.table: each for each in contents(cache)}
    by_day = _by_day(begun.connector) if begun.strategy != "append" else {}
    is_full = begun.full_refresh or begun.strategy == "replace"
    left = []
    for name in begun.streams:
        found = there.get(f"{begun.account}.{name}")
        if found is not None and name in by_day:
            days = days_between(first_day(begun.mode, begun.start_date), begun.begun_at.date())
            is_done = not days_left(cache, begun.account, by_day[name], days, begun.begun_at, is_full=is_full)
        else:
            is_done = found is not None and found.landed_at >= begun.begun_at
            is_done = is_done and found is not None and (found.landed_by == "read" or begun.strategy == "auto")
        if not is_done:
            left.append(name)
    return left


def _by_day(connector: str) -> "Mapping[str, Stream]":
    """Return the streams of a connector that are read by day; none where there is no such connector any more."""
    from connector_resources.sources import discover

    kinds = [kind for kind in discover() if f"source-{kind.name}" == connector]
    return {stream.name: stream for kind in kinds for stream in kind.streams if stream.is_partitioned}


def _read(
    output: Output, source: "Source", begun: "BegunRead", names: Sequence[str], *, is_resumed: bool = False
) -> None:
    """Read streams, write the files, and show what is there. Raises after all that, where some streams failed.

    What was refused before anything was read is not noted. One that is resumed shows nothing where it reads nothing.
    """
    from connector_resources.begun_reads import noted
    from connector_resources.contents import contents
    from connector_resources.exceptions import AirbyteConnectorReadError

    for form, folder in begun.files.items():
        _require_folder(form, Path(folder))
    cache = _cache(begun.duckdb, begun.mode)
    failed: Mapping[str, ConnectorError] = {}
    records, read = 0, set[str]()
    with noted(_notes(), begun) as note:
        try:
            if names:
                strategy, is_full = begun.strategy, begun.full_refresh
                result = source.read(cache, streams=names, write_strategy=strategy, force_full_refresh=is_full)
                records, read = result.processed_records, set(result)
        except AirbyteConnectorReadError as error:
            failed = error.failed
            if error.result is not None:
                records, read = error.result.processed_records, set(error.result)
            if not read and all(map(_is_refusal, failed.values())) and not _waiting(cache, begun):
                note.refused()
        except ConnectorError:  # before anything was read
            note.refused()
            raise
        except KeyboardInterrupt:
            raise _Stopped(_kept(cache, begun)) from None
        if failed and not read and is_resumed:
            raise _Failures(AirbyteConnectorReadError.__name__, failed)
        done = [name for name in begun.streams if name in read or name not in names]
        files = [file for form, folder in begun.files.items() for file in _written(cache, begun, done, form, folder)]
        there = {each.table: each for each in contents(cache)}
        _show_read(output, begun, cache, records, {name: there.get(f"{begun.account}.{name}") for name in done}, files)
        if failed:
            raise _Failures(AirbyteConnectorReadError.__name__, failed, has_read=bool(read))


def _is_refusal(error: BaseException | None) -> bool:
    """Whether the same would fail again until something is changed here: a setting, or where the database is."""
    if isinstance(error, RequestBudgetSpent) or error is None:
        return False
    return isinstance(error, ConfigurationError | DestinationUnwritable) or _is_refusal(error.__cause__)


def _written(
    cache: "DuckDBCache", begun: "BegunRead", names: Sequence[str], form: str, folder: str
) -> list[dict[str, object]]:
    """Write what there is of streams to files, and return where and how much that is."""
    from connector_resources.results import ReadResult
    from connector_resources.writing import get_destination

    there = ReadResult(0, cache, {name: cache.dataset(begun.account, name) for name in names})
    written = get_destination(f"destination-{form}", {"destination_path": folder}).write(there)
    return [
        {"stream": name, "format": form, "path": str(path), "rows": written.records[name]}
        for name, path in written.files.items()
    ]


def _show_read(
    output: Output,
    begun: "BegunRead",
    cache: "DuckDBCache",
    records: int,
    done: "Mapping[str, Contents | None]",
    files: Sequence[Mapping[str, object]],
) -> None:
    if output.is_json:
        output.data(
            {
                "connector": begun.connector,
                "account": begun.account,
                "mode": begun.mode,
                "database": str(cache.store.path),
                "records_read": records,
                "streams": {
                    name: {"table": f"{begun.account}.{name}", "rows": 0 if found is None else found.rows}
                    for name, found in done.items()
                },
                "files": files,
            }
        )
        return
    if done:
        rows = [
            (name, f"{begun.account}.{name}", 0 if found is None else found.rows, found and found.newest_record)
            for name, found in done.items()
        ]
        output.table(("stream", "table", "rows", "newest record"), rows)
        for written in files:
            output.text(f"{written['path']}: {written['rows']:,} rows")
        output.text(f"{records:,} record{'' if records == 1 else 's'} read into {cache.store.path}.")


def _kept(cache: "DuckDBCache", begun: "BegunRead") -> str:
    """Say what is left of a read that was stopped."""
    pages = [f"{each.stream}, {each.pages:,} page{'' if each.pages == 1 else 's'}" for each in _waiting(cache, begun)]
    kept = f"; of what was being read is kept: {'; '.join(pages)}" if pages else ""
    return (
        f"Stopped. Streams that were done are in {cache.store.path}{kept}. `headrace resume {begun.connector}` goes on."
    )


def _waiting(cache: "DuckDBCache", begun: "BegunRead") -> "list[Waiting]":
    """Return what is on disk of an account and is not in the database."""
    from connector_resources.contents import waiting

    return [
        each
        for each in waiting(cache)
        if each.stream.startswith(f"{begun.account}.") and each.state in ("unfinished", "complete") and each.pages
    ]


@cli.command()
@_DATABASE
@click.option("--mode", type=click.Choice(["sandbox", "live"]), help="Which database of the assets; by default both.")
@_JSON
def state(duckdb: str | None, mode: Mode | None, is_json: bool) -> None:
    """Show what was read, and what was interrupted.

    Of each stream: its rows (the newest version of each record that is not deleted), its days, its newest record, and
    when it was last landed and by whom: a read (this command, a script, a notebook) or a run of Dagster.
    """
    from connector_resources.contents import contents, waiting

    output, duckdb = Output(is_json), _absolute(duckdb, "--duckdb")
    modes: tuple[Mode, ...] = ("sandbox", "live") if mode is None and duckdb is None else (mode or "sandbox",)
    found = []
    for each in modes:
        cache = _cache(duckdb, each)
        if duckdb is not None or mode is not None or cache.store.path.exists() or cache.spools.exists():
            found.append((cache, contents(cache), waiting(cache)))
    begun = [
        (each, is_running)
        for each, is_running in _begun()
        if each.duckdb == duckdb or (duckdb is None and mode is None)
        if mode in (None, each.mode)
    ]
    if is_json:
        output.data(
            {
                "databases": [
                    {
                        "path": str(cache.store.path),
                        "streams": [asdict(stream) for stream in there],
                        "on_disk": [asdict(reading) for reading in on_disk],
                    }
                    for cache, there, on_disk in found
                ],
                "unfinished_reads": [{**each.shown(), "is_running": is_running} for each, is_running in begun],
            }
        )
        return
    for cache, there, on_disk in found:
        _show_contents(output, str(cache.store.path), there)
        if on_disk:
            rows = [(one.stream, one.partitions, one.pages, one.records, one.begun_at, one.meaning) for one in on_disk]
            columns = ("stream", "of", "pages", "records", "begun", "state")
            output.table(columns, rows, title="On disk and not in the database")
    if not found:
        output.text("Nothing was read yet. `headrace read` does.")
    for one, is_running in begun:
        what = "is still going on" if is_running else f"was not done; `headrace resume {one.connector}` goes on"
        number = f"{len(one.streams)} stream{'' if len(one.streams) == 1 else 's'}"
        begun_at = f"{one.begun_at:%Y-%m-%d %H:%M} UTC"
        path = _cache(one.duckdb, one.mode).store.path
        output.text(f"{one.name}: the read of {number} of {one.account} into {path}, begun {begun_at}, {what}.")


def _show_contents(output: Output, path: str, there: "Sequence[Contents]") -> None:
    if not there:
        output.text(f"{path}: no streams.")
        return
    rows = [
        (
            each.table,
            each.rows,
            each.days or "",
            f"{each.first_day} … {each.last_day}" if each.days else "",
            each.newest_record,
            each.landed_at,
            f"{each.landed_by} {each.run_id.removeprefix('read-')[:8]}",
        )
        for each in there
    ]
    output.table(("table", "rows", "days", "", "newest record", "landed", "by"), rows, title=path)


def main() -> None:
    """Run the command line."""
    cli()


if __name__ == "__main__":
    main()
