"""Configurations: in Airbyte's keys or ours, refused by key and never by value, and masked where they are shown."""

import json
import logging
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field, field_validator

from connector_resources import configs
from connector_resources.errors import ConfigurationError, RequestRejected
from connector_resources.exceptions import AirbyteConnectorNotRegisteredError, AirbyteConnectorValidationFailedError
from connector_resources.resource import HttpSource, Source, setting
from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings
from connector_resources.secrets import SecretString, resolved
from connector_resources.sources import discover
from connector_resources.sources.aha import Aha
from connector_resources.sources.drift import Drift
from connector_resources.sources.faker import Faker
from connector_resources.streams import Slice, Stream
from tests.api.test_exceptions import CANARY, every_text
from tests.test_project import loaded_by

OAUTH = {"client_id": "c", "client_secret": "s", "refresh_token": "r"}


class Library(Source):
    """A connector of another package, which has a check of its own and states nothing about its configuration."""

    name: ClassVar[str] = "library"
    streams: ClassVar[tuple[Stream, ...]] = ()

    api_key: str = setting("The key.", variable="LIBRARY_API_KEY", secret=True)
    shelf: int = Field(default=1, ge=1, le=9)
    pin: int | None = None

    @field_validator("api_key")
    @classmethod
    def _has_two_parts(cls, value: str) -> str:
        if value and ":" not in value:
            raise ValueError(f"{value} is not like a:b")
        return value


# What is taken


@pytest.mark.parametrize(
    ("url", "fields", "read"),
    [
        ("https://acme.aha.io", {"subdomain": "acme"}, "https://acme.aha.io/api/v1"),
        ("https://acme.aha.io/", {"subdomain": "acme"}, "https://acme.aha.io/api/v1"),
        ("https://acme.aha.io/api/v1", {"subdomain": "acme"}, "https://acme.aha.io/api/v1"),
        (" https://Acme.aha.io/products/APP?x=1#y ", {"subdomain": "acme"}, "https://acme.aha.io/api/v1"),
        ("acme.aha.io", {"subdomain": "acme"}, "https://acme.aha.io/api/v1"),
        ("acme.aha.io/", {"subdomain": "acme"}, "https://acme.aha.io/api/v1"),
        (" Acme\n", {"subdomain": "acme"}, "https://acme.aha.io/api/v1"),
        ("https://acme.euw4.aha.io", {"subdomain": "acme.euw4.aha.io"}, "https://acme.euw4.aha.io/api/v1"),
        ("http://127.0.0.1:1234/aha", {"base_url": "http://127.0.0.1:1234/aha"}, "http://127.0.0.1:1234/aha/api/v1"),
        ("http://127.0.0.1:1234/aha/", {"base_url": "http://127.0.0.1:1234/aha"}, "http://127.0.0.1:1234/aha/api/v1"),
        ("https://proxy/aha/api/v1", {"base_url": "https://proxy/aha/api/v1"}, "https://proxy/aha/api/v1"),
        (
            "roadmaps.acme.example",
            {"base_url": "https://roadmaps.acme.example"},
            "https://roadmaps.acme.example/api/v1",
        ),
    ],
)
def test_ahas_url_is_an_address_a_host_or_a_sub_domain(url: str, fields: dict[str, str], read: str) -> None:
    found = configs.fields_of(Aha, {"api_key": "k", "url": url})
    assert found == {"api_key": "k", **fields}
    assert Aha(**found).url == read


def test_an_account_of_aha_has_the_same_settings_however_it_is_named() -> None:
    named = [{"url": "https://acme.aha.io/"}, {"url": "acme.aha.io"}, {"subdomain": "acme"}]
    accounts = [Aha(**configs.fields_of(Aha, {"api_key": "k", **name})) for name in named]
    assert accounts[0] == accounts[1] == accounts[2]


@pytest.mark.parametrize(
    ("credentials", "fields"),
    [
        ({"credentials": "access_token", "access_token": "t"}, {"access_token": "t"}),
        ({"credentials": "Access Token", "access_token": "t"}, {"access_token": "t"}),
        ({"access_token": "t"}, {"access_token": "t"}),
        ({"credentials": "oauth2.0", **OAUTH, "access_token": "short-lived"}, OAUTH),
        ({"credentials": "OAuth2.0", **OAUTH}, OAUTH),
        ({**OAUTH, "access_token": "short-lived"}, OAUTH),
        ({"credentials": "access_token", **OAUTH, "access_token": "t"}, {"access_token": "t"}),
    ],
)
def test_drifts_credentials_are_those_of_airbyte(credentials: dict[str, str], fields: dict[str, str]) -> None:
    assert configs.fields_of(Drift, {"credentials": credentials}) == fields


@pytest.mark.parametrize(
    ("kind", "config", "fields"),
    [
        (Aha, {"api_key": "k", "base_url": "https://x.test"}, {"api_key": "k", "base_url": "https://x.test"}),
        (Drift, {"access_token": "t", "email": "a@x.test"}, {"access_token": "t", "contact_emails": ["a@x.test"]}),
        (Drift, {"access_token": "t", "email": ""}, {"access_token": "t", "contact_emails": []}),
        (Drift, {"access_token": "t", "rate_limit_factor": 2}, {"access_token": "t", "rate_limit_factor": 2}),
        (Faker, {}, {}),
        (
            Faker,
            {"count": 12, "seed": 3, "records_per_slice": 5, "always_updated": False, "parallelism": 2},
            {"count": 12, "seed": 3, "records_per_slice": 5, "always_updated": False, "parallelism": 2},
        ),
        (Library, {"api_key": "a:b", "pin": None}, {"api_key": "a:b", "pin": None}),
    ],
)
def test_a_configuration_becomes_the_fields_of_a_source(
    kind: type[Source], config: dict[str, Any], fields: dict[str, Any]
) -> None:
    assert configs.fields_of(kind, config) == fields
    assert isinstance(kind(**fields), kind)


# What is refused


FAKERS_KEYS = "always_updated, count, parallelism, records_per_slice, seed"
UNFIT: list[tuple[type[Source], Any, str]] = [
    (Aha, {"api_key": "k"}, "url or subdomain or base_url is missing"),
    (Aha, {"api_key": "", "url": "acme"}, "api_key is missing"),
    (Aha, {"api_key": None, "url": "acme"}, "expected string, got null @ $.api_key"),
    (
        Aha,
        {"api_key": "k", "url": "http://acme.aha.io"},
        "expected https://, for the key would be sent unencrypted @ $.url",
    ),
    (
        Aha,
        {"api_key": "k", "url": "https://acme.aha.io", "subdomain": "acme", "base_url": "https://x.test"},
        "url and subdomain and base_url mean the same; keep one of them",
    ),
    (Aha, {"api_key": "k", "url": "acme", "api_kye": "k"}, "unknown key 'api_kye' (did you mean api_key)"),
    (
        Faker,
        {"0123456789abcdef": 1, "age": 2},
        "unknown key {} (there are {keys}); unknown key 'age' (there are {keys})".format(
            "one that is not shown, for it is no word", keys=FAKERS_KEYS
        ),
    ),
    (Faker, {"count": "12"}, "expected integer, got string @ $.count"),
    (Faker, {"count": 5000.0}, "expected integer, got a number with a decimal point @ $.count"),
    (Faker, {"count": -5, "seed": -2}, "expected at least 1 @ $.count; expected at least -1 @ $.seed"),
    (Faker, {"seed": True}, "expected integer, got boolean @ $.seed"),
    (Faker, {"always_updated": 1}, "expected boolean, got integer @ $.always_updated"),
    (
        Drift,
        {"access_token": "t", "conversations_page_size": 101},
        "expected at least 1 and at most 100 @ $.conversations_page_size",
    ),
    (
        Drift,
        {"access_token": "t", "contact_emails": ["a", 1]},
        "expected string, got integer @ $.contact_emails[1]",
    ),
    (Drift, {}, "credentials or access_token or refresh_token is missing"),
    (Drift, {"credentials": "t"}, "expected object, got string @ $.credentials"),
    (
        Drift,
        {"credentials": {"credentials": "oauth2.0", "client_id": "c"}},
        "client_secret and refresh_token is missing @ $.credentials",
    ),
    (Drift, {"credentials": {"access_token": ""}}, "access_token is missing @ $.credentials"),
    (
        Drift,
        {"credentials": {"access_token": "t", "client_id": 5}},
        "expected string @ $.credentials.client_id",
    ),
    (
        Drift,
        {"credentials": {"access_token": "t", "tenant": "x"}},
        "unknown keys (there are credentials, client_id, client_secret, refresh_token, access_token) @ $.credentials",
    ),
    (
        Drift,
        {"credentials": {"credentials": "saml"}},
        "expected one of oauth2.0, access_token @ $.credentials.credentials",
    ),
    (
        Drift,
        {"access_token": "t", "email": "a", "contact_emails": []},
        "email and contact_emails mean the same; keep one of them",
    ),
    (
        Drift,
        {"credentials": {"access_token": "secret_reference::KEY"}},
        "a reference to a secret that is not resolved @ $.credentials.access_token",
    ),
    (Library, {"shelf": 10}, "expected at least 1 and at most 9 @ $.shelf"),
    (Library, {"api_key": "x"}, "value_error @ $.api_key"),
    (Library, [], "expected object, got array @ $"),
]


@pytest.mark.parametrize(("kind", "config", "problem"), UNFIT)
def test_what_does_not_fit_is_told_by_key_with_what_to_do(
    kind: type[Source], config: dict[str, Any], problem: str
) -> None:
    with pytest.raises(AirbyteConnectorValidationFailedError) as caught:
        configs.fields_of(kind, config)
    assert str(caught.value) == (
        f"The configuration does not fit: {problem}. (connector_name='source-{kind.connector}') "
        "config_spec has what the connector takes."
    )
    assert isinstance(caught.value, ConfigurationError)


def in_the_wrong_place(kind: type[Source]) -> list[Any]:
    """Return configurations that hold a secret where it does not belong, or in a shape in which it does not."""
    shapes: list[Any] = [
        CANARY,
        [CANARY],
        {CANARY: CANARY},
        {"access_token": {CANARY: [CANARY]}},
        {CANARY: "secret_reference::KEY"},
        {"access_token": [CANARY], "credentials": CANARY, "client_id": CANARY, CANARY: CANARY},
        {"credentials": CANARY, "access_token": CANARY},
        f"https://{CANARY}@acme.aha.io",
        f"https://acme.aha.io:{CANARY}",
        f"ftp://acme.aha.io/{CANARY}",
        SecretString(CANARY),
        CANARY.encode(),
        object,
    ]
    names = [*configs.spec(kind)["properties"], CANARY, "no_such_key", "secret_reference"]
    return [CANARY, [CANARY], *({name: shape} for name in names for shape in shapes)]


def is_in_its_place(kind: type[Source], config: Any, *, text: type = str) -> bool:
    """Return whether a text is where one that is no secret may be; it is shown, for somebody needs to see it."""
    plain = {name for name, schema in configs.spec(kind)["properties"].items() if not schema.get("airbyte_secret")}
    name, value = next(iter(config.items())) if isinstance(config, Mapping) else ("", None)
    texts = value if isinstance(value, list) and "items" in configs.spec(kind)["properties"].get(name, {}) else [value]
    return name in plain and all(type(each) in (str, text) for each in texts)


@pytest.mark.parametrize("kind", [*discover(), Library])
def test_no_refusal_shows_a_secret(kind: type[Source], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    refused = 0
    for config in in_the_wrong_place(kind):
        error = refusal(kind, config)
        if error is not None:
            refused += 1
            assert CANARY not in every_text(error, caplog)
            assert error.__context__ is None
            assert is_in_its_place(kind, config, text=SecretString) or CANARY not in with_variables(error)
    assert refused > 50


def with_variables(error: BaseException) -> str:
    """Return our frames of a traceback as they are shown by who shows variables."""
    stack = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    frames = [frame for frame in stack if Path(frame.filename) == Path(configs.__file__)]
    assert frames
    return "".join(traceback.StackSummary.from_list(frames).format())


def refusal(kind: type[Source], config: Any) -> AirbyteConnectorValidationFailedError | None:
    """Return what a configuration is refused with, if it is."""
    try:
        configs.fields_of(kind, config)
    except AirbyteConnectorValidationFailedError as error:
        return error
    return None


@pytest.mark.parametrize("kind", [*discover(), Library])
def test_the_secrets_of_a_source_are_not_in_its_repr(kind: type[Source]) -> None:
    secrets = [field for field, variable in kind.variables().items() if variable in kind.secrets()]
    source = kind(**dict.fromkeys(secrets, f"{CANARY}:x"))
    assert CANARY not in f"{source!r} {source}"
    assert [getattr(source, name) for name in secrets] == [f"{CANARY}:x"] * len(secrets)


# What is shown


@pytest.mark.parametrize("kind", [*discover(), Library])
def test_no_secret_is_shown_of_a_guarded_configuration_whatever_is_wrong_with_it(kind: type[Source]) -> None:
    seen = 0
    for config in in_the_wrong_place(kind):
        if is_in_its_place(kind, config):
            continue
        seen += 1
        assert CANARY not in f"{configs.guarded(kind, config)!r}", config
    assert seen > 50


@pytest.mark.parametrize("address", ["https://x.test/api?token=word", "https://x.test#word", "https://me:word@x.test"])
def test_an_address_that_may_hold_a_credential_is_hidden_and_another_is_shown(address: str) -> None:
    assert repr(configs.guarded(Drift, {"base_url": address})) == "{'base_url': <SecretString: ****>}"
    assert repr(configs.guarded(Drift, {"base_url": "https://x.test/api"})) == "{'base_url': 'https://x.test/api'}"


def test_a_guarded_configuration_is_the_same_and_shows_everything_but_secrets() -> None:
    config = {
        "credentials": {"credentials": "oauth2.0", **OAUTH, "access_token": "", "tenant": CANARY},
        "email": "a@x.test",
        "base_url": "https://me:word@x.test",
        "rate_limit_factor": 0.5,
        "contact_emails": ["b@x.test", SecretString(CANARY)],
        "access_token": "secret_reference::DRIFT_ACCESS_TOKEN",
        "refresh_token": None,
        "verbose": True,
        "port": 5432,
    }
    before = json.dumps(config)
    guarded = configs.guarded(Drift, config)
    assert guarded == config
    shown = {
        "credentials": {
            "credentials": "oauth2.0",
            "client_id": "****",
            "client_secret": "****",
            "refresh_token": "****",
            "access_token": "",
            "tenant": "****",
        },
        "email": "a@x.test",
        "base_url": "****",
        "rate_limit_factor": 0.5,
        "contact_emails": ["b@x.test", "****"],
        "access_token": "secret_reference::DRIFT_ACCESS_TOKEN",
        "refresh_token": None,
        "verbose": True,
        "port": 5432,
    }
    assert repr(guarded) == repr(shown).replace("'****'", "<SecretString: ****>")
    assert json.dumps(config) == before


@pytest.mark.parametrize(
    ("config", "place"),
    [({"access_token": "****"}, "$.access_token"), ({"credentials": {"access_token": "****"}}, "$.credentials.access")],
)
def test_what_is_shown_in_place_of_a_secret_is_not_taken_for_it(config: dict[str, Any], place: str) -> None:
    assert f"**** is what is shown in place of a secret, not the secret @ {place}" in str(refusal(Drift, config))


def secrets_in(schema: Any, where: str = "$") -> list[str]:
    """Return the places of a schema that are secrets."""
    if isinstance(schema, list):
        return [found for place, item in enumerate(schema) for found in secrets_in(item, f"{where}[{place}]")]
    if not isinstance(schema, dict):
        return []
    own = [where] if schema.get("airbyte_secret") is True else []
    return own + [found for name, item in schema.items() for found in secrets_in(item, f"{where}.{name}")]


def test_the_specification_marks_the_secrets_and_says_what_is_required() -> None:
    aha, drift, faker = (configs.spec(kind) for kind in (Aha, Drift, Faker))
    assert secrets_in(aha) == ["$.properties.api_key"]
    assert secrets_in(drift) == [
        "$.properties.credentials.oneOf[0].properties.access_token",
        "$.properties.credentials.oneOf[1].properties.client_id",
        "$.properties.credentials.oneOf[1].properties.client_secret",
        "$.properties.credentials.oneOf[1].properties.refresh_token",
        "$.properties.credentials.oneOf[1].properties.access_token",
        "$.properties.access_token",
        "$.properties.client_secret",
        "$.properties.refresh_token",
    ]
    assert secrets_in(faker) == []
    assert (aha["required"], drift["required"], faker["required"]) == (["api_key"], [], [])
    assert aha["allOf"] == [
        {"anyOf": [{"required": ["url"]}, {"required": ["subdomain"]}, {"required": ["base_url"]}]},
    ]
    assert aha["properties"]["api_key"] == {
        "title": "Api Key",
        "description": "An API key of a user: Settings, Personal, Developer, API keys.",
        "type": "string",
        "airbyte_secret": True,
        "format": "password",
        "writeOnly": True,
        "order": 2,
    }
    assert faker["properties"]["count"] == {
        "title": "Count",
        "description": "How many users there are, and how many purchases.",
        "type": "integer",
        "default": 1000,
        "minimum": 1,
        "order": 0,
    }


@pytest.mark.parametrize("kind", [*discover(), Library])
def test_a_specification_is_json_and_describes_every_key(kind: type[Source]) -> None:
    spec = json.loads(json.dumps(configs.spec(kind)))
    assert spec["title"] == f"Configuration of source-{kind.name}"
    assert [key["order"] for key in spec["properties"].values()] == list(range(len(spec["properties"])))
    assert "Environment:" not in json.dumps(spec)
    assert {*kind.model_fields, *(key.name for key in kind.config_keys)} == spec["properties"].keys()
    assert spec["properties"].keys() >= {name for names in kind.config_needs for name in names}
    assert all(set(key.stands_for) <= set(kind.model_fields) for key in kind.config_keys)


# With secrets, and against the sandbox


def test_references_are_resolved_before_a_configuration_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AHA_TEST_KEY", CANARY)
    config = {"api_key": "secret_reference::AHA_TEST_KEY", "url": "acme"}
    source = Aha(**configs.fields_of(Aha, resolved(config)))
    assert source.api_key == CANARY
    assert configs.guarded(Aha, config) == config


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    """The address of a small sandbox."""
    with SandboxProcess(Settings(scale=0.05, limits=0)) as process:
        yield process.url


@pytest.mark.parametrize("kind", discover())
def test_the_sandbox_is_read_with_its_configuration_in_airbytes_keys(
    kind: type[Source], sandbox: str, tmp_path: Path
) -> None:
    config = configs.sandbox_config(f"source-{kind.name}", sandbox)
    if issubclass(kind, HttpSource):
        config |= {"rate_limit_factor": 0.0, "state_folder": str(tmp_path)}
    source = kind(**configs.fields_of(kind, config))
    source.check()
    stream = next(stream for stream in kind.streams if not stream.selects_a_window and stream.parent is None)
    assert next(iter(source.read(stream, Slice()))).records


def test_the_configuration_of_the_sandbox_names_a_place_where_one_is_given() -> None:
    assert configs.sandbox_config("aha")["url"] == "https://sandbox.aha.io"
    assert configs.sandbox_config("aha", "http://127.0.0.1:9999/")["url"] == "http://127.0.0.1:9999/aha"
    drift = {
        "credentials": {"credentials": "access_token", "access_token": "sandbox-access-token"},
        "email": "lea.blum@acme.example",
    }
    assert configs.sandbox_config("source-drift") == drift
    here = {**drift, "base_url": "http://127.0.0.1:9999/drift"}
    assert configs.sandbox_config("drift", "http://127.0.0.1:9999") == here
    assert configs.sandbox_config("source-faker") == {"seed": 1, "always_updated": False}
    with pytest.raises(AirbyteConnectorNotRegisteredError, match="source-nothing"):
        configs.sandbox_config("source-nothing")


@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        (Aha, {"api_key": CANARY}),
        (Drift, {"credentials": {"access_token": CANARY}}),
        (Drift, {"credentials": {"client_id": "c", "client_secret": CANARY, "refresh_token": f"{CANARY}-r"}}),
    ],
)
def test_a_credential_that_the_vendor_refuses_is_not_in_the_refusal(
    kind: type[HttpSource], secret: dict[str, Any], sandbox: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    config = {**configs.sandbox_config(kind.name, sandbox), **secret, "state_folder": str(tmp_path)}
    with pytest.raises(RequestRejected) as caught:
        kind(**configs.fields_of(kind, config)).check()
    assert CANARY not in every_text(caught.value, caplog)


def test_exceptions_secrets_and_configurations_load_neither_dagster_nor_frames() -> None:
    loaded = loaded_by("connector_resources.exceptions", "connector_resources.secrets", "connector_resources.configs")
    assert "connector_resources.secrets.vault" in loaded
    assert {
        "dagster",
        "pandas",
        "pyarrow",
        "duckdb",
        "pydantic",
        "requests",
        "boto3",
        "hvac",
        "dotenv",
    } & loaded == set()
