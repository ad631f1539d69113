"""A connector declared in the `defs.yaml` of somebody's project, as Dagster's `dg` loads it."""

import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count
from pathlib import Path

import dagster as dg
import pytest
from dagster.components.component.component import Component
from dagster.components.core.component_tree import ComponentTreeException

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.errors import ConfigurationError
from tests.landing import ROOT
from tests.orchestration.conftest import DAYS, FIRST_DAY, failures

EMEA = """\
type: orchestration.component.ConnectorComponent
attributes:
  source: aha
  account: aha_emea
  credentials:
    api_key: EUROPE_KEY
  streams: [record_links]
  daily_request_budget: 5000
"""
SHOP = "type: orchestration.component.ConnectorComponent\nattributes:\n  source: drift\n  account: drift_shop\n"

Load = Callable[..., dg.Definitions]
numbers = count()


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox_url: str) -> Iterator[Load]:
    """Load a project with a `defs.yaml` for each of some texts, in an environment that says where the sandbox is."""
    project = f"their_project_{next(numbers)}"
    monkeypatch.syspath_prepend(tmp_path)
    for name, value in {
        "SANDBOX_URL": sandbox_url,
        "SANDBOX_LIMITS": "0",
        "PARTITIONS_START": str(FIRST_DAY),
        "DATA_FOLDER": str(tmp_path / "data"),
    }.items():
        monkeypatch.setenv(name, value)

    def loaded(**declared: str) -> dg.Definitions:
        (tmp_path / "pyproject.toml").write_text(
            f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{project}"\n'
        )
        for name, text in declared.items():
            folder = tmp_path / project / "defs" / name
            folder.mkdir(parents=True)
            (folder / "defs.yaml").write_text(text)
        for package in (project, f"{project}/defs"):
            (tmp_path / package / "__init__.py").touch()
        return dg.load_from_defs_folder(path_within_project=tmp_path / project)

    yield loaded
    for name in [name for name in sys.modules if name.partition(".")[0] == project]:
        del sys.modules[name]


def keys(defs: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in defs.resolve_all_asset_keys()}


def run(defs: dg.Definitions, *assets: str, day: str | None = None) -> dg.ExecuteInProcessResult:
    return defs.resolve_implicit_global_asset_job_def().execute_in_process(
        asset_selection=[dg.AssetKey(name.split("/")) for name in assets], partition_key=day, raise_on_error=False
    )


def test_a_connector_in_a_defs_yaml_is_an_account_whose_streams_can_be_materialised(load: Load, tmp_path: Path) -> None:
    defs = load(emea=EMEA)
    assert {key.split("/")[0] for key in keys(defs)} == {"aha_emea"}
    assert {"aha_emea/features", "aha_emea/record_links", "aha_emea/rate_budget"} <= keys(defs)
    assert "aha_emea/historical_audits" not in keys(defs)

    result = run(defs, "aha_emea/features", day=DAYS[-1])
    assert failures(result) == {}
    store = DuckDB(tmp_path / "data" / "sandbox.duckdb", tmp_path / "temporary")
    assert store.landed_partitions("aha_emea", "features") == [DAYS[-1]]
    checks = {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}
    assert checks
    assert all(checks.values()), checks


def test_two_connectors_of_a_project_land_in_one_database(load: Load, tmp_path: Path) -> None:
    defs = load(emea=EMEA, shop=SHOP + "  partitions_start: 2026-01-01\n")
    assert failures(run(defs, "aha_emea/users", "drift_shop/users")) == {}
    store = DuckDB(tmp_path / "data" / "sandbox.duckdb", tmp_path / "temporary")
    assert store.landed_partitions("aha_emea", "users") == store.landed_partitions("drift_shop", "users") == ["all"]
    days = {name: defs.get_assets_def([name, stream]).partitions_def for name, stream in DAILY}
    assert {name: each.get_first_partition_key() for name, each in days.items() if each is not None} == {
        "aha_emea": str(FIRST_DAY),
        "drift_shop": "2026-01-01",
    }


DAILY = (("aha_emea", "features"), ("drift_shop", "conversations"))


def test_what_the_component_says_reaches_the_source_and_the_warehouse(load: Load, tmp_path: Path) -> None:
    said = (
        f"  mode: live\n  data_folder: {tmp_path}/theirs\n  base_url: https://acme.aha.io\n  rate_limit_factor: 0.5\n"
    )
    resources = load(emea=EMEA + said).resources or {}
    source = resources["aha_emea"].process_config_and_initialize()
    assert (source.name, source.base_url, source.rate_limit_factor, source.daily_request_budget) == (
        "aha_emea",
        "https://acme.aha.io",
        0.5,
        5000,
    )
    assert source.variables()["api_key"] == "EUROPE_KEY"
    assert resources["connection"].mode == "live"
    assert resources["warehouse"].database == f"{tmp_path}/theirs/live.duckdb"


def test_without_a_name_the_account_is_called_as_its_source(load: Load) -> None:
    defs = load(made_up="type: orchestration.component.ConnectorComponent\nattributes:\n  source: faker\n")
    assert keys(defs) == {"faker/users", "faker/products", "faker/purchases"}


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("  source: jira\n", "[jira]: source must be one of aha, drift, faker."),
        ("  source: aha\n  account: EMEA\n", "[EMEA]: this is no name for an account: small letters, digits"),
        ("  source: aha\n  streams: [record_link]\n", "[aha]: streams has record_link, which aha does not have."),
        ("  source: aha\n  credentials: {api_key: 5a4d5a4d}\n", "[aha]: credentials.api_key must be the name of an"),
        ("  source: aha\n  mode: Live\n", "CONNECTOR_MODE is 'Live'; set it to sandbox or live."),
        ("  source: aha\n  partitions_start: 2999-01-01\n", "PARTITIONS_START is 2999-01-01; set it to a day that"),
    ],
)
def test_a_mistake_is_told_by_its_file_and_what_to_do(load: Load, tmp_path: Path, said: str, complaint: str) -> None:
    with pytest.raises(ComponentTreeException) as raised:
        load(emea=f"type: orchestration.component.ConnectorComponent\nattributes:\n{said}")
    error: BaseException | None = raised.value
    while error is not None and not isinstance(error, ConfigurationError):
        error = error.__cause__
    assert error is not None, raised.value
    assert complaint in str(error)
    assert "emea" in str(error)
    assert "5a4d" not in str(error)


def test_dg_finds_the_component_by_the_packages_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (module,) = project["entry-points"]["dagster_dg_cli.registry_modules"].values()
    found = [
        name
        for name, value in vars(import_module(module)).items()
        if isinstance(value, type) and issubclass(value, Component) and value.__module__ == module
    ]
    assert (module, found) == ("orchestration.component", ["ConnectorComponent"])
