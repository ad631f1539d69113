import gzip
import io
import re
import time
import traceback
import zlib
from collections.abc import Callable, Collection
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3.exceptions

from connector_resources.errors import ConfigurationError, RateLimited, RequestRejected, RequestRetryable
from connector_resources.http.authenticators import ApiKeyQuery, BearerToken, Signature
from connector_resources.http.messages import Request
from connector_resources.http.rate_limit import RateLimit, RateLimiter, Standing
from connector_resources.http.retry import RetryPolicy
from tests.http.fake_api import Clock, FakeApi, Prepared, Step, answer, client

SECRET = "hunter2-secret"
REQUEST = Request("/things", params={"q": SECRET})


class Rotating:
    """A credential that can be replaced `replacements` times."""

    def __init__(self, replacements: int = 1) -> None:
        self.number, self.replacements = 0, replacements

    def sign(self) -> Signature:
        return Signature({"Authorization": f"Bearer {self.number}"})

    def refresh(self, used: Signature) -> bool:
        assert used == self.sign()
        if self.number == self.replacements:
            return False
        self.number += 1
        return True

    def secrets(self) -> Collection[str]:
        return ()


def test_a_request_is_sent_as_it_is_with_the_credential_beside_it(tmp_path: Path) -> None:
    request = Request("/things", "POST", {"a": "é b", "s": ("1", "2")}, {"filters": [1]}, {"never": "sent"})
    with FakeApi(Prepared(201, {"data": []}, {"X-Page": "1"})) as api:
        response = client(api, tmp_path, authenticator=BearerToken(SECRET), headers={"User-Agent": "headrace"}).send(
            request
        )

    (sent,) = api.requests
    assert (response.status, response.headers["x-page"], response.body) == (201, "1", b'{"data": []}')
    assert (sent.method, sent.url) == ("POST", "https://api.test/v1/things?a=%C3%A9+b&s=1&s=2")
    assert sent.body == b'{"filters": [1]}'
    assert {name: sent.headers[name] for name in ("Accept", "User-Agent", "Authorization", "Content-Type")} == {
        "Accept": "application/json",
        "User-Agent": "headrace",
        "Authorization": f"Bearer {SECRET}",
        "Content-Type": "application/json",
    }


ODD = ["", "a b", "1+1", "ä", "日本", "~-._", "a&b=c#d?e/f", "100%", "%41", "[x]:@!$,;", "'\"<>\\^`{|}"]


PATHS = [
    "/things/1/notes",
    "/things/2/notes",
    "/a.b-c_d~e",
    "/a/../b",
    "/a/./b",
    "/.a/b",
    "//a//b",
    "/a/",
    "/",
    "",
    "a",
]


@pytest.mark.parametrize(
    "base",
    [
        "https://api.test/v1",
        "https://api.test",
        "HTTPS://Api.TEST:8443/v1/",
        "https://api.test/v1/../a b/ä",
        "http://a?b=c",
    ],
)
def test_requests_go_out_as_the_library_would_send_each_by_itself(base: str, tmp_path: Path) -> None:
    asked = [
        *(Request("/things", params={"q": value, value: "page"}) for value in ODD),
        Request("/things", params={"q": ("1", "ä b", "1")}),
        Request("/things"),
        Request("/a b/ä/%41", params={"page": "1"}),
        Request("/things?a=1", params={"page": "2"}),
        Request("/things#a", params={"page": "2"}),
        *(Request(path, params={"page": "1"}) for path in PATHS),
        *(Request(path) for path in PATHS),
        Request("/things", "POST", {"page": "1"}, {"name": "ä"}),
        Request("/things", "POST", {"page": "2"}),
        Request("/things", params={"page": "1"}),
    ]
    with FakeApi(*(Prepared() for _ in asked)) as api:
        sender = client(api, tmp_path, base_url=base, authenticator=BearerToken("key"))
        for request in asked:
            sender.send(request)

    for sent, request in zip(api.requests, asked, strict=True):
        alone = requests.Session().prepare_request(
            requests.Request(
                request.method,
                sender.base_url + request.path,
                params=request.params,
                json=request.json,
                headers={"Accept": "application/json", "Authorization": "Bearer key"},
            )
        )
        assert (sent.method, sent.url, sent.headers, sent.body) == (
            alone.method,
            alone.url,
            alone.headers,
            alone.body,
        )


def test_a_cookie_goes_out_as_it_was_set_last_and_a_new_credential_with_the_next_request(tmp_path: Path) -> None:
    with FakeApi(*(Prepared() for _ in range(4))) as api:
        sender = client(api, tmp_path, authenticator=BearerToken("key"))
        sender.send(Request("/things"))
        sender.session.cookies.set("place", "1")
        sender.send(Request("/things"))
        sender.session.cookies.set("place", "2")
        sender.send(Request("/things"))
        sender.authenticator = BearerToken("another")
        sender.send(Request("/things"))

    assert [request.headers.get("Cookie") for request in api.requests] == [None, "place=1", "place=2", "place=2"]
    assert [request.headers["Authorization"] for request in api.requests] == [*["Bearer key"] * 3, "Bearer another"]


def test_a_key_in_the_query_is_sent_beside_the_parameters(tmp_path: Path) -> None:
    with FakeApi(Prepared()) as api:
        client(api, tmp_path, authenticator=ApiKeyQuery("k")).send(Request("/things", params={"page": "2"}))

    assert api.queries == [{"page": "2", "api_key": "k"}]


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
)
def test_a_compressed_body_is_unpacked(tmp_path: Path, encoding: str, compress: Callable[[bytes], bytes]) -> None:
    body = b'{"data": "' + b"x" * 3_000_000 + b'"}'
    with FakeApi(Prepared(200, compress(body), {"Content-Encoding": encoding})) as api:
        one = client(api, tmp_path)
        assert one.send(REQUEST).body == body

    assert one.statistics.bytes == len(body)


FAILING: list[tuple[Step, str]] = [
    (requests.ConnectionError(f"https://api.test/v1/things?q={SECRET}"), "ConnectionError"),
    (requests.ReadTimeout(f"https://api.test/v1/things?q={SECRET}"), "ReadTimeout"),
    (requests.exceptions.SSLError(f"?q={SECRET}"), "SSLError"),
    (urllib3.exceptions.ProtocolError(f"?q={SECRET}"), "ProtocolError"),
    (
        requests.ConnectionError(
            urllib3.exceptions.MaxRetryError(None, f"/v1/things?q={SECRET}", ConnectionRefusedError(SECRET))  # type: ignore[arg-type]  # no pool is at hand
        ),
        "ConnectionRefusedError",
    ),
    (ConnectionResetError(SECRET), "ConnectionResetError"),
    (Prepared(200, b'{"data": [', {"Content-Length": "500"}), "IncompleteRead"),
    (Prepared(200, b"not gzip", {"Content-Encoding": "gzip"}), "error"),
    (
        Prepared(200, gzip.compress(b"x" * 100_000)[:-20], {"Content-Encoding": "gzip", "Content-Length": "500"}),
        "IncompleteRead",
    ),
]


@pytest.mark.parametrize(("step", "kind"), FAILING, ids=[kind for _, kind in FAILING])
def test_an_answer_that_does_not_arrive_whole_is_tried_again(tmp_path: Path, step: Step, kind: str) -> None:
    with FakeApi(step, step, Prepared()) as api:
        one = client(api, tmp_path, retry=RetryPolicy(tries=3))
        one.send(REQUEST)

    assert (one.statistics.requests, one.statistics.retries) == (3, 2)


@pytest.mark.parametrize(("step", "kind"), FAILING, ids=[kind for _, kind in FAILING])
def test_a_connection_that_keeps_failing_tells_its_kind_and_no_secret(tmp_path: Path, step: Step, kind: str) -> None:
    with FakeApi(step, step) as api, pytest.raises(RequestRetryable) as caught:
        client(api, tmp_path, retry=RetryPolicy(tries=2), authenticator=BearerToken(SECRET)).send(REQUEST)

    assert str(caught.value) == (
        f"test: GET /things: no whole answer from api.test ({kind}). "
        "Check the host and the network; a run may be repeated, what was read is kept."
    )
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, "The API does not accept a parameter; compare the stream's declaration with the reference."),
        (401, "The credential is not accepted; check it."),
        (403, "The credential is not accepted, or may not read this; check it and its permissions."),
        (404, "There is no such path or record, or the credential may not see it; check the host."),
        (410, "The API refuses the request for good."),
        (422, "The API does not accept a parameter; compare the stream's declaration with the reference."),
    ],
)
def test_a_final_refusal_is_not_tried_again_and_says_what_to_do(tmp_path: Path, status: int, advice: str) -> None:
    with FakeApi(Prepared(status, {"error": SECRET})) as api, pytest.raises(RequestRejected) as caught:
        client(api, tmp_path, authenticator=BearerToken(SECRET)).send(REQUEST)

    assert (str(caught.value), caught.value.status) == (f"test: GET /things: {status}. {advice}", status)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_can_get_better_is_tried_again_until_tries_are_spent(tmp_path: Path, status: int) -> None:
    clock = Clock()
    with FakeApi(*[Prepared(status, b"<html>")] * 3) as api, pytest.raises(RequestRetryable) as caught:
        client(api, tmp_path, clock=clock, retry=RetryPolicy(tries=3)).send(REQUEST)

    assert (str(caught.value), caught.value.status) == (f"test: GET /things: {status} in every try.", status)
    assert len(clock.slept) == 2


def test_the_servers_wait_is_slept_and_counted(tmp_path: Path) -> None:
    clock = Clock()
    with FakeApi(Prepared(429, headers={"Retry-After": "7"}), Prepared()) as api:
        one = client(api, tmp_path, clock=clock)
        one.send(REQUEST)

    assert (clock.slept, one.statistics.wait_seconds) == ([7.0], 7.0)


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_longer_than_the_policy_gives_the_place_back(tmp_path: Path, status: int) -> None:
    clock = Clock()
    refusal = Prepared(status, headers={"Retry-After": "61"})
    with FakeApi(refusal) as api, pytest.raises(RateLimited) as caught:
        client(api, tmp_path, clock=clock).send(REQUEST)

    assert (caught.value.wait_seconds, caught.value.status, clock.slept) == (61.0, status, [])


@pytest.mark.parametrize("seconds", [61, 3_000])
def test_a_refusal_for_the_rate_holds_the_whole_account_back_for_all_that_is_demanded(
    tmp_path: Path, seconds: int
) -> None:
    clock = Clock()
    limit = RateLimit(per_second=100)
    with (
        FakeApi(Prepared(429, headers={"Retry-After": str(seconds)})) as api,
        pytest.raises(RateLimited, match=f"asks to wait {seconds} s") as caught,
    ):
        client(api, tmp_path, clock=clock, limit=limit).send(REQUEST)

    with FakeApi(Prepared()) as api:
        client(api, tmp_path, clock=clock, limit=limit).send(REQUEST)

    assert (caught.value.wait_seconds, clock.slept) == (seconds, [seconds])


DEMANDS = {
    "Retry-After in seconds": lambda: {"Retry-After": "20"},
    "Retry-After as a date": lambda: {"Retry-After": formatdate(time.time() + 20, usegmt=True)},
    "Reset in seconds": lambda: {"X-Ratelimit-Reset": "20"},
    "Reset as an epoch": lambda: {"X-Ratelimit-Reset": str(int(time.time()) + 20)},
    "Reset as an epoch in milliseconds": lambda: {"X-Ratelimit-Reset": str(int(time.time() + 20) * 1000)},
}


@pytest.mark.parametrize("headers", DEMANDS.values(), ids=DEMANDS)
def test_a_refusal_holds_others_back_in_whatever_form_the_wait_is_told(
    tmp_path: Path, headers: Callable[[], dict[str, str]]
) -> None:
    clock = Clock()
    limit = RateLimit(per_second=100)
    with FakeApi(Prepared(429, headers=headers())) as api, pytest.raises(RequestRetryable):
        client(api, tmp_path, clock=clock, limit=limit, retry=RetryPolicy(tries=1)).send(REQUEST)
    with FakeApi(Prepared()) as api:
        client(api, tmp_path, clock=clock, limit=limit).send(REQUEST)

    assert clock.slept == [pytest.approx(19.5, abs=1.0)]


def test_a_refusal_without_a_word_on_waiting_slows_the_account_and_its_stream_s_limit(tmp_path: Path) -> None:
    clock = Clock()
    reports = RateLimiter(RateLimit(per_second=1), tmp_path / "reports", clock=clock, sleep=clock.sleep, wall=clock)
    api = FakeApi(Prepared(429))
    one = client(api, tmp_path, clock=clock, limit=RateLimit(per_second=5), retry=RetryPolicy(tries=1))
    with api, pytest.raises(RequestRetryable):
        one.send(REQUEST, (reports,))

    assert [limiter.standing() for limiter in (one.limiter, reports)] == [Standing(0.0, 0.5)] * 2


def test_fewer_requests_left_than_were_sent_from_here_slow_the_account(tmp_path: Path) -> None:
    clock = Clock()
    told = Prepared(headers={"X-Ratelimit-Limit": "300", "X-Ratelimit-Remaining": "100", "X-Ratelimit-Reset": "60"})
    with FakeApi(*[told] * 11) as api:
        one = client(api, tmp_path, clock=clock, limit=RateLimit(per_second=20, per_minute=300))
        for _ in range(11):
            one.send(REQUEST)

    assert sum(clock.slept) > 10 * 60 / 101


def test_a_spent_budget_pauses_the_account_before_it_is_refused(tmp_path: Path) -> None:
    clock = Clock()
    spent = Prepared(headers={"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": "20"})
    with FakeApi(spent, Prepared()) as api:
        one = client(api, tmp_path, clock=clock, limit=RateLimit(per_second=100))
        one.send(REQUEST)
        one.send(REQUEST)

    assert clock.slept == [20.0]


def test_a_stream_s_own_limit_comes_on_top_of_the_account_s(tmp_path: Path) -> None:
    clock = Clock()
    reports = RateLimiter(RateLimit(per_minute=1), tmp_path / "reports", clock=clock, sleep=clock.sleep, wall=clock)
    with FakeApi(Prepared(), Prepared()) as api:
        one = client(api, tmp_path, clock=clock, limit=RateLimit(per_second=5))
        one.send(REQUEST, (reports,))
        one.send(REQUEST, (reports,))

    assert sum(clock.slept) == pytest.approx(60.6)
    assert one.statistics.wait_seconds == pytest.approx(60.6)


@pytest.mark.parametrize(("expired", "status"), [((401,), 401), ((401, 403), 403)])
def test_an_expired_credential_is_replaced_once(tmp_path: Path, expired: tuple[int, ...], status: int) -> None:
    with FakeApi(Prepared(status), Prepared()) as api:
        client(api, tmp_path, authenticator=Rotating(), expired=expired).send(REQUEST)

    assert [sent.headers["Authorization"] for sent in api.requests] == ["Bearer 0", "Bearer 1"]


def test_a_credential_refused_twice_is_not_replaced_again(tmp_path: Path) -> None:
    with FakeApi(Prepared(401), Prepared(401)) as api, pytest.raises(RequestRejected):
        client(api, tmp_path, authenticator=Rotating(replacements=9)).send(REQUEST)


def test_a_credential_is_replaced_once_even_between_retries(tmp_path: Path) -> None:
    with FakeApi(Prepared(401), Prepared(503), Prepared(401)) as api, pytest.raises(RequestRejected):
        client(api, tmp_path, authenticator=Rotating(replacements=9)).send(REQUEST)


def test_a_credential_that_cannot_be_replaced_is_refused_at_once(tmp_path: Path) -> None:
    with FakeApi(Prepared(401)) as api, pytest.raises(RequestRejected):
        client(api, tmp_path, authenticator=BearerToken(SECRET)).send(REQUEST)


def test_a_status_that_does_not_mean_expired_replaces_nothing(tmp_path: Path) -> None:
    with FakeApi(Prepared(403)) as api, pytest.raises(RequestRejected):
        client(api, tmp_path, authenticator=Rotating()).send(REQUEST)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (f"https://elsewhere.test/login?s={SECRET}", "elsewhere.test"),
        (f"https://{SECRET}@elsewhere.test:81/", "elsewhere.test"),
        (f"https://{SECRET}.elsewhere.test/", "….elsewhere.test"),
        (f"https://elsewhere.test{SECRET}%20!/", "another host"),
        (f"https://{SECRET * 10}/", "another host"),
        ("https://[bad", "what is no address"),
        ("/login", "another path"),
        (None, "another path"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(tmp_path: Path, status: int, location: str | None, target: str) -> None:
    headers = {} if location is None else {"Location": location}
    with FakeApi(Prepared(status, headers=headers)) as api, pytest.raises(RequestRejected) as caught:
        client(api, tmp_path, authenticator=BearerToken(SECRET)).send(REQUEST)

    assert str(caught.value) == (
        f"test: GET /things: {status}, a redirect to {target}, which is not followed so that the credential stays "
        "here. Set the host to the one the API is served from."
    )


def test_netrc_does_not_replace_the_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.test login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with FakeApi(Prepared()) as api:
        client(api, tmp_path, authenticator=BearerToken("ours")).send(REQUEST)

    assert api.requests[0].headers["Authorization"] == "Bearer ours"


def test_proxies_and_certificates_of_the_environment_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/our-ca.pem")

    session = client(FakeApi(), tmp_path).session

    assert (session.proxies["https"], session.verify) == ("http://proxy.test:3128", "/etc/our-ca.pem")


UNSENDABLE: list[tuple[str, tuple[Step, ...]]] = [
    (f"{SECRET}\n", ()),
    (f"{SECRET}\r\nX-Evil: 1", ()),
    (f"{SECRET}…", (UnicodeEncodeError("latin-1", f"Bearer {SECRET}…", 21, 22, "ordinal not in range"),)),
]


@pytest.mark.parametrize(("token", "steps"), UNSENDABLE, ids=["line break", "another header", "not latin-1"])
def test_a_credential_that_cannot_be_sent_is_a_setting_to_change(
    tmp_path: Path, token: str, steps: tuple[Step, ...]
) -> None:
    with FakeApi(*steps) as api, pytest.raises(ConfigurationError) as caught:
        client(api, tmp_path, authenticator=BearerToken(token)).send(REQUEST)

    assert str(caught.value).startswith("test: GET /things: this cannot be sent (")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


class Dripping(io.RawIOBase):
    """A body that gives one byte at a time, each a minute after the one before, for ever."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        drops = [self.read1() for _ in range(min(size or 1, 1_000))]
        return b"".join(drops)

    def read1(self, size: int = -1) -> bytes:
        self.clock.now += 60
        return b"x"


def test_a_body_that_drips_is_given_up_after_the_total_time(tmp_path: Path) -> None:
    clock = Clock()
    before = clock.now

    def drip(request: requests.PreparedRequest) -> requests.Response:
        return answer(request, 200, Dripping(clock), {})

    with FakeApi(drip) as api, pytest.raises(RequestRetryable) as caught:
        client(api, tmp_path, clock=clock, retry=RetryPolicy(tries=1), total_timeout_seconds=300).send(REQUEST)

    assert str(caught.value) == "test: GET /things: the answer was not there after 300 s."
    assert clock.now - before == 360


def test_a_body_without_end_is_given_up_at_its_largest_size(tmp_path: Path) -> None:
    bomb = Prepared(200, gzip.compress(b"0" * 30_000_000), {"Content-Encoding": "gzip"})
    with FakeApi(bomb) as api, pytest.raises(RequestRejected) as caught:
        client(api, tmp_path, largest_body_bytes=5_000_000).send(REQUEST)

    assert str(caught.value) == ("test: GET /things: the answer is larger than 5,000,000 bytes. Ask for smaller pages.")


def test_time_spent_on_retries_is_bounded(tmp_path: Path) -> None:
    clock = Clock()
    steps: list[Any] = [Prepared(503, headers={"Retry-After": "40"})] * 3
    with FakeApi(*steps) as api, pytest.raises(RequestRetryable):
        client(api, tmp_path, clock=clock, retry=RetryPolicy(tries=50, total_seconds=100)).send(REQUEST)

    assert clock.slept == [40.0, 40.0]


def test_a_try_that_fails_is_told_with_its_cause_and_the_wait_and_without_a_secret(tmp_path: Path) -> None:
    told: list[str] = []
    token = BearerToken("api.test")  # as an answer that echoes a secret would show it
    steps = (requests.ConnectionError(SECRET), Prepared(503, SECRET), Prepared(429, headers={"Retry-After": "12"}))
    with FakeApi(*steps, Prepared()) as api:
        client(api, tmp_path, authenticator=token, tell=told.append).send(Request("/things", params={"q": SECRET}))

    assert [re.sub(r"in \d\.\d s", "in … s", line) for line in told] == [
        "test: GET /things: no whole answer from … (ConnectionError); try 2 of 6 in … s.",
        "test: GET /things: 503; try 3 of 6 in … s.",
        "test: GET /things: 429; try 4 of 6 in 12 s.",
    ]


def test_the_permit_of_the_account_is_taken_last_for_others_use_theirs_while_one_waits(tmp_path: Path) -> None:
    class Noting(RateLimiter):
        def acquire(self) -> float:
            taken.append(self.path.name)
            return 0.0

    taken: list[str] = []
    with FakeApi(Prepared()) as api:
        sender = client(api, tmp_path)
        sender.limiter = Noting(RateLimit(), tmp_path / "account")
        sender.send(REQUEST, [Noting(RateLimit(), tmp_path / "stream")])

    assert taken == ["stream", "account"]
