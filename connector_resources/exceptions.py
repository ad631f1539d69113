"""The errors of the Python API, by the names that PyAirbyte gave them.

PyAirbyteError                                    a ConnectorError
├── PyAirbyteInternalError
├── PyAirbyteInputError                           a ConfigurationError and a ValueError
│   └── PyAirbyteNoStreamsSelectedError
├── PyAirbyteNameNormalizationError               a ConfigurationError and a ValueError
├── PyAirbyteSecretNotFoundError                  a MissingCredential
├── PyAirbyteCacheError                           a DestinationError
│   ├── PyAirbyteCacheTableValidationError
│   └── AirbyteConnectorConfigurationMissingError a ConfigurationError
├── AirbyteConnectorRegistryError                 a ConfigurationError
│   └── AirbyteConnectorNotRegisteredError
└── AirbyteConnectorError
    ├── AirbyteConnectorInstallationError         a ConfigurationError
    ├── AirbyteConnectorReadError
    ├── AirbyteConnectorWriteError                a DestinationError
    ├── AirbyteConnectorDiscoverFailedError
    ├── AirbyteNoDataFromConnectorError
    ├── AirbyteConnectorValidationFailedError     a ConfigurationError
    ├── AirbyteConnectorCheckFailedError
    ├── AirbyteConnectorFailedError
    ├── AirbyteStreamNotFoundError                an UnknownStream
    └── AirbyteStateNotFoundError                 a KeyError

Whoever catches ours (`connector_resources.errors`) catches these too. Errors of subprocesses, of Airbyte's cloud and of
its servers are left out: nothing here can raise them.

As everywhere, a message says what happened, where, and what to do, and holds no secret. So that this does not depend
on who raises, an error takes over only what it may show: of a mapping that is its keys; of an object, its class; of
what is called an API key, a token, a password, a secret or a credential, nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields
from datetime import date
from enum import Enum
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from connector_resources.errors import (
    ConfigurationError,
    ConnectorError,
    DestinationError,
    MissingCredential,
    UnknownStream,
)
from connector_resources.http.messages import hidden

if TYPE_CHECKING:
    from connector_resources.results import ReadResult

MASK = "****"
"""What stands where a secret is."""

_SECRET_WORDS = re.compile(
    r"(?i)^key$|(api|access|private|signing)[_-]?key|token|passw|passphrase|secret|credential|authorization"
)
_NAMES_OF_SECRETS = re.compile(r"(?i)(^|_)(name|names|label|url)$")


def is_secret_name(name: str) -> bool:
    """Return whether what is called so is likely a secret: an API key, a token, a password; not the name of one."""
    return bool(_SECRET_WORDS.search(name)) and not _NAMES_OF_SECRETS.search(name)


def shown(value: object) -> Any:
    """Return what an error may keep of a value: plain values as they are, the keys of mappings, else a class's name."""
    if value is None or type(value) in (bool, int, float, str) or isinstance(value, (date, PurePath)):
        return value
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, Mapping):
        return dict.fromkeys(map(str, value), MASK)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [shown(item) for item in value]
    return MASK if isinstance(value, str) else f"<{type(value).__name__}>"


def _is_secret(name: str, value: object) -> bool:
    return isinstance(value, str) and (type(value) is not str or is_secret_name(name))


@dataclass(eq=False, repr=False)
class PyAirbyteError(ConnectorError):
    """The Python API could not do what it was asked to."""

    message: str | None = None
    _: KW_ONLY
    guidance: str | None = None
    help_url: str | None = None
    context: dict[str, Any] | None = None
    original_exception: BaseException | None = None

    log_text: ClassVar[None] = None
    log_file: ClassVar[None] = None

    def __post_init__(self) -> None:
        """Keep nothing that may not be shown."""
        for name in self._properties():
            setattr(self, name, shown(getattr(self, name)))
        if self.context is not None:
            secrets = {name: value for name, value in self.context.items() if _is_secret(str(name), value)}
            self.context = {
                str(name): MASK if name in secrets else shown(value) for name, value in self.context.items()
            }
            if self.message is not None:
                self.message = hidden(self.message, map(str, secrets.values()))
        self.args = () if self.message is None else (self.message,)

    @classmethod
    def _properties(cls) -> list[str]:
        """Return the names of what an error of this class says besides what every error does."""
        common = {field.name for field in fields(PyAirbyteError)}
        return [field.name for field in fields(cls) if field.name not in common]

    def get_message(self) -> str:
        """Return what happened: the message, else the first line of the class's docstring."""
        return self.message or (self.__doc__ or "").split("\n")[0]

    def _details(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self._properties()}
        return {name: value for name, value in {**own, **(self.context or {})}.items() if value is not None}

    def __str__(self) -> str:
        details = ", ".join(f"{name}={value!r}" for name, value in self._details().items())
        cause = self.original_exception
        parts = (
            self.get_message(),
            f"({details})" if details else None,
            # The text of a foreign error may hold what it was given; ours never does.
            None if cause is None else f"Cause: {cause if isinstance(cause, ConnectorError) else type(cause).__name__}",
            self.guidance,
            f"More: {self.help_url}" if self.help_url else None,
        )
        return " ".join(part for part in parts if part)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def safe_logging_dict(self) -> dict[str, Any]:
        """Return the class, the message and the details, for a log that takes a mapping."""
        return {"class": type(self).__name__, "message": self.get_message(), **self._details()}


class PyAirbyteInternalError(PyAirbyteError):
    """Something that cannot be has happened: please report it."""


@dataclass(eq=False, repr=False, kw_only=True)
class PyAirbyteInputError(PyAirbyteError, ConfigurationError, ValueError):
    """A value that was given is none of those that are valid."""

    input_value: object = None


@dataclass(eq=False, repr=False, kw_only=True)
class PyAirbyteNoStreamsSelectedError(PyAirbyteInputError):
    """No streams are selected."""

    guidance: str | None = "Select some with select_streams(), or all with select_all_streams()."
    connector_name: str | None = None
    available_streams: list[str] | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class PyAirbyteNameNormalizationError(PyAirbyteError, ConfigurationError, ValueError):
    """A name cannot be made the name of a table or a column."""

    guidance: str | None = "Give it another name."
    raw_name: str | None = None
    normalization_result: str | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class PyAirbyteSecretNotFoundError(PyAirbyteError, MissingCredential):
    """A secret is not found."""

    guidance: str | None = "Set it in one of them."
    secret_name: str | None = None
    sources: list[str] | None = None


class PyAirbyteCacheError(PyAirbyteError, DestinationError):
    """The cache could not be read or written."""


@dataclass(eq=False, repr=False, kw_only=True)
class PyAirbyteCacheTableValidationError(PyAirbyteCacheError):
    """A table of the cache is not as it should be."""

    violation: str | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class AirbyteConnectorConfigurationMissingError(PyAirbyteCacheError, ConfigurationError):
    """The connector has no configuration."""

    guidance: str | None = "Give it one with set_config(), or as the argument `config`."
    connector_name: str | None = None


class AirbyteConnectorRegistryError(PyAirbyteError, ConfigurationError):
    """The list of connectors could not be made."""


@dataclass(eq=False, repr=False, kw_only=True)
class AirbyteConnectorNotRegisteredError(AirbyteConnectorRegistryError):
    """There is no connector of that name."""

    guidance: str | None = "get_available_connectors() lists those there are."
    connector_name: str | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class AirbyteConnectorError(PyAirbyteError):
    """The connector could not do what it was asked to."""

    connector_name: str | None = None


class AirbyteConnectorInstallationError(AirbyteConnectorError, ConfigurationError):
    """Something that the connector needs is not installed."""


class AirbyteConnectorReadError(AirbyteConnectorError):
    """The connector could not read.

    `result` has the streams that were read all the same, `failed` why each of the others was not, by their names.
    """

    result: "ReadResult | None" = None
    failed: Mapping[str, ConnectorError] = MappingProxyType({})


class AirbyteConnectorWriteError(AirbyteConnectorError, DestinationError):
    """The connector could not write; what was there before still is."""


class AirbyteConnectorDiscoverFailedError(AirbyteConnectorError):
    """The streams of the account could not be listed."""


class AirbyteNoDataFromConnectorError(AirbyteConnectorError):
    """The connector gave no records."""


@dataclass(eq=False, repr=False, kw_only=True)
class AirbyteConnectorValidationFailedError(AirbyteConnectorError, ConfigurationError):
    """The configuration does not fit the connector."""

    guidance: str | None = "config_spec has what the connector takes."


class AirbyteConnectorCheckFailedError(AirbyteConnectorError):
    """The account could not be read with this configuration."""


@dataclass(eq=False, repr=False, kw_only=True)
class AirbyteConnectorFailedError(AirbyteConnectorError):
    """The connector failed."""

    exit_code: int | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class AirbyteStreamNotFoundError(AirbyteConnectorError, UnknownStream):
    """There is no stream of that name."""

    stream_name: str | None = None
    available_streams: list[str] | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class AirbyteStateNotFoundError(AirbyteConnectorError, KeyError):
    """There is no state of that stream."""

    stream_name: str | None = None
    available_streams: list[str] | None = None


class PyAirbyteWarning(Warning):
    """A warning of the Python API."""


class PyAirbyteDataLossWarning(PyAirbyteWarning):
    """Records that were there may be lost."""


class AirbyteExperimentalFeatureWarning(FutureWarning):
    """What was used may change."""
