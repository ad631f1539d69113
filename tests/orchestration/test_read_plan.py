"""What a run says before it reads: how much it is going to ask, and whether the account has that left."""

import json
import math
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import requests

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.errors import RequestBudgetSpent
from connector_resources.http.rate_limit import usage_path
from connector_resources.http.rate_usage import UsageLog
from connector_resources.spool import kept, prune
from orchestration.read_plan import Past, ReadPlan, expected, past_runs
from tests.orchestration.conftest import DAYS, DriftInTurn, Fail, Project, failures, materialized

PLAN = ReadPlan("s.things", DAYS, 120, "it was so", 300.0, 0, 0)


def budgeted(project: Project, budget: int) -> Project:
    """Return the project with so many requests a day for each account."""
    return replace(project, changes={"daily_request_budget": budget})


def asked_of(project: Project) -> int:
    """Return how many requests the sandbox has had."""
    return int(requests.get(f"{project.url}/_sandbox/requests", timeout=10).json()["vendors"].get("drift", 0))


def asked_today(project: Project) -> int:
    """Return how many requests the project has made of the account of Drift, by its own record."""
    (path,) = (project.folder / "state" / "sandbox" / "rate_limits").glob("drift-*.usage")
    return UsageLog(path).used_on_day_of(time.time())


def a_day_later(project: Project, days: float = 1.0) -> None:
    """Let everything of the project lie so many days longer; what was sent was sent before today."""
    for usage in project.folder.glob("state/*/rate_limits/*.usage"):
        usage.unlink()
    for path in (project.folder / "spools").rglob("*"):
        if path.name == "manifest.json":
            manifest = json.loads(path.read_text())
            path.write_text(json.dumps({**manifest, "started_at": manifest["started_at"] - days * 86_400}))
        was = path.stat().st_mtime
        os.utime(path, (was, was - days * 86_400))


def logged(project: Project, result: dg.ExecuteInProcessResult) -> list[str]:
    return [entry.user_message for entry in project.instance.all_logs(result.run_id)]


# -- what is to be expected -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("past", "partitions", "parents", "requests"),
    [
        pytest.param([], 90, None, None, id="never read"),
        pytest.param([Past(12, 90, 0)], 90, None, 12, id="as before"),
        pytest.param([Past(12, 90, 0)], 1, None, 1, id="one request at least"),
        pytest.param([Past(1, 1, 0), Past(12, 90, 0)], 60, None, 8, id="by the run of about as many days"),
        pytest.param([Past(1, 1, 0), Past(12, 90, 0)], 2, None, 2, id="and not by the other"),
        pytest.param([Past(2, 1, 0), Past(4, 1, 0)], 3, None, 6, id="the newest of those alike"),
        pytest.param([], 90, 58, 58, id="one for each parent"),
        pytest.param([Past(90, 1, 30)], 90, 58, 174, id="as many for each parent as before"),
        pytest.param([Past(9, 1, 30)], 90, 58, 58, id="and one at least"),
        pytest.param([Past(90, 1, 0)], 90, 58, 58, id="a run of before there were parents says nothing"),
        pytest.param([Past(90, 1, 30)], 90, 0, 0, id="no parents"),
    ],
)
def test_what_the_run_most_like_this_one_has_cost_is_expected(
    past: list[Past], partitions: int, parents: int | None, requests: int | None
) -> None:
    assert expected(past, partitions, parents)[0] == requests


def test_a_plan_says_how_many_requests_for_how_long_and_what_is_left() -> None:
    assert str(PLAN) == (
        f"s.things, the plan: 12 partitions ({DAYS[0]} … {DAYS[-1]}), about 120 requests (it was so), 24 s at 300 a "
        "minute."
    )
    assert str(replace(PLAN, requests=12_000, budget=20_000, used_today=1_500)).endswith(
        "about 12,000 requests (it was so), 40 minutes at 300 a minute; 1,500 of today's 20,000 are used."
    )
    assert "nobody knows how many requests (never) at 300 a minute." in str(replace(PLAN, requests=None, basis="never"))
    assert str(replace(PLAN, per_minute=math.inf)).endswith("about 120 requests (it was so), no time.")
    assert "about 1 request (it was so)" in str(replace(PLAN, requests=1))


@pytest.mark.parametrize(
    ("budget", "used", "requests", "is_refused"),
    [
        (0, 9999, 120, False),
        (1000, 880, 120, False),
        (1000, 881, 120, True),
        (1000, 2000, 1, True),
        (1000, 999, None, False),
        (1000, 1000, None, True),
        (1000, 1000, 0, False),
    ],
)
def test_more_than_the_day_has_left_is_refused(budget: int, used: int, requests: int | None, is_refused: bool) -> None:
    plan = replace(PLAN, budget=budget, used_today=used, requests=requests)
    if not is_refused:
        plan.require_budget()
        return
    with pytest.raises(RequestBudgetSpent, match=r"s.things: .*DAILY_REQUEST_BUDGET.*ignore_budget"):
        plan.require_budget()


# -- in runs ----------------------------------------------------------------------------------------------------------


def test_a_range_is_planned_from_what_was_read_before_in_the_log_and_in_its_metadata(project: Project) -> None:
    first = project.run("drift/conversations", "drift/messages", days=DAYS[:6])
    second = project.run("drift/conversations", "drift/messages", days=DAYS)
    before, now = (materialized(run, "drift/conversations") for run in (first, second))
    assert before[DAYS[0]].keys() & {"expected_requests", "expected_minutes"} == set()
    assert "drift.conversations, the plan: 6 partitions" in "\n".join(logged(project, first))
    assert now[DAYS[0]]["expected_requests"] == math.ceil(before[DAYS[0]]["requests"] * 2)
    assert f"drift.conversations, the plan: 12 partitions ({DAYS[0]} … {DAYS[-1]}), about" in "\n".join(
        logged(project, second)
    )
    ((parents,),) = project.store.query("SELECT count(*) FROM drift.conversations_current")
    messages = materialized(second, "drift/messages")[DAYS[0]]
    assert messages["parents"] == parents
    assert messages["expected_requests"] >= parents
    assert messages["requests"] == messages["pages"]


def test_a_reading_that_went_on_from_disk_says_nothing_of_what_one_costs(project: Project, fail: Fail) -> None:
    project.sources["drift"] = DriftInTurn
    assert project.run("drift/conversations", days=DAYS).success
    fail({"pattern": "GET /drift/conversations/*/messages*", "kind": "html", "skip": 3})
    assert failures(project.run("drift/messages", days=DAYS))
    fail()
    assert project.run("drift/messages", days=DAYS).success
    assert past_runs(project.instance, dg.AssetKey(["drift", "messages"])) == []
    whole = materialized(project.run("drift/messages", days=DAYS), "drift/messages")[DAYS[0]]
    past = [Past(whole["requests"], len(DAYS), whole["parents"])]
    assert past_runs(project.instance, dg.AssetKey(["drift", "messages"])) == past


def test_a_run_beyond_the_days_budget_asks_nothing_and_changes_nothing(project: Project) -> None:
    assert project.run("drift/conversations", "drift/messages", days=DAYS).success
    rows = project.rows("drift.messages")
    tight = budgeted(project, 10)
    result = tight.run("drift/conversations", "drift/messages", days=DAYS)
    ((step, (error, message)),) = failures(result).items()
    assert (step, error) == ("drift__conversations", "RequestBudgetSpent")
    assert "today (UTC) has 0 of 10 left. Nothing was asked." in message
    assert tight.rows("drift.messages") == rows
    assert tight.run("drift/conversations", days=DAYS, ignore_budget=True).success


def test_what_was_sent_today_counts_and_what_was_sent_before_does_not(project: Project) -> None:
    limited = budgeted(project, 100)
    (first,) = materialized(limited.run("drift/users"), "drift/users").values()
    (second,) = materialized(limited.run("drift/users"), "drift/users").values()
    assert (first["requests_used_today"], second["requests_used_today"]) == (0, first["requests"])
    assert second["daily_request_budget"] == 100
    source = limited.resources()["connection"].connected(limited.resources()["drift"].process_config_and_initialize())
    now = datetime.now(UTC)
    UsageLog(usage_path(source._limiter(source.rate_limit, "account").path)).add(now.timestamp() - 86_400, 300, used=50)
    assert source.requests_on_day_of(now) == 2
    assert source.requests_on_day_of(now - timedelta(days=1)) == 50


def test_a_reading_that_turns_out_to_need_more_stops_before_the_request_that_is_too_many(project: Project) -> None:
    before = asked_of(project)
    ((step, (error, message)),) = failures(budgeted(project, 3).run("drift/accounts")).items()

    assert (step, error) == ("drift__accounts", "RequestBudgetSpent")
    assert asked_of(project) - before == 3
    assert "drift.accounts: the reading was stopped after 3 pages, which are kept for two days" in message
    assert "have sent 3 requests today (UTC), and a day may have 3. Wait for tomorrow" in message


def test_the_next_day_goes_on_where_the_requests_of_one_were_spent(project: Project) -> None:
    whole = replace(project, folder=project.folder / "whole", instance=dg.DagsterInstance.ephemeral())
    expected = materialized(whole.run("drift/accounts"), "drift/accounts")[None]["requests"]
    before, tight = asked_of(project), budgeted(project, 1)
    for _ in range(expected - 1):
        assert failures(tight.run("drift/accounts"))["drift__accounts"][0] == "RequestBudgetSpent"
        a_day_later(tight)
    assert failures(tight.run("drift/accounts")) == {}

    assert asked_of(project) - before == expected == 4
    assert tight.rows("drift.accounts") == whole.rows("drift.accounts")


def test_what_waits_for_another_days_requests_is_kept_for_two_days(project: Project) -> None:
    assert failures(budgeted(project, 3).run("drift/accounts"))
    spools = project.folder / "spools"
    for days, pages in ((1.9, [3]), (0.2, [])):
        a_day_later(project, days)
        prune(spools, keep_days=7, keep_bytes=1 << 30)
        assert [each.pages for each in kept(spools)] == pages


@pytest.mark.parametrize(("hours", "pages"), [(5.0, 3), (47.0, 3), (49.0, 0)])
def test_a_paused_reading_is_taken_up_for_two_days(project: Project, hours: float, pages: int) -> None:
    assert failures(budgeted(project, 3).run("drift/accounts"))
    a_day_later(project, hours / 24)
    (accounts,) = materialized(project.run("drift/accounts"), "drift/accounts").values()

    assert accounts["pages_resumed"] == pages


def test_a_reading_is_judged_by_what_is_left_to_ask(project: Project, fail: Fail) -> None:
    project.sources["drift"] = DriftInTurn
    expected = materialized(project.run("drift/conversations", "drift/messages", days=DAYS), "drift/messages")[DAYS[0]]
    left = 5
    fail({"pattern": "GET /drift/conversations/*/messages*", "kind": "html", "skip": expected["requests"] - left})
    assert failures(project.run("drift/messages", days=DAYS))
    fail()
    used = asked_today(project)
    for room in (left - 1, left):
        result = budgeted(project, used + room).run("drift/messages", days=DAYS)
        assert result.success is (room == left)
        if room < left:
            assert (
                f"needs about {left} requests, and today (UTC) has {room} of"
                in next(iter(failures(result).values()))[1]
            )


def test_what_is_on_disk_whole_is_landed_though_no_request_is_left(project: Project) -> None:
    assert project.run("drift/users").success
    with DuckDB(project.settings.database, project.folder / "t").locked(shared=False):
        held = replace(project, warehouse={"lock_timeout_seconds": 0.0})
        assert [error for error, _ in failures(held.run("drift/users")).values()] == ["DestinationBusy"]
    (users,) = materialized(budgeted(project, 1).run("drift/users"), "drift/users").values()
    assert users["requests"] == 0


def test_a_look_is_judged_by_one_request_and_held_to_what_is_left(project: Project) -> None:
    assert project.run("drift/conversations", "drift/messages", days=DAYS).success
    used = asked_today(project)
    looks = [budgeted(project, used + room).run("drift/messages", days=DAYS, limit=1) for room in (0, 1)]
    assert [look.success for look in looks] == [False, True]
    many = budgeted(project, used + 3).run("drift/messages", days=DAYS, limit=10_000)
    assert "a day may have" in next(iter(failures(many).values()))[1]
    assert asked_today(project) == used + 3


def test_a_run_that_ignores_the_budget_is_not_held_by_it(project: Project) -> None:
    assert project.run("drift/conversations", days=DAYS).success
    result = budgeted(project, 2).run("drift/messages", days=DAYS, ignore_budget=True)
    assert failures(result) == {}
