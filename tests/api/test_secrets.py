"""Secrets: where they are looked for, what is said where there is none, and that they never show themselves."""

import copy
import getpass
import io
import json
import logging
import pickle
import pprint
import reprlib
import stat
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from rich.pretty import Pretty
from rich.traceback import Traceback

from connector_resources import exceptions as exc
from connector_resources import secrets
from connector_resources.secrets import SecretSourceEnum, SecretString, get_secret, resolved
from tests.api.test_exceptions import CANARY, every_text


class InMemory(secrets.CustomSecretManager):
    """What a test puts into it."""

    name = "memory"

    def __init__(self, **held: str) -> None:
        self.held = held
        self.asked: list[str] = []
        super().__init__()

    def get_secret(self, secret_name: str) -> SecretString | None:
        self.asked.append(secret_name)
        value = self.held.get(secret_name)
        return None if value is None else SecretString(value)


@pytest.fixture(autouse=True)
def _somewhere_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    secrets.reset_secret_sources()
    yield
    secrets.reset_secret_sources()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def typing(monkeypatch: pytest.MonkeyPatch, answer: str | Exception) -> list[str]:
    """Put a person at a terminal who answers so; return what was asked."""
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", ask)
    return asked


# What shows and what uses a secret


SHOWN: dict[str, Callable[[Any], str]] = {
    "repr": repr,
    "what holds it": lambda secret: repr({"a": [secret, (secret,)]}),
    "a format with !r": lambda secret: f"{secret!r}",
    "pprint": lambda secret: pprint.pformat({"config": [secret] * 40}, width=20),
    "reprlib": lambda secret: reprlib.repr([secret]),
    "rich": lambda secret: on_a_console(Pretty({"a": secret}, max_string=20)),
    "a part": lambda secret: repr([secret[:6], secret[0], secret[2:]]),
    "a log of what holds it": lambda secret: logging.LogRecord("x", 20, "x", 1, "%s", ([secret],), None).getMessage(),
}


def on_a_console(thing: object) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(thing)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]  # it is the one given above
    return text


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
def test_a_secret_shows_a_mask(show: Callable[[Any], str]) -> None:
    text = show(SecretString(CANARY))
    assert "****" in text
    for start in range(len(CANARY) - 3):
        assert CANARY[start : start + 4] not in text


def test_a_traceback_with_its_variables_shows_a_mask() -> None:
    def use(secret: SecretString) -> None:
        held = {"secret": secret, "long": SecretString(CANARY * 40)}
        raise ValueError(len(held))

    try:
        use(SecretString(CANARY))
    except ValueError as error:
        text = on_a_console(Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True))
        plain = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert "SecretString: ****" in text
    assert CANARY[:5] not in text
    assert CANARY not in "".join(plain.stack.format())


def test_a_secret_is_its_text_wherever_text_is_used() -> None:
    secret = SecretString(CANARY)
    assert secret == CANARY
    assert hash(secret) == hash(CANARY)
    assert f"Bearer {secret}" == "Bearer " + secret == f"Bearer {CANARY}"
    assert secret.encode() == CANARY.encode()
    assert json.loads(json.dumps({"client_secret": secret})) == {"client_secret": CANARY}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda secret: pickle.loads(pickle.dumps(secret))])
def test_a_copy_of_a_secret_is_a_secret(copied: Callable[[SecretString], SecretString]) -> None:
    secret = copied(SecretString(CANARY))
    assert (secret, type(secret)) == (CANARY, SecretString)


def test_a_secret_can_hold_a_json_document() -> None:
    secret = SecretString('{"a": 1}')
    assert (secret.is_json(), secret.parse_json(), secret.is_empty()) == (True, {"a": 1}, False)
    assert (SecretString("{").is_json(), SecretString("").is_empty()) == (False, True)


@pytest.mark.parametrize("text", [CANARY, f'{{"a": "{CANARY}"', f'["{CANARY}\ud800", {CANARY}]'])
def test_a_secret_that_is_no_json_document_is_refused_without_a_word_of_it(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(exc.PyAirbyteInputError, match=f"not a JSON document.*length={len(text)}") as caught:
        SecretString(text).parse_json()
    assert CANARY not in every_text(caught.value, caplog)
    assert caught.value.__context__ is None


# The places


def test_the_places_are_asked_in_their_order_and_the_first_that_has_it_ends_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("BOTH=dotenv\nFILE=dotenv\nALL=dotenv\n")
    monkeypatch.setenv("BOTH", "env")
    monkeypatch.setenv("ALL", "env")
    asked = typing(monkeypatch, "typed")
    memory = InMemory(ALL="memory")
    assert [get_secret(name) for name in ("ALL", "BOTH", "FILE", "NONE")] == ["memory", "env", "dotenv", "typed"]
    assert asked == ["NONE: "]
    assert memory.asked == ["ALL", "BOTH", "FILE", "NONE"]
    assert isinstance(get_secret("FILE"), SecretString)


def test_a_variable_that_is_set_to_nothing_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "")
    (tmp_path / ".env").write_text("KEY=\nOTHER\n")
    for manager in (secrets.EnvVarSecretManager(), secrets.DotenvSecretManager()):
        assert (manager.get_secret("KEY"), manager.get_secret("OTHER")) == (None, None)
    assert secrets.DotenvSecretManager().list_secrets_names() == []


def test_the_nearest_env_file_above_the_working_directory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / ".env").write_text("KEY=above\n")
    monkeypatch.chdir(below)
    assert get_secret("KEY", sources=SecretSourceEnum.DOTENV) == "above"
    (tmp_path / "a" / ".env").write_text("KEY=nearer\n")
    assert get_secret("KEY", sources="dotenv") == "nearer"


def test_an_env_file_of_another_name_is_a_place_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "prod.env").write_text("KEY=prod\nOTHER=1\n")
    manager = secrets.DotenvSecretManager(tmp_path / "prod.env")
    assert get_secret("KEY", sources=[manager]) == "prod"
    assert manager.list_secrets_names() == ["KEY", "OTHER"]
    assert str(manager) == f"dotenv:{tmp_path / 'prod.env'}"
    assert secrets.DotenvSecretManager(tmp_path / "none.env").get_secret("KEY") is None


def test_an_env_file_that_is_no_text_is_an_error_without_its_content(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".env").write_bytes(b"KEY=" + CANARY.encode() + b"\xff\xfe\n")
    with pytest.raises(exc.PyAirbyteInputError, match=r"\.env cannot be read: it is not UTF-8") as caught:
        get_secret("KEY")
    assert CANARY not in every_text(caught.value, caplog)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("answer", ["", EOFError(), NotImplementedError()], ids=["nothing", "end", "no frontend"])
def test_a_person_who_types_nothing_has_no_secret(monkeypatch: pytest.MonkeyPatch, answer: str | Exception) -> None:
    asked = typing(monkeypatch, answer)
    with pytest.raises(exc.PyAirbyteSecretNotFoundError):
        get_secret("KEY")
    assert asked == ["KEY: "]


def test_nobody_is_asked_where_there_is_no_terminal_or_where_that_is_not_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = typing(monkeypatch, "typed")
    for sources in (None, [SecretSourceEnum.PROMPT]):
        with pytest.raises(exc.PyAirbyteSecretNotFoundError):
            get_secret("KEY", sources=sources, allow_prompt=False)
    assert not secrets.is_secret_available("KEY")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(exc.PyAirbyteSecretNotFoundError, match="where there is a terminal"):
        get_secret("KEY")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(exc.PyAirbyteSecretNotFoundError):
        get_secret("KEY")
    assert asked == []


def test_a_person_at_a_notebook_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = typing(monkeypatch, "typed")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    assert (get_secret("KEY"), asked) == ("typed", ["KEY: "])


def test_a_person_is_asked_last_wherever_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "env")
    asked = typing(monkeypatch, "typed")
    assert get_secret("KEY", sources=[SecretSourceEnum.PROMPT, SecretSourceEnum.ENV]) == "env"
    assert asked == []


def test_a_notebook_in_colab_has_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    class SecretNotFoundError(Exception):
        pass

    class NotebookAccessError(Exception):
        pass

    def get(name: str) -> str:
        if name != "KEY":
            raise (SecretNotFoundError if name == "NONE" else NotebookAccessError)(name)
        return "colab"

    userdata = SimpleNamespace(
        get=get, SecretNotFoundError=SecretNotFoundError, NotebookAccessError=NotebookAccessError
    )
    assert secrets.try_get_secret("KEY") is None
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace(userdata=userdata))
    assert get_secret("KEY") == "colab"
    assert [secrets.try_get_secret(name) for name in ("NONE", "HIDDEN")] == [None, None]
    with pytest.raises(exc.PyAirbyteSecretNotFoundError, match="the notebook's secrets"):
        get_secret("NONE")


# Registering


def test_managers_are_registered_before_after_or_instead_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "env")

    class Backup(InMemory):
        name = "backup"
        as_backup = True

    Backup(KEY="backup", ONLY="backup")
    assert (get_secret("KEY"), get_secret("ONLY")) == ("env", "backup")
    InMemory(KEY="first")
    InMemory(KEY="second")
    assert get_secret("KEY") == "second"

    class Only(InMemory):
        replace_existing = True

    Only(KEY="only")
    assert get_secret("KEY") == "only"
    with pytest.raises(exc.PyAirbyteSecretNotFoundError) as caught:
        get_secret("ONLY")
    assert caught.value.sources == ["memory"]


def test_registering_a_manager_again_moves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "env")
    memory = InMemory(KEY="memory")
    memory.register(as_backup=True)
    assert get_secret("KEY") == "env"
    secrets.disable_secret_source(SecretSourceEnum.ENV)
    assert get_secret("KEY") == "memory"
    assert memory.asked == ["KEY"]


def test_a_manager_that_is_disabled_or_cleared_away_is_not_asked() -> None:
    memory = InMemory(KEY="memory")
    secrets.disable_secret_source("memory")
    assert secrets.try_get_secret("KEY") is None
    secrets.clear_secret_sources()
    with pytest.raises(exc.PyAirbyteSecretNotFoundError, match="Register a manager that has it"):
        get_secret("KEY")
    assert memory.asked == []


def test_managers_of_one_name_are_equal_to_each_other_and_to_their_name() -> None:
    manager = secrets.EnvVarSecretManager()
    assert manager == secrets.EnvVarSecretManager() == "env"
    assert manager == SecretSourceEnum.ENV
    assert manager != secrets.DotenvSecretManager()
    assert manager != 1
    assert (hash(manager), str(manager), str(SecretSourceEnum.ENV)) == (hash("env"), "env", "env")

    class Unnamed(secrets.SecretManager):
        def get_secret(self, secret_name: str) -> None:
            return None

    assert (str(Unnamed()), repr(Unnamed())) == ("Unnamed", "<Unnamed: Unnamed>")


def test_a_handle_fetches_its_secret_when_its_value_is_asked_for(tmp_path: Path) -> None:
    memory = InMemory(KEY='{"a": "b"}')
    handle = memory.get_secret_handle("KEY")
    assert memory.asked == []
    assert (handle.get_value(), handle.parse_json()) == ('{"a": "b"}', {"a": "b"})
    file = tmp_path / "secret.json"
    file.write_text("what was there before, and longer than the secret")
    file.chmod(0o644)
    handle.write_to_file(file)
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ('{"a": "b"}', 0o600)
    with pytest.raises(exc.PyAirbyteSecretNotFoundError, match=r"secret_name='NONE', sources=\['memory'\]"):
        memory.get_secret_handle("NONE").get_value()


# What is said


def test_a_secret_that_is_not_found_is_named_with_the_places_and_what_to_do() -> None:
    InMemory()
    with pytest.raises(exc.PyAirbyteSecretNotFoundError) as caught:
        get_secret("AHA_API_KEY", allow_prompt=False)
    assert str(caught.value) == (
        "The secret 'AHA_API_KEY' is not found. (secret_name='AHA_API_KEY', "
        "sources=['memory', 'env', 'dotenv', 'google_colab']) Add it to memory, or set the environment variable "
        "AHA_API_KEY, or write AHA_API_KEY=… into the file .env."
    )


def test_a_default_stands_in_for_a_secret_that_is_not_found() -> None:
    assert get_secret("KEY", default="other") == "other"
    assert secrets.try_get_secret("KEY", "other") == "other"
    with pytest.raises(exc.PyAirbyteSecretNotFoundError):
        get_secret("KEY", default="")


def test_a_place_that_is_not_registered_is_refused_with_those_that_are() -> None:
    with pytest.raises(exc.PyAirbyteInputError) as caught:
        get_secret("KEY", sources=[SecretSourceEnum.GOOGLE_GSM])
    assert str(caught.value) == (
        "Secrets are not looked for in google_gsm. (available_sources=['env', 'dotenv', 'google_colab', 'prompt']) "
        "Register a manager of that name with register_secret_manager()."
    )


# References


def test_references_are_replaced_anywhere_and_the_configuration_stays_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEY", CANARY)
    monkeypatch.setenv("OTHER", "other")
    memory = InMemory()
    config = {
        "plain": "secret_reference",
        "key": "secret_reference::KEY",
        "spaced": "secret_reference:: KEY ",
        "number": 1,
        "nested": {"list": ["secret_reference::OTHER", {"deep": ("secret_reference::KEY", None)}]},
    }
    before = copy.deepcopy(config)
    assert resolved(config) == {
        "plain": "secret_reference",
        "key": CANARY,
        "spaced": CANARY,
        "number": 1,
        "nested": {"list": ["other", {"deep": [CANARY, None]}]},
    }
    assert config == before
    assert memory.asked == ["KEY", "OTHER"]
    assert CANARY not in repr(resolved(config))
    assert get_secret("secret_reference::KEY") == CANARY


def test_every_reference_that_leads_nowhere_is_named_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", CANARY)
    config = {
        "a": "secret_reference::KEY",
        "b": {"c": ["secret_reference::NONE", "secret_reference::KEY"]},
        "d": "secret_reference::NEITHER",
    }
    with pytest.raises(exc.PyAirbyteSecretNotFoundError) as caught:
        resolved(config, allow_prompt=False)
    assert str(caught.value).startswith(
        "Secrets that the configuration refers to are not found: 'NONE' @ $.b.c[0], 'NEITHER' @ $.d. "
    )


# Clouds: fakes of what the client libraries are


class NotFound(Exception):
    """What each of the libraries raises for a name that it does not know, under a name of its own."""


class PermissionDenied(Exception):
    """What they raise for another reason; its text may be anything."""


class FakeCloud:
    """The libraries of the four vendors, over one store of secrets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held: dict[str, Any] = {}
        self.calls: list[Any] = []
        self.refusal: Exception | None = None
        client = SimpleNamespace(
            access_secret_version=lambda name: SimpleNamespace(
                payload=SimpleNamespace(data=self.look(name.removesuffix("/versions/latest")).encode())
            ),
            get_secret=lambda name: SimpleNamespace(labels={"connector": name[-3:]}),
            list_secrets=self.list_secrets,
        )

        class Service:
            def __new__(cls) -> Any:
                self.signed_in("default credentials")
                return client

            @staticmethod
            def from_service_account_info(info: Any) -> Any:
                self.signed_in(info)
                return client

            @staticmethod
            def from_service_account_file(path: str) -> Any:
                self.signed_in(path)
                return client

        class Session:
            def __init__(session, **arguments: Any) -> None:  # noqa: N805  # self is the cloud
                self.signed_in(arguments)

            def client(session, service: str) -> Any:  # noqa: N805  # self is the cloud
                assert service == "secretsmanager"
                return SimpleNamespace(
                    exceptions=SimpleNamespace(ResourceNotFoundException=NotFound),
                    get_secret_value=lambda SecretId: self.look(SecretId),  # noqa: N803  # boto3's name
                )

        class SecretClient:
            def __init__(vault, **arguments: Any) -> None:  # noqa: N805  # self is the cloud
                self.signed_in(arguments)

            def get_secret(vault, name: str) -> Any:  # noqa: N805  # self is the cloud
                return SimpleNamespace(value=self.look(name))

        def hvac_client(**arguments: Any) -> Any:
            self.signed_in(arguments)
            return SimpleNamespace(
                secrets=SimpleNamespace(kv=SimpleNamespace(v2=SimpleNamespace(read_secret_version=self.read_version)))
            )

        libraries: dict[str, dict[str, Any]] = {
            "google": {},
            "google.cloud": {},
            "google.cloud.secretmanager": {"SecretManagerServiceClient": Service},
            "google.api_core": {},
            "google.api_core.exceptions": {"NotFound": NotFound},
            "boto3": {"Session": Session},
            "azure": {},
            "azure.core": {},
            "azure.core.exceptions": {"ResourceNotFoundError": NotFound},
            "azure.identity": {"DefaultAzureCredential": lambda: "default"},
            "azure.keyvault": {},
            "azure.keyvault.secrets": {"SecretClient": SecretClient},
            "hvac": {"Client": hvac_client},
            "hvac.exceptions": {"InvalidPath": NotFound},
        }
        for name, things in libraries.items():
            module = ModuleType(name)
            vars(module).update(things)
            monkeypatch.setitem(sys.modules, name, module)

    def signed_in(self, arguments: Any) -> None:
        """Take down how somebody signs in, unless nobody may."""
        if self.refusal is not None:
            raise self.refusal
        self.calls.append(arguments)

    def look(self, name: str) -> Any:
        if name not in self.held:
            raise NotFound(name)
        if isinstance(self.held[name], Exception):
            raise self.held[name]
        return self.held[name]

    def list_secrets(self, request: dict[str, str]) -> list[Any]:
        self.calls.append(request)
        return [SimpleNamespace(name=name) for name in self.held]

    def read_version(self, *, path: str, mount_point: str, raise_on_deleted_version: bool) -> Any:
        assert raise_on_deleted_version
        return {"data": {"data": self.look(f"{mount_point}/{path}")}}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    return FakeCloud(monkeypatch)


def gsm() -> secrets.GoogleGSMSecretManager:
    return secrets.GoogleGSMSecretManager("acme")


def aws() -> secrets.AWSSecretManager:
    return secrets.AWSSecretManager("eu-west-1", profile="p", prefix="prod/")


def azure() -> secrets.AzureKeyVaultSecretManager:
    return secrets.AzureKeyVaultSecretManager("https://acme.vault.azure.net")


def vault() -> secrets.VaultSecretManager:
    return secrets.VaultSecretManager("headrace", url="https://vault.test", token="t")


CLOUDS: dict[str, tuple[Callable[[], Any], str, Any]] = {
    "google_gsm": (gsm, "projects/acme/secrets/AHA_API_KEY", CANARY),
    "aws": (aws, "prod/AHA_API_KEY", {"SecretString": CANARY}),
    "azure": (azure, "AHA-API-KEY", CANARY),
    "vault": (vault, "secret/headrace", {"AHA_API_KEY": CANARY}),
}


@pytest.mark.parametrize(("make", "name", "held"), CLOUDS.values(), ids=CLOUDS)
def test_a_cloud_gives_its_secrets_once_it_is_registered(
    cloud: FakeCloud, make: Callable[[], Any], name: str, held: Any, request: pytest.FixtureRequest
) -> None:
    cloud.held[name] = held
    manager = make()
    assert secrets.try_get_secret("AHA_API_KEY") is None
    manager.register()
    assert get_secret("AHA_API_KEY") == CANARY
    assert manager.get_secret("NONE") is None
    assert manager.name in request.node.callspec.id
    assert get_secret("AHA_API_KEY", sources=[SecretSourceEnum(manager.name)]) == CANARY


@pytest.mark.parametrize(("make", "name", "held"), CLOUDS.values(), ids=CLOUDS)
def test_a_cloud_that_refuses_is_an_error_and_no_missing_secret(
    cloud: FakeCloud, make: Callable[[], Any], name: str, held: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.held[name] = PermissionDenied(CANARY)
    with pytest.raises(exc.PyAirbyteError, match="did not give the secret 'AHA_API_KEY': PermissionDenied") as caught:
        make().get_secret("AHA_API_KEY")
    assert not isinstance(caught.value, exc.PyAirbyteSecretNotFoundError)
    assert CANARY not in every_text(caught.value, caplog)


@pytest.mark.parametrize("make", [make for make, _, _ in CLOUDS.values()], ids=CLOUDS)
def test_a_cloud_that_cannot_be_signed_in_to_is_an_error_without_the_librarys_words(
    cloud: FakeCloud, make: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    cloud.refusal = PermissionDenied(CANARY)
    with pytest.raises(exc.PyAirbyteInputError, match="cannot be signed in to: PermissionDenied") as caught:
        make()
    assert CANARY not in every_text(caught.value, caplog)


@pytest.mark.parametrize(
    ("make", "module", "extra"),
    [
        (gsm, "google.cloud.secretmanager", "google"),
        (aws, "boto3", "aws"),
        (azure, "azure.identity", "azure"),
        (vault, "hvac", "vault"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any], module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # how Python marks what is not there
    with pytest.raises(exc.AirbyteConnectorInstallationError) as caught:
        make()
    assert str(caught.value) == f"{module} is not installed. pip install 'headrace[{extra}]' installs it."


def test_google_is_signed_in_to_in_three_ways(cloud: FakeCloud) -> None:
    gsm()
    secrets.GoogleGSMSecretManager("acme", credentials_json='{"client_email": "x"}')
    secrets.GoogleGSMSecretManager("acme", credentials_path="key.json", auto_register=True)
    assert cloud.calls == ["default credentials", {"client_email": "x"}, "key.json"]
    assert str(get_manager_names()) == "['google_gsm', 'env', 'dotenv', 'google_colab', 'prompt']"
    with pytest.raises(exc.PyAirbyteInputError, match="Give one of them"):
        secrets.GoogleGSMSecretManager("acme", credentials_json=CANARY, credentials_path="key.json")
    with pytest.raises(exc.PyAirbyteInputError, match="not a JSON document") as caught:
        secrets.GoogleGSMSecretManager("acme", credentials_json=CANARY)
    assert CANARY not in str(caught.value)


def get_manager_names() -> list[str]:
    """Return the names of the registered managers, in their order."""
    with pytest.raises(exc.PyAirbyteSecretNotFoundError) as caught:
        get_secret("NO_SUCH_SECRET")
    return caught.value.sources or []


def test_secrets_of_google_are_found_by_their_label(cloud: FakeCloud) -> None:
    manager = gsm()
    with pytest.raises(exc.PyAirbyteSecretNotFoundError, match="the label connector=source-aha"):
        manager.fetch_connector_secret("source-aha")
    cloud.held["projects/acme/secrets/aha"] = '{"api_key": "k"}'
    handle = manager.fetch_connector_secret("source-aha")
    assert (handle.parse_json(), handle.labels) == ({"api_key": "k"}, {"connector": "aha"})
    assert cloud.calls[-1] == {"filter": "labels.connector=source-aha", "parent": "projects/acme"}
    assert manager.get_secret_handle("aha").get_value() == '{"api_key": "k"}'
    assert manager.get_secret("projects/acme/secrets/aha/versions/latest") == '{"api_key": "k"}'


def test_aws_gives_bytes_as_text_and_is_told_the_region(cloud: FakeCloud) -> None:
    cloud.held["prod/KEY"] = {"SecretBinary": CANARY.encode()}
    assert aws().get_secret("KEY") == CANARY
    assert cloud.calls == [{"region_name": "eu-west-1", "profile_name": "p"}]


def test_aws_has_a_word_for_each_refusal(cloud: FakeCloud) -> None:
    refusal = PermissionDenied(CANARY)
    refusal.response = {"Error": {"Code": "AccessDeniedException", "Message": CANARY}}  # type: ignore[attr-defined]  # botocore's
    cloud.held["prod/KEY"] = refusal
    with pytest.raises(exc.PyAirbyteError, match=r"the secret 'KEY': AccessDeniedException\.") as caught:
        aws().get_secret("KEY")
    assert CANARY not in str(caught.value)


def test_vault_gives_keys_of_other_paths_and_is_told_where_it_is(cloud: FakeCloud) -> None:
    cloud.held |= {"secret/other/path": {"KEY": "there"}, "secret/headrace": {"KEY": "here"}}
    manager = vault()
    assert (manager.get_secret("KEY"), manager.get_secret("other/path#KEY")) == ("here", "there")
    assert manager.get_secret("other/path#NONE") is None
    assert cloud.calls == [{"url": "https://vault.test", "token": "t", "namespace": None}]
