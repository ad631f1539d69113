"""The assets and the Python API on the same tables: whoever comes later goes on where the other has stopped."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import connector_resources as ab
from connector_resources.errors import ConnectorError, RequestRetryable
from connector_resources.sources.faker import Faker
from orchestration.connection import source_resource
from tests.orchestration.conftest import DAYS, Project, materialized


@pytest.fixture
def shared(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project, in whose folder the Python API reads what the assets read."""
    for variable in ("CONNECTOR_MODE", "DAILY_REQUEST_BUDGET", "FAKER_COUNT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SANDBOX_URL", project.url)
    monkeypatch.setenv("SANDBOX_LIMITS", "0")
    monkeypatch.setenv("DATA_FOLDER", str(project.folder))
    monkeypatch.setenv("PARTITIONS_START", project.start.isoformat())
    monkeypatch.setenv("FAKER_RECORDS_PER_SLICE", "100")
    monkeypatch.chdir(project.folder)
    project.warehouse["spools"] = str(project.settings.spools)
    return project


def test_a_script_reads_the_days_that_runs_have_left_out(shared: Project, capsys: pytest.CaptureFixture[str]) -> None:
    for days in (DAYS[:2], DAYS[4:6]):
        assert shared.run("drift/conversations", "drift/messages", days=days).success
    capsys.readouterr()
    source = ab.get_source("drift", streams=["messages"])
    source.read()
    asked = [line for line in capsys.readouterr().err.splitlines() if ": reading 2" in line]
    today = asked[-1].split(" … ")[-1]
    assert asked == [
        f"drift.{stream}: reading {days}"
        for stream in ("conversations", "messages")
        for days in (f"{DAYS[2]} … {DAYS[3]}.", f"{DAYS[6]} … {today}")
    ]


def test_a_script_and_runs_land_the_same_rows(
    shared: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = ["users", "conversations", "messages"]
    assert shared.run(*(f"drift/{stream}" for stream in streams), days=shared.days()).success
    other = tmp_path_factory.mktemp("other")
    monkeypatch.setenv("DATA_FOLDER", str(other))
    ab.get_source("drift", streams=streams, progress=False).read()
    scripts = Project(other, shared.url)
    for stream in streams:
        days = "" if stream == "users" else f"WHERE _partition <= '{shared.days()[-1]}'"
        table = f"(SELECT * FROM drift.{stream} {days})"
        assert rows(scripts, table) == rows(shared, table)


def rows(project: Project, table: str) -> list[tuple[Any, ...]]:
    """All rows but for what a run adds, and where in the spool a record came from."""
    left_out = ("_loaded_at", "_run_id", "_page", "_is_current")
    names = [f'"{name}"' for name, *_ in project.store.query(f"DESCRIBE {table[1:-1]}") if name not in left_out]
    return project.store.query(f"SELECT {', '.join(names)} FROM {table} ORDER BY ALL")


@dataclass
class Line:
    """A line that dies at the fifth page of a reading, and the tokens that readings were begun with."""

    is_dead: bool = True
    tokens: list[str | None] = field(default_factory=list)

    def reading(self, read: Callable[..., Any]) -> Callable[..., Any]:
        """Return `read` over this line."""

        def over(source: Any, stream: Any, slice: Any, token: str | None = None) -> Any:
            self.tokens.append(token)
            for number, page in enumerate(read(source, stream, slice, token)):
                if self.is_dead and number == 4:
                    raise RequestRetryable("The line is dead.")
                yield page

        return over


def test_a_run_goes_on_with_the_pages_that_a_script_has_read(shared: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    source, line = ab.get_source("faker", streams="users", progress=False), Line()
    monkeypatch.setattr(type(source.connected), "read", line.reading(type(source.connected).read))
    with pytest.raises(ConnectorError, match="The line is dead"):
        source.read()
    line.is_dead = False
    result = shared.run("faker/users")
    assert result.success
    assert materialized(result, "faker/users")[None]["records_received"] == 1000
    assert [token is None for token in line.tokens] == [True, False]


def test_a_script_goes_on_with_the_pages_that_a_run_has_read(shared: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    source, line = ab.get_source("faker", streams="users", progress=False), Line()
    monkeypatch.setattr(type(source.connected), "read", line.reading(type(source.connected).read))
    assert not shared.run("faker/users").success
    line.is_dead = False
    assert source.read().processed_records == 1000
    assert [token is None for token in line.tokens] == [True, False]


def test_what_a_script_has_landed_is_what_a_frame_is_made_of(shared: Project) -> None:
    ab.get_source("drift", streams=["users"], progress=False).read()
    frame = shared.store.read_frame("drift", "users", current=True)
    assert len(frame) == len(ab.get_default_cache()["users"])


def test_both_draw_on_one_budget_and_one_set_of_tokens(shared: Project) -> None:
    source: Any = ab.get_source("drift").connected
    assert Path(source.state_folder) == shared.folder / "state" / "sandbox"
    run: Any = shared.resources()["drift"]
    assert Path(run.state_folder) == Path(source.state_folder)


@pytest.mark.parametrize("variables", [{}, {"FAKER_SEED": "5", "FAKER_ALWAYS_UPDATED": "yes"}], ids=["none", "some"])
def test_a_script_and_the_assets_make_up_the_same_records(
    shared: Project, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for variable, text in variables.items():
        monkeypatch.setenv(variable, text)
    of_assets: Any = source_resource(Faker, shared.settings).process_config_and_initialize()
    assert of_assets == ab.get_source("faker").connected
    assert of_assets.account.endswith("-seed5-updated" if variables else "-seed1-fixed")
