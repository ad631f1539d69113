"""Where a column comes from, put to the test: its path in the API's answers, and the columns a frame's are made of.

What a frame's column is made of are the columns of its inputs whose values decide its own. That is how it is found
out here too: one column of an input is changed, the frame is made again, and the columns that differ are those made
of it. Rows are compared by their key, so which rows there are, and in which order, does not count.
"""

import json
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from connector_resources.http.messages import Request, Response
from connector_resources.http.stream import HttpStream
from orchestration import frames
from orchestration.frames import aha, companies, drift
from orchestration.lineage import COLUMN_LINEAGE, COLUMN_SCHEMA
from tests.contract.conftest import SUBJECTS, Contract, Subject

OVER_HTTP = pytest.mark.parametrize(
    "subject", [subject for subject in SUBJECTS if isinstance(subject.stream, HttpStream)], ids=str
)
ENOUGH_RECORDS = 100


# From an answer to a stream's column


@OVER_HTTP
def test_a_column_holds_what_lies_at_its_json_path(contract: Contract, subject: Subject) -> None:
    stream = subject.stream
    assert isinstance(stream, HttpStream)
    answers, records = answers_and_records(contract, subject)
    paths = {column.name: path for column in stream.columns if (path := stream.json_path(column)) is not None}
    assert records
    assert {name: path for name, path in paths.items() if not held(records, name) <= there(answers, path)} == {}


def answers_and_records(contract: Contract, subject: Subject) -> tuple[list[Any], list[dict[str, Any]]]:
    """Return some of what the server answers, and the records that are made of it."""
    answers: list[Any] = []

    class Listening(subject.kind):  # type: ignore[name-defined,misc]  # a class that is found at run time
        def fetch(self, stream: HttpStream, request: Request) -> Response:
            response: Response = super().fetch(stream, request)
            is_json = "json" in response.headers["content-type"]
            answers.append(json.loads(response.body) if is_json else {"data": response.body.decode()})
            return response

    records: list[dict[str, Any]] = []
    for page in contract.source(Listening).read(subject.stream, contract.slice(subject)):
        records += [json.loads(bytes(record)) for record in page.records]
        if len(records) >= ENOUGH_RECORDS:
            break
    return answers, records


def held(records: Sequence[Mapping[str, Any]], name: str) -> set[str]:
    """Return the different values of a field."""
    return {json.dumps(record[name]) for record in records if record.get(name) is not None}


def there(answers: Sequence[Any], path: str) -> set[str]:
    """Return the different values at a JSON path."""
    return {json.dumps(value) for answer in answers for value in at(answer, path)}


def at(answer: Any, path: str) -> Iterator[Any]:
    """Yield what lies at a JSON path made of `.key`, `.*`, `[*]` and `[number]`."""
    values = [answer]
    for key, place in re.findall(r"\.([^.\[\]]+)|\[([^\]]+)\]", path):
        values = [found for value in values for found in step(value, key, place)]
    yield from values


def step(value: Any, key: str, place: str) -> Collection[Any]:
    """Return what lies one step below a value."""
    if isinstance(value, dict) and key:
        return value.values() if key == "*" else [value[key]] if key in value else []
    if isinstance(value, list) and place:
        return value if place == "*" else value[int(place) :][:1]
    return []


# From a stream's columns to a frame's


FRAMES = {asset.key.path[-1]: asset for asset in frames.assets()}
KEYS = {"daily_volume": ["day"], "agent_workload": ["agent_id", "week"], "company_requests": ["domain"]}
"""What tells the rows of a frame apart; of the others it is `id`."""

FALLBACKS = {
    "ideas": ["portal_user", "portal_user_email", "idea_user", "idea_user_email"],
    "feature_cycle_time": ["status_changed_on"],
    "conversations": ["name"],
    "agent_workload": ["name"],
    "contacts": ["name", "external_id", "email"],
    "company_requests": ["organization_id", "portal_user_email", "name"],
}
"""Columns of inputs of which another takes the place where they are null: they are, in half of the rows."""

ROWS = {"company_requests": 80}
"""How many rows of each input are enough, where more would leave no company without several votes."""

SHIFT = pd.Timedelta(days=400)
Lineage = dict[str, set[str]]
"""The columns each column is made of, as `source/stream path`.

`source/stream` is the key of the asset, and `path` what is read of its table.
"""


@pytest.mark.parametrize("name", FRAMES)
def test_a_frames_columns_are_made_of_the_declared_columns_and_of_no_other(contract: Contract, name: str) -> None:
    declared, seen = lineage_of(FRAMES[name]), observed_lineage(contract, name)
    for key in KEYS.get(name, ["id"]):
        # Columns that only decide which rows there are may bring about new keys too, and are not declared.
        assert declared[key] <= seen[key]
        seen[key] = declared[key]
    assert seen == declared


@pytest.mark.parametrize("name", FRAMES)
def test_dagsters_lineage_is_that_of_the_tags_by_whole_columns(name: str) -> None:
    (spec,) = FRAMES[name].specs
    deps = {
        column: {f"{dep.asset_key.to_user_string()} {dep.column_name}" for dep in found}
        for column, found in spec.metadata[COLUMN_LINEAGE].deps_by_column.items()
    }
    assert deps == {
        column: {source.partition(".")[0] for source in sources} for column, sources in lineage_of(FRAMES[name]).items()
    }


def lineage_of(asset: dg.AssetsDefinition) -> Lineage:
    """Return what each column of a frame is declared to be made of: `source/stream path`, as its tags say."""
    (spec,) = asset.specs
    return {
        column.name: {f"{upstream} {path}" for upstream, paths in column.tags.items() for path in paths.split(", ")}
        for column in spec.metadata[COLUMN_SCHEMA].columns
    }


def observed_lineage(contract: Contract, name: str) -> Lineage:
    """Return what each column of a frame is seen to be made of."""
    asset, compute = FRAMES[name], compute_of(FRAMES[name])
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    whole = {
        given: frame.sample(min(len(frame), ROWS.get(name, len(frame))), random_state=rng).reset_index(drop=True)
        for given, frame in inputs_of(contract, asset).items()
    }
    observed: Lineage = {column: set() for column in lineage_of(asset)}
    for blanked in ([], FALLBACKS[name]) if name in FALLBACKS else ([],):
        inputs = {given: nulled(frame, blanked, rng) for given, frame in whole.items()}
        first = next(iter(inputs.values()))
        before = compute(**inputs)
        known = {key: {*before[key], *first.get(key, ())} for key in KEYS.get(name, ["id"])}
        for given, frame in inputs.items():
            upstream = asset.keys_by_input_name[given]
            for column, path in columns_read(asset, given).items():
                for values in changed(frame[column], path in keys_of(upstream), rng):
                    after = compute(**{**inputs, given: frame.assign(**{column: values})})
                    for made in differing(before, after, known):
                        observed[made].add(f"{upstream.to_user_string()} {path}")
    return observed


def inputs_of(contract: Contract, asset: dg.AssetsDefinition) -> dict[str, pd.DataFrame]:
    """Return an asset's inputs, made of what the sandbox has."""
    inputs = {}
    for given, key in asset.keys_by_input_name.items():
        columns = columns_read(asset, given)
        if key.path[0] == "frames":
            upstream = FRAMES[key.path[1]]
            frame = compute_of(upstream)(**inputs_of(contract, upstream))
            inputs[given] = frame[list(columns.values())].set_axis(list(columns), axis="columns")
        else:
            contract.reading(SUBJECT[key.to_user_string()])
            inputs[given] = contract.store.read_frame(*key.path, columns=columns, current=True)
    return inputs


SUBJECT = {f"{subject.kind.name}/{subject.stream.name}": subject for subject in SUBJECTS}


def columns_read(asset: dg.AssetsDefinition, given: str) -> Mapping[str, str]:
    columns: Mapping[str, str] = asset.op.ins[given].metadata["columns"]
    return columns


def keys_of(upstream: dg.AssetKey) -> Sequence[str]:
    """Return the column whose values tell the rows of an asset apart; none where it takes several."""
    key = ("id",) if upstream.path[0] == "frames" else SUBJECT[upstream.to_user_string()].stream.primary_key
    return key if len(key) == 1 else ()


def compute_of(asset: dg.AssetsDefinition) -> Any:
    """Return the function that makes a frame."""
    name = asset.key.path[-1]
    (module,) = (each for each in (aha, companies, drift) if f"{name}_asset" in vars(each))
    return vars(module)[name]


def nulled(frame: pd.DataFrame, columns: Sequence[str], rng: np.random.Generator) -> pd.DataFrame:
    """Return a frame with half of the values of these columns null."""
    return frame.assign(**{name: frame[name].mask(rng.random(len(frame)) < 0.5) for name in columns if name in frame})


def changed(values: "pd.Series[Any]", is_key: bool, rng: np.random.Generator) -> Iterator["pd.Series[Any]"]:
    """Yield a column with other values; those of a key are new ones, for other rows it would stand for otherwise."""
    chosen = rng.integers(0, 2 if is_key else 4, len(values))
    other = values.astype(object)
    for place, value in enumerate(values):
        if chosen[place] == 0 and not pd.isna(value):
            other.iloc[place] = another(value, place)
    if not is_key:
        other = other.mask(chosen == 1, values.sample(frac=1, random_state=rng).set_axis(values.index).astype(object))
        other = other.mask((chosen == 2) & (values.dtype.kind not in "bi"))  # these know no null
    yield pd.Series(other.tolist(), values.index, dtype=object).astype(values.dtype)
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        yield values - SHIFT


def another(value: Any, place: int) -> Any:
    """Return a value of the same kind that is not there yet."""
    if isinstance(value, bool | np.bool_):
        return not value
    if isinstance(value, pd.Timestamp):
        return value + (SHIFT if place % 2 else -SHIFT) + pd.Timedelta(seconds=place)
    if not isinstance(value, str):
        return value + 1_000_000 * (place + 1)
    if value in ("true", "false"):
        return "false" if value == "true" else "true"
    if value.isdigit():
        return str(int(value) + 100_000_000 * (place + 1))
    if value.startswith("["):
        return "[]"
    return f"p{place}@place{place}.example" if "@" in value else f"{value} {place}"


def differing(before: pd.DataFrame, after: pd.DataFrame, known: Mapping[str, set[Any]]) -> set[str]:
    """Return the columns with other values in the same rows, and the keys with values that are not `known`."""
    invented = {key for key in known if not set(after[key].dropna()) <= known[key]}
    old, new = (frame.set_index(list(known)).astype(object) for frame in (before, after))
    rows = old.index.intersection(new.index)
    old, new = old.loc[rows], new.loc[rows]
    is_same = (old == new) | (old.isna() & new.isna())
    return invented | set(is_same.columns[~is_same.all()])
