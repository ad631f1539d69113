"""Looking for secrets: in which places, in which order, and what is said where none has it.

Managers that are registered come first, the last one registered before the others; then the environment, `.env` and,
in Colab, its secrets. A person is asked last. A manager that has the name ends the search; one that cannot tell raises.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connector_resources.exceptions import PyAirbyteInputError, PyAirbyteSecretNotFoundError
from connector_resources.secrets.base import SecretManager, SecretSourceEnum, SecretString
from connector_resources.secrets.here import (
    ColabSecretManager,
    DotenvSecretManager,
    EnvVarSecretManager,
    SecretsPrompt,
)

SECRETS_HYDRATION_PREFIX = "secret_reference::"
"""What a text in a configuration begins with that is the name of a secret."""

AnySource = SecretManager | SecretSourceEnum | str


def _usual() -> list[SecretManager]:
    return [EnvVarSecretManager(), DotenvSecretManager(), ColabSecretManager(), SecretsPrompt()]


_managers = _usual()


def register_secret_manager(
    secret_manager: SecretManager, *, as_backup: bool = False, replace_existing: bool = False
) -> None:
    """Look for secrets in this manager, too: before the others, as a backup after them, or instead of them."""
    _managers[:] = [manager for manager in _managers if manager is not secret_manager and not replace_existing]
    _managers.insert(len(_managers) if as_backup else 0, secret_manager)


def disable_secret_source(source: AnySource) -> None:
    """Look no longer for secrets in this manager, or in the one of this name."""
    _managers[:] = [manager for manager in _managers if manager != source]


def clear_secret_sources() -> None:
    """Look for secrets nowhere, until a manager is registered."""
    _managers.clear()


def reset_secret_sources() -> None:
    """Look for secrets where they are looked for in a new process."""
    _managers[:] = _usual()


class CustomSecretManager(SecretManager):
    """A manager of one's own: a subclass writes `get_secret`, and an instance is registered when it is made.

    `auto_register`, `as_backup` and `replace_existing`, on the class, say whether and how; `name` is optional.
    """

    auto_register = True

    def __init__(self) -> None:
        super().__init__()
        if self.auto_register:
            self.register()

    def register(self, *, replace_existing: bool | None = None, as_backup: bool | None = None) -> None:
        """Register this manager as its class says, or as these say."""
        register_secret_manager(
            self,
            as_backup=self.as_backup if as_backup is None else as_backup,
            replace_existing=self.replace_existing if replace_existing is None else replace_existing,
        )


def get_secret(
    secret_name: str,
    /,
    *,
    sources: Sequence[AnySource] | AnySource | None = None,
    default: str | None = None,
    allow_prompt: bool = True,
) -> SecretString:
    """Return the secret of that name from the first place that has it, else `default`.

    `sources` are the places to look in, in their order: managers, or names of registered ones. A person is asked last,
    and only with `allow_prompt`. `secret_reference::` before the name is left out. Raises PyAirbyteSecretNotFoundError,
    naming the places, and PyAirbyteInputError for a place that is not registered.
    """
    name = secret_name.removeprefix(SECRETS_HYDRATION_PREFIX).strip()
    managers = _chosen(sources)
    asked = [manager for manager in managers if allow_prompt or not isinstance(manager, SecretsPrompt)]
    asked.sort(key=lambda manager: isinstance(manager, SecretsPrompt))
    for manager in asked:
        if value := manager.get_secret(name):
            return SecretString(value)
    if default:
        return SecretString(default)
    raise PyAirbyteSecretNotFoundError(
        f"The secret {name!r} is not found.",
        secret_name=name,
        sources=[str(manager) for manager in asked],
        guidance=_what_to_do(name, asked),
    )


def _chosen(sources: Sequence[AnySource] | AnySource | None) -> list[SecretManager]:
    if sources is None:
        return list(_managers)
    asked = [sources] if isinstance(sources, (SecretManager, str)) else sources
    chosen = []
    for source in asked:
        registered = [source] if isinstance(source, SecretManager) else [one for one in _managers if one == source]
        if not registered:
            raise PyAirbyteInputError(
                f"Secrets are not looked for in {source!s}.",
                guidance="Register a manager of that name with register_secret_manager().",
                context={"available_sources": [str(manager) for manager in _managers]},
            )
        chosen.extend(registered)
    return chosen


def _what_to_do(name: str, managers: Iterable[SecretManager]) -> str:
    ways = [way for manager in managers if (way := manager.how_to_add(name))]
    text = ", or ".join(ways or ["register a manager that has it"])
    return f"{text[0].upper()}{text[1:]}."


def try_get_secret(
    secret_name: str, /, default: str | None = None, sources: Sequence[AnySource] | AnySource | None = None
) -> SecretString | None:
    """Return a secret as `get_secret` does, asking nobody; None where there is none and no default."""
    try:
        return get_secret(secret_name, sources=sources, default=default, allow_prompt=False)
    except PyAirbyteSecretNotFoundError:
        return None


def is_secret_available(secret_name: str) -> bool:
    """Return whether a secret is there without anybody being asked for it."""
    return try_get_secret(secret_name) is not None


def is_reference(value: object) -> bool:
    """Return whether a value of a configuration is the name of a secret."""
    return isinstance(value, str) and value.startswith(SECRETS_HYDRATION_PREFIX)


def resolved(config: Mapping[str, Any], *, allow_prompt: bool = True) -> dict[str, Any]:
    """Return a copy of a configuration with each `secret_reference::NAME` replaced by that secret, lists included.

    A name that is there twice is looked up once. Raises PyAirbyteSecretNotFoundError, which names every reference that
    leads nowhere and where it is; what else looking for a secret may raise comes as it is.
    """
    found: dict[str, SecretString] = {}
    missing: dict[str, tuple[str, PyAirbyteSecretNotFoundError]] = {}

    def secret(reference: str, where: str) -> Any:
        name = reference.removeprefix(SECRETS_HYDRATION_PREFIX).strip()
        if name not in found:
            try:
                found[name] = get_secret(name, allow_prompt=allow_prompt)
            except PyAirbyteSecretNotFoundError as error:
                missing[where] = name, error
                return reference
        return found[name]

    def replaced(value: Any, where: str) -> Any:
        if is_reference(value):
            return secret(value, where)
        if isinstance(value, Mapping):
            return {key: replaced(item, f"{where}.{key}") for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [replaced(item, f"{where}[{place}]") for place, item in enumerate(value)]
        return value

    copy: dict[str, Any] = replaced(config, "$")
    if missing:
        names = ", ".join(f"{name!r} @ {where}" for where, (name, _) in missing.items())
        first = next(iter(missing.values()))
        raise PyAirbyteSecretNotFoundError(
            f"Secrets that the configuration refers to are not found: {names}.",
            secret_name=first[0],
            sources=first[1].sources,
            guidance=first[1].guidance,
        )
    return copy
