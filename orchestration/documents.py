"""Documents of every source as assets: what people and language models read, in pieces, a row each.

`documents/aha` is the table `documents.aha`. It is made of all that has been landed of the source's streams that
declare how they are read (`Stream.document`) and of those that belong to them, a conversation's messages. It asks no
vendor, and costs 0.2 ms a document.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import dagster as dg

from connector_resources import document_fields, documents, html_text
from connector_resources.destinations.duckdb import DuckDB
from connector_resources.destinations.duckdb_tables import columns_of
from connector_resources.documents import Document, StoredNeighbours, documents_of, stored_rows
from connector_resources.errors import ConnectorError, PartitionMissing
from connector_resources.resource import Source
from connector_resources.streams import Stream
from orchestration.automation import follows, frame_freshness
from orchestration.frames.columns import Columns, category, instant, text, whole
from orchestration.frames.rules import Rules
from orchestration.io_manager import Warehouse, failure

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "documents"
"""The group of the assets, and the schema of their tables."""

DOCUMENTS = Columns(
    id=text("The document's id, `#` and the place of the piece in it: `aha/ideas/7012…#1`."),
    document_id=text("The source, the stream and the record's key, with slashes between: `aha/ideas/7012…`."),
    stream=category("The stream that the record is of."),
    title=text("What the record is called."),
    content=text("The piece: a part of the document, of at most as many characters as the run was told."),
    chunk=whole("The place of the piece in the document, from 1."),
    chunks=whole("How many pieces the document has."),
    start_index=whole("At which character of the document the piece begins, from 0."),
    last_modified=instant("When the record last changed, or somebody last said something about it; null if unknown."),
    metadata=text("Facts to filter by, as a JSON object: `metadata ->> 'status'`."),
)
_SIZE, _OVERLAP = 2_000, 200


def documented(streams: Sequence[Stream]) -> list[Stream]:
    """Return those of a source's streams whose records are documents."""
    return [stream for stream in streams if stream.document is not None]


def document_rules(source: str) -> Rules:
    """Return what must hold of every row of a source's documents."""
    return Rules(
        source,
        ("id",),
        says_something="trim(content) <> ''",
        is_a_piece_of_its_document="chunk BETWEEN 1 AND chunks AND id = document_id || '#' || chunk",
        holds_facts="json_valid(metadata)",
    )


def document_assets(kind: type[Source], streams: Sequence[Stream], mode: str) -> list[dg.AssetsDefinition]:
    """Return the asset `["documents", source]` of a source any of whose `streams`, those that are on, has documents."""
    own = documented(streams)
    if not own:
        return []
    on = {stream.name for stream in streams}
    beside = {stream.name: _beside(stream) for stream in own}
    needed = dict.fromkeys([*beside, *(name for names in beside.values() for name in names if name in on)])

    @dg.asset(
        key=[SCHEMA, kind.name],
        deps=[dg.AssetKey([kind.name, name]) for name in needed],
        description=(
            f"What people read in {kind.name}, for search and for language models: one row per piece of a document. A "
            "document is a record as a text with its title, without markup; a conversation with its messages, an idea "
            f"with its comments. Of the streams {', '.join(beside)}."
        ),
        group_name=SCHEMA,
        kinds={"pandas", "duckdb"},
        tags={"source": kind.connector, "mode": mode},
        metadata={
            "dagster/column_schema": dg.TableSchema(
                [dg.TableColumn(name, column.dtype, column.description) for name, column in DOCUMENTS.by_name.items()]
            ),
            "dagster/table_name": f"{mode}.{SCHEMA}.{kind.name}",
        },
        code_version=_code_version(kind),
        io_manager_key="warehouse",
        required_resource_keys={"warehouse"},
        backfill_policy=dg.BackfillPolicy.single_run(),
        freshness_policy=frame_freshness(),
        automation_condition=follows(),
        config_schema={
            "chunk_size": dg.Field(
                int, default_value=_SIZE, description="How many characters a piece has at most; four are about a token."
            ),
            "chunk_overlap": dg.Field(
                int, default_value=_OVERLAP, description="How many of them the next piece begins with again, at most."
            ),
        },
    )
    def made(context: dg.AssetExecutionContext) -> Any:  # a more exact annotation would import pandas
        warehouse: Warehouse = context.resources.warehouse
        config = context.op_execution_context.op_config
        try:
            landed = _landed(warehouse.store, kind.name, needed)
            if not landed & beside.keys():
                raise PartitionMissing(
                    f"{SCHEMA}/{kind.name}: nothing that documents are made of has been landed in "
                    f"{warehouse.store.path}. Materialise one of {kind.name}/{', '.join(beside)} first."
                )
            if missing := [name for name in needed if name not in landed]:
                context.log.warning(
                    f"{SCHEMA}/{kind.name}: made without {', '.join(missing)}, of which nothing has been landed."
                )
            counts: dict[str, int] = {}
            frame = _frame(
                piece
                for stream in own
                if stream.name in landed
                for document in _counted(_documents(warehouse.store, kind.name, stream), stream.name, counts)
                for piece in document.chunks(config["chunk_size"], config["chunk_overlap"])
            )
        except ConnectorError as error:
            raise failure(error) from error
        context.add_output_metadata(
            {
                "documents": sum(counts.values()),
                "characters": int(frame["content"].str.len().sum()),
                "made_without": ", ".join(missing) or "none",
                "by_stream": dg.MetadataValue.md(_by_stream(frame, counts)),
            }
        )
        return frame

    return [made]


def _beside(stream: Stream) -> list[str]:
    """Return the streams whose rows are part of a stream's documents."""
    thread = stream.document.thread if stream.document is not None else None
    return [] if thread is None else [thread.rows.stream, *(people.stream for people in thread.people)]


def _landed(store: DuckDB, source: str, names: Sequence[str] | dict[str, None]) -> set[str]:
    with store.reading() as connection:
        return {name for name in names if columns_of(connection, source, name)}


def _documents(store: DuckDB, source: str, stream: Stream) -> Iterator[Document]:
    assert stream.document is not None
    cursor = () if stream.cursor is None else (stream.cursor.column,)
    rows = stored_rows(store, source, stream.name, stream, [*stream.document.columns, *cursor])
    return documents_of(rows, stream, source=source, beside=StoredNeighbours(store, lambda name: (source, name)))


def _counted(documents: Iterator[Document], stream: str, counts: dict[str, int]) -> Iterator[Document]:
    counts[stream] = 0
    for document in documents:
        counts[stream] += 1
        yield document


def _frame(pieces: Iterator[Document]) -> "pd.DataFrame":
    import msgspec
    import pandas as pd

    encode = msgspec.json.Encoder().encode
    rows = []
    for piece in pieces:
        facts = dict(piece.metadata)
        chunk, chunks, start = facts.pop("chunk"), facts.pop("chunks"), facts.pop("start_index")
        assert piece.id is not None
        rows.append(
            (
                piece.id,
                piece.id.rpartition("#")[0],
                facts["stream"],
                facts.get("title"),
                piece.content,
                *(chunk, chunks, start),
                piece.last_modified,
                encode(facts).decode(),
            )
        )
    frame = pd.DataFrame(rows, columns=list(DOCUMENTS.by_name))
    frame["last_modified"] = pd.to_datetime(frame["last_modified"], utc=True)
    return DOCUMENTS.cast(frame)


def _by_stream(frame: "pd.DataFrame", counts: dict[str, int]) -> str:
    """Return how much there is of each stream, as a table: what a run costs that embeds all of it."""
    sizes = frame["content"].str.len().groupby(frame["stream"], observed=True).agg(["size", "sum", "max"])
    lines = ["| stream | documents | pieces | characters | longest piece |", "| --- | ---: | ---: | ---: | ---: |"]
    for stream, count in counts.items():
        pieces, characters, longest = sizes.loc[stream] if stream in sizes.index else (0, 0, 0)
        lines.append(f"| {stream} | {count:,} | {pieces:,} | {characters:,} | {longest:,} |")
    return "\n".join(lines)


def _code_version(kind: type[Source]) -> str:
    """Return sixteen hex digits that change when what makes a source's documents does, or what is declared of them."""
    digest = hashlib.blake2b(digest_size=8)
    for module in (documents, document_fields, html_text, sys.modules[__name__], sys.modules[kind.__module__]):
        digest.update(_source(module))
    return digest.hexdigest()


def _source(module: ModuleType) -> bytes:
    return Path(module.__file__).read_bytes() if module.__file__ is not None else b""
