"""Secrets of this machine: the environment, the file `.env`, the person at the terminal or at the notebook."""

import os
import sys
from pathlib import Path

from connector_resources.environment import env_file
from connector_resources.secrets.base import SecretManager, SecretSourceEnum, SecretString


class EnvVarSecretManager(SecretManager):
    """The environment variables. One that is set to nothing counts as not set."""

    name = SecretSourceEnum.ENV.value

    def get_secret(self, secret_name: str) -> SecretString | None:
        """Return the variable of that name."""
        value = os.environ.get(secret_name)
        return SecretString(value) if value else None

    def how_to_add(self, secret_name: str) -> str:
        """Return how a variable is set."""
        return f"set the environment variable {secret_name}"


class DotenvSecretManager(SecretManager):
    """A file of `NAME=value` lines: `dotenv_path`, else the first `.env` in the working directory or above it.

    It is read anew each time, so what is added to it counts at once. A name without a value counts as not set.
    """

    def __init__(self, dotenv_path: Path | str | None = None) -> None:
        self.dotenv_path = None if dotenv_path is None else Path(dotenv_path)
        self.name = SecretSourceEnum.DOTENV.value if dotenv_path is None else f"{SecretSourceEnum.DOTENV}:{dotenv_path}"
        super().__init__()

    def get_secret(self, secret_name: str) -> SecretString | None:
        """Return the value behind that name. Raises PyAirbyteInputError for a file that cannot be read."""
        value = self._values().get(secret_name)
        return SecretString(value) if value else None

    def how_to_add(self, secret_name: str) -> str:
        """Return which line of which file it is."""
        return f"write {secret_name}=… into the file {self.dotenv_path or '.env'}"

    def list_secrets_names(self) -> list[str]:
        """Return the names that have a value. Raises as `get_secret` does."""
        return [name for name, value in self._values().items() if value]

    def _values(self) -> dict[str, str]:
        from dotenv import find_dotenv

        # Without usecwd it would look beside this file.
        path = self.dotenv_path or find_dotenv(usecwd=True)
        return env_file(path) if path else {}


class SecretsPrompt(SecretManager):
    """The person at the terminal or at the notebook, who is asked and whose typing is not shown."""

    name = SecretSourceEnum.PROMPT.value

    @property
    def can_ask(self) -> bool:
        """Whether somebody may be there: standard input is a terminal, or this is a notebook."""
        return "ipykernel" in sys.modules or (sys.stdin is not None and sys.stdin.isatty())

    def get_secret(self, secret_name: str) -> SecretString | None:
        """Ask for the secret; None where nobody can be asked or nothing was typed."""
        if not self.can_ask:
            return None
        # Looked up at each call: a notebook puts its own in the place of this one.
        import getpass

        try:
            value = getpass.getpass(f"{secret_name}: ")
        except (EOFError, NotImplementedError):  # the second is a notebook's that is run without a person
            return None
        return SecretString(value) if value else None

    def how_to_add(self, secret_name: str) -> str:
        """Return where it would have been typed."""
        return "" if self.can_ask else "run this where there is a terminal, to be asked for it"


class ColabSecretManager(SecretManager):
    """The secrets that the user of a Google Colab notebook has let it see."""

    name = SecretSourceEnum.GOOGLE_COLAB.value

    def get_secret(self, secret_name: str) -> SecretString | None:
        """Return the secret of that name; None where there is none, where it was not let be seen, and out of Colab."""
        if (colab := sys.modules.get("google.colab")) is None:
            return None
        userdata = colab.userdata
        try:
            value = userdata.get(secret_name)
        except (userdata.SecretNotFoundError, userdata.NotebookAccessError):
            return None
        return SecretString(value) if value else None

    def how_to_add(self, secret_name: str) -> str:
        """Return where it is added, in Colab."""
        return f"add {secret_name} to the notebook's secrets" if "google.colab" in sys.modules else ""
