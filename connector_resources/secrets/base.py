"""What a secret is, and what a manager of secrets has to be able to do."""

import json
from abc import ABC, abstractmethod
from enum import StrEnum
from pathlib import Path
from typing import Any, SupportsIndex, cast

from connector_resources.exceptions import MASK, PyAirbyteInputError, PyAirbyteSecretNotFoundError


class SecretSourceEnum(StrEnum):
    """Where secrets are looked for: the names of the managers."""

    ENV = "env"
    DOTENV = "dotenv"
    GOOGLE_COLAB = "google_colab"
    PROMPT = "prompt"
    # These are there once one has been registered.
    GOOGLE_GSM = "google_gsm"
    AWS = "aws"
    AZURE = "azure"
    VAULT = "vault"


class SecretString(str):
    """A text that is a secret: it shows a mask wherever objects are shown, and is the text wherever text is used.

    Shown is what `repr` makes: in tracebacks and logs of what holds it, in a notebook, in an error. Used is what asks
    for text: `str`, `format`, joining, encoding, JSON; other libraries sign their requests with that. A part of it is
    a secret too.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<SecretString: {MASK}>"

    def __getitem__(self, key: SupportsIndex | slice) -> "SecretString":
        # Who shortens a long text before showing it asks the part for its repr.
        return SecretString(super().__getitem__(key))

    def is_empty(self) -> bool:
        """Return whether there is nothing in it."""
        return len(self) == 0

    def is_json(self) -> bool:
        """Return whether it is a JSON document."""
        try:
            json.loads(self)
        except ValueError:
            return False
        return True

    def parse_json(self) -> Any:
        """Return what the JSON document in it holds. Raises PyAirbyteInputError, which shows none of it."""
        try:
            return json.loads(self)
        except ValueError as error:
            position = error.pos if isinstance(error, json.JSONDecodeError) else None
        # Raised out here: the other error has the whole text, and would hang on this one as its context.
        raise PyAirbyteInputError(
            "The secret is not a JSON document.", context={"length": len(self), "position": position}
        )


class SecretManager(ABC):
    """A place where secrets are, by name. To add one, write a `CustomSecretManager`."""

    name: str

    replace_existing = False
    as_backup = False

    def __init__(self) -> None:
        if not hasattr(self, "name"):
            self.name = type(self).__name__

    @abstractmethod
    def get_secret(self, secret_name: str) -> SecretString | None:
        """Return the secret of that name, None where there is none; raise where that cannot be told."""

    def how_to_add(self, secret_name: str) -> str:
        """Return what a person does so that this manager has the secret, as an imperative; "" where that is nothing."""
        return f"add it to {self}"

    def get_secret_handle(self, secret_name: str) -> "SecretHandle":
        """Return a secret that is fetched when its value is asked for."""
        return SecretHandle(self, secret_name)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}>"

    def __eq__(self, other: object) -> bool:
        return self.name == str(other) if isinstance(other, (SecretManager, str)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.name)


class SecretHandle:
    """A secret that a manager has, fetched when its value is asked for."""

    def __init__(self, parent: SecretManager, secret_name: str) -> None:
        self.parent = parent
        self.secret_name = secret_name

    def get_value(self) -> SecretString:
        """Return the secret. Raises PyAirbyteSecretNotFoundError where there is none."""
        value = self.parent.get_secret(self.secret_name)
        if value is None:
            raise PyAirbyteSecretNotFoundError(secret_name=self.secret_name, sources=[str(self.parent)])
        return value

    def parse_json(self) -> dict[str, Any]:
        """Return what the JSON document in the secret holds. Raises as `SecretString.parse_json` does."""
        return cast(dict[str, Any], self.get_value().parse_json())

    def write_to_file(self, file_path: Path, /, *, silent: bool = True) -> None:
        """Write the secret to a file that only its owner can read; nothing is printed, `silent` or not."""
        value = self.get_value()
        file_path.touch(mode=0o600)
        file_path.chmod(0o600)
        file_path.write_text(str(value), encoding="utf-8")
