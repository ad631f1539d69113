"""Write the pages that are made from the connectors' declarations: what of each API is read, and a page a connector.

`python docs/make_pages.py` rewrites them; `--check` only tells, by its exit status, whether they are up to date. With
the name of a connector it prints that one's page: for a connector in a package of its own, where its page is too.
"""

import inspect
import sys
from pathlib import Path
from typing import Any

from connector_resources import sources
from connector_resources.destinations.duckdb_tables import TYPES
from connector_resources.http.rate_limit import RateLimit
from connector_resources.http.stream import HttpStream
from connector_resources.resource import HttpSource, Source
from connector_resources.sources import discover
from connector_resources.streams import Column, Stream

DOCS = Path(__file__).parent
MADE = "Made from the connectors' declarations by `python docs/make_pages.py`; a test keeps it true."

NOT_READ = {
    "aha": [
        (
            "time_tracking_events",
            "write only",
            "The API has no call that reads them; totals are on features and epics.",
        ),
        (
            "historical audits, full content",
            "not built",
            "Each search costs the account tokens; the free index is read.",
        ),
        ("webhooks", "not built", "They push; this project pulls."),
        ("v3 REST, GraphQL", "not built", "v1 covers every record they have that is documented."),
    ],
    "drift": [
        (
            "attachments, the bytes",
            "not built",
            "Metadata is in `messages.attachments`; the bytes are files, not rows.",
        ),
        ("contacts without a conversation", "unreachable", "The API has no call that lists all contacts."),
        ("gdpr/retrieve, gdpr/delete, scim, writes", "not built", "They change data or answer by e-mail."),
        ("reports/conversation-summary", "not built", "Aggregates of what conversation_metrics holds row by row."),
        ("webhooks", "not built", "They push; this project pulls."),
    ],
}


def main() -> int:
    """Write or check the pages; returns the exit status."""
    match sys.argv[1:]:
        case [name] if name != "--check":
            every = {kind.name: kind for kind in discover()}
            if name not in every:
                sys.exit(f"There is no connector {name!r}. Connectors: {', '.join(every)}.")
            sys.stdout.write(connector(every[name]))
            return 0
    made = pages()
    if "--check" in sys.argv[1:]:
        stray = set(DOCS.glob("connectors/*.md")) - made.keys()
        return 0 if not stray and all(path.exists() and path.read_text() == text for path, text in made.items()) else 1
    for path, text in made.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0


def pages() -> dict[Path, str]:
    """Return the pages as they should be."""
    kinds = [kind for kind in discover() if kind.__module__.startswith(f"{sources.__name__}.")]
    every = {DOCS / "coverage.md": coverage(kinds)}
    return every | {DOCS / "connectors" / f"{kind.name}.md": connector(kind) for kind in kinds}


# -- what is read -----------------------------------------------------------------------------------------------------


def coverage(kinds: list[type[Source]]) -> str:
    """Return the page of all streams of all connectors."""
    lines = [
        "# What is read, stream by stream",
        "",
        f"{MADE} Streams that are off are turned on by",
        "`ENABLED_STREAMS=aha.record_links,drift.transcripts` (or `aha.*`). Columns, settings, limits and gaps are on",
        f"the page of each connector: {', '.join(f'[{kind.name}](connectors/{kind.name}.md)' for kind in kinds)}.",
    ]
    for kind in kinds:
        on = sum(stream.enabled for stream in kind.streams)
        lines += ["", f"## {kind.name}", "", f"{on} streams on, {len(kind.streams) - on} off by default.", ""]
        lines += ["| stream | read from | key | lands | state |", "| --- | --- | --- | --- | --- |"]
        lines += [_row(stream) for stream in kind.streams]
        lines += [f"| {name} | – | – | – | **{state}**: {why} |" for name, state, why in NOT_READ.get(kind.name, ())]
    return "\n".join(lines) + "\n"


def _row(stream: Stream) -> str:
    state = "on" if stream.enabled else "off by default"
    facts = (_origin(stream), _names(stream.primary_key), _lands(stream), state)
    return f"| **{stream.name}**: {stream.description} | {' | '.join(facts)} |"


def _origin(stream: Stream) -> str:
    return f"`{stream.endpoint}`" if isinstance(stream, HttpStream) else "made up"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _lands(stream: Stream) -> str:
    if stream.inherits_partitions and stream.parent is not None:
        return f"daily, with its {stream.parent.stream.name}"
    if stream.is_partitioned and stream.cursor is not None:
        return f"daily by `{stream.cursor.column}`"
    return "snapshot"


# -- a page a connector -----------------------------------------------------------------------------------------------


def connector(kind: type[Source]) -> str:
    """Return the page of one connector."""
    told = inspect.cleandoc(sys.modules[kind.__module__].__doc__ or "")
    lines = [f"# {kind.name}", "", MADE, "", told, "", "## Settings", "", *_settings(kind)]
    if issubclass(kind, HttpSource):
        lines += ["", "## Limits", "", *_limits(kind)]
    if kind.name in NOT_READ:
        lines += ["", "## Not read", ""]
        lines += [f"- {name} ({state}). {why}" for name, state, why in NOT_READ[kind.name]]
    lines += ["", "## Streams", ""]
    for stream in kind.streams:
        lines += _stream(stream)
    return "\n".join(lines).rstrip() + "\n"


def _settings(kind: type[Source]) -> list[str]:
    lines = ["| field | variable | what it is |", "| --- | --- | --- |"]
    for name, info in kind.model_fields.items():
        extra: Any = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        variable = extra.get("variable")
        shown = (info.description or "").removesuffix(f" Environment: {variable}.")
        secret = " A secret: masked wherever it is shown." if extra.get("dagster__is_secret") else ""
        lines.append(f"| `{name}` | {f'`{variable}`' if variable else '–'} | {_cell(shown)}{secret} |")
    return lines


def _limits(kind: type[HttpSource]) -> list[str]:
    own = [stream for stream in kind.streams if isinstance(stream, HttpStream) and stream.rate_limit is not None]
    lines = [f"- the account: {_limit(kind.rate_limit)}"]
    lines += [f"- `{stream.name}` besides: {_limit(stream.rate_limit)}" for stream in own if stream.rate_limit]
    return lines


def _limit(limit: RateLimit) -> str:
    parts = ((limit.per_second, "second"), (limit.per_minute, "minute"))
    return " and ".join(f"{count:g} requests in a {unit}" for count, unit in parts if count is not None) or "none known"


def _stream(stream: Stream) -> list[str]:
    cursor = "none"
    if stream.cursor is not None:
        sent = [name for name in (stream.cursor.since, stream.cursor.until) if name is not None]
        how = (
            f", asked for by {_names(tuple(sent))}" if sent else ", newest first" if stream.cursor.newest_first else ""
        )
        horizon = f", {stream.cursor.horizon.days} days back" if stream.cursor.horizon is not None else ""
        cursor = f"`{stream.cursor.column}`{how}{horizon}"
    facts = [
        f"read from {_origin(stream)}",
        f"key {_names(stream.primary_key)}",
        f"cursor {cursor}",
        _lands(stream),
        "on" if stream.enabled else "off by default",
    ]
    if isinstance(stream, HttpStream):
        facts.insert(1, f"pages: {type(stream.paginator).__name__}")
    if stream.parent is not None:
        facts.insert(1, f"once for each of {stream.parent.stream.name}")
    lines = [f"### {stream.name}", "", stream.description, "", "; ".join(facts) + ".", ""]
    lines += [
        "<details><summary>Columns</summary>",
        "",
        "| column | type | where | what |",
        "| --- | --- | --- | --- |",
    ]
    lines += [_column(stream, column) for column in stream.columns]
    return [*lines, "", "</details>", ""]


def _column(stream: Stream, column: Column) -> str:
    where = stream.json_path(column) if isinstance(stream, HttpStream) else None
    if column.parent is not None:
        where_shown = "from its parent"
    else:
        where_shown = f"`{where}`" if where else "–"
    return f"| `{column.name}` | {TYPES[column.type]} | {where_shown} | {_cell(column.description)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(main())
