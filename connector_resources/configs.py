"""Configurations of connectors, as a mapping: in the keys of Airbyte's connectors or by the names of our fields.

What a connector takes beside its fields is a fact in its file (`config_keys`, `config_needs`); here is what is done
with it. No error and nothing that is returned for a person to see has a value of a configuration in it that may be a
secret; names of keys that are not known, which may be values in the wrong place, are shown only if they are words.
"""

import difflib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from connector_resources.errors import ConfigurationError
from connector_resources.exceptions import (
    MASK,
    AirbyteConnectorNotRegisteredError,
    AirbyteConnectorValidationFailedError,
    PyAirbyteInputError,
)
from connector_resources.secrets import SecretString, is_reference

if TYPE_CHECKING:
    from connector_resources.resource import Source

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list, tuple),
    "object": (Mapping,),
}
_ENVIRONMENT = re.compile(r" Environment: [A-Z0-9_]+\.$")
_WORD = re.compile(r"[a-z]{1,20}(_[a-z]{1,20}){0,4}")
_ADDRESS_WITH_CREDENTIALS = re.compile(r"://[^/?#\s]*@|://[^?#\s]*[?#]")


def connector_name(kind: "type[Source]") -> str:
    """Return what PyAirbyte calls a connector: source-aha."""
    return f"source-{kind.connector}"


def spec(kind: "type[Source]") -> dict[str, Any]:
    """Return what a connector's configuration may hold, as JSON schema; a secret has `airbyte_secret`."""
    own = kind.model_json_schema()["properties"]
    properties = {key.name: dict(key.schema) for key in kind.config_keys}
    for name in sorted(own, key=lambda name: name not in kind.variables()):  # what belongs to the account first
        properties.setdefault(name, _field(own[name]))
    for place, schema in enumerate(properties.values()):
        schema["order"] = place
    needs = [{"anyOf": [{"required": [name]} for name in names]} for names in kind.config_needs if len(names) > 1]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"Configuration of {connector_name(kind)}",
        "type": "object",
        "properties": properties,
        "required": [names[0] for names in kind.config_needs if len(names) == 1],
        **({"allOf": needs} if needs else {}),
        "additionalProperties": False,
    }


def print_spec(
    spec: Mapping[str, Any], form: Literal["yaml", "json"], file: Path | str | None, *, is_error: bool
) -> None:
    """Print the schema of a configuration to stdout, or to stderr, or write it to a file."""
    if form not in ("yaml", "json"):
        raise PyAirbyteInputError(f"print_config_spec: there is no format {form!r}.", guidance="yaml or json")
    if form == "json":
        text = json.dumps(spec, indent=2, ensure_ascii=False)
    else:
        import yaml

        text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True).rstrip()
    if file is not None:
        Path(file).write_text(f"{text}\n", encoding="utf-8")
    else:
        print(text, file=sys.stderr if is_error else sys.stdout)


def _field(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a field as PyAirbyte's users know it, made of pydantic's."""
    ours = {name: value for name, value in schema.items() if name not in ("variable", "dagster__is_secret")}
    ours["description"] = _ENVIRONMENT.sub("", ours.get("description", ""))
    if ours.get("default") == "":
        del ours["default"]
    if schema.get("dagster__is_secret"):
        ours |= {"airbyte_secret": True, "format": "password", "writeOnly": True}
    return ours


def fields_of(kind: "type[Source]", config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a source that a configuration stands for: `kind(**fields)` is the account.

    References to secrets have to be resolved. Raises AirbyteConnectorValidationFailedError, which tells everything that
    is wrong with the configuration, by key.
    """
    config = guarded(kind, config)
    if not isinstance(config, Mapping):
        raise _refused(kind, [f"expected object, got {_type_of(config)} @ $"])
    properties = spec(kind)["properties"]
    keys = {key.name: key for key in kind.config_keys}
    fields: dict[str, Any] = {}
    problems = [
        f"a reference to a secret that is not resolved @ {where}" for where in _places(config, "$", is_reference)
    ]
    problems += [
        f"{MASK} is what is shown in place of a secret, not the secret @ {where}"
        for where in _places(config, "$", lambda value: value == MASK)
    ]
    for name, value in config.items():
        if name not in properties:
            problems.append(_unknown(name, properties))
        elif wrong := list(_misfits(properties[name], value, f"$.{name}")):
            problems.extend(wrong)
        elif name not in keys:
            fields[name] = value
        elif twice := [field for field in keys[name].stands_for if field in config]:
            problems.append(f"{name} and {' and '.join(twice)} mean the same; keep one of them")
        else:
            try:
                fields |= keys[name].fields(value)
            except ConfigurationError as error:
                problems.append(str(error))
    for names in kind.config_needs:
        if all(config.get(name, "") == "" for name in names):
            problems.append(f"{' or '.join(names)} is missing")
    problems = problems or list(_refusals(kind, fields))
    if problems:
        raise _refused(kind, problems)
    return fields


def _refused(kind: "type[Source]", problems: Iterable[str]) -> AirbyteConnectorValidationFailedError:
    return AirbyteConnectorValidationFailedError(
        f"The configuration does not fit: {'; '.join(problems)}.", connector_name=connector_name(kind)
    )


def _unknown(name: object, known: Iterable[str]) -> str:
    known = sorted(known)
    text = repr(name) if isinstance(name, str) and _WORD.fullmatch(name) else "one that is not shown, for it is no word"
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {close[0]}" if close else f"there are {', '.join(known)}"
    return f"unknown key {text} ({hint})"


def _type_of(value: object) -> str:
    """Return what JSON calls a value's type."""
    if value is None:
        return "null"
    return next((name for name, types in _TYPES.items() if isinstance(value, types)), "something that is not JSON")


def _is_of_type(schema: Mapping[str, Any], value: object) -> bool:
    """Return whether a value has the type that a schema asks for, if it asks for one."""
    wanted = schema.get("type")
    if not isinstance(wanted, str):
        return True
    return isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))


def _misfits(schema: Mapping[str, Any], value: object, where: str) -> Iterator[str]:
    """Yield what keeps a value from being what a schema says, without the value."""
    if not _is_of_type(schema, value):
        is_near = schema["type"] == "integer" and isinstance(value, float)
        got = "a number with a decimal point" if is_near else _type_of(value)
        yield f"expected {schema['type']}, got {got} @ {where}"
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from _misfits(schema.get("items", {}), item, f"{where}[{place}]")
    elif isinstance(value, (int, float)) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        bounds = [
            f"at {side} {schema[bound]}"
            for bound, side in (("minimum", "least"), ("maximum", "most"))
            if bound in schema
        ]
        yield f"expected {' and '.join(bounds)} @ {where}"


def _places(value: object, where: str, is_meant: Callable[[object], bool]) -> Iterator[str]:
    """Yield where a configuration has values that are meant."""
    if is_meant(value):
        yield where
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _places(item, f"{where}.{key}" if _is_word(key) else f"{where}.…", is_meant)
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from _places(item, f"{where}[{place}]", is_meant)


def _refusals(kind: "type[Source]", fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the class of a source has against fields that fit their schema: a check of its own."""
    from pydantic import ValidationError

    try:
        kind(**fields)
    except ValidationError as error:
        # Its own text, and each problem's, may have the values.
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            yield f"{problem['type']} @ {'.'.join(('$', *map(str, problem['loc'])))}"
    except ConfigurationError as error:
        yield str(error)


def guarded(kind: "type[Source]", config: Any) -> Any:
    """Return a copy of a configuration, with a SecretString in the place of each secret and of all that is not known.

    So it can be kept, and be in a variable when something fails, without being shown by who shows variables. In the
    place of what JSON has no type for is a bare object, which fits nowhere either. References to secrets stay, for they
    are names. Takes any mapping, whether it fits the connector or not.
    """
    return _guarded(spec(kind), config)


def _guarded(schema: Mapping[str, Any] | None, value: Any) -> Any:
    """Return a copy of a value, each part of it hidden that a schema calls a secret or does not know."""
    if value is None or value == "" or isinstance(value, bool) or is_reference(value):
        return value
    if schema is None or not _is_of_type(schema, value):
        schema = None  # who knows what was put there
    elif schema.get("airbyte_secret"):
        return _hidden(value)
    if isinstance(value, Mapping):
        inner = {key: _inner(schema or {}, key, item) for key, item in value.items()}
        return {
            key if inner[key] is not None or _is_word(key) else _hidden(key): _guarded(inner[key], item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_guarded(None if schema is None else schema.get("items"), item) for item in value]
    if schema is None or isinstance(value, SecretString) or not isinstance(value, (str, int, float)):
        return _hidden(value)
    return _hidden(value) if isinstance(value, str) and _ADDRESS_WITH_CREDENTIALS.search(value) else value


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return SecretString(value)
    return value if isinstance(value, (int, float)) else object()


def _inner(schema: Mapping[str, Any], key: object, value: object) -> Mapping[str, Any] | None:
    """Return what a schema says of the value of a key, None where it knows no such key, or no such word for it."""
    for branch in (schema, *schema.get("oneOf", ())):
        inner: Mapping[str, Any] | None = branch.get("properties", {}).get(key)
        if inner is not None and inner.get("const", value) == value:
            return inner
    return None


def _is_word(key: object) -> bool:
    return isinstance(key, str) and _WORD.fullmatch(key) is not None


def sandbox_config(name: str, address: str | None = None) -> dict[str, Any]:
    """Return the configuration with which a connector reads the sandbox, in Airbyte's keys where there are such.

    `address` is that of one that runs already; without it, the one in SANDBOX_URL is read, else one that is started
    when it is needed. Raises AirbyteConnectorNotRegisteredError for a connector that has neither a stand-in nor data
    of its own.
    """
    from connector_resources.sandbox.accounts import airbyte_config

    config = airbyte_config(name.removeprefix("source-"), None if address is None else address.rstrip("/"))
    if config is None:
        raise AirbyteConnectorNotRegisteredError("The sandbox has no account for it.", connector_name=name)
    return config
