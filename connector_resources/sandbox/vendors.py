"""Who has a stand-in here: the vendors of this package, and those that other installed packages announce.

A stand-in is a module with two names. `build(settings)` returns its Starlette application, whose state has, under the
vendor's name, what faults ask for (`faults.Vendor`); `CREDENTIALS`, where the vendor asks for some, are the fields of
the source that open it. Cheap to import.
"""

from importlib import import_module
from types import ModuleType

from connector_resources.errors import ConfigurationError
from connector_resources.installed import STAND_INS, announced, load

_OWN = ("aha", "drift")


def vendors() -> tuple[str, ...]:
    """Return the names of the vendors that have a stand-in."""
    return (*_OWN, *(name for name in announced(STAND_INS) if name not in _OWN))


def require_stand_in(vendor: str) -> None:
    """Raise ConfigurationError, listing those there are, where a vendor has no stand-in."""
    if vendor not in vendors():
        raise ConfigurationError(
            f"{vendor} has no stand-in in the sandbox, which has {', '.join(vendors())}. Give it one as "
            "docs/add_a_connector.md does, or set CONNECTOR_MODE=live."
        )


def stand_in(vendor: str) -> ModuleType:
    """Return the module of a vendor's stand-in, imported. Raises ConfigurationError where there is none."""
    require_stand_in(vendor)
    if vendor in _OWN:
        return import_module(f"connector_resources.sandbox.{vendor}")
    return load(announced(STAND_INS)[vendor])
