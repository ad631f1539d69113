"""A wrong setting, told in one line by Dagster's command line, which would print 82 lines of calls above it."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from connector_resources import errors


class ConfigurationError(errors.ConfigurationError, click.ClickException):
    """A setting is wrong. Dagster's command line is made with click, which prints only the message of such an error."""


@contextmanager
def in_one_line() -> Iterator[None]:
    """Raise the ConfigurationError of what is done in the block so that it is told in one line, whoever tells it."""
    try:
        yield
    except errors.ConfigurationError as error:
        raise ConfigurationError(str(error)) from None
