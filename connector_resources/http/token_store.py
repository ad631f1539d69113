"""The file in which all processes of an account share its rotating tokens, written so that any of them may die.

A refresh token that is replaced at each use is lost for good between two instants: when the vendor has made the new
one, and when it is on our disk. All that can be done is to make that stretch short and to leave word of it:

    a.json           the newest tokens. Replaced whole, never written into
    a.json.new       what replaces it
    a.json.attempt   who asks for new tokens says so here first, and keeps the answer here, as it came, before
                     anybody reads it. There is room for it already, so a disk that fills up meanwhile does no harm
    a.json.lock      held from before the question until the answer is stored

Every file is readable by its owner only, from the moment it is made; one that was not is closed to others.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import portalocker

from connector_resources.errors import ConfigurationError, DestinationUnwritable, RequestRetryable

logger = logging.getLogger(__name__)

_LOCK_TIMEOUT_SECONDS = 120
_ROOM_FOR_ANSWER_BYTES = 16 << 10
_OTHERS = 0o077
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends


@dataclass(frozen=True, slots=True)
class Tokens:
    """A pair of tokens; instants in seconds since the epoch.

    `previous` is the refresh token that gave this pair, until this pair's own has given another; None where that was
    the configured one or the vendor does not rotate. `is_last_hope` says that every other refresh token was refused.
    """

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    renew_at: float
    expires_at: float
    previous: str | None = field(default=None, repr=False)
    is_last_hope: bool = False

    def are_fresh(self, now: float) -> bool:
        """Whether it is too early to ask for others."""
        return now < self.renew_at


@dataclass(frozen=True, slots=True)
class Attempt:
    """One question for new tokens; instants in seconds since the epoch.

    `lost_at` is when the first of the questions before it was asked whose answer never arrived; None where none was
    since the tokens stored. `answer` is None until it is kept whole.
    """

    asked_at: float
    lost_at: float | None = None
    answer: bytes | None = field(default=None, repr=False)


def fingerprint(token: str) -> str:
    """Tell one refresh token from another without keeping it."""
    return hashlib.blake2b(token.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class TokenStore:
    """The files beside `path`. `owner` is the fingerprint of the configured refresh token; others' are not read."""

    path: Path
    owner: str

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from asking; the lock goes when this process does.

        Raises RequestRetryable where another holds it for two minutes, DestinationUnwritable where there can be none.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = portalocker.Lock(
                self._beside("lock"), mode="a", timeout=_LOCK_TIMEOUT_SECONDS, opener=_open_for_owner
            )
            lock.acquire()
        except portalocker.LockException:
            raise RequestRetryable(
                f"another process has been refreshing the token for {_LOCK_TIMEOUT_SECONDS} s "
                f"({self.path.name}.lock). Run it again."
            ) from None
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            yield
        finally:
            lock.release()

    def tokens(self) -> Tokens | None:
        """Return the newest tokens, None where there are none of this owner's.

        Raises ConfigurationError where the file is not what it should be.
        """
        try:
            _close_to_others(self.path)
            data = json.loads(self.path.read_bytes())
            if data["first_refresh_token"] != self.owner:
                return None
            return Tokens(
                str(data["access_token"]),
                data["refresh_token"],
                float(data.get("renew_at", data["expires_at"])),
                float(data["expires_at"]),
                data.get("previous_refresh_token"),
                data.get("is_last_hope", False),
            )
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (KeyError, TypeError, ValueError):
            # Starting over by ourselves could use a refresh token a second time, which revokes the whole grant.
            raise ConfigurationError(
                f"{self.path} is not the token file it should be. Remove it, authorize the app again and set the new "
                "refresh token."
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"{self.path} cannot be read ({error.strerror}). Give it to the user that runs this."
            ) from None

    def write(self, tokens: Tokens) -> None:
        """Replace the tokens, durably. Raises DestinationUnwritable; the file is then as it was."""
        data = {
            "access_token": tokens.access,
            "refresh_token": tokens.refresh,
            "renew_at": tokens.renew_at,
            "expires_at": tokens.expires_at,
            "previous_refresh_token": tokens.previous,
            "is_last_hope": tokens.is_last_hope,
            "first_refresh_token": self.owner,
        }
        new = self._beside("new")
        try:
            os.close(_created(new, json.dumps(data).encode()))
            new.replace(self.path)
            self._sync_folder()
        except OSError as error:
            raise self._unwritable(error) from None

    @contextmanager
    def asking(self, attempt: Attempt) -> Iterator[Callable[[bytes], None]]:
        """Say durably that new tokens are asked for, and yield what keeps the answer.

        Raises DestinationUnwritable before anything is asked where an answer could not be kept.
        """
        header = _line({"asked_at": attempt.asked_at, "lost_at": attempt.lost_at, "first_refresh_token": self.owner})
        try:
            descriptor = _created(self._beside("attempt"), header + b" " * _ROOM_FOR_ANSWER_BYTES)
            self._sync_folder()
        except OSError as error:
            raise self._unwritable(error) from None

        def keep(answer: bytes) -> None:
            os.lseek(descriptor, len(header), os.SEEK_SET)
            _write(descriptor, _line({"size_bytes": len(answer), "digest": _digest(answer)}) + answer)

        try:
            yield keep
        finally:
            os.close(descriptor)

    def attempt(self) -> Attempt | None:
        """Return the last question of this owner whose answer was not stored, None where there is none."""
        try:
            _close_to_others(self._beside("attempt"))
            header, _, rest = self._beside("attempt").read_bytes().partition(b"\n")
            data = json.loads(header)
            if data["first_refresh_token"] != self.owner:
                return None
            attempt = Attempt(float(data["asked_at"]), data["lost_at"])
        except (OSError, KeyError, TypeError, ValueError):
            return None  # it was never made whole, so nothing was asked
        mark, _, body = rest.partition(b"\n")
        try:
            kept = json.loads(mark)
            answer = body[: kept["size_bytes"]]
            is_whole = kept["digest"] == _digest(answer)
        except (KeyError, TypeError, ValueError):
            return attempt
        return replace(attempt, answer=answer) if is_whole else attempt

    def forget_attempt(self) -> None:
        """Remove the question: its answer is stored, or it is known that there was none."""
        self._beside("attempt").unlink(missing_ok=True)

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{ending}")

    def _unwritable(self, error: OSError) -> DestinationUnwritable:
        return DestinationUnwritable(
            f"{self.path} cannot be written ({error.strerror}), and new tokens that cannot be kept are lost. Make room "
            "for it, or give it to the user that runs this."
        )

    def _sync_folder(self) -> None:
        if hasattr(os, "O_DIRECTORY"):  # elsewhere a folder cannot be opened
            descriptor = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _line(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data).encode() + b"\n"


def _digest(answer: bytes) -> str:
    return hashlib.blake2b(answer, digest_size=16).hexdigest()


def _open_for_owner(path: str, flags: int) -> int:
    descriptor = os.open(path, flags, 0o600)
    _close_to_others(Path(path))
    return descriptor


def _close_to_others(path: Path) -> None:
    """Take a file away from everybody but its owner. Raises FileNotFoundError."""
    if path.stat().st_mode & _OTHERS and os.name == "posix":
        try:
            path.chmod(0o600)
        except OSError as error:
            logger.warning("%s can be read by others, which cannot be changed (%s).", path, error.strerror)
        else:
            logger.warning("%s could be read by others until now.", path)


def _created(path: Path, content: bytes) -> int:
    """Make a new file for its owner only, durably, and return its descriptor; nothing left over is written into."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
    try:
        _write(descriptor, content)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _write(descriptor: int, content: bytes) -> None:
    """Write all of it, durably."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)
