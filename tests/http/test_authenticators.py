import contextlib
import gzip
import json
import logging
import os
import socket
import tempfile
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import portalocker
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_resources.errors import (
    ConfigurationError,
    DestinationUnwritable,
    MalformedPage,
    RequestRejected,
    RequestRetryable,
)
from connector_resources.http.authenticators import (
    ApiKeyHeader,
    ApiKeyQuery,
    Authenticator,
    BasicAuthentication,
    BearerToken,
    GrantRefused,
    InTurn,
    NoAuthentication,
    OAuth2ClientCredentials,
    OAuth2Refresh,
    Signature,
)
from connector_resources.http.deadline import Line
from connector_resources.http.retry import TryAgain
from connector_resources.http.session import Session
from connector_resources.http.token_endpoint import FormTokenEndpoint
from connector_resources.http.token_store import Attempt, Tokens
from tests.http.fake_api import Clock, FakeApi, Prepared

SECRET = "hunter2-secret"


class Vendor:
    """A token endpoint that hands out access-1, access-2, … and accepts each refresh token once.

    `refuses` is raised instead of an answer; `loses` is raised after it was made, on its way.
    """

    refuses: Exception | None = None
    loses: BaseException | None = None

    def __init__(self, *, life_seconds: float | None = 7200, rotates: bool = True, camel_case: bool = False) -> None:
        self.valid = "refresh-0"
        self.forms: list[Mapping[str, str]] = []
        self.life_seconds, self.rotates, self.camel_case = life_seconds, rotates, camel_case

    @property
    def asked_with(self) -> list[str]:
        return [form["refresh_token"] for form in self.forms]

    def __call__(self, form: Mapping[str, str]) -> bytes:
        self.forms.append(form)
        if self.refuses is not None:
            raise self.refuses
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != self.valid:
            raise GrantRefused("the refresh token was used before.", status=400)
        number = len(self.forms)
        names = ("accessToken", "refreshToken", "expiresIn") if self.camel_case else (
            "access_token", "refresh_token", "expires_in",
        )  # fmt: skip
        answer: dict[str, Any] = {names[0]: f"access-{number}"}
        if self.rotates and form["grant_type"] == "refresh_token":
            self.valid = answer[names[1]] = f"refresh-{number}"
        if self.life_seconds is not None:
            answer[names[2]] = self.life_seconds
        if self.loses is not None:
            raise self.loses
        return json.dumps(answer).encode()


def oauth(folder: Path, vendor: Vendor, clock: Clock, refresh_token: str = "refresh-0") -> OAuth2Refresh:
    return OAuth2Refresh("client", SECRET, refresh_token, folder / "tokens" / "a.json", vendor, clock)


def stored(authenticator: OAuth2Refresh) -> tuple[Any, ...]:
    data = json.loads(authenticator.store.read_text())
    return data["access_token"], data["refresh_token"], data["previous_refresh_token"]


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


def test_an_authenticator_knows_what_must_not_be_shown(tmp_path: Path) -> None:
    assert [set(authenticator.secrets()) for authenticator, _ in FIXED] == [
        set(),
        *[{SECRET}] * 5,
        {"Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
        {"test", "123£", "dGVzdDoxMjPCow=="},
    ]
    clock = Clock()
    once = OAuth2ClientCredentials("c", SECRET, Vendor(), clock)
    assert set(once.secrets()) == {SECRET}
    once.sign()
    assert set(once.secrets()) == {SECRET, "access-1"}
    rotating = oauth(tmp_path, Vendor(), clock)
    for _ in range(3):
        rotating.sign()
        clock.now += 7200
    assert set(rotating.secrets()) == {SECRET, "refresh-0", "refresh-2", "refresh-3", "access-3"}
    rotating.store.write_text("{}")
    assert set(rotating.secrets()) == {SECRET, "refresh-0"}


@pytest.mark.parametrize(("authenticator", "signature"), FIXED, ids=lambda value: type(value).__name__)
def test_a_fixed_credential_that_is_refused_stays_refused(authenticator: Authenticator, signature: Signature) -> None:
    assert authenticator.refresh(signature) is False


def test_no_credential_is_ever_printed(tmp_path: Path) -> None:
    everything = [
        *(authenticator for authenticator, _ in FIXED),
        *(signature for _, signature in FIXED),
        OAuth2ClientCredentials("client", SECRET, Vendor()),
        oauth(tmp_path, Vendor(), Clock(), refresh_token=SECRET),
        Tokens(SECRET, SECRET, 0.0, 0.0, SECRET),
        Attempt(0.0, None, SECRET.encode()),
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
    vendor.valid = "something else"

    with pytest.raises(GrantRefused):
        authenticator.refresh(signature)

    assert stored(authenticator)[:2] == ("access-1", "refresh-1")


def test_the_store_is_readable_by_its_owner_only_and_holds_no_configured_secret(tmp_path: Path) -> None:
    authenticator = oauth(tmp_path, Vendor(), Clock())
    authenticator.sign()

    assert authenticator.store.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in authenticator.store.parent.iterdir()) == ["a.json", "a.json.lock"]
    assert stored(authenticator) == ("access-1", "refresh-1", None)
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


def test_an_answer_that_names_tokens_as_keys_does_not_show_them(tmp_path: Path) -> None:
    clock, vendor = Clock(), Vendor()
    authenticator = oauth(tmp_path, vendor, clock)
    authenticator.sign()
    clock.now += 7200
    echo = json.dumps({SECRET: 1, "refresh-0": 1, "refresh-1": 1, "access-1": 1}).encode()

    with pytest.raises(RequestRejected) as caught:
        OAuth2Refresh("c", SECRET, "refresh-0", authenticator.store, lambda form: echo, clock).sign()
    assert str(caught.value) == "The token endpoint answered without an access token (keys: '…', '…', '…', '…')."

    with pytest.raises(RequestRejected) as caught:
        OAuth2ClientCredentials("c", SECRET, lambda form: echo, clock).sign()
    assert "'…', 'refresh-0'" in str(caught.value)


ECHOED = f"client_secret={SECRET}"


@pytest.mark.parametrize(
    ("answer", "keys"),
    [({"oops": SECRET, "b": 1}, "'oops', 'b'"), ({ECHOED: 1, "ok": 0, "k" * 41: 0}, "'…', 'ok', '…'"), ({}, "none")],
)
def test_an_answer_without_a_token_names_its_keys_only(tmp_path: Path, answer: dict[str, Any], keys: str) -> None:
    authenticator = OAuth2Refresh(
        "c", SECRET, "r", tmp_path / "a.json", lambda form: json.dumps(answer).encode(), Clock()
    )

    with pytest.raises(RequestRejected) as caught:
        authenticator.sign()

    assert str(caught.value) == f"The token endpoint answered without an access token (keys: {keys})."


@pytest.mark.parametrize("body", [f"<html>{SECRET}".encode(), f'["{SECRET}"]'.encode(), b"\xff\xfe"])
def test_an_answer_that_is_no_json_object_is_told_by_its_size(tmp_path: Path, body: bytes) -> None:
    authenticator = OAuth2Refresh("c", SECRET, "r", tmp_path / "a.json", lambda form: body, Clock())

    with pytest.raises(MalformedPage) as caught:
        authenticator.sign()

    assert str(caught.value) == f"The token endpoint's answer is not a JSON object ({len(body)} bytes)."


def test_a_refresh_that_another_process_never_finishes_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = oauth(tmp_path, Vendor(), Clock())
    monkeypatch.setattr("connector_resources.http.token_store._LOCK_TIMEOUT_SECONDS", 0)
    authenticator.store.parent.mkdir()

    with (
        portalocker.Lock(f"{authenticator.store}.lock", mode="a"),
        pytest.raises(RequestRetryable, match="Run it again"),
    ):
        authenticator.sign()


# Death between the question and the answer's place on disk; the vendor's side of it


class Died(BaseException):
    """A process that ends here and now: nothing handles this."""


LOST = TryAgain("no whole answer", status=None, wait_seconds=None)


def expired(folder: Path, vendor: Vendor, clock: Clock) -> OAuth2Refresh:
    """An authenticator whose first pair is stored and no longer good."""
    oauth(folder, vendor, clock).sign()
    clock.now += 7200
    return oauth(folder, vendor, clock)


def test_an_answer_that_was_kept_but_not_stored_is_taken_up_without_another_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor, clock = Vendor(), Clock()
    authenticator = expired(tmp_path, vendor, clock)
    with monkeypatch.context() as patched:
        patched.setattr("os.replace", died)
        with pytest.raises(Died):
            authenticator.sign()

    clock.now += 10
    assert oauth(tmp_path, vendor, clock).sign() == bearer("access-2")
    assert vendor.asked_with == ["refresh-0", "refresh-1"]
    assert sorted(path.name for path in authenticator.store.parent.iterdir()) == ["a.json", "a.json.lock"]
    assert json.loads(authenticator.store.read_text())["expires_at"] == clock.now - 10 + 7200


def test_an_answer_that_a_crash_left_with_a_gap_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor, clock = Vendor(), Clock()
    authenticator = expired(tmp_path, vendor, clock)
    with monkeypatch.context() as patched:
        patched.setattr("os.replace", died)
        with pytest.raises(Died):
            authenticator.sign()
    attempt = tmp_path / "tokens" / "a.json.attempt"
    attempt.write_bytes(attempt.read_bytes().replace(b"access-2", b"acce    "))

    with pytest.raises(ConfigurationError, match="before the answer was in"):
        oauth(tmp_path, vendor, clock).sign()


def died(*arguments: object, **named: object) -> None:
    raise Died


def test_a_lost_answer_is_asked_for_again_with_the_same_refresh_token(tmp_path: Path) -> None:
    vendor, clock = Vendor(), Clock()
    authenticator = expired(tmp_path, vendor, clock)
    vendor.loses = Died()
    with pytest.raises(Died):
        authenticator.sign()
    vendor.loses, vendor.valid = None, "refresh-1"  # a vendor that takes it until the new one is used

    assert oauth(tmp_path, vendor, clock).sign() == bearer("access-3")
    assert vendor.asked_with == ["refresh-0", "refresh-1", "refresh-1"]
    assert sorted(path.name for path in authenticator.store.parent.iterdir()) == ["a.json", "a.json.lock"]


@pytest.mark.parametrize("loss", [Died(), LOST, TryAgain("503", status=503, wait_seconds=None)])
def test_a_lost_answer_of_a_strict_vendor_is_explained_and_a_new_authorization_starts_over(
    tmp_path: Path, loss: BaseException
) -> None:
    vendor, clock = Vendor(), Clock()
    authenticator = expired(tmp_path, vendor, clock)
    vendor.loses = loss
    with pytest.raises(type(loss)):
        authenticator.sign()
    vendor.loses = None

    for _ in range(3):  # the time told stays that of the loss
        clock.now += 100
        with pytest.raises(ConfigurationError) as caught:
            oauth(tmp_path, vendor, clock).sign()
    assert str(caught.value) == (
        "the refresh token was used before. At 1970-01-01 02:16:40 UTC a process asked for a new token and died, or "
        f"lost the connection, before the answer was in {authenticator.store}: the vendor's newest refresh token is "
        "lost, and it takes none of those before. Authorize the app again and set the new refresh token."
    )
    vendor.valid = "refresh-of-the-new-installation"
    assert oauth(tmp_path, vendor, clock, vendor.valid).sign() == bearer(f"access-{len(vendor.forms)}")


def test_the_access_token_is_used_to_its_end_before_a_refresh_token_is_shown_a_second_time(tmp_path: Path) -> None:
    vendor, clock = Vendor(), Clock()
    oauth(tmp_path, vendor, clock).sign()
    clock.now += 0.95 * 7200
    vendor.loses = Died()
    with pytest.raises(Died):
        oauth(tmp_path, vendor, clock).sign()
    vendor.loses = None

    other = oauth(tmp_path, vendor, clock)
    assert (other.sign(), vendor.asked_with) == (bearer("access-1"), ["refresh-0", "refresh-1"])
    clock.now += 0.05 * 7200 - 1
    assert (other.sign(), vendor.asked_with) == (bearer("access-1"), ["refresh-0", "refresh-1"])
    clock.now += 1
    with pytest.raises(ConfigurationError, match="died"):
        other.sign()


@pytest.mark.parametrize(
    "trouble",
    [
        GrantRefused("revoked", status=400),
        RequestRejected("no such client", status=401),
        TryAgain("503", status=503, wait_seconds=None),
        LOST,
    ],
    ids=["grant", "client", "503", "no answer"],
)
def test_a_refresh_that_fails_stops_nobody_while_the_access_token_lives(
    tmp_path: Path, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    vendor, clock = Vendor(), Clock()
    authenticator = oauth(tmp_path, vendor, clock)
    authenticator.sign()
    clock.now += 0.9 * 7200
    vendor.refuses = trouble

    assert [authenticator.sign(), authenticator.sign()] == [bearer("access-1")] * 2
    assert vendor.asked_with == ["refresh-0", "refresh-1"]  # not asked at every request, and never the older one
    assert "is used until it expires, in 720 s" in caplog.text
    clock.now += 0.1 * 7200
    with pytest.raises(type(trouble) if trouble.args[0] not in ("503", LOST.args[0]) else TryAgain):
        authenticator.sign()


def test_a_refused_newest_refresh_token_is_followed_once_by_the_one_before_and_the_configured_one(
    tmp_path: Path,
) -> None:
    vendor, clock = Vendor(), Clock()
    expired(tmp_path, vendor, clock).sign()
    clock.now += 7200
    vendor.valid = "another"
    for _ in range(3):
        with pytest.raises(GrantRefused):
            oauth(tmp_path, vendor, clock).sign()

    assert vendor.asked_with[2:] == ["refresh-2", "refresh-1", "refresh-0", "refresh-2", "refresh-2"]


@pytest.mark.parametrize("good", ["refresh-0", "refresh-1", "refresh-2"])
def test_a_vendor_that_took_its_newest_pair_back_locks_nobody_out(tmp_path: Path, good: str) -> None:
    vendor, clock = Vendor(), Clock()
    expired(tmp_path, vendor, clock).sign()
    clock.now += 7200
    vendor.valid = good
    authenticator = oauth(tmp_path, vendor, clock)

    assert authenticator.sign() == bearer(f"access-{len(vendor.forms)}")
    assert stored(authenticator) == (
        f"access-{len(vendor.forms)}", f"refresh-{len(vendor.forms)}", None if good == "refresh-0" else good,
    )  # fmt: skip


@pytest.mark.parametrize("refusal", [RequestRejected("bad client", status=401), LOST])
def test_only_a_refused_grant_makes_older_refresh_tokens_be_tried(tmp_path: Path, refusal: Exception) -> None:
    vendor, clock = Vendor(), Clock()
    authenticator = expired(tmp_path, vendor, clock)
    vendor.refuses = refusal

    with pytest.raises(type(refusal)):
        authenticator.sign()

    assert vendor.asked_with == ["refresh-0", "refresh-1"]


# Disks


def test_nothing_is_asked_where_the_answer_could_not_be_kept(tmp_path: Path) -> None:
    vendor, clock = Vendor(), Clock()
    authenticator = expired(tmp_path, vendor, clock)
    (tmp_path / "tokens" / "a.json.attempt").mkdir()

    with pytest.raises(DestinationUnwritable) as caught:
        authenticator.sign()

    assert str(caught.value) == (
        f"{authenticator.store} cannot be written (Is a directory), and new tokens that cannot be kept are lost. "
        "Make room for it, or give it to the user that runs this."
    )
    assert vendor.asked_with == ["refresh-0"]


def test_a_folder_that_cannot_be_made_is_named_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("")
    vendor = Vendor()

    with pytest.raises(DestinationUnwritable, match=r"tokens/a\.json cannot be written"):
        oauth(tmp_path, vendor, Clock()).sign()

    assert vendor.forms == []


def test_tokens_that_cannot_be_stored_serve_this_process_and_are_found_by_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vendor, clock = Vendor(), Clock()
    authenticator = expired(tmp_path, vendor, clock)
    (tmp_path / "tokens" / "a.json.new").mkdir()

    assert [authenticator.sign(), authenticator.sign()] == [bearer("access-2")] * 2
    assert oauth(tmp_path, vendor, clock).sign() == bearer("access-2")
    assert vendor.asked_with == ["refresh-0", "refresh-1"]
    assert "cannot be written (Is a directory)" in caplog.text
    assert "goes on with them" in caplog.text
    assert stored(authenticator)[0] == "access-1"

    (tmp_path / "tokens" / "a.json.new").rmdir()
    clock.now += 61
    assert authenticator.sign() == bearer("access-2")
    assert stored(authenticator) == ("access-2", "refresh-2", "refresh-1")


def test_what_only_a_process_had_in_memory_never_replaces_what_came_later(tmp_path: Path) -> None:
    vendor, clock = Vendor(), Clock()
    authenticator = expired(tmp_path, vendor, clock)
    (tmp_path / "tokens" / "a.json.new").mkdir()
    authenticator.sign()
    (tmp_path / "tokens" / "a.json.new").rmdir()
    clock.now += 7200
    later = oauth(tmp_path, vendor, clock)
    later.sign()

    assert authenticator.sign() == later.sign() == bearer("access-3")
    assert stored(authenticator)[1] == "refresh-3"


@pytest.mark.parametrize("name", ["a.json", "a.json.lock", "a.json.new", "a.json.attempt"])
def test_a_file_that_was_open_to_others_is_closed_before_a_token_is_written(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor, clock = Vendor(), Clock()
    expired(tmp_path, vendor, clock)
    folder = tmp_path / "tokens"
    (folder / name).touch()
    (folder / name).chmod(0o666)
    modes: dict[str, set[int]] = {}
    write = os.write

    def noting(descriptor: int, content: bytes) -> int:
        written = write(descriptor, content)
        for path in folder.iterdir():
            if path.stat().st_size or path.suffix == ".lock":
                modes.setdefault(path.name, set()).add(path.stat().st_mode & 0o777)
        return written

    monkeypatch.setattr("os.write", noting)
    before = os.umask(0)
    try:
        oauth(tmp_path, vendor, clock).sign()
    finally:
        os.umask(before)

    assert modes == {each: {0o600} for each in ("a.json", "a.json.lock", "a.json.new", "a.json.attempt")}
    assert folder.stat().st_mode & 0o777 == 0o700


@given(
    expires_in=st.one_of(
        st.none(),
        st.integers(1),
        st.floats(1e-3, allow_infinity=False),
        st.sampled_from((0, -1, -0.5, 10**400, "inf", "nan", "1e-30")),
        st.text(max_size=5),
        st.booleans(),
        st.just([1]),
    ),
    age=st.floats(0, 86_400),
)
def test_whatever_a_vendor_says_of_its_life_a_token_is_used_for_a_while_and_a_day_at_most(
    expires_in: Any, age: float
) -> None:
    vendor, clock = Vendor(life_seconds=expires_in), Clock()
    authenticator = OAuth2ClientCredentials("client", SECRET, vendor, clock)
    authenticator.sign()
    life = authenticator._current
    assert life is not None

    assert life.renew_at - 1000 == pytest.approx(0.9 * (life.expires_at - 1000))
    assert 1000 < life.expires_at <= 1000 + 86_400
    clock.now += age
    authenticator.sign()
    assert len(vendor.forms) == (1 if clock.now < life.renew_at else 2)


@given(steps=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(("", "lose", "503")), st.floats(0, 9000))))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_however_often_answers_are_lost_a_forgiving_vendor_locks_nobody_out(
    steps: list[tuple[int, str, float]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        vendor, clock = Forgiving(), Clock()
        processes = [oauth(Path(name), vendor, clock) for _ in range(3)]
        for number, trouble, seconds in steps:
            vendor.loses = LOST if trouble == "lose" else None
            vendor.refuses = TryAgain("503", status=503, wait_seconds=None) if trouble == "503" else None
            with contextlib.suppress(TryAgain):
                assert vendor.lives(processes[number].sign(), clock.now)
            clock.now += seconds
        vendor.loses = vendor.refuses = None
        clock.now += 7200
        signed = [process.sign() for process in processes]

        assert len({str(signature.headers) for signature in signed}) == 1
        assert vendor.lives(signed[0], clock.now)


class Forgiving(Vendor):
    """Takes the refresh token before the newest too, until the newest is used."""

    before = "refresh-0"
    issued_at = 0.0

    def __call__(self, form: Mapping[str, str]) -> bytes:
        given = form["refresh_token"]
        assert given in (self.valid, self.before), "a refresh token that was replaced and whose successor was used"
        if self.refuses is None:
            self.valid, self.before = given, given
        return super().__call__(form)

    def lives(self, signature: Signature, now: float) -> bool:
        return signature.headers["Authorization"].startswith("Bearer access-")


def test_no_refresh_leaves_a_secret_in_a_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor, clock = Vendor(), Clock()
    authenticator = expired(tmp_path, vendor, clock)
    authenticator.store.chmod(0o644)
    (tmp_path / "tokens" / "a.json.new").mkdir()
    authenticator.sign()
    vendor.refuses = LOST
    clock.now += 7000
    authenticator.sign()

    assert len(caplog.records) >= 3
    assert [word for word in (SECRET, "access-", "refresh-") if word in caplog.text + repr(authenticator)] == []


NO_ANSWER = "drift: POST /oauth2/token: no whole answer from api.test"
FORM = {"grant_type": "refresh_token", "client_secret": SECRET}


def endpoint(api: FakeApi) -> FormTokenEndpoint:
    made = FormTokenEndpoint("drift", "https://api.test/oauth2/token", "Check it.")
    api.mount(made.session)
    return made


def test_the_token_endpoint_posts_a_form_and_returns_the_answer() -> None:
    with FakeApi(Prepared(body={"access_token": "a"})) as api:
        assert endpoint(api)(FORM) == b'{"access_token": "a"}'

    (request,) = api.requests
    assert (request.method, request.url) == ("POST", "https://api.test/oauth2/token")
    assert request.body == f"grant_type=refresh_token&client_secret={SECRET}"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("step", "kind", "message"),
    [
        (Prepared(400, {"error": SECRET}), GrantRefused, "drift: POST /oauth2/token: 400. Check it."),
        (
            Prepared(302, headers={"Location": f"https://elsewhere.test/?s={SECRET}"}),
            RequestRejected,
            "drift: POST /oauth2/token: 302. Check it.",
        ),
        (Prepared(503), TryAgain, "drift: POST /oauth2/token: 503 in every try."),
        (Prepared(429, headers={"Retry-After": "3"}), TryAgain, "drift: POST /oauth2/token: 429 in every try."),
        (Prepared(400, {"error": "invalid_grant"}), GrantRefused, "drift: POST /oauth2/token: 400. Check it."),
        (Prepared(400, {"error": "invalid_client"}), RequestRejected, "drift: POST /oauth2/token: 400. Check it."),
        (Prepared(400, b"<html>"), RequestRejected, "drift: POST /oauth2/token: 400. Check it."),
        (Prepared(401, {"error": SECRET}), RequestRejected, "drift: POST /oauth2/token: 401. Check it."),
        (
            Prepared(200, b"x" * ((1 << 20) + 1)),
            RequestRejected,
            "drift: POST /oauth2/token: the answer is larger than 1,048,576 bytes.",
        ),
        (
            Prepared(200, gzip.compress(bytes(50 << 20)), {"Content-Encoding": "gzip"}),
            RequestRejected,
            "drift: POST /oauth2/token: the answer is larger than 1,048,576 bytes.",
        ),
        (
            Prepared(200, b"{", {"Content-Length": "500"}),
            TryAgain,
            f"{NO_ANSWER} (ProtocolError). Check the host and the network.",
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

    assert (type(caught.value), str(caught.value), len(api.requests)) == (kind, message, 1)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_nobody_hangs_up_on_a_credential_that_is_being_renewed() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    asking = threading.Event()

    class Renewing:
        def sign(self) -> Signature:
            return Signature()

        def refresh(self, used: Signature) -> bool:
            session = Session("shop", url, lambda: 5.0)
            with session.get(url, timeout=5.0, stream=True) as answer:
                tokens.append(answer.raw.read(decode_content=True))
            return True

        def secrets(self) -> tuple[str, ...]:
            return ()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            asking.set()
            hung_up.wait(5.0)
            connection.sendall(b"token")

    url, line, hung_up = f"http://127.0.0.1:{server.getsockname()[1]}/", Line(), threading.Event()
    tokens: list[bytes] = []

    def renew() -> None:
        with line:
            InTurn(Renewing()).refresh(Signature())

    threads = [threading.Thread(target=each, daemon=True) for each in (serve, renew)]
    with server:
        for thread in threads:
            thread.start()
        assert asking.wait(5.0)
        line.hang_up()
        hung_up.set()
        for thread in threads:
            thread.join(5.0)
    assert tokens == [b"token"]
