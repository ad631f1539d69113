"""Configurations as the command line takes them: a file, standard input, `key=value`. What they hold is never shown."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connector_resources.exceptions import PyAirbyteInputError, is_secret_name
from connector_resources.paths import local
from connector_resources.secrets import is_reference

_HOW = 'An example: --config aha.json, with {"url": "acme.aha.io", "api_key": "secret_reference::AHA_API_KEY"}.'


def configuration(spec: Mapping[str, Any], file: str | None, pairs: Sequence[str]) -> dict[str, Any] | None:
    """Return what a file (`-` is standard input) and pairs of `key=value` say together; None where there is neither.

    Pairs win, and reach into objects with dots: `credentials.access_token=…`. A value is a text where `spec` has one
    there, else JSON where it is such. Raises PyAirbyteInputError, which has places and never what is there.
    """
    if file is None and not pairs:
        return None
    config = {} if file is None else _read(file)
    for number, pair in enumerate(pairs, start=1):
        path, value = _split(pair, number)
        place = config
        for key in path[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise PyAirbyteInputError(f"--set number {number} reaches into what is no object.")
        place[path[-1]] = _value(list(_schemas(spec, path)), value)
    return config


def exposed(spec: Mapping[str, Any], pairs: Sequence[str]) -> Iterator[str]:
    """Yield which pairs hold a secret itself, for others on this machine to see: their keys, where these are known."""
    for number, pair in enumerate(pairs, start=1):
        path, value = _split(pair, number)
        schemas = list(_schemas(spec, path))
        is_secret = any(schema.get("airbyte_secret") for schema in schemas) if schemas else is_secret_name(path[-1])
        if is_secret and value and not is_reference(value):
            yield ".".join(path) if schemas else f"--set number {number}"


def _split(pair: str, number: int) -> tuple[list[str], str]:
    key, is_pair, value = pair.partition("=")
    path = key.strip().split(".")
    if not is_pair or not all(path):
        # What was given may be a secret without its key.
        raise PyAirbyteInputError(f"--set number {number} is not key=value.", guidance="Such as --set count=100.")
    return path, value


def _schemas(spec: Mapping[str, Any], path: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield what a schema says of a place, in each of its forms."""
    for form in (spec, *spec.get("oneOf", ())):
        if (inner := form.get("properties", {}).get(path[0])) is not None:
            if len(path) == 1:
                yield inner
            else:
                yield from _schemas(inner, path[1:])


def _value(schemas: Sequence[Mapping[str, Any]], text: str) -> Any:
    if any(schema.get("type") == "string" for schema in schemas):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read(file: str) -> dict[str, Any]:
    path = None if file == "-" else local(file, "--config")
    name = "standard input" if path is None else file
    try:
        content = sys.stdin.buffer.read() if path is None else path.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        problem: str | None = "is not UTF-8 text"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    else:
        found, problem = _parsed(text)
        if problem is None and not isinstance(found, dict):
            problem = "is empty" if found is None else "holds no object of keys and values"
        if problem is None:
            return dict(found)
    # Raised out here: the error of a parser has the text with it.
    raise PyAirbyteInputError(f"--config: {name} {problem}.", guidance=_HOW)


def _parsed(text: str) -> tuple[Any, str | None]:
    """Return what a text holds as JSON, or as YAML; else where it is neither."""
    try:
        return json.loads(text), None
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
    import yaml

    try:
        return yaml.safe_load(text), None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        if not text.lstrip().startswith(("{", "[")):
            where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
    return None, f"is neither JSON nor YAML{where}"
