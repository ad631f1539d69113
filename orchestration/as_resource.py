"""Sources as Dagster resources: their fields are configuration, and what a run gets is the source itself."""

import os
from collections.abc import Callable
from functools import cache
from types import new_class
from typing import TYPE_CHECKING, Any, ClassVar

import dagster as dg
from pydantic import ConfigDict

from connector_resources.resource import Source


class SourceResource(dg.ConfigurableResource[Source]):
    """The resource of one account; `as_resource` makes the class of each kind of source, with the source's fields."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)  # an input may be a secret

    kind: ClassVar[type[Source]]

    if not TYPE_CHECKING:  # a type checker would take it for leave to set anything

        def __setattr__(self, name: str, value: Any) -> None:
            """Set what is private. Raises Dagster's error for all else, whose cause would show the value."""
            super().__setattr__(name, value if name.startswith("_") else None)

    def create_resource(self, context: dg.InitResourceContext) -> Source:
        """Return the source, its fields resolved: what `context.resources` has of it."""
        return self.kind(**{name: getattr(self, name) for name in self.kind.model_fields})


@cache
def as_resource(kind: type[Source]) -> Callable[..., SourceResource]:
    """Return the class of resources that are accounts of a source: `as_resource(Aha)(api_key=dg.EnvVar("KEY"))`.

    It has the source's name, in the web UI too, takes the source's fields, and masks its secrets.
    """
    members = {
        "__module__": kind.__module__,
        "__doc__": kind.__doc__,
        "__annotations__": {name: field.annotation for name, field in kind.model_fields.items()},
        "kind": kind,
        **kind.model_fields,
    }
    return new_class(kind.__name__, (SourceResource,), exec_body=lambda body: body.update(members))


def from_environment(kind: type[Source], **fields: Any) -> SourceResource:
    """Return the resource of one account whose fields come from `fields`, else from the variables they name.

    Texts stay references, so the web UI shows a variable's name and never what is in it. Others are read at once, for
    Dagster has no reference to a boolean, and none is secret. Raises ConfigurationError, naming the variable whose
    value is of the wrong kind.
    """
    source = kind.from_environment(**fields)
    for name, variable in kind.variables().items():
        if name not in fields and os.environ.get(variable):
            value = getattr(source, name)
            fields[name] = dg.EnvVar(variable) if isinstance(value, str) else value
    return as_resource(kind)(**fields)
