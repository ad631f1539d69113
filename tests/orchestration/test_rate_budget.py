"""What a run shows of an account's request budget, and what it does when the vendor asks it to wait."""

import socket
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from connector_resources.http.rate_limit import RateLimit, RateLimiter, Standing, usage_path
from connector_resources.http.rate_usage import UsageLog
from connector_resources.sources import discover
from orchestration.io_manager import Warehouse
from orchestration.rate_budget import RATE_BUDGET, rate_budget_assets, standing
from tests.orchestration.conftest import Fail, Project, failures, kind_of, materialized

BUDGETS = rate_budget_assets(discover(), "sandbox")


def budget_of(source: str) -> dg.AssetsDefinition:
    return next(asset for asset in BUDGETS if asset.key.path[0] == source)


def shown(folder: Path, source: str = "aha") -> tuple[pd.DataFrame, dict[str, Any]]:
    """Make the asset of a source alone; return its table and its metadata."""
    warehouse = Warehouse(database=str(folder / "test.duckdb"), spools=str(folder / "spools"))
    settings = {"state_folder": str(folder / "state")}
    resources = {"warehouse": warehouse, source: kind_of(source)(**settings)}
    result = dg.materialize([budget_of(source)], resources=resources)
    frame = warehouse.store.read_frame(source, "rate_budget")
    assert isinstance(frame, pd.DataFrame)
    return frame, materialized(result, f"{source}/rate_budget")[None]


def limiter(folder: Path, name: str, limit: RateLimit) -> RateLimiter:
    return RateLimiter(limit, folder / "state" / "rate_limits" / name, sleep=lambda seconds: None)


def test_every_http_source_shows_its_budget_in_its_own_group() -> None:
    assert {asset.key.to_user_string() for asset in BUDGETS} == {"aha/rate_budget", "drift/rate_budget"}
    for asset in BUDGETS:
        (spec,) = asset.specs
        assert (spec.group_name, list(spec.deps)) == (asset.key.path[0], [])
        schema = spec.metadata["dagster/column_schema"]
        assert [(column.name, column.type) for column in schema.columns] == [
            (name, column.dtype) for name, column in RATE_BUDGET.by_name.items()
        ]
        assert all(column.description and column.description.endswith(".") for column in schema.columns)


def test_a_budget_of_which_nothing_was_used_is_an_empty_table_with_its_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it talked to somebody"))
    frame, metadata = shown(tmp_path)

    assert len(frame) == 0
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        name: column.dtype for name, column in RATE_BUDGET.by_name.items()
    }
    assert (metadata["used"], metadata["refused_429"], metadata["now"]) == (0, 0, "Nothing was sent yet.")
    assert metadata["last_hour"] == "Nothing was sent in the last hour."


def test_a_budget_shows_what_was_allowed_used_waited_for_and_refused(tmp_path: Path) -> None:
    now = int(time.time())
    for name, allowed in (("aha-0a1b.account", 300.0), ("aha-0a1b.reports", 60.0), ("drift-2c.account", 300.0)):
        path = limiter(tmp_path, name, RateLimit(per_minute=allowed)).path
        path.parent.mkdir(parents=True, exist_ok=True)
        UsageLog(usage_path(path)).add(now - 7_200, allowed, used=4, wait_seconds=1.5, refused=1)
        UsageLog(usage_path(path)).add(now, allowed, used=2, wait_seconds=0.25)
    frame, metadata = shown(tmp_path)

    before, minute = ((pd.Timestamp(at // 60 * 60, unit="s", tz="UTC")) for at in (now - 7_200, now))
    assert frame.to_dict("split")["data"] == [
        ["aha-0a1b", "account", before, 300.0, 4, 1.5, 1],
        ["aha-0a1b", "account", minute, 300.0, 2, 0.25, 0],
        ["aha-0a1b", "reports", before, 60.0, 4, 1.5, 1],
        ["aha-0a1b", "reports", minute, 60.0, 2, 0.25, 0],
    ]
    assert (metadata["used"], metadata["seconds_waiting"], metadata["refused_429"]) == (12, 3.5, 2)
    assert metadata["last_hour"].count("\n") == 1 + 2


def test_an_account_without_a_limit_has_its_requests_shown_all_the_same(tmp_path: Path) -> None:
    limiter(tmp_path, "aha-0a1b.account", RateLimit()).acquire()
    frame, metadata = shown(tmp_path)

    assert (list(frame["used"]), list(frame["allowed"].isna())) == ([1], [True])
    assert "| account | 1 | any number | 0.0 s | 0 |" in metadata["last_hour"]


def test_a_record_that_cannot_be_read_is_named(project: Project) -> None:
    (project.folder / "state" / "sandbox" / "rate_limits" / "drift-0a1b.account.usage").mkdir(parents=True)
    ((error, message),) = failures(project.run(budget_of("drift"))).values()
    assert (error, "drift-0a1b.account.usage" in message) == ("DestinationUnwritable", True)


def test_a_stream_whose_requests_cannot_be_noted_asks_nothing(project: Project) -> None:
    (project.folder / "state" / "sandbox").mkdir(parents=True)
    (project.folder / "state" / "sandbox" / "rate_limits").write_text("")
    ((error, message),) = failures(project.run("drift/users")).values()
    assert (error, "Without it no request is made" in message) == ("DestinationUnwritable", True)


def test_a_budget_shows_for_how_long_its_account_is_blocked_and_slowed(tmp_path: Path) -> None:
    one = limiter(tmp_path, "aha-0a1b.account", RateLimit(per_minute=300))
    one.acquire()
    assert "| aha-0a1b account | not blocked | 100% |" in shown(tmp_path)[1]["now"]
    one.refused(3_000)
    held = standing(one.path)

    assert (2_900 < held.blocked_seconds <= 3_000, held.pace_share) == (True, 0.5)
    assert shown(tmp_path)[1]["now"].splitlines()[-1].endswith("+00:00 | 50% |")
    assert standing(tmp_path / "none") == Standing(0.0, 1.0)


def test_a_budget_is_made_last_and_also_after_a_stream_that_fails(project: Project, fail: Fail) -> None:
    fail({"pattern": "GET /drift/users/list", "kind": "html"})
    result = project.run(budget_of("drift"), "drift/teams", "drift/users")
    steps = [event.step_key for event in result.all_events if event.is_step_start]

    assert (steps[-1], result.success) == ("drift__rate_budget", False)
    assert materialized(result, "drift/rate_budget").keys() == {None}


@pytest.mark.parametrize("seconds", [61, 3_000, 3_600])
def test_a_demanded_wait_of_more_than_a_minute_gives_the_place_back_for_all_of_it_and_keeps_what_was_read(
    project: Project, fail: Fail, seconds: int
) -> None:
    fail({"pattern": "GET /drift/accounts*", "kind": "429", "retry_after": str(seconds), "skip": 1})
    context = dg.build_asset_context(resources=project.resources(), asset_config={})
    with pytest.raises(dg.RetryRequested) as asked:
        list(project.asset("drift/accounts")(context))  # type: ignore[call-overload]  # a generator
    assert asked.value.seconds_to_wait == seconds

    fail()
    again = materialized(project.run("drift/accounts"), "drift/accounts")[None]
    assert (again["pages_resumed"], again["requests"]) == (1, again["pages"] - 1)


def test_a_demanded_wait_of_more_than_an_hour_fails_and_says_so(project: Project, fail: Fail) -> None:
    fail({"pattern": "GET /drift/users/list", "kind": "429", "retry_after": "3601"})
    context = dg.build_asset_context(resources=project.resources(), asset_config={})
    with pytest.raises(dg.Failure, match="the server asks to wait 3601 s"):
        list(project.asset("drift/users")(context))  # type: ignore[call-overload]  # a generator
