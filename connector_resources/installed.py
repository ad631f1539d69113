"""What other packages add to this one: connectors and stand-ins of their own, which they announce as entry points.

    [project.entry-points."headrace.sources"]
    library = "headrace_library.source"

    [project.entry-points."headrace.sandbox"]
    library = "headrace_library.sandbox"

The name is the vendor's, the value a module. docs/add_a_connector.md makes such a package from nothing.
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from connector_resources.errors import ConfigurationError

SOURCES = "headrace.sources"
STAND_INS = "headrace.sandbox"


def announced(group: str) -> Mapping[str, EntryPoint]:
    """Return what installed packages announce in a group, by name and in its order; nothing is imported.

    Raises ConfigurationError where two packages announce the same name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise ConfigurationError(
                f"{group}: {entry.name} is announced twice, as {other.value} by {_package(other)} and as {entry.value} "
                f"by {_package(entry)}. Uninstall one of them."
            )
    return found


def load(entry: EntryPoint) -> ModuleType:
    """Return the module that an entry point names. Raises ConfigurationError where it cannot be imported."""
    try:
        module = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"{entry.group}: {entry.name} of {_package(entry)} is {entry.value}, which cannot be imported ({error}). "
            "Correct its entry point, or install what it needs."
        ) from error
    if not isinstance(module, ModuleType):
        raise ConfigurationError(
            f"{entry.group}: {entry.name} of {_package(entry)} is {entry.value}, which is no module. Leave out what "
            "follows the colon."
        )
    return module


def _package(entry: EntryPoint) -> str:
    return "an unnamed package" if entry.dist is None else entry.dist.name
