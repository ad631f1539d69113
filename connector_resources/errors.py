"""The one error tree, branched by what to do next.

ConnectorError
├── ConfigurationError        a setting is wrong: change it
│   ├── MissingCredential       the message names the environment variable
│   ├── UnknownStream           the message lists the streams there are
│   ├── StreamNotPartitioned    a window was asked of a stream that is read whole
│   ├── InvalidSlice            the dates asked for make no window
│   ├── RequestBudgetSpent      the account's requests of the day do not suffice, or are spent
│   ├── NotReplayable           nothing on disk can be landed again for what was asked
│   └── TableTaken              a table is another program's, or holds other rows than those that are to be added
├── RequestError              the API did not answer as needed
│   ├── RequestRejected         final: the same request would be refused again
│   └── RequestRetryable        all tries are spent: run it again later
│       └── RateLimited           the API demands a longer wait than a run may sleep
├── DataError                 the API answered, but not with what its reference promises
│   ├── MalformedPage           not JSON, cut off, not UTF-8
│   ├── RecordsNotFound         the record path is not in the answer
│   ├── PaginationLoop          the same request or the same body twice
│   ├── IncompleteRead          fewer or more records than the server says there are
│   ├── TooManyQuarantined      more bad records than a partition may have
│   ├── OutdatedReading         a newer reading was landed while this one went on
│   └── ShrunkSnapshot          a snapshot lost more rows than it may without being confirmed
└── DestinationError          the store could not be read or written
    ├── DestinationBusy         somebody else holds the database
    ├── DestinationUnwritable   no such folder, no permission, disk full
    ├── SchemaConflict          a column cannot be widened to what is declared
    └── PartitionMissing        nothing has been landed under that partition yet

A message says what happened, where, and what to do; it never holds a secret, a query string or a body.
"""


class ConnectorError(Exception):
    """Anything this project raises on purpose. It goes from one process to another whole, but for what caused it."""

    def __reduce__(self) -> tuple[object, ...]:
        """Return how pickle makes the same again: not by what the class is called with, which has names of its own."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[ConnectorError], arguments: tuple[object, ...], state: dict[str, object]) -> ConnectorError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(state)
    return error


class ConfigurationError(ConnectorError):
    """A setting is wrong; running again without changing it fails again."""


class MissingCredential(ConfigurationError):
    """A credential is not set; the message names the environment variable."""


class UnknownStream(ConfigurationError):
    """There is no stream of that name; the message lists those there are."""


class StreamNotPartitioned(ConfigurationError):
    """A window was asked of a stream that can only be read whole, or none of one that needs it."""


class InvalidSlice(ConfigurationError):
    """The instants asked for make no window."""


class RequestBudgetSpent(ConfigurationError):
    """What is left of the account's requests of the day does not suffice; what was read before is kept."""


class NotReplayable(ConfigurationError):
    """Nothing that is on disk may be landed again: it is not there, or older than what has been landed since."""


class TableTaken(ConfigurationError):
    """A table is another program's or account's, or was written in a way that does not go with what is asked now."""


class RequestError(ConnectorError):
    """A request did not get a usable answer. `status` is the HTTP status, None when no answer came."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class RequestRejected(RequestError):
    """A final refusal (most 4xx): the same request would be refused again."""


class RequestRetryable(RequestError):
    """Every try is spent on something that can get better: connection, 429, 5xx."""


class RateLimited(RequestRetryable):
    """The API demands a wait longer than a run may sleep; try again after `wait_seconds`."""

    def __init__(self, message: str, *, wait_seconds: float, status: int | None = 429) -> None:
        super().__init__(message, status=status)
        self.wait_seconds = wait_seconds


class DataError(ConnectorError):
    """The API answered with something its reference does not promise."""


class MalformedPage(DataError):
    """An answer that is not the JSON it should be."""


class RecordsNotFound(DataError):
    """The record path is not in the answer; the message names the keys that are."""


class PaginationLoop(DataError):
    """The API sends the reader in circles: the same request, or the same body, twice."""


class IncompleteRead(DataError):
    """The number of records received is not the number the server says there are."""


class TooManyQuarantined(DataError):
    """More records do not fit their declaration than a partition may have."""


class OutdatedReading(DataError):
    """A reading that was begun later has been landed meanwhile; the older one is not landed over it."""


class ShrunkSnapshot(DataError):
    """A snapshot, or the children of parents that are gone, lost more rows than they may without a person's word."""


class DestinationError(ConnectorError):
    """The store could not be read or written; what was in it is unchanged."""


class DestinationBusy(DestinationError):
    """Another process held the database for longer than we wait."""


class DestinationUnwritable(DestinationError):
    """The database cannot be created or written where it should be."""


class SchemaConflict(DestinationError):
    """A stored column cannot be widened to the declared type without losing values."""


class PartitionMissing(DestinationError):
    """A partition was asked for that has never been landed."""
