"""Secrets of a cloud: what the managers of the four have in common.

Each needs its vendor's client library, which an extra installs, and imports it when a manager is made. A name that the
vendor does not know is a secret that is not there; every other refusal is an error that names its class and not its
text, which is the vendor's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import ClassVar

from connector_resources.exceptions import (
    AirbyteConnectorInstallationError,
    PyAirbyteError,
    PyAirbyteInputError,
)
from connector_resources.secrets.lookup import CustomSecretManager


def library(name: str, extra: str) -> ModuleType:
    """Return a module of a client library. Raises AirbyteConnectorInstallationError, naming the extra that has it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise AirbyteConnectorInstallationError(
            f"{name} is not installed.", guidance=f"pip install 'headrace[{extra}]' installs it."
        ) from error


class CloudSecretManager(CustomSecretManager):
    """A vendor's store. It is registered when `register` is called, or when it is made with `auto_register`."""

    auto_register = False
    store: ClassVar[str]

    def __init__(self, *, auto_register: bool = False, as_backup: bool = False) -> None:
        self.auto_register = auto_register
        self.as_backup = as_backup
        super().__init__()

    @classmethod
    @contextmanager
    def signing_in(cls) -> Iterator[None]:
        """Raise PyAirbyteInputError for what the library has against the settings and the credentials."""
        try:
            yield
        except PyAirbyteError:
            raise
        except Exception as error:
            raise PyAirbyteInputError(
                f"{cls.store} cannot be signed in to: {type(error).__name__}.",
                guidance="Check the arguments, and the variables and files that its library looks at by itself.",
            ) from None

    def refused(self, secret_name: str, error: Exception, code: str | None = None) -> PyAirbyteError:
        """Return what to raise where the vendor did not say whether there is such a secret; `code` is its word."""
        return PyAirbyteError(
            f"{self.store} did not give the secret {secret_name!r}: {code or type(error).__name__}.",
            guidance="Check the credentials, what they may read, and the connection.",
        )
