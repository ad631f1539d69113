"""The errors of the Python API: what they say, what they are, and what they never show."""

import copy
import json
import logging
import pickle
import traceback
from enum import Enum
from pathlib import Path

import pytest

from connector_resources import exceptions as exc
from connector_resources.errors import (
    ConfigurationError,
    ConnectorError,
    DestinationError,
    MissingCredential,
    RateLimited,
    RequestRejected,
    UnknownStream,
)
from connector_resources.http.retry import TryAgain

CANARY = "canary-5f2e91c07ab34d"
ERRORS = [
    kind
    for kind in vars(exc).values()
    if isinstance(kind, type) and issubclass(kind, exc.PyAirbyteError) and kind.__module__ == exc.__name__
]


def every_text(error: BaseException, capture: pytest.LogCaptureFixture) -> str:
    """Return everything in which an error may be shown."""
    try:
        raise error
    except BaseException as raised:
        logging.getLogger("test").exception("%s", raised)
        texts = [
            str(raised),
            repr(raised),
            repr(raised.args),
            repr(vars(raised)),
            json.dumps(vars(raised), default=repr),
        ]
        if isinstance(raised, exc.PyAirbyteError):
            texts.append(json.dumps(raised.safe_logging_dict()))
        return "\n".join([*texts, *traceback.format_exception(raised), capture.text])


def test_every_error_is_one_of_ours_and_says_what_happened_by_itself() -> None:
    assert len(ERRORS) == 22
    for kind in ERRORS:
        error = kind()
        assert isinstance(error, ConnectorError)
        assert str(error).startswith((kind.__doc__ or "").splitlines()[0])


@pytest.mark.parametrize(
    ("kind", "others"),
    [
        (exc.PyAirbyteInputError, (ConfigurationError, ValueError)),
        (exc.PyAirbyteNoStreamsSelectedError, (exc.PyAirbyteInputError,)),
        (exc.PyAirbyteNameNormalizationError, (ConfigurationError, ValueError)),
        (exc.PyAirbyteSecretNotFoundError, (MissingCredential,)),
        (exc.PyAirbyteCacheError, (DestinationError,)),
        (exc.AirbyteConnectorConfigurationMissingError, (exc.PyAirbyteCacheError, ConfigurationError)),
        (exc.AirbyteConnectorNotRegisteredError, (exc.AirbyteConnectorRegistryError, ConfigurationError)),
        (exc.AirbyteConnectorWriteError, (exc.AirbyteConnectorError, DestinationError)),
        (exc.AirbyteConnectorValidationFailedError, (exc.AirbyteConnectorError, ConfigurationError)),
        (exc.AirbyteStreamNotFoundError, (exc.AirbyteConnectorError, UnknownStream)),
        (exc.AirbyteStateNotFoundError, (exc.AirbyteConnectorError, KeyError)),
    ],
)
def test_an_error_is_caught_by_their_name_and_by_ours(
    kind: type[exc.PyAirbyteError], others: tuple[type[Exception], ...]
) -> None:
    for other in (*others, exc.PyAirbyteError, ConnectorError):
        with pytest.raises(other):
            raise kind("so")


def test_an_error_says_what_where_and_what_to_do() -> None:
    error = exc.AirbyteStreamNotFoundError(
        connector_name="source-aha",
        stream_name="idees",
        available_streams=["ideas", "products"],
        guidance="Choose one of those.",
        help_url="docs/python_api.md",
        context={"asked_by": "select_streams"},
    )
    assert str(error) == (
        "There is no stream of that name. (connector_name='source-aha', stream_name='idees', "
        "available_streams=['ideas', 'products'], asked_by='select_streams') Choose one of those. "
        "More: docs/python_api.md"
    )
    assert error.safe_logging_dict() == {
        "class": "AirbyteStreamNotFoundError",
        "message": "There is no stream of that name.",
        "connector_name": "source-aha",
        "stream_name": "idees",
        "available_streams": ["ideas", "products"],
        "asked_by": "select_streams",
    }


def test_an_error_of_ours_is_told_as_the_cause_and_a_foreign_one_by_its_class() -> None:
    ours = exc.AirbyteConnectorFailedError(original_exception=RequestRejected("aha: 403 from GET /me."))
    foreign = exc.AirbyteConnectorFailedError(original_exception=ValueError(CANARY))
    assert str(ours) == "The connector failed. Cause: aha: 403 from GET /me."
    assert str(foreign) == "The connector failed. Cause: ValueError"


class Word(str):
    """A text that is more than a text, as a secret is."""


class Holder:
    def __repr__(self) -> str:
        return CANARY


@pytest.mark.parametrize(
    "error",
    [
        exc.PyAirbyteInputError("No such source.", input_value={"api_key": CANARY}),
        exc.PyAirbyteInputError("No such source.", input_value=Word(CANARY)),
        exc.PyAirbyteInputError("No such source.", input_value=[Word(CANARY), {"url": CANARY}]),
        exc.PyAirbyteInputError("No such source.", input_value=Holder()),
        exc.PyAirbyteInputError("No such source.", input_value=CANARY.encode()),
        exc.PyAirbyteError("Refused.", context={"config": {"url": CANARY}, "holder": Holder()}),
        exc.PyAirbyteError(f"{CANARY} was refused.", context={"access_token": CANARY}),
        exc.PyAirbyteError(f"{CANARY} was refused.", context={"value": Word(CANARY)}),
    ],
    ids=repr,
)
def test_no_secret_is_kept_by_an_error(error: exc.PyAirbyteError, caplog: pytest.LogCaptureFixture) -> None:
    assert CANARY not in every_text(error, caplog)


def test_plain_values_are_kept() -> None:
    class Place(Enum):
        HERE = "here"

    values = {"a": 1, "b": "text", "c": None, "d": [True, 0.5], "e": Place.HERE, "f": Path("x"), "g": Word}
    error = exc.PyAirbyteError("Refused.", context=values)
    assert error.context == {**values, "e": "here", "g": "Word"}


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("api_key", True),
        ("apiKey", True),
        ("access_token", True),
        ("client_secret", True),
        ("password", True),
        ("credentials", True),
        ("Authorization", True),
        ("secret_name", False),
        ("primary_key", False),
        ("stream", False),
        ("keyboard", False),
        ("token_url", False),
    ],
)
def test_what_is_called_like_a_secret_is_taken_for_one(name: str, is_secret: bool) -> None:
    assert exc.is_secret_name(name) is is_secret


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_goes_through_pickle_whole(kind: type[exc.PyAirbyteError]) -> None:
    error = kind("What.", guidance="Do.", context={"n": 1})
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied), vars(copied)) == (kind, str(error), vars(error))


@pytest.mark.parametrize(
    "error",
    [
        RequestRejected("refused", status=403),
        RateLimited("wait", wait_seconds=3.5),
        TryAgain("GET /things: 500", ", three times", status=500, wait_seconds=None),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_is_made_of_more_than_its_text_goes_through_pickle_whole(error: ConnectorError) -> None:
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert (type(copied), str(copied), vars(copied)) == (type(error), str(error), vars(error))
