"""Write docs/coverage.md from the declarations: what of each API is read, and what is not and why.

`python docs/make_coverage.py` rewrites the page; `--check` only tells, by its exit status, whether it is up to date.
"""

import sys
from pathlib import Path

from connector_resources.http.stream import HttpStream
from connector_resources.sources import discover
from connector_resources.streams import Stream

PAGE = Path(__file__).with_name("coverage.md")

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
    "faker": [],
}


def main() -> int:
    """Write or check the page; returns the exit status."""
    text = page()
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text() == text else 1
    PAGE.write_text(text)
    return 0


def page() -> str:
    """Return the page as it should be."""
    lines = [
        "# What is read, stream by stream",
        "",
        "Made from the connectors' declarations by `python docs/make_coverage.py`; a test keeps it true. Streams",
        "that are off are turned on by `ENABLED_STREAMS=aha.record_links,drift.transcripts` (or `aha.*`).",
    ]
    for source in discover():
        on = sum(stream.enabled for stream in source.streams)
        lines += ["", f"## {source.name}", "", f"{on} streams on, {len(source.streams) - on} off by default.", ""]
        lines += ["| stream | read from | key | lands | state |", "| --- | --- | --- | --- | --- |"]
        lines += [_row(stream) for stream in source.streams]
        lines += [f"| {name} | – | – | – | **{state}**: {why} |" for name, state, why in NOT_READ[source.name]]
    return "\n".join(lines) + "\n"


def _row(stream: Stream) -> str:
    origin = f"`{stream.method} {stream.path}`" if isinstance(stream, HttpStream) else "made up"
    if stream.inherits_partitions and stream.parent is not None:
        lands = f"daily, with its {stream.parent.stream.name}"
    elif stream.is_partitioned and stream.cursor is not None:
        lands = f"daily by `{stream.cursor.column}`"
    else:
        lands = "snapshot"
    key = ", ".join(f"`{name}`" for name in stream.primary_key)
    state = "on" if stream.enabled else "off by default"
    return f"| **{stream.name}**: {stream.description} | {origin} | {key} | {lands} | {state} |"


if __name__ == "__main__":
    sys.exit(main())
