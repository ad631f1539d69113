"""Sliding windows: how a vendor refuses what is too much."""

import pytest
import requests

from connector_resources.sandbox.accounts import place
from connector_resources.sandbox.aha import Rules
from connector_resources.sandbox.limits import SlidingWindows, Verdict
from connector_resources.sandbox.server import build
from connector_resources.sandbox.settings import Settings
from tests.sandbox.conftest import KEY, TODAY, AhaClient, AsgiAdapter, Clock


def test_a_window_refuses_one_too_many_and_says_when_there_is_room() -> None:
    clock = Clock()
    windows = SlidingWindows([(2, 1), (5, 60)], clock)
    now = int(clock.now)
    assert windows.admit() == Verdict(False, 5, 4, now + 60)
    clock.now += 0.5
    assert windows.admit() == Verdict(False, 5, 3, now + 60)
    assert windows.admit() == Verdict(True, 2, 0, now + 1)
    clock.now += 0.5
    assert windows.admit() == Verdict(False, 5, 2, now + 60)


def test_what_is_refused_does_not_count() -> None:
    clock = Clock()
    windows = SlidingWindows([(1, 1)], clock)
    windows.admit()
    for _ in range(5):
        assert windows.admit().is_refused
    clock.now += 1
    assert not windows.admit().is_refused


def test_the_window_slides_and_does_not_start_anew_each_minute() -> None:
    clock = Clock()
    windows = SlidingWindows([(10, 60)], clock)
    verdicts = []
    for _ in range(20):
        verdicts.append(windows.admit().is_refused)
        clock.now += 5.9
    # Eleven steps of 5.9 s are the first that leave the oldest request a minute behind.
    assert verdicts == [False] * 10 + [True] + [False] * 9


@pytest.mark.parametrize(
    ("limits", "gap_seconds", "accepted", "limit"),
    [
        pytest.param(1.0, 0.0, 20, "20", id="twenty a second"),
        pytest.param(2.0, 0.0, 40, "40", id="the setting multiplies"),
        pytest.param(0.5, 0.0, 10, "10", id="and divides"),
        pytest.param(1.0, 0.06, 300, "300", id="three hundred a minute"),
    ],
)
def test_the_account_is_limited_in_both_windows(limits: float, gap_seconds: float, accepted: int, limit: str) -> None:
    clock = Clock()
    client = AhaClient(Rules(clock=clock), limits=limits, scale=0.01)
    for _ in range(accepted):
        assert client.get("/me").status_code == 200
        clock.now += gap_seconds
    refused = client.get("/me")
    assert refused.status_code == 429
    assert refused.json() == {"error": "Rate limit exceeded. Try again later."}
    assert refused.headers["X-Ratelimit-Limit"] == limit
    assert refused.headers["X-Ratelimit-Remaining"] == "0"
    clock.now = float(refused.headers["X-Ratelimit-Reset"])
    assert client.get("/me").status_code == 200


def test_every_answer_says_what_is_left_of_the_minute() -> None:
    clock = Clock()
    client = AhaClient(Rules(clock=clock), limits=1, scale=0.01)
    client.get("/me")
    for path, status in (("/features", 200), ("/features/7", 404), ("/nowhere", 404), ("/features?x=1", 422)):
        response = client.get(path)
        assert response.status_code == status
        assert {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} <= set(response.headers)
    assert response.headers["X-Ratelimit-Remaining"] == "295"
    assert response.headers["X-Ratelimit-Reset"] == str(int(clock.now) + 60)


def test_without_limits_nothing_is_refused_and_no_limit_is_told() -> None:
    client = AhaClient(Rules(clock=Clock()), limits=0, scale=0.01)
    answers = [client.get("/me") for _ in range(50)]
    assert {response.status_code for response in answers} == {200}
    assert "X-Ratelimit-Limit" not in answers[-1].headers


def test_each_account_of_a_vendor_has_windows_of_its_own() -> None:
    session = requests.Session()
    session.mount("http://vendors", AsgiAdapter(build(Settings(today=TODAY, scale=0.01, limits=0.02))))

    def status(account: str) -> int:
        address = f"http://vendors/{place('aha', account)}/api/v1/me"
        return session.get(address, headers={"Authorization": f"Bearer {KEY}"}).status_code

    while status("aha") != 429:  # 6 a minute
        pass
    assert [status("aha_emea"), status("aha"), status("aha_us")] == [200, 429, 200]
