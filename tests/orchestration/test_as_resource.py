"""Sources as Dagster resources: what the web UI shows of them, what runs may change, and what assets get."""

import traceback
from collections.abc import Callable, Mapping
from typing import Any, cast

import dagster as dg
import pytest
from pydantic import ValidationError

from connector_resources.errors import ConfigurationError
from connector_resources.resource import Source
from connector_resources.sources.aha import Aha
from connector_resources.sources.drift import Drift
from connector_resources.sources.faker import Faker
from orchestration.as_resource import as_resource, from_environment

KINDS = (Aha, Drift, Faker, Aha.named("aha_emea"))


def handed_out(resource: Any, kind: type[Source] = Aha, **config: Any) -> Source:
    """Return what an asset gets of a resource, in a run whose configuration says `config` of it."""
    got: list[Source] = []

    @dg.asset(required_resource_keys={kind.name})
    def looks(context: dg.AssetExecutionContext) -> None:
        got.append(getattr(context.resources, kind.name))

    run_config = {"resources": {kind.name: {"config": config}}} if config else None
    assert dg.materialize([looks], resources={kind.name: resource}, run_config=run_config).success
    return got[0]


def schema(kind: type[Source]) -> dict[str, Any]:
    """Return what the launchpad shows of each field: whether it has to be given, its default, and its description."""
    fields = cast(Any, as_resource(kind)().get_resource_definition().config_schema.config_type).fields
    return {
        name: (field.is_required, field.default_value if field.default_provided else None, field.description)
        for name, field in fields.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_resource_is_called_and_described_as_its_source_and_has_all_its_fields(kind: type[Source]) -> None:
    made: Any = as_resource(kind)
    assert (made.__module__, made.__name__, made.__doc__) == (kind.__module__, kind.__name__, kind.__doc__)
    assert schema(kind) == {
        name: (False, field.default, field.description) for name, field in kind.model_fields.items()
    }
    assert as_resource(kind) is made


@pytest.mark.parametrize("kind", KINDS)
def test_the_fields_that_are_masked_are_the_secrets(kind: type[Source]) -> None:
    fields = cast(Any, as_resource(kind)().get_resource_definition().config_schema.config_type).fields
    secret = {kind.variables()[name] for name, field in fields.items() if field.is_secret}
    assert secret == set(kind.secrets())


def test_an_asset_gets_the_source_with_its_secrets_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMEWHERE", "a key")
    resource = as_resource(Aha)(api_key=dg.EnvVar("SOMEWHERE"), rate_limit_factor=0.5)
    got = handed_out(resource)
    assert got == Aha(api_key="a key", rate_limit_factor=0.5)
    assert type(got) is Aha


def test_an_asset_may_ask_for_a_source_by_its_class() -> None:
    got: list[Source] = []

    @dg.asset
    def looks(aha: dg.ResourceParam[Aha]) -> None:
        got.append(aha)

    assert dg.materialize([looks], resources={"aha": as_resource(Aha)(subdomain="acme")}).success
    assert got == [Aha(subdomain="acme")]


def test_a_run_may_say_otherwise() -> None:
    got = handed_out(as_resource(Faker)(count=12), Faker, count=3, seed=7)
    assert got == Faker(count=3, seed=7)


def test_texts_of_the_environment_stay_references_and_others_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AHA_API_KEY", "a key")
    monkeypatch.setenv("AHA_SUBDOMAIN", "not asked for")
    resource: Any = from_environment(Aha, subdomain="acme")
    assert (resource.api_key, resource.subdomain) == (dg.EnvVar("AHA_API_KEY"), "acme")
    monkeypatch.setenv("AHA_API_KEY", "another key")
    assert handed_out(resource) == Aha(api_key="another key", subdomain="acme")
    monkeypatch.setenv("FAKER_COUNT", "12")
    monkeypatch.setenv("FAKER_ALWAYS_UPDATED", "no")
    assert handed_out(from_environment(Faker, seed=5), Faker) == Faker(count=12, always_updated=False, seed=5)


def test_a_variable_of_the_wrong_kind_is_named_when_the_resource_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKER_COUNT", "many")
    with pytest.raises(ConfigurationError, match="FAKER_COUNT is 'many'; expected a whole number"):
        from_environment(Faker)


SECRET = "sEcReT-k3y"
REFUSED: Mapping[str, Callable[[Any], object]] = {
    "no field": lambda kind: kind(api_token=SECRET),
    "of another type": lambda kind: kind(api_key=[SECRET]),
    "no number": lambda kind: kind(concurrency=SECRET),
    "set later": lambda kind: setattr(kind(), "api_key", SECRET),
    "no field, set later": lambda kind: setattr(kind(), "api_token", SECRET),
}


@pytest.mark.parametrize("kind", [Aha, as_resource(Aha)], ids=["source", "resource"])
@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_what_a_source_or_its_resource_refuses_is_not_shown(kind: Any, refused: Callable[[Any], object]) -> None:
    with pytest.raises((ValueError, dg.DagsterInvalidInvocationError)) as caught:
        refused(kind)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_source_that_is_set_a_field_of_stays_as_it_was_and_names_the_field() -> None:
    source = Aha(api_key="one")
    with pytest.raises(ValidationError, match=r"api_key\n  Instance is frozen"):
        source.api_key = "another"
    assert source.api_key == "one"
