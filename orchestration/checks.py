"""Checks made from the declarations: of every stream, and of every frame that has rules.

A check is a query for what is wrong, and passes where that finds nothing. So each one counts, shows a sample, and
gives the query to see them all, which runs as it is in a DuckDB shell on the database file. The checks of one table are
one op that looks under one shared lock, and any of them can be executed by itself.

A check that fails with ERROR is one after which the data would be wrong: it stops what is made from the table. One that
warns is for a person to look at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import dagster as dg
import duckdb

from connector_resources.destinations.duckdb_tables import (
    HOUSEKEEPING,
    TYPES,
    columns_of,
    is_table,
    is_wider,
    literal,
    quoted,
)
from connector_resources.errors import ConnectorError, PartitionMissing
from connector_resources.resource import Source
from connector_resources.streams import Stream
from orchestration import markdown
from orchestration.documents import SCHEMA, document_rules, documented
from orchestration.frames.rules import Rules
from orchestration.io_manager import Warehouse, failure

_SAMPLE_ROWS = 5
_FEWEST_WEEKS, _MOST_WEEKS = 4, 13
"""From how many earlier days of the same weekday on a volume is judged, and how many weeks back they may lie."""
_DAYS_JUDGED = 7
"""Of a landing of many days the newest are judged: an old day that was unusual is so for ever."""
_DAYS_APART = 3
"""So many days may lie between how long after its end a day was read, and how long after its own another."""
_UNUSUAL = 4.0
"""So many deviations from the median; chance alone comes that far on one day in 16,000, were it normal."""
_MAX_SHRUNK_SHARE = 0.1
_NOTHING = "SELECT NULL AS nothing WHERE false"

Numbers = Mapping[str, int | float | None]


class Tables:
    """The stored table of a check and those beside it: what columns they have, each table looked up once."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> None:
        self.connection = connection
        self.schema, self.name = schema, name
        self._columns: dict[tuple[str, str], Mapping[str, str]] = {}

    def columns(self, suffix: str = "") -> Mapping[str, str]:
        """Return the types of the table's columns, or of one beside it, by folded name; empty where there is none."""
        return self.columns_of(self.schema, f"{self.name}{suffix}")

    def columns_of(self, schema: str, name: str) -> Mapping[str, str]:
        """Return the types of any table's columns by their folded names; empty where there is no such table."""
        if (schema, name) not in self._columns:
            self._columns[schema, name] = columns_of(self.connection, schema, name)
        return self._columns[schema, name]

    def has(self, schema: str, name: str, column: str) -> bool:
        """Whether a table has a column; one of a database that nothing was landed in lately may not."""
        return column in self.columns_of(schema, name)

    @cached_property
    def rows(self) -> int:
        """How many rows the table has."""
        return int(self.row(f"SELECT count(*) FROM {_table(self.schema, self.name)}")[0])

    @property
    def about(self) -> str:
        """The condition for the rows of `_state` and `_fields` that are about the table."""
        return is_table(self.schema, self.name)

    def row(self, sql: str) -> tuple[Any, ...]:
        """Return the one row of a query."""
        found = self.connection.execute(sql).fetchone()
        assert found is not None
        return found


@dataclass(frozen=True, slots=True)
class Question:
    """What a check asks of the tables as they are: `query` finds what is wrong, one row each.

    `found` says what the rows are, `numbers` are shown beside their count. `is_mild` makes a failure a warning, this
    time.
    """

    query: str
    found: str
    numbers: Numbers = field(default_factory=dict)
    is_mild: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a table. `needs` are the columns it cannot do without; those that are `blocking` fail with ERROR."""

    name: str
    description: str
    question: Callable[[Tables], Question]
    needs: Sequence[str] = ()
    blocking: bool = False

    def spec(self, asset: dg.AssetKey) -> dg.AssetCheckSpec:
        """Return what Dagster is told before anything runs."""
        return dg.AssetCheckSpec(self.name, asset=asset, description=self.description, blocking=self.blocking)

    def result(self, tables: Tables, asset: dg.AssetKey) -> dg.AssetCheckResult:
        """Look at a table that is there."""
        stored = tables.columns()
        if missing := [name for name in self.needs if name.casefold() not in stored]:
            return self._failed(asset, f"The table lacks {', '.join(map(repr, missing))}. Materialise it again.")
        asked = self.question(tables)
        (wrong,) = tables.row(f"SELECT count(*) FROM ({asked.query})")
        shown: dict[str, Any] = {"wrong": wrong, "rows": tables.rows, **asked.numbers}
        shown = {name: each for name, each in shown.items() if each is not None}
        shown["query"] = dg.MetadataValue.md(f"```sql\n{asked.query};\n```")
        if not wrong:
            return dg.AssetCheckResult(passed=True, check_name=self.name, asset_key=asset, metadata=shown)
        sample = tables.connection.execute(f"{asked.query} LIMIT {_SAMPLE_ROWS}")
        names = [column[0] for column in sample.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in sample.fetchall()]
        shown["sample"] = dg.MetadataValue.md(markdown.table(rows, names, markdown.WIDE))
        return self._failed(asset, f"{wrong:,} {asked.found}", shown, is_mild=asked.is_mild)

    def unlooked(self, asset: dg.AssetKey) -> dg.AssetCheckResult:
        """Say that there is nothing to look at yet, which stops nobody."""
        name = asset.to_user_string()
        return self._failed(asset, f"Nothing has been landed yet. Materialise {name} first.", is_mild=True)

    def gone(self, asset: dg.AssetKey) -> dg.AssetCheckResult:
        """Say that a table that was landed is not there."""
        name = asset.to_user_string()
        return self._failed(asset, f"The table was landed and is not there. Materialise {name} again.")

    def _failed(
        self, asset: dg.AssetKey, why: str, metadata: Mapping[str, Any] | None = None, *, is_mild: bool = False
    ) -> dg.AssetCheckResult:
        severity = dg.AssetCheckSeverity.ERROR if self.blocking and not is_mild else dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(
            passed=False,
            check_name=self.name,
            asset_key=asset,
            severity=severity,
            description=why,
            metadata=metadata or {},
        )


def stream_checks(kind: type[Source], stream: Stream) -> dg.AssetsDefinition:
    """Return the checks of the asset `[source, stream]`, made from the stream's declaration."""
    return _definition(kind.name, stream.name, _of_stream(kind.name, stream))


def frame_checks(rules: Rules) -> dg.AssetsDefinition:
    """Return the checks of the asset `["frames", frame]`, made from its rules."""
    return _definition("frames", rules.frame, _of_frame(rules))


def document_checks(kind: type[Source], streams: Sequence[Stream]) -> dg.AssetsDefinition:
    """Return the checks of the asset `["documents", source]`, which is made of what `streams` hold."""
    of = documented(streams)
    every = Check(
        "every_record_is_there",
        f"Each current record of {', '.join(stream.name for stream in of)} is a document, and nothing else is.",
        lambda tables: _documents_question(tables, kind.name, of),
        needs=("document_id", "stream"),
    )
    return _definition(SCHEMA, kind.name, [*_of_frame(document_rules(kind.name)), every])


def _definition(schema: str, name: str, checks: Sequence[Check]) -> dg.AssetsDefinition:
    asset = dg.AssetKey([schema, name])

    @dg.multi_asset_check(
        name=f"{schema}__{name}_checks",
        specs=[check.spec(asset) for check in checks],
        can_subset=True,
        required_resource_keys={"warehouse"},
    )
    def look(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        warehouse: Warehouse = context.resources.warehouse
        wanted = {key.name for key in context.selected_asset_check_keys}
        selected = [check for check in checks if check.name in wanted]
        try:
            with warehouse.store.reading() as connection:
                # All of them before the first is told: Dagster writes what it is told, and others wait for the lock.
                results = list(_results(Tables(connection, schema, name), asset, selected))
        except PartitionMissing:
            results = [check.unlooked(asset) for check in selected]
        except ConnectorError as error:
            raise failure(error) from error
        yield from results

    return look


def _results(tables: Tables, asset: dg.AssetKey, checks: Sequence[Check]) -> Iterator[dg.AssetCheckResult]:
    is_landed = tables.has("main", "_state", "name") and tables.row(
        f"SELECT count(*) > 0 FROM _state WHERE {tables.about}"
    ) == (True,)
    for check in checks:
        if tables.columns():
            yield check.result(tables, asset)
        else:
            yield check.gone(asset) if is_landed else check.unlooked(asset)


# -- streams ----------------------------------------------------------------------------------------------------------


def _of_stream(source: str, stream: Stream) -> list[Check]:
    key = ", ".join(stream.primary_key)
    checks = [
        Check(
            "key_unique",
            f"Every row has a key ({key}). It is there once in a partition, and once, in its newest version, among the "
            "current rows, or not at all where the record is known to be deleted.",
            lambda tables: _key_question(tables, stream.primary_key, is_versioned=True),
            needs=(*stream.primary_key, "_partition", "_is_current"),
            blocking=True,
        ),
        Check(
            "types_as_declared",
            "Every declared column is in the table, under its type. A wider type than the declared one warns.",
            lambda tables: _types_question(tables, stream),
            blocking=True,
        ),
        Check(
            "all_received",
            "As many records were received as the server counts, where it does, and every partition holds as many rows "
            "as were landed.",
            _received_question,
            needs=("_partition",),
            blocking=True,
        ),
        Check(
            "no_new_fields",
            "No field that nobody declared was seen for the first time in the newest landing.",
            _fields_question,
        ),
        Check(
            "nothing_quarantined",
            "Every record fits its declaration; those that do not are in quarantine, with the reason.",
            _quarantine_question,
        ),
    ]
    if stream.cursor is not None and stream.is_partitioned:
        cursor = stream.cursor.column
        checks.append(
            Check(
                "cursor_in_partition",
                f"Every row has its cursor, {cursor}, and lies in the partition of that UTC day.",
                lambda tables: _cursor_question(tables, stream.primary_key, cursor),
                needs=(*stream.primary_key, cursor, "_partition"),
                blocking=True,
            )
            if stream.selects_a_window
            else Check(
                "cursor_present",
                f"Every row has its cursor, {cursor}, which tells the newest version of a record from the others.",
                lambda tables: _no_cursor_question(tables, stream.primary_key, cursor),
                needs=(*stream.primary_key, cursor, "_partition"),
            )
        )
    if (parent := stream.parent) is not None and (references := stream.references):
        checks.append(
            Check(
                "parents_exist",
                f"The record of {parent.stream.name} that a row belongs to is landed, in any partition, or known to be "
                "deleted.",
                lambda tables: _parents_question(tables, stream, parent.stream, references),
                needs=tuple(references),
            )
        )
    if stream.is_partitioned:
        checks += [
            Check(
                "volume_usual",
                f"Each of the {_DAYS_JUDGED} newest days that were landed last has about as many rows as the same "
                f"weekdays before it that were read as soon, of which {_FEWEST_WEEKS} are needed.",
                _volume_question,
            ),
            Check(
                "no_silent_shrink",
                f"Of the records of the days that were landed last, no more than {_MAX_SHRUNK_SHARE:.0%} are in no day "
                "any more without being known to be deleted.",
                _vanished_question,
            ),
        ]
    else:
        checks.append(
            Check(
                "no_silent_shrink",
                f"The snapshot has not lost more than {_MAX_SHRUNK_SHARE:.0%} of its rows since the landing before.",
                _shrink_question,
            )
        )
    return checks


def _key_question(tables: Tables, key: Sequence[str], *, is_versioned: bool) -> Question:
    """Ask for keys that are missing, twice in a partition, or not once among the current rows."""
    names, table = ", ".join(map(quoted, key)), _table(tables.schema, tables.name)
    missing = " OR ".join(f"{quoted(name)} IS NULL" for name in key)
    if not is_versioned:
        query = f'SELECT {names}, count(*) AS "rows" FROM {table} GROUP BY ALL HAVING count(*) > 1 OR {missing}'
        return Question(query, "keys are missing, or there more than once")
    current, deleted = "1", ""
    if tables.columns("_deleted"):
        same = " AND ".join(f"gone.{quoted(name)} = rows_of.{quoted(name)}" for name in key)
        gone = _table(tables.schema, f"{tables.name}_deleted")
        current = f"if(EXISTS (SELECT 1 FROM {gone} AS gone WHERE {same}), 0, 1)"
        deleted = f"    UNION ALL SELECT {names} FROM {gone}\n"
    # Counting the partitions of every key takes four times as long as finding those that have more than one row.
    asked = " AND ".join(f"each.{quoted(name)} IS NOT DISTINCT FROM doubtful.{quoted(name)}" for name in key)
    of_each = ", ".join(f"each.{quoted(name)}" for name in key)
    query = (
        f"SELECT * FROM (\n  SELECT {of_each}, count(*) AS row_count, count(DISTINCT _partition) AS partitions,\n"
        f"    count(*) FILTER (_is_current) AS current_rows\n  FROM {table} AS each SEMI JOIN (\n"
        f"    SELECT {names} FROM {table} GROUP BY {names}\n"
        f"    HAVING {missing} OR count(*) > 1 OR count(*) FILTER (_is_current) <> 1\n{deleted}"
        f"  ) AS doubtful ON {asked} GROUP BY {of_each}\n) AS rows_of\n"
        f"WHERE {missing} OR row_count <> partitions OR current_rows <> {current}"
    )
    return Question(
        query, "keys are missing, more than once in a partition, or not as often among the current rows as they should"
    )


def _types_question(tables: Tables, stream: Stream) -> Question:
    declared = {column.name: TYPES[column.type] for column in stream.columns} | HOUSEKEEPING
    stored = tables.columns()
    differing = {name: kind for name, kind in declared.items() if stored.get(name.casefold()) != kind}
    is_mild = all(is_wider(stored.get(name.casefold(), ""), kind) for name, kind in differing.items())
    values = ", ".join(f"({literal(name)}, {literal(kind)})" for name, kind in declared.items())
    query = (
        f"SELECT declaration.name, declared, column_type AS stored\nFROM (VALUES {values}) AS declaration (name, "
        f"declared)\nLEFT JOIN (DESCRIBE {_table(tables.schema, tables.name)}) AS of_table "
        "ON lower(column_name) = lower(declaration.name)\nWHERE column_type IS DISTINCT FROM declared"
    )
    return Question(
        query, "columns are not in the table as they are declared", {"columns": len(declared)}, is_mild=is_mild
    )


def _received_question(tables: Tables) -> Question:
    differs, numbers = "", {}
    if tables.has("main", "_state", "received"):
        differs = " OR counted <> received"
        names = ("counted", "received", "left_out", "duplicates", "quarantined")
        newest = f"FROM _state WHERE {tables.about} ORDER BY loaded_at DESC LIMIT 1"
        counts = tables.connection.execute(f"SELECT {', '.join(names)} {newest}").fetchone()
        numbers = dict(zip(names, counts or (None,) * len(names), strict=True))
    query = (
        f'SELECT partition, {"counted, received, " if differs else ""}coalesce(landed."rows", 0) AS landed_rows, '
        f"coalesce(held, 0) AS stored_rows\nFROM (FROM _state WHERE {tables.about}) AS landed\nFULL JOIN (SELECT "
        f"_partition AS partition, count(*) AS held FROM {_table(tables.schema, tables.name)} GROUP BY ALL) AS stored "
        f'USING (partition)\nWHERE coalesce(landed."rows", 0) <> coalesce(held, 0){differs}\nORDER BY partition'
    )
    return Question(query, "partitions have not all that was counted, received or landed", numbers)


def _fields_question(tables: Tables) -> Question:
    if not tables.columns_of("main", "_fields"):
        return Question(_NOTHING, "")
    query = (
        f"SELECT path, type, first_seen FROM _fields\nWHERE {tables.about}\n  AND run_id = (SELECT "
        f"arg_max(run_id, loaded_at) FROM _state WHERE {tables.about})\nORDER BY path"
    )
    new = [
        f"{path} ({kind}, first seen {seen:%Y-%m-%d %H:%M} UTC)"
        for path, kind, seen in tables.connection.execute(query).fetchall()
    ]
    return Question(query, f"new fields that nobody declared, kept in _extra: {', '.join(new[:_SAMPLE_ROWS])}")


def _quarantine_question(tables: Tables) -> Question:
    if not tables.columns("_quarantine"):
        return Question(_NOTHING, "", {"share": 0.0})
    table = _table(tables.schema, f"{tables.name}_quarantine")
    held, fitting, reason = tables.row(
        f"SELECT (SELECT count(*) FROM {table}), (SELECT count(*) FROM {_table(tables.schema, tables.name)}), "
        f"(SELECT mode(reason) FROM {table})"
    )
    share = held / (held + fitting) if held else 0.0
    query = f"SELECT _partition, _page, reason, record FROM {table} ORDER BY _partition DESC, _page"
    return Question(query, f"records do not fit, {share:.2%} of all; most often: {reason}", {"share": share})


def _cursor_question(tables: Tables, key: Sequence[str], cursor: str) -> Question:
    names = ", ".join(map(quoted, dict.fromkeys((*key, cursor, "_partition"))))
    stored = tables.columns()[cursor.casefold()]
    day = f"{quoted(cursor)} AT TIME ZONE 'UTC'" if stored == TYPES["timestamp"] else quoted(cursor)
    query = (
        f"SELECT {names} FROM {_table(tables.schema, tables.name)}\n"
        f"WHERE strftime({day}, '%Y-%m-%d') IS DISTINCT FROM _partition\nORDER BY _partition"
    )
    return Question(query, "rows have no cursor, or lie in the partition of another day")


def _no_cursor_question(tables: Tables, key: Sequence[str], cursor: str) -> Question:
    query = (
        f"SELECT {', '.join(map(quoted, (*key, '_partition')))} FROM {_table(tables.schema, tables.name)}\n"
        f"WHERE {quoted(cursor)} IS NULL\nORDER BY _partition"
    )
    return Question(query, "rows have no cursor")


def _parents_question(tables: Tables, stream: Stream, parent: Stream, references: Mapping[str, str]) -> Question:
    names = ", ".join(map(quoted, references))
    kinds = {name: tables.columns()[name.casefold()] for name in references}

    def absent(table: str) -> str:
        stored = tables.columns_of(tables.schema, table)
        if any(column.casefold() not in stored for column in references.values()):
            return "true"  # nothing was landed there, or it cannot tell
        same = " AND ".join(
            f"parent.{quoted(its)} = child.{quoted(own)}"
            if stored[its.casefold()] == kinds[own]
            else f"parent.{quoted(its)}::VARCHAR = child.{quoted(own)}::VARCHAR"
            for own, its in references.items()
        )
        return f"NOT EXISTS (SELECT 1 FROM {_table(tables.schema, table)} AS parent WHERE {same})"

    # Where the record itself tells its parent, it may tell of none.
    told = "".join(f"{quoted(name)} IS NOT NULL AND " for name in references if stream.column(name).parent is None)
    query = (
        f'SELECT {names}, count(*) AS "rows", min(_partition) AS first_partition\n'
        f"FROM {_table(tables.schema, tables.name)} AS child\n"
        f"WHERE {told}{absent(parent.name)}\n  AND {absent(f'{parent.name}_deleted')}\nGROUP BY ALL ORDER BY ALL"
    )
    (rows,) = tables.row(f'SELECT coalesce(sum("rows"), 0)::BIGINT FROM ({query})')
    found = f"parents, of {rows:,} rows, are neither in {tables.schema}.{parent.name} nor known to be deleted"
    return Question(query, found, {"rows_without_parent": rows})


def _volume_question(tables: Tables) -> Question:
    """Ask for days that are far from the median of their weekday.

    Counts are compared as square roots, whose scatter does not grow with them and is a half where records come by
    chance. The median absolute deviation, 1.4826 of which is a deviation, is not moved by one odd day. Where it is
    nothing, because most days are empty, a day within what was seen before is no surprise either. A day counts only
    where it was read about as long after its end as the day judged: a record that changes moves to a newer day, so
    what is read months later holds less.
    """
    query = (
        'WITH counts AS (SELECT TRY_CAST(partition AS DATE) AS day, "rows" AS held, sqrt("rows" + 0.375) AS root,\n'
        f"  run_id, coalesce(extracted_at, loaded_at)::DATE - day AS read_after FROM _state WHERE {tables.about}),\n"
        "judged AS (SELECT * FROM counts WHERE run_id = (SELECT arg_max(run_id, loaded_at) FROM _state\n"
        f"  WHERE {tables.about}) ORDER BY day DESC LIMIT {_DAYS_JUDGED})\n"
        'SELECT judged.day, judged.held AS "rows", median(earlier.held) AS usual, count(*) AS weeks\n'
        "FROM judged JOIN counts AS earlier ON earlier.day < judged.day\n"
        f"  AND earlier.day >= judged.day - {7 * _MOST_WEEKS} AND (judged.day - earlier.day) % 7 = 0\n"
        f"  AND abs(earlier.read_after - judged.read_after) <= {_DAYS_APART}\n"
        f"GROUP BY judged.day, judged.held, judged.root\nHAVING count(*) >= {_FEWEST_WEEKS} AND\n"
        f"  abs(judged.root - median(earlier.root)) > {_UNUSUAL} * greatest(1.4826 * mad(earlier.root), 0.5)\n"
        "  AND judged.held NOT BETWEEN min(earlier.held) AND max(earlier.held)\n"
        "ORDER BY judged.day DESC"
    )
    return Question(query, "days have far more or fewer rows than the same weekdays before them")


def _shrink_question(tables: Tables) -> Question:
    if not tables.has("main", "_state", "rows_removed"):
        return Question(_NOTHING, "")
    held_before = '"rows" - rows_added + rows_removed'
    query = (
        f'SELECT partition, {held_before} AS rows_before, "rows" AS rows_now, rows_removed, rows_added, loaded_at\n'
        f'FROM _state WHERE {tables.about} AND "rows" < (1 - {_MAX_SHRUNK_SHARE}) * ({held_before})'
    )
    found = f"snapshot has far fewer rows than before; {tables.name}_deleted lists the records that are gone"
    return Question(query, found)


def _vanished_question(tables: Tables) -> Question:
    if not tables.has("main", "_state", "vanished"):
        return Question(_NOTHING, "")
    query = (
        "SELECT min(partition) AS first_day, max(partition) AS last_day,\n"
        '  sum("rows" - rows_added + rows_removed)::BIGINT AS rows_before, sum("rows")::BIGINT AS rows_now,\n'
        f"  any_value(vanished) AS vanished\nFROM _state WHERE {tables.about}\n"
        f"  AND run_id = (SELECT arg_max(run_id, loaded_at) FROM _state WHERE {tables.about})\n"
        f"HAVING vanished > {_MAX_SHRUNK_SHARE} * rows_before"
    )
    return Question(query, "landing left far fewer records than there were, and nobody said that they were deleted")


# -- frames -----------------------------------------------------------------------------------------------------------


def _of_frame(rules: Rules) -> list[Check]:
    def rule(condition: str) -> Callable[[Tables], Question]:
        return lambda tables: Question(
            f"SELECT * EXCLUDE (_partition, _loaded_at, _run_id) FROM {_table(tables.schema, tables.name)}\n"
            f"WHERE NOT ({condition})",
            f"rows are not so: {condition}",
        )

    return [
        Check(
            "key_unique",
            f"Every row has a key ({', '.join(rules.key)}), and no other row has the same.",
            lambda tables: _key_question(tables, rules.key, is_versioned=False),
            needs=rules.key,
            blocking=True,
        ),
        *(Check(name, f"Every row: `{condition}`.", rule(condition)) for name, condition in rules.conditions.items()),
    ]


# -- documents --------------------------------------------------------------------------------------------------------


def _documents_question(tables: Tables, source: str, streams: Sequence[Stream]) -> Question:
    documents = _table(tables.schema, tables.name)
    counts = [
        f"SELECT {literal(stream.name)} AS stream,\n"
        f"  (SELECT count(*) FROM {_table(source, stream.name)} WHERE _is_current) AS records,\n"
        f"  (SELECT count(DISTINCT document_id) FROM {documents} WHERE stream = {literal(stream.name)}) AS documents"
        for stream in streams
        if tables.has(source, stream.name, "_is_current")
    ]
    if not counts:
        return Question(_NOTHING, "")
    query = "\nUNION ALL ".join(counts)
    return Question(
        f"SELECT * FROM (\n{query}\n) WHERE records <> documents",
        "streams have more records than documents, or fewer: they were landed since. Materialise the documents again",
    )


def _table(schema: str, name: str) -> str:
    return f"{quoted(schema)}.{quoted(name)}"
