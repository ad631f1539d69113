"""The configuration file of accounts: what it makes of the project, and what it says of a mistake."""

import logging
import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from connector_resources.environment import Mode
from connector_resources.errors import ConfigurationError, MissingCredential
from connector_resources.resource import HttpSource, Source
from connector_resources.sources import discover
from orchestration import frames
from orchestration.accounts import Account, read_accounts
from orchestration.connection import connection, source_resource
from orchestration.settings import Settings
from tests.test_definitions import definitions

ROOT = Path(__file__).parents[1]
AHA, DRIFT, FAKER = discover()
PLAIN = [Account(AHA), Account(DRIFT), Account(FAKER)]
TWO = '[aha]\n[aha_emea]\nsource = "aha"\n'


def read(folder: Path, text: str) -> list[Account]:
    path = folder / "accounts.toml"
    path.write_text(text, encoding="utf-8")
    return list(read_accounts(path, discover()))


def kind(folder: Path, entry: str) -> type[Source]:
    """The source of the one account that an entry configures."""
    return next(account.kind for account in read(folder, entry) if account.kind not in (AHA, DRIFT, FAKER))


def loaded(folder: Path, text: str, **environment: str) -> dg.Definitions:
    """The definitions as they load with the file."""
    path = folder / f"accounts{zlib.crc32(text.encode())}.toml"  # definitions are kept by it
    path.write_text(text, encoding="utf-8")
    return definitions(ACCOUNTS_FILE=str(path), **environment)


def keys(defs: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in defs.resolve_all_asset_keys()}


# Which accounts there are


def test_without_a_file_each_source_has_one_account_under_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_accounts(None, discover()) == PLAIN


def test_the_file_in_the_working_directory_is_read_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "accounts.toml").write_text(TWO)
    (tmp_path / "other.toml").write_text("")
    assert [account.kind.name for account in read_accounts(None, discover())] == ["aha", "aha_emea", "drift", "faker"]
    assert read_accounts(tmp_path / "other.toml", discover()) == PLAIN


def test_a_source_that_the_file_names_has_those_accounts_and_any_other_its_own(tmp_path: Path) -> None:
    found = read(tmp_path, '[drift_shop]\nsource = "drift"\n[aha_emea]\nsource = "aha"\n[drift_b2b]\nsource = "drift"')
    assert [(account.kind.name, account.kind.connector) for account in found] == [
        ("aha_emea", "aha"),
        ("drift_shop", "drift"),
        ("drift_b2b", "drift"),
        ("faker", "faker"),
    ]


def test_the_example_is_a_file_that_can_be_used() -> None:
    found = read_accounts(ROOT / "accounts.example.toml", discover())
    names = [account.kind.name for account in found]
    assert names == ["aha", "aha_emea", "drift", "drift_support", "faker"]
    assert len(frames.made_of(names, frames.assets("sandbox"))) == len(frames.assets("sandbox"))  # none is lost by it
    emea = found[1]
    assert emea.fields == {"daily_request_budget": 20_000, "rate_limit_factor": 0.5}
    assert emea.enabled == {"aha_emea.record_links", "aha_emea.historical_audits"}
    assert emea.kind.variables() == AHA.named("aha_emea").variables()
    assert found[3].kind.secrets() == ["DRIFT_SUPPORT_ACCESS_TOKEN", "DRIFT_APP_SECRET", "DRIFT_SUPPORT_REFRESH_TOKEN"]


def test_the_tutorials_accounts_are_the_groups_assets_tables_and_variables_it_shows(tmp_path: Path) -> None:
    section = (ROOT / "docs/tutorial.md").read_text().partition("## 10. ")[2]
    text = section.partition("<!-- accounts -->\n```toml\n")[2].partition("```")[0]
    rows = [tuple(re.findall("`(.+?)`", line)) for line in section.splitlines() if line.startswith("| `")]
    kinds = {account.kind.name: account.kind for account in read(tmp_path, text)}
    defs = loaded(tmp_path, text)
    shown = []
    for group, asset, _, _ in rows:
        (spec,) = defs.get_assets_def(asset.split(" / ")).specs
        (secret, *_) = kinds[group].secrets()
        table = spec.metadata["dagster/table_name"].removeprefix("sandbox.")
        shown.append((spec.group_name, " / ".join(spec.key.path), table, secret))
    assert shown == rows
    assert {group for group, *_ in rows} == {name for name in kinds if name != "faker"}
    assert len([key for key in keys(defs) if key.startswith("frames/")]) == len(frames.assets())


# Whose variables, whose values


def test_an_account_reads_variables_of_its_own_and_never_its_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emea = kind(tmp_path, '[aha_emea]\nsource = "aha"\ncredentials.api_key = "EUROPE_KEY"')
    assert emea.variables() == {
        "subdomain": "AHA_EMEA_SUBDOMAIN",
        "api_key": "EUROPE_KEY",
        "custom_objects": "AHA_EMEA_CUSTOM_OBJECTS",
        "custom_reports": "AHA_EMEA_CUSTOM_REPORTS",
    }
    assert emea.secrets() == ["EUROPE_KEY"]
    for variable in ("AHA_SUBDOMAIN", "AHA_API_KEY", "EUROPE_KEY"):
        monkeypatch.setenv(variable, f"value of {variable}")
    source = emea.from_environment()
    assert {name: getattr(source, name) for name in emea.variables()} == {
        "subdomain": "",
        "api_key": "value of EUROPE_KEY",
        "custom_objects": "",
        "custom_reports": "",
    }
    assert AHA.from_environment().api_key == "value of AHA_API_KEY"  # type: ignore[attr-defined]  # of Aha!


def test_what_is_missing_is_named_by_the_accounts_name_and_variable(tmp_path: Path) -> None:
    emea = kind(tmp_path, '[aha_emea]\nsource = "aha"\ncredentials.api_key = "EUROPE_KEY"').from_environment()
    assert isinstance(emea, HttpSource)
    with pytest.raises(MissingCredential, match=r"^aha_emea: EUROPE_KEY is not set\."):
        emea.authenticator()
    shop = kind(tmp_path, '[drift_shop]\nsource = "drift"').from_environment()
    assert isinstance(shop, HttpSource)
    with pytest.raises(
        MissingCredential,
        match=r"^drift_shop: DRIFT_SHOP_ACCESS_TOKEN is not set\. Set it \(or DRIFT_SHOP_CLIENT_ID, "
        r"DRIFT_SHOP_CLIENT_SECRET and DRIFT_SHOP_REFRESH_TOKEN\)",
    ):
        shop.authenticator()


def test_a_secret_of_an_account_is_one_in_the_web_ui_and_its_help_names_the_variable(tmp_path: Path) -> None:
    emea = kind(tmp_path, '[aha_emea]\nsource = "aha"\ncredentials.api_key = "EUROPE_KEY"')
    said = emea.model_fields["api_key"]
    assert said.json_schema_extra == {"variable": "EUROPE_KEY", "dagster__is_secret": True}
    assert said.description == (
        "An API key of a user: Settings, Personal, Developer, API keys. Environment: EUROPE_KEY."
    )


def test_made_up_records_may_be_of_several_accounts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKER_SEED", "5")
    monkeypatch.setenv("FAKER_LARGE_COUNT", "70")
    large = kind(tmp_path, '[faker_large]\nsource = "faker"').from_environment()
    assert (large.account, FAKER.from_environment().account) == (
        "faker_large-70-random-updated",
        "faker-1000-seed5-updated",
    )


def test_two_accounts_of_one_host_have_files_of_their_own(tmp_path: Path) -> None:
    emea, there = kind(tmp_path, '[aha_emea]\nsource = "aha"'), "https://acme.aha.io"
    sources = [each.from_environment(base_url=there) for each in (AHA, emea)]
    assert [source.account.split("-")[0] for source in sources] == ["aha", "aha_emea"]


@pytest.mark.parametrize(("mode", "secret"), [("sandbox", "5a4d" * 16), ("live", "key of emea")])
def test_a_secret_that_the_launchpad_masks_is_the_accounts_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode, secret: str
) -> None:
    monkeypatch.setenv("AHA_API_KEY", "key of aha")
    monkeypatch.setenv("AHA_EMEA_API_KEY", "key of emea")
    here = connection(Settings(mode, tmp_path, Settings.from_environment({}).start))
    masked = kind(tmp_path, '[aha_emea]\nsource = "aha"').from_environment(api_key="********")
    assert here.with_secrets(masked).api_key == secret  # type: ignore[attr-defined]  # of Aha!


# What the project makes of it


def test_an_account_has_assets_schemas_pools_schedules_and_a_budget_of_its_own(tmp_path: Path) -> None:
    defs = loaded(tmp_path, TWO)
    plain, emea = ({key for key in keys(defs) if key.split("/")[0] == name} for name in ("aha", "aha_emea"))
    assert {f"aha_emea/{key.split('/')[1]}" for key in plain} == emea
    assert len(emea) == 41
    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    features = specs["aha_emea/requirements"]
    assert [dep.asset_key.to_user_string() for dep in features.deps] == ["aha_emea/features"]
    assert features.group_name == "aha_emea"
    assert features.metadata["dagster/table_name"] == "sandbox.aha_emea.requirements"
    assert (features.tags["source"], features.tags["mode"]) == ("aha", "sandbox")
    graph = defs.resolve_asset_graph()
    assert graph.get(features.key).pools == {"aha_emea_api"}
    checked = {check.asset_key.to_user_string() for check in graph.asset_check_keys}
    assert {key for key in emea if not key.endswith("/rate_budget")} <= checked
    with dg.instance_for_test() as instance:  # an ephemeral one cannot be given to a schedule
        for name in ("daily", "hourly"):
            at = datetime.now(UTC)
            with dg.build_schedule_context(instance=instance, scheduled_execution_time=at) as context:
                requests = defs.resolve_schedule_def(name).evaluate_tick(context).run_requests or ()
            assert {request.tags["source"] for request in requests} >= {"aha", "aha_emea", "drift"}


def test_what_an_account_turns_on_is_on_for_it_alone(tmp_path: Path) -> None:
    on = keys(loaded(tmp_path, TWO + 'streams = ["record_links"]')) - keys(loaded(tmp_path, TWO))
    assert on == {"aha_emea/record_links"}
    assert "aha_emea/teams" in keys(loaded(tmp_path, TWO))


def test_the_environment_turns_on_streams_of_an_account_by_its_name(tmp_path: Path) -> None:
    on = keys(loaded(tmp_path, TWO, ENABLED_STREAMS="aha_emea.record_links")) - keys(loaded(tmp_path, TWO))
    assert on == {"aha_emea/record_links"}
    with pytest.raises(ConfigurationError, match=r"ENABLED_STREAMS names aha\.record_links, which is no stream"):
        loaded(tmp_path, '[aha_emea]\nsource = "aha"', ENABLED_STREAMS="aha.record_links")


LIVE = TWO + 'daily_request_budget = 7\nrate_limit_factor = 0.5\nbase_url = "https://acme.euw4.aha.io"'


def test_what_the_file_sets_reaches_its_account_alone(tmp_path: Path) -> None:
    resources = loaded(tmp_path, LIVE, CONNECTOR_MODE="live", DAILY_REQUEST_BUDGET="100").resources or {}
    assert {name: paced(resources[name]) for name in ("aha", "aha_emea", "drift")} == {
        "aha": (100, 1.0, ""),
        "aha_emea": (7, 0.5, "https://acme.euw4.aha.io"),
        "drift": (100, 1.0, ""),
    }


def test_the_sandbox_never_asks_at_the_address_of_the_file(tmp_path: Path) -> None:
    resources = loaded(tmp_path, LIVE, SANDBOX_LIMITS="4").resources or {}
    assert (paced(resources["aha"]), paced(resources["aha_emea"])) == ((0, 4.0, ""), (7, 2.0, ""))
    here = connection(
        Settings("sandbox", tmp_path, Settings.from_environment({}).start, sandbox_url="http://127.0.0.1:9")
    )
    sources = [resources[name].process_config_and_initialize() for name in ("aha", "aha_emea")]
    addresses = [here.connected(source).base_url for source in sources]  # type: ignore[attr-defined]
    assert addresses == ["http://127.0.0.1:9/aha", "http://127.0.0.1:9/aha.aha_emea"]


def paced(source: Any) -> tuple[int, float, str]:
    return source.daily_request_budget, source.rate_limit_factor, source.base_url


def test_an_account_in_the_sandbox_has_its_vendors_credentials(tmp_path: Path) -> None:
    settings = Settings("sandbox", tmp_path, Settings.from_environment({}).start)
    emea = source_resource(kind(tmp_path, '[aha_emea]\nsource = "aha"'), settings)
    plain = source_resource(AHA, settings)
    assert {**emea.model_dump()} == {**plain.model_dump()}


@pytest.mark.parametrize(
    ("text", "left_out", "absent"),
    [
        (TWO, set(), ""),
        (
            '[aha_emea]\nsource = "aha"',
            {"company_requests", "feature_cycle_time", "features", "ideas", "release_progress"},
            "aha",
        ),
        (
            '[drift_shop]\nsource = "drift"',
            {"agent_workload", "company_requests", "contacts", "conversations", "daily_volume"},
            "drift",
        ),
    ],
)
def test_frames_read_the_account_with_the_sources_name_and_are_left_out_where_there_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, left_out: set[str], absent: str
) -> None:
    every = {key for key in keys(definitions()) if key.startswith("frames/")}
    with caplog.at_level(logging.WARNING):
        defs = loaded(tmp_path, text)
    missing = {f"frames/{name}" for name in left_out}
    assert every - keys(defs) == missing
    checked = {check.asset_key.to_user_string() for check in defs.resolve_asset_graph().asset_check_keys}
    assert checked & missing == set()
    told = [record.getMessage() for record in caplog.records]
    assert told == (
        [] if not missing else [f"{', '.join(sorted(missing))}: left out, for no account is named {absent}. {NAME_ONE}"]
    )


NAME_ONE = "Give one account in the configuration file that name."


def test_a_frame_of_a_frame_that_is_left_out_is_left_out_too() -> None:
    def frame(name: str, *inputs: tuple[str, str]) -> dg.AssetsDefinition:
        @dg.asset(key=["frames", name], deps=[list(key) for key in inputs])
        def made() -> None:
            return None

        return made

    top = frame("top", ("frames", "middle"))
    middle = frame("middle", ("aha", "users"), ("frames", "other"))
    other = frame("other", ("drift", "users"))
    assert frames.made_of(["drift"], [top, middle, other]) == [other]
    assert frames.made_of(["aha", "drift"], [top, middle, other]) == [top, middle, other]


def test_two_accounts_may_share_an_app_and_nothing_else(tmp_path: Path) -> None:
    shared = 'source = "drift"\ncredentials.client_id = "APP_ID"\ncredentials.client_secret = "APP_SECRET"\n'
    found = read(tmp_path, f"[drift_a]\n{shared}[drift_b]\n{shared}")
    assert [account.kind.variables()["client_secret"] for account in found[1:3]] == ["APP_SECRET", "APP_SECRET"]
    token = 'credentials.refresh_token = "ONE_TOKEN"\n'
    with pytest.raises(
        ConfigurationError, match=r"\[drift_b\]: credentials\.refresh_token is ONE_TOKEN, which drift_a"
    ):
        read(tmp_path, f"[drift_a]\n{shared}{token}[drift_b]\n{shared}{token}")


# Mistakes

OFF = "Off by default and to be turned on: " + ", ".join(sorted(_.name for _ in AHA.streams if not _.enabled)) + "."
BEGINS = 'an account begins with its name in brackets, such as [aha_emea], and below it source = "aha".'
NAME = (
    "this is no name for an account: small letters, digits and single underscores, a letter first, at most 40 of them, "
    "such as aha_emea. Assets, schemas and files have it."
)
SETTINGS = "source, credentials, streams, daily_request_budget, rate_limit_factor, base_url"
OWN = "Each account has credentials of its own; give it another variable, or remove one of the two."
MISTAKES: Mapping[str, tuple[str, str]] = {
    "no TOML": ("[aha_emea\n", " is no TOML (at line 1, column 10); accounts.example.toml has an example."),
    "twice": ("[aha]\n[aha]\n", " is no TOML (at line 2, column 5); accounts.example.toml has an example."),
    "outside": (
        'source = "aha"\n',
        f": source is outside of an entry; {BEGINS}",
    ),
    "no source": (
        "[aha_emea]\n",
        ", [aha_emea]: source is not set, and the entry has no source's name. source must be one of aha, drift, faker.",
    ),
    "unknown source": ('[jira]\nsource = "jira"', ", [jira]: source must be one of aha, drift, faker."),
    "no text": ("[aha]\nsource = 1", ", [aha]: source must be a text."),
    **{
        f"name {name}": (f'["{name}"]\nsource = "aha"', f", [{name}]: {NAME}")
        for name in ("EMEA", "aha-emea", "aha.emea", "2aha", "aha__emea", "aha_", "_aha", "ähä", "aha emea", "a" * 41)
    },
    **{
        f"taken {name}": (
            f'[{name}]\nsource = "aha"',
            f", [{name}]: this name means something else already; take another, such as aha_{name}.",
        )
        for name in ("frames", "documents", "warehouse", "connection", "main", "live", "class")
    },
    "another source's": (
        '[drift]\nsource = "aha"',
        ", [drift]: this is the name of a source, and the entry is of aha; take another, such as aha_drift.",
    ),
    "unknown setting": ("[aha]\nbudget = 1", f", [aha]: aha has no setting budget. Settings: {SETTINGS}."),
    "not over HTTP": (
        "[faker]\ndaily_request_budget = 1",
        ", [faker]: faker has no setting daily_request_budget. Settings: source, credentials, streams.",
    ),
    "unknown stream": (
        '[aha]\nstreams = ["record_link"]',
        f", [aha]: streams has record_link, which aha does not have. {OFF}",
    ),
    "no list": ('[aha]\nstreams = "record_links"', ", [aha]: streams must be a list of names of streams."),
    "budget": (
        "[aha]\ndaily_request_budget = 1.5",
        ", [aha]: daily_request_budget must be a whole number of requests a day; 0 is no budget.",
    ),
    "true budget": (
        "[aha]\ndaily_request_budget = true",
        ", [aha]: daily_request_budget must be a whole number of requests a day; 0 is no budget.",
    ),
    **{
        f"factor {factor}": (
            f"[aha]\nrate_limit_factor = {factor}",
            ", [aha]: rate_limit_factor must be a number that is not negative; 0 is no limit at all.",
        )
        for factor in ("-1", "nan", "inf", '"1"')
    },
    **{
        f"address {address}": (
            f'[aha]\nbase_url = "{address}"',
            ", [aha]: base_url must be an address that begins with https:// or http://, without a user in it.",
        )
        for address in ("acme.aha.io", "https://", "https://u:secret@acme.aha.io", "https://acme.aha.io?key=secret")
    },
    "credentials": (
        '[aha]\ncredentials = "AHA_API_KEY"',
        ", [aha]: credentials must be a table of names of environment variables.",
    ),
    "unknown credential": (
        '[aha]\ncredentials.token = "AHA_TOKEN"',
        f", [aha]: credentials has token, which aha does not take. Keys: {', '.join(AHA.variables())}.",
    ),
    "shared key": (
        TWO + 'credentials.api_key = "AHA_API_KEY"',
        ", [aha_emea]: credentials.api_key is AHA_API_KEY, which aha reads already. " + OWN,
    ),
    "shared with a source": (
        '[aha_emea]\nsource = "aha"\ncredentials.api_key = "DRIFT_ACCESS_TOKEN"',
        ", [aha_emea]: credentials.api_key is DRIFT_ACCESS_TOKEN, which drift reads already. " + OWN,
    ),
}


@pytest.mark.parametrize(("text", "complaint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_the_file_the_entry_and_what_to_do(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(tmp_path, text)
    assert str(raised.value) == f"{tmp_path / 'accounts.toml'}{complaint}"


@pytest.mark.parametrize(
    "secret",
    [
        *("0123456789abcdef" * 4, "SECRETKEY1234567", "a_secret", "Secret_Token", "eyJhbGci.eyJzdWIi.c2ln", "A B_C"),
        *("", 7, "AAAA_" * 13 + "A"),
    ],
)
def test_what_is_written_in_place_of_a_variable_is_refused_and_not_repeated(tmp_path: Path, secret: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(tmp_path, f'[aha_emea]\nsource = "aha"\ncredentials.api_key = {secret!r}')
    assert str(raised.value) == (
        f"{tmp_path / 'accounts.toml'}, [aha_emea]: credentials.api_key must be the name of an environment variable, "
        "in capitals and with an underscore, such as AHA_EMEA_API_KEY; set that variable to the value, in the "
        "environment or in the file .env. What is written there is not repeated here, for it may be a secret: if it "
        "is one and the file was shared, replace it."
    )


def test_a_file_that_is_not_there_or_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    with pytest.raises(ConfigurationError) as raised:
        read_accounts(path, discover())
    assert str(raised.value) == (
        f"{path}: No such file or directory. ACCOUNTS_FILE names the configuration of accounts; correct it or unset it."
    )
    path.write_bytes(b"[aha]\n# \xff")
    with pytest.raises(ConfigurationError) as raised:
        read_accounts(path, discover())
    assert str(raised.value) == f"{path} is not UTF-8; save it as that."
