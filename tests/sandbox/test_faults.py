"""Faults on demand, over a real socket."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import urllib3

from connector_resources.sandbox.accounts import credentials
from connector_resources.sandbox.faults import Fault, FaultPlan

AHA = {"Authorization": f"Bearer {credentials('aha')['api_key']}"}
DRIFT = {"Authorization": f"Bearer {credentials('drift')['access_token']}"}
BROKEN = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
FEATURES = "GET /aha/api/v1/features*"


class Faulted:
    """A running sandbox with its faults under control."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.post("/_sandbox/reset")

    def post(self, path: str, body: Any = None) -> requests.Response:
        return requests.post(f"{self.url}{path}", json=body, timeout=30)

    def switch_on(self, *faults: dict[str, Any]) -> None:
        self.post("/_sandbox/faults", list(faults)).raise_for_status()

    def get(self, path: str, **query: Any) -> requests.Response:
        headers = DRIFT if path.startswith("/drift") else AHA
        return requests.get(f"{self.url}{path}", params=query, headers=headers, timeout=30)

    def features(self, page: int = 1, **query: Any) -> requests.Response:
        return self.get("/aha/api/v1/features", page=page, per_page=10, **query)

    def counts(self) -> Any:
        return requests.get(f"{self.url}/_sandbox/requests", timeout=30).json()


@pytest.fixture
def sandbox(server: str) -> Iterator[Faulted]:
    faulted = Faulted(server)
    yield faulted
    faulted.switch_on()
    faulted.post("/_sandbox/reset")


@pytest.mark.parametrize(
    ("fault", "hits"),
    [
        pytest.param({}, [0], id="once"),
        pytest.param({"times": 3}, [0, 1, 2], id="a burst"),
        pytest.param({"times": 2, "every": 3}, [0, 3], id="every third"),
        pytest.param({"times": 2, "skip": 2}, [2, 3], id="after two"),
        pytest.param({"times": 2, "every": 2, "skip": 1}, [1, 3], id="every second after one"),
    ],
)
def test_a_fault_is_counted_and_then_over(fault: dict[str, Any], hits: list[int]) -> None:
    plan = FaultPlan((Fault("GET /a*", "500", **fault),))
    met = [number for number in range(8) if plan.hit("GET /a?page=1") is not None]
    assert met == hits


@pytest.mark.parametrize(
    ("pattern", "request_", "matches"),
    [
        ("GET /aha/*", "GET /aha/api/v1/me", True),
        ("GET /aha/*", "POST /aha/api/v1/me", False),
        ("GET /aha/*", "GET /drift/users/list", False),
        ("* /aha/api/v1/features", "GET /aha/api/v1/features?page=2", False),
        ("*features?*&page=2*", "GET /aha/api/v1/features?per_page=200&page=2", True),
        ("*features?*&page=2*", "GET /aha/api/v1/features?per_page=200&page=3", False),
        (r"^GET .*[?&]page=2(&|$)", "GET /aha/api/v1/features?page=2&per_page=200", True),
        (r"^GET .*[?&]page=2(&|$)", "GET /aha/api/v1/features?page=1&per_page=200", False),
    ],
)
def test_a_pattern_is_a_glob_or_a_regular_expression(pattern: str, request_: str, matches: bool) -> None:
    assert Fault(pattern, "500").matches(request_) == matches


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "fire"}, "There is no fault 'fire'"),
        ({"kind": "500", "times": 0}, "times and every of at least 1"),
        ({"kind": "500", "every": 0}, "times and every of at least 1"),
        ({"kind": "drift_row", "change": "swap"}, "A row cannot 'swap'"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(sandbox: Faulted, fault: dict[str, Any], message: str) -> None:
    response = sandbox.post("/_sandbox/faults", [{"pattern": "*", **fault}])
    assert response.status_code == 400
    assert message in response.json()["error"]


def test_a_fault_is_read_from_json() -> None:
    text = '{"pattern": "GET /drift/*", "kind": "500", "times": 2}'
    assert Fault.parse(text) == Fault("GET /drift/*", "500", times=2)


def test_a_burst_of_429_comes_in_the_vendor_s_words_and_ends(sandbox: Faulted) -> None:
    sandbox.switch_on({"pattern": FEATURES, "kind": "429", "times": 2})
    refused = sandbox.features()
    assert refused.status_code == 429
    assert refused.json() == {"error": "Rate limit exceeded. Try again later."}
    assert refused.headers["X-Ratelimit-Remaining"] == "0"
    assert 0 <= int(refused.headers["X-Ratelimit-Reset"]) - time.time() <= 2
    assert [sandbox.features().status_code for _ in range(2)] == [429, 200]


def test_drift_s_429_is_drift_s(sandbox: Faulted) -> None:
    sandbox.switch_on({"pattern": "GET /drift/*", "kind": "429", "retry_after": "7"})
    refused = sandbox.get("/drift/users/list")
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "rate_limit")
    assert refused.headers["Retry-After"] == "7"


def test_a_500_is_json_and_passes(sandbox: Faulted) -> None:
    sandbox.switch_on({"pattern": FEATURES, "kind": "500", "retry_after": "3"})
    broken = sandbox.features()
    assert (broken.status_code, broken.headers["Retry-After"]) == (500, "3")
    assert broken.json()["error"]["type"] == "internal_error"
    assert sandbox.features().status_code == 200


def test_a_dropped_connection_gives_no_answer(sandbox: Faulted) -> None:
    sandbox.switch_on({"pattern": FEATURES, "kind": "drop"})
    with pytest.raises(BROKEN):
        sandbox.features()
    assert sandbox.features().status_code == 200


def test_a_truncated_body_is_shorter_than_its_length_says(sandbox: Faulted) -> None:
    whole = sandbox.features().content
    sandbox.switch_on({"pattern": FEATURES, "kind": "truncate", "times": 2})
    with pytest.raises(BROKEN):
        sandbox.features()
    with requests.get(
        f"{sandbox.url}/aha/api/v1/features?page=1&per_page=10", headers=AHA, timeout=30, stream=True
    ) as response:
        assert int(response.headers["Content-Length"]) == len(whole)
        received = response.raw.read(len(whole) // 2)
        with pytest.raises(urllib3.exceptions.ProtocolError):
            response.raw.read(1)
    assert whole.startswith(received)
    assert len(received) == len(whole) // 2
    assert sandbox.features().content == whole


def test_a_web_page_comes_with_status_200(sandbox: Faulted) -> None:
    sandbox.switch_on({"pattern": FEATURES, "kind": "html"})
    response = sandbox.features()
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.text.startswith("<!DOCTYPE html>")


def test_a_repeated_page_is_the_one_before(sandbox: Faulted) -> None:
    sandbox.switch_on({"pattern": "*features?page=2*", "kind": "repeat_page"})
    first, second, again = (sandbox.features(page) for page in (1, 2, 2))
    assert second.content == first.content
    assert again.json()["pagination"]["current_page"] == 2


def test_the_first_page_cannot_be_repeated_and_is_served(sandbox: Faulted) -> None:
    sandbox.switch_on({"pattern": FEATURES, "kind": "repeat_page"})
    assert sandbox.features().json()["pagination"]["current_page"] == 1


@pytest.mark.parametrize(
    ("change", "total", "first_of_page_two"),
    [
        pytest.param("insert", 1, "the last of page one", id="a new row shifts the next page back: one comes twice"),
        pytest.param("remove", -1, "the second of page two", id="a row that goes shifts it forward: one is missed"),
        pytest.param("update", 0, "the first of page two", id="a row that is edited shifts nothing"),
    ],
)
def test_rows_drift_while_pages_are_read(sandbox: Faulted, change: str, total: int, first_of_page_two: str) -> None:
    before = [sandbox.features(page).json() for page in (1, 2)]
    ids = [row["id"] for page in before for row in page["features"]]
    sandbox.switch_on({"pattern": "*features?page=2*", "kind": "drift_row", "change": change})
    sandbox.features(1)
    drifted = sandbox.features(2).json()
    position = {"the last of page one": 9, "the first of page two": 10, "the second of page two": 11}
    assert drifted["features"][0]["id"] == ids[position[first_of_page_two]]
    assert drifted["pagination"]["total_records"] == before[1]["pagination"]["total_records"] + total


def test_drift_s_rows_drift_too(sandbox: Faulted) -> None:
    first = sandbox.get("/drift/conversations/list", limit=5).json()["data"]
    sandbox.switch_on({"pattern": "GET /drift/conversations/list*", "kind": "drift_row"})
    drifted = sandbox.get("/drift/conversations/list", limit=5).json()["data"]
    assert drifted[0]["id"] not in {row["id"] for row in first}
    assert [row["id"] for row in drifted[1:]] == [row["id"] for row in first[:-1]]


def test_a_slow_answer_is_slow_and_whole(sandbox: Faulted) -> None:
    sandbox.switch_on({"pattern": FEATURES, "kind": "slow", "seconds": 0.2})
    start = time.monotonic()
    assert sandbox.features().status_code == 200
    assert time.monotonic() - start >= 0.2


def test_the_control_api_counts_every_request_and_fault(sandbox: Faulted) -> None:
    sandbox.switch_on({"pattern": FEATURES, "kind": "500"}, {"pattern": FEATURES, "kind": "drop"})
    sandbox.features()
    with pytest.raises(BROKEN):
        sandbox.features()
    sandbox.features(page=2)
    sandbox.get("/drift/users/list")
    counts = sandbox.counts()
    assert counts["total"] == 4
    assert counts["vendors"] == {"aha": 3, "drift": 1}
    assert counts["paths"] == {"/aha/api/v1/features": 3, "/drift/users/list": 1}
    assert [(entry["query"], entry["status"]) for entry in counts["last"]] == [
        ("page=1&per_page=10", 500),
        ("page=1&per_page=10", None),
        ("page=2&per_page=10", 200),
        ("", 200),
    ]
    sandbox.post("/_sandbox/reset")
    assert sandbox.counts()["total"] == 0


def test_a_reset_brings_changed_rows_back(sandbox: Faulted) -> None:
    before = sandbox.features().json()
    sandbox.switch_on({"pattern": FEATURES, "kind": "drift_row", "change": "remove"})
    assert sandbox.features().json() != before
    sandbox.post("/_sandbox/reset")
    assert sandbox.features().json() == before


def test_an_address_of_no_vendor_is_404_even_with_faults_on(sandbox: Faulted) -> None:
    sandbox.switch_on({"pattern": "*", "kind": "429"})
    assert sandbox.get("/elsewhere").status_code == 404
    assert requests.get(f"{sandbox.url}/_sandbox/health", timeout=30).json() == {"status": "ok"}
