"""What assets say of their columns and of where they are declared, before and after they are materialised."""

from pathlib import Path

import dagster as dg
import pytest

from connector_resources.http.stream import HttpStream
from connector_resources.sources import discover
from connector_resources.streams import Column, Parent, Stream
from orchestration import frames
from orchestration.frames.asset import frame_asset, read
from orchestration.frames.columns import Columns, text
from orchestration.lineage import CODE_REFERENCES, COLUMN_LINEAGE, COLUMN_SCHEMA, stream_columns, stream_lineage
from tests.landing import snapshot
from tests.orchestration.conftest import Project

STREAMS = {f"{kind.name}.{stream.name}": stream for kind in discover() for stream in kind.streams}
GOALS = HttpStream(
    name="goals",
    description="",
    path="/goals",
    records="data.goals",
    primary_key=("id",),
    columns=(Column("id", "string", ""), Column("owner", "string", "", path="owner.name"), Column("n", "json", "")),
)
RESULTS = HttpStream(
    name="results",
    description="",
    path="/goals/{goal}/results",
    primary_key=("goal_id",),
    parent=Parent(GOALS, {"goal": "id"}),
    columns=(Column("goal_id", "string", "", parent="goal"), Column("rank", "integer", "", path="")),
)


def tags(schema: dg.TableSchema) -> dict[str, dict[str, str]]:
    """Return the tags of every column."""
    return {column.name: dict(column.tags) for column in schema.columns}


# Columns


def test_a_streams_columns_name_their_place_in_the_answer_or_in_the_parents_table() -> None:
    assert (tags(stream_columns("vendor", GOALS)), tags(stream_columns("vendor", RESULTS))) == (
        {
            "id": {"json_path": "$.data.goals[*].id"},
            "owner": {"json_path": "$.data.goals[*].owner.name"},
            "n": {"json_path": "$.data.goals[*].n"},
        },
        {"goal_id": {"vendor/goals": "id"}, "rank": {}},
    )
    assert tags(stream_columns("vendor", snapshot(id="string"))) == {"id": {}}


def test_a_column_that_is_the_parents_is_made_of_the_parents_column() -> None:
    made_of = dg.TableColumnLineage({"goal_id": [dg.TableColumnDep(dg.AssetKey(["vendor", "goals"]), "id")]})
    assert stream_lineage("vendor", RESULTS) == {COLUMN_LINEAGE: made_of}
    assert stream_lineage("vendor", GOALS) == {}


def test_a_column_that_no_input_has_is_refused_where_the_frame_is_declared() -> None:
    def names(goals: object) -> None: ...

    goals = read("vendor", "goals", {"id": "id"})
    with pytest.raises(ValueError, match=r"^name: made of goals\.name, which is not read\."):
        frame_asset(names, Columns(name=text("Its name.")), None, goals=goals)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^name: made of aims\.id, which is not read\."):
        frame_asset(names, Columns(name=text("Its name.")), None, {"name": ("aims.id",)}, goals=goals)  # type: ignore[arg-type]


def test_what_is_landed_says_where_its_columns_come_from(
    landed: tuple[Project, dg.ExecuteInProcessResult],
) -> None:
    """Dagster looks at the newest materialization; in a range that is the last partition's."""
    newest = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in landed[1].get_asset_materialization_events()
        if event.asset_key is not None
    }
    for name in ("drift/users", "drift/messages"):
        schema = newest[name][COLUMN_SCHEMA].value
        assert isinstance(schema, dg.TableSchema)
        assert schema == stream_columns("drift", STREAMS[name.replace("/", ".")])


# Where it is declared


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_knows_the_line_that_declares_it(name: str) -> None:
    file, number = STREAMS[name].declared_at
    source, stream = name.split(".")
    assert Path(file).name == f"{source}.py"
    line, following = Path(file).read_text().splitlines()[number - 1 : number + 1]
    if "Stream(" in line:
        assert following.strip() == f'name="{stream}",'
    else:  # a function makes several of its kind, and this is where it is called
        assert line.strip().startswith(("status_times(", "*capacity("))
        assert f'"{stream.partition("_capacity_")[0].removesuffix("_workflow_status_times")}"' in line


def test_two_declarations_that_say_the_same_are_equal_wherever_they_stand() -> None:
    one = Stream(name="one", description="", columns=(Column("id", "string", ""),), primary_key=("id",))
    two = Stream(name="one", description="", columns=(Column("id", "string", ""),), primary_key=("id",))
    assert (one.declared_at[0], two.declared_at[1]) == (__file__, one.declared_at[1] + 1)
    assert (one, one.declaration_hash) == (two, two.declaration_hash)


@pytest.mark.parametrize("asset", frames.assets(), ids=lambda asset: asset.key.path[-1])
def test_a_frames_code_reference_is_the_function_that_makes_it(asset: dg.AssetsDefinition) -> None:
    (spec,) = asset.specs
    (reference,) = spec.metadata[CODE_REFERENCES].code_references
    line = Path(reference.file_path).read_text().splitlines()[reference.line_number - 1]
    assert line.startswith(f"def {asset.key.path[-1]}(")


def test_a_streams_asset_leads_to_its_declaration_and_names_its_request(project: Project) -> None:
    (spec,) = project.asset("drift/messages").specs
    (reference,) = spec.metadata[CODE_REFERENCES].code_references
    # `replace` made the stream of a test anew, in the file that calls it.
    assert (Path(reference.file_path).name, reference.label) == ("conftest.py", f"conftest.py:{reference.line_number}")
    assert spec.metadata["endpoint"] == "GET /conversations/{conversationId}/messages"
