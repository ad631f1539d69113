import json
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import portalocker
import pytest

from connector_resources.errors import ConfigurationError, MalformedPage, RequestRejected, RequestRetryable
from connector_resources.http.authenticators import (
    ApiKeyHeader,
    ApiKeyQuery,
    Authenticator,
    BasicAuthentication,
    BearerToken,
    NoAuthentication,
    OAuth2ClientCredentials,
    OAuth2Refresh,
    Signature,
)
from connector_resources.http.retry import TryAgain
from connector_resources.http.token_endpoint import FormTokenEndpoint
from tests.http.fake_api import Clock, FakeApi, Prepared

SECRET = "hunter2-secret"


class Vendor:
    """A token endpoint that hands out access-1, access-2, … and accepts each refresh token once."""

    def __init__(self, *, life_seconds: float | None = 7200, rotates: bool = True, camel_case: bool = False) -> None:
        self.valid = "refresh-0"
        self.forms: list[Mapping[str, str]] = []
        self.life_seconds, self.rotates, self.camel_case = life_seconds, rotates, camel_case

    def __call__(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        self.forms.append(form)
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != self.valid:
            raise RequestRejected("the refresh token was used before", status=400)
        number = len(self.forms)
        names = ("accessToken", "refreshToken", "expiresIn") if self.camel_case else (
            "access_token", "refresh_token", "expires_in",
        )  # fmt: skip
        answer: dict[str, Any] = {names[0]: f"access-{number}"}
        if self.rotates and form["grant_type"] == "refresh_token":
            self.valid = answer[names[1]] = f"refresh-{number}"
        if self.life_seconds is not None:
            answer[names[2]] = self.life_seconds
        return answer


def oauth(folder: Path, vendor: Vendor, clock: Clock, refresh_token: str = "refresh-0") -> OAuth2Refresh:
    return OAuth2Refresh("client", SECRET, refresh_token, folder / "tokens" / "a.json", vendor, clock)


def bearer(token: str) -> Signature:
    return Signature({"Authorization": f"Bearer {token}"})


FIXED: list[tuple[Authenticator, Signature]] = [
    (NoAuthentication(), Signature()),
    (BearerToken(SECRET), bearer(SECRET)),
    (ApiKeyHeader(SECRET), Signature({"X-Api-Key": SECRET})),
    (ApiKeyHeader(SECRET, header="X-Key"), Signature({"X-Key": SECRET})),
    (ApiKeyQuery(SECRET), Signature(params={"api_key": SECRET})),
    (ApiKeyQuery(SECRET, parameter="key"), Signature(params={"key": SECRET})),
    (BasicAuthentication("Aladdin", "open sesame"), Signature({"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="})),
    (BasicAuthentication("test", "123£"), Signature({"Authorization": "Basic dGVzdDoxMjPCow=="})),
]


@pytest.mark.parametrize(("authenticator", "expected"), FIXED, ids=lambda value: type(value).__name__)
def test_a_fixed_credential_signs_always_the_same(authenticator: Authenticator, expected: Signature) -> None:
    assert [authenticator.sign(), authenticator.sign()] == [expected, expected]


@pytest.mark.parametrize(("authenticator", "signature"), FIXED, ids=lambda value: type(value).__name__)
def test_a_fixed_credential_that_is_refused_stays_refused(authenticator: Authenticator, signature: Signature) -> None:
    assert authenticator.refresh(signature) is False


def test_no_credential_is_ever_printed(tmp_path: Path) -> None:
    everything = [
        *(authenticator for authenticator, _ in FIXED),
        *(signature for _, signature in FIXED),
        OAuth2ClientCredentials("client", SECRET, Vendor()),
        oauth(tmp_path, Vendor(), Clock(), refresh_token=SECRET),
    ]

    assert [text for text in map(repr, everything) if SECRET in text or "sesame" in text or "Basic " in text] == []


def test_client_credentials_fetch_one_token_and_keep_it_while_it_is_fresh() -> None:
    vendor, clock = Vendor(), Clock()
    authenticator = OAuth2ClientCredentials("client", SECRET, vendor, clock)

    first = authenticator.sign()
    clock.now += 0.9 * 7200 - 1
    kept = authenticator.sign()
    clock.now += 2
    renewed = authenticator.sign()

    assert [first, kept, renewed] == [bearer("access-1"), bearer("access-1"), bearer("access-2")]
    assert (
        vendor.forms
        == [
            {"grant_type": "client_credentials", "client_id": "client", "client_secret": SECRET},
        ]
        * 2
    )


def test_client_credentials_fetch_another_token_when_one_is_refused() -> None:
    authenticator = OAuth2ClientCredentials("client", SECRET, Vendor(), Clock())

    assert (authenticator.refresh(authenticator.sign()), authenticator.sign()) == (True, bearer("access-2"))


@pytest.mark.parametrize("camel_case", [False, True])
def test_a_refresh_token_is_replaced_by_the_one_that_came_back(tmp_path: Path, camel_case: bool) -> None:
    vendor, clock = Vendor(camel_case=camel_case), Clock()
    authenticator = oauth(tmp_path, vendor, clock)

    first = authenticator.sign()
    clock.now += 7200
    second = authenticator.sign()

    assert [first, second] == [bearer("access-1"), bearer("access-2")]
    assert [form["refresh_token"] for form in vendor.forms] == ["refresh-0", "refresh-1"]


def test_a_refresh_token_that_does_not_come_back_stays(tmp_path: Path) -> None:
    vendor, clock = Vendor(rotates=False), Clock()
    authenticator = oauth(tmp_path, vendor, clock)

    authenticator.sign()
    clock.now += 7200
    authenticator.sign()

    assert [form["refresh_token"] for form in vendor.forms] == ["refresh-0", "refresh-0"]


@pytest.mark.parametrize(
    ("expires_in", "life_seconds"),
    [(7200, 7200), (7_200_000, 7200), ("7200", 7200), (None, 3600), (0, 3600), ("soon", 3600), (86_400, 86_400)],
)
def test_a_token_is_renewed_after_nine_tenths_of_its_life(tmp_path: Path, expires_in: Any, life_seconds: float) -> None:
    vendor, clock = Vendor(life_seconds=expires_in), Clock()
    authenticator = oauth(tmp_path, vendor, clock)

    authenticator.sign()
    clock.now += 0.9 * life_seconds - 1
    kept = authenticator.sign()
    clock.now += 2

    assert [kept, authenticator.sign()] == [bearer("access-1"), bearer("access-2")]


def test_two_processes_that_find_the_token_refused_refresh_it_once(tmp_path: Path) -> None:
    vendor, clock = Vendor(), Clock()
    one, two = oauth(tmp_path, vendor, clock), oauth(tmp_path, vendor, clock)
    refused = one.sign()
    assert two.sign() == refused

    assert (one.refresh(refused), two.refresh(refused)) == (True, True)

    assert (one.sign(), two.sign(), len(vendor.forms)) == (bearer("access-2"), bearer("access-2"), 2)


def test_many_threads_that_start_together_refresh_once(tmp_path: Path) -> None:
    vendor, clock = Vendor(), Clock()
    start = threading.Barrier(6)
    signatures: list[Signature] = []

    def sign() -> None:
        authenticator = oauth(tmp_path, vendor, clock)
        start.wait()
        signatures.append(authenticator.sign())

    threads = [threading.Thread(target=sign) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (signatures, len(vendor.forms)) == ([bearer("access-1")] * 6, 1)


def test_a_new_process_goes_on_with_the_stored_pair_and_not_with_the_first_refresh_token(tmp_path: Path) -> None:
    vendor, clock = Vendor(), Clock()
    oauth(tmp_path, vendor, clock).sign()
    clock.now += 7200

    assert oauth(tmp_path, vendor, clock).sign() == bearer("access-2")


def test_a_new_installation_starts_over_with_its_refresh_token(tmp_path: Path) -> None:
    vendor, clock = Vendor(), Clock()
    oauth(tmp_path, vendor, clock).sign()
    vendor.valid = "refresh-of-the-new-installation"

    assert oauth(tmp_path, vendor, clock, "refresh-of-the-new-installation").sign() == bearer("access-2")


def test_a_refused_refresh_leaves_the_stored_pair_as_it_was(tmp_path: Path) -> None:
    vendor, clock = Vendor(), Clock()
    authenticator = oauth(tmp_path, vendor, clock)
    signature = authenticator.sign()
    before = authenticator.store.read_bytes()
    vendor.valid = "something else"

    with pytest.raises(RequestRejected):
        authenticator.refresh(signature)

    assert authenticator.store.read_bytes() == before


def test_the_store_is_readable_by_its_owner_only_and_holds_no_configured_secret(tmp_path: Path) -> None:
    authenticator = oauth(tmp_path, Vendor(), Clock())
    authenticator.sign()

    assert authenticator.store.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in authenticator.store.parent.iterdir()) == ["a.json", "a.json.lock"]
    stored = json.loads(authenticator.store.read_text())
    assert (stored["access_token"], stored["refresh_token"]) == ("access-1", "refresh-1")
    assert SECRET not in authenticator.store.read_text()
    assert "refresh-0" not in authenticator.store.read_text()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"first_refresh_token": "x"', "null"])
def test_a_store_that_cannot_be_read_is_named_and_no_refresh_token_is_used_twice(tmp_path: Path, content: str) -> None:
    vendor = Vendor()
    authenticator = oauth(tmp_path, vendor, Clock())
    authenticator.store.parent.mkdir()
    authenticator.store.write_text(content)

    with pytest.raises(ConfigurationError, match=r"a\.json is not the token file it should be"):
        authenticator.sign()

    assert vendor.forms == []


ECHOED = f"client_secret={SECRET}"


@pytest.mark.parametrize(
    ("answer", "keys"),
    [({"oops": SECRET, "b": 1}, "'oops', 'b'"), ({ECHOED: 1, "ok": 0, "k" * 41: 0}, "'…', 'ok', '…'"), ({}, "none")],
)
def test_an_answer_without_a_token_names_its_keys_only(tmp_path: Path, answer: dict[str, Any], keys: str) -> None:
    authenticator = OAuth2Refresh("c", SECRET, "r", tmp_path / "a.json", lambda form: answer, Clock())

    with pytest.raises(RequestRejected) as caught:
        authenticator.sign()

    assert str(caught.value) == f"The token endpoint answered without an access token (keys: {keys})."


def test_a_refresh_that_another_process_never_finishes_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = oauth(tmp_path, Vendor(), Clock())
    monkeypatch.setattr("connector_resources.http.authenticators._LOCK_TIMEOUT_SECONDS", 0)
    authenticator.store.parent.mkdir()

    with (
        portalocker.Lock(f"{authenticator.store}.lock", mode="a"),
        pytest.raises(RequestRetryable, match="Run it again"),
    ):
        authenticator.sign()


NO_ANSWER = "drift: POST /oauth2/token: no whole answer from api.test"
FORM = {"grant_type": "refresh_token", "client_secret": SECRET}


def endpoint(api: FakeApi) -> FormTokenEndpoint:
    made = FormTokenEndpoint("drift", "https://api.test/oauth2/token", "Check it.")
    api.mount(made.session)
    return made


def test_the_token_endpoint_posts_a_form_and_returns_the_answer() -> None:
    with FakeApi(Prepared(body={"access_token": "a"})) as api:
        assert endpoint(api)(FORM) == {"access_token": "a"}

    (request,) = api.requests
    assert (request.method, request.url) == ("POST", "https://api.test/oauth2/token")
    assert request.body == f"grant_type=refresh_token&client_secret={SECRET}"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("step", "kind", "message"),
    [
        (Prepared(400, {"error": SECRET}), RequestRejected, "drift: POST /oauth2/token: 400. Check it."),
        (
            Prepared(302, headers={"Location": f"https://elsewhere.test/?s={SECRET}"}),
            RequestRejected,
            "drift: POST /oauth2/token: 302. Check it.",
        ),
        (Prepared(503), TryAgain, "drift: POST /oauth2/token: 503 in every try."),
        (Prepared(429, headers={"Retry-After": "3"}), TryAgain, "drift: POST /oauth2/token: 429 in every try."),
        (
            Prepared(200, f"<html>{SECRET}".encode()),
            MalformedPage,
            "drift: POST /oauth2/token: the answer is not a JSON object (20 bytes).",
        ),
        (
            Prepared(200, [SECRET]),
            MalformedPage,
            "drift: POST /oauth2/token: the answer is not a JSON object (18 bytes).",
        ),
        (
            Prepared(200, b"\xff\xfe"),
            MalformedPage,
            "drift: POST /oauth2/token: the answer is not a JSON object (2 bytes).",
        ),
        (
            Prepared(200, b"{", {"Content-Length": "500"}),
            TryAgain,
            f"{NO_ANSWER} (ChunkedEncodingError). Check the host and the network.",
        ),
        (
            ConnectionError(f"https://api.test/?client_secret={SECRET}"),
            TryAgain,
            f"{NO_ANSWER} (ConnectionError). Check the host and the network.",
        ),
    ],
)
def test_a_token_endpoint_that_fails_tells_nothing_of_what_was_sent(
    step: Prepared | Exception, kind: type[Exception], message: str
) -> None:
    with FakeApi(step) as api, pytest.raises(kind) as caught:
        endpoint(api)(FORM)

    assert (str(caught.value), len(api.requests)) == (message, 1)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
