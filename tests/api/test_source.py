"""Sources of the Python API against the sandbox: what they say of themselves, and what they read."""

import copy
import itertools
import json
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest
import requests

import connector_resources as ab
from connector_resources import destinations, exceptions, sources, terminal
from connector_resources.caches import DuckDBCache
from connector_resources.connecting import account_of_assets, first_day
from connector_resources.environment import Mode
from connector_resources.errors import ConfigurationError, ConnectorError, RequestRejected, UnknownStream
from connector_resources.progress import Progress, watched_by
from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sources import discover
from connector_resources.streams import SNAPSHOT, Page, Slice
from connector_resources.watching import watcher
from tests.landing import child, page, said, spooled

FAKER = {"count": 50, "seed": 1, "always_updated": False}


def faker(**others: Any) -> ab.Source:
    return ab.get_source("source-faker", config=FAKER, **{"progress": False, **others})


def aha(**others: Any) -> ab.Source:
    return ab.get_source("source-aha", config=ab.sandbox_config("source-aha"), **{"progress": False, **others})


# The import


def test_the_import_loads_neither_dagster_nor_pandas_nor_a_connector() -> None:
    code = (
        "import sys, connector_resources as ab; ab.exceptions; ab.Source; ab.DuckDBCache; ab.WriteStrategy;"
        "print([name for name in sys.modules if name.split('.')[0] in"
        " ('dagster', 'pandas', 'numpy', 'pyarrow', 'requests', 'mimesis', 'sqlalchemy', 'rich')])"
    )
    assert said(child(code)) == "[]"


def test_a_reading_from_a_source_to_a_frame_needs_no_dagster(tmp_path: Path) -> None:
    code = (
        "import sys, connector_resources as ab;"
        "source = ab.get_source('source-faker', config={'count': 12, 'seed': 1}, streams='*', progress=False);"
        "source.check(); result = source.read(ab.DuckDBCache(sys.argv[1]));"
        "print(len(result['users'].to_pandas()), 'dagster' in sys.modules)"
    )
    assert said(child(code, tmp_path / "faker.duckdb")) == "12 False"


def test_everything_that_is_offered_can_be_imported() -> None:
    assert [name for name in ab.__all__ if getattr(ab, name, None) is None] == []
    assert set(ab.__all__) <= set(dir(ab))
    assert (sources.Source, sources.get_source) == (ab.Source, ab.get_source)
    assert (destinations.Destination, destinations.get_destination) == (ab.Destination, ab.get_destination)
    for module in (ab, sources, destinations):
        with pytest.raises(AttributeError, match="has no attribute 'get_sauce'"):
            _ = module.get_sauce


# What there is


def test_connectors_are_listed_by_the_names_pyairbyte_has_for_them() -> None:
    assert ab.get_available_connectors() == ["source-aha", "source-drift", "source-faker"]
    assert ab.get_available_connectors("python") == ab.get_available_connectors()
    assert ab.get_available_connectors("docker") == []


def test_a_connector_that_is_not_there_is_an_error_that_lists_those_that_are() -> None:
    with pytest.raises(exceptions.AirbyteConnectorNotRegisteredError, match="source-aha, source-drift, source-faker"):
        ab.get_source("source-hubspot")


@pytest.mark.parametrize(
    ("argument", "value"),
    [("docker_image", True), ("pip_url", "x"), ("version", "1.2.3"), ("source_manifest", {}), ("use_python", "3.12")],
)
def test_an_argument_that_means_nothing_here_is_refused_with_the_reason(argument: str, value: Any) -> None:
    with pytest.raises(exceptions.PyAirbyteInputError, match=f"{argument} means nothing here: .+ Leave it out"):
        ab.get_source("source-faker", **{argument: value})


def test_an_argument_that_nobody_knows_is_refused() -> None:
    with pytest.raises(exceptions.PyAirbyteInputError, match="takes no argument 'confg'"):
        ab.get_source("source-faker", confg={})


def test_arguments_that_ask_for_what_is_so_anyway_are_taken() -> None:
    ab.get_source("source-faker", install_if_missing=True, version="latest", docker_image=False, use_python=True)


def test_a_source_names_its_streams_and_selects_some_of_them() -> None:
    source = faker()
    assert source.get_available_streams() == ["users", "products", "purchases"]
    assert source.get_selected_streams() == []
    source.select_streams("users")
    assert source.get_selected_streams() == ["users"]
    source.select_streams(["purchases", "users", "purchases"])
    assert source.get_selected_streams() == ["purchases", "users"]
    source.select_streams("*")
    assert source.get_selected_streams() == ["users", "products", "purchases"]


def test_all_streams_are_those_that_need_no_administrator(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = aha(streams="*")
    on = source.get_selected_streams()
    assert "features" in on
    assert "account_backups" not in on
    assert "account_backups" in source.get_available_streams()
    monkeypatch.setenv("ENABLED_STREAMS", "aha.account_backups")
    source.select_all_streams()
    assert set(source.get_selected_streams()) - set(on) == {"account_backups"}
    source.select_streams("record_links")
    assert source.get_selected_streams() == ["record_links"]


def test_a_stream_that_is_not_there_is_both_errors_and_lists_those_that_are() -> None:
    for error in (exceptions.AirbyteStreamNotFoundError, UnknownStream):
        with pytest.raises(error, match=r"no stream 'user'.*users.*products.*purchases"):
            faker().select_streams(["users", "user"])


def test_a_selection_that_is_refused_leaves_the_one_before() -> None:
    source = faker(streams="users")
    with pytest.raises(exceptions.AirbyteStreamNotFoundError):
        source.select_streams(["users", "user"])
    with pytest.raises(exceptions.AirbyteStreamNotFoundError):
        source.read(streams="user")
    assert source.get_selected_streams() == ["users"]


def test_the_catalogue_has_schemas_keys_and_sync_modes() -> None:
    streams = {stream.name: stream for stream in aha().discovered_catalog.streams}
    features = streams["features"]
    assert features.source_defined_primary_key == (("id",),)
    assert (features.default_cursor_field, features.supported_sync_modes) == (
        ("updated_at",),
        ("full_refresh", "incremental"),
    )
    assert features.json_schema == aha().get_stream_json_schema("features")
    assert features.json_schema["properties"]["updated_at"]["format"] == "date-time"
    assert streams["goals"].supported_sync_modes == ("full_refresh",)
    assert json.dumps(aha().discovered_catalog.model_dump())


def test_the_configured_catalogue_has_what_is_selected() -> None:
    source = aha(streams=["features", "goals"])
    modes = {each.stream.name: each.sync_mode for each in source.configured_catalog.streams}
    assert modes == {"features": "incremental", "goals": "full_refresh"}
    whole = source.get_configured_catalog("*", force_full_refresh=True).streams
    assert {each.sync_mode for each in whole} == {"full_refresh"}
    assert len(whole) == len(source.get_available_streams())


def test_the_spec_is_printed_as_yaml_or_json_or_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    source = aha()
    source.print_config_spec()
    assert yaml.safe_load(capsys.readouterr().out) == source.config_spec
    source.print_config_spec("json", stderr=True)
    assert json.loads(capsys.readouterr().err) == source.config_spec
    source.print_config_spec(output_file=tmp_path / "spec.yaml")
    assert yaml.safe_load((tmp_path / "spec.yaml").read_text()) == source.config_spec
    assert capsys.readouterr() == ("", "")
    assert source.config_spec["properties"]["api_key"]["airbyte_secret"] is True


def test_a_config_is_shown_without_its_secrets_and_told_apart_by_a_digest() -> None:
    source = aha()
    key = ab.sandbox_config("source-aha")["api_key"]
    assert key not in str(source.get_config())
    source.set_config({**source.get_config(), "custom_reports": ""})
    assert source.mode == "sandbox"
    assert source.get_config()["api_key"] == key
    assert key not in repr(source) + str(vars(source).get("_connected"))
    before = source.config_hash
    modes = [source.mode]
    source.set_config({**ab.sandbox_config("source-aha"), "api_key": "another"})
    modes.append(source.mode)
    assert modes == ["sandbox", "live"]
    assert source.config_hash not in (before, None)
    assert ab.get_source("aha").config_hash is None


def test_a_config_that_does_not_fit_is_refused_when_it_is_set_and_the_one_before_stays() -> None:
    source = faker()
    with pytest.raises(exceptions.AirbyteConnectorValidationFailedError, match="count"):
        source.set_config({"count": "many"})
    assert source.get_config() == FAKER
    with pytest.raises(exceptions.PyAirbyteInputError, match="config is a list"):
        source.set_config(["count"])  # type: ignore[arg-type]  # what a user may do


# Whom it reads


def test_without_a_config_the_sandbox_is_read_and_so_it_is_with_its_credentials(desk: Path) -> None:
    assert (ab.get_source("aha").mode, aha().mode, ab.get_source("drift").mode) == ("sandbox",) * 3


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("aha", {"api_key": "real", "url": "https://acme.aha.io"}),
        ("drift", {"credentials": {"credentials": "access_token", "access_token": "real"}}),
    ],
)
def test_real_credentials_are_live_and_never_read_the_sandbox(
    desk: Path, monkeypatch: pytest.MonkeyPatch, name: str, config: dict[str, Any]
) -> None:
    source = ab.get_source(name, config=config)
    assert source.mode == "live"
    assert "127.0.0.1" not in source.connected.url  # type: ignore[attr-defined]  # both are read over HTTP
    monkeypatch.setenv("CONNECTOR_MODE", "sandbox")
    with pytest.raises(exceptions.PyAirbyteInputError, match="CONNECTOR_MODE is sandbox, and the credentials"):
        ab.get_source(name, config=config).check()
    with pytest.raises(exceptions.PyAirbyteInputError, match="mode is sandbox"):
        ab.get_source(name, config=config, mode="sandbox").check()


def test_the_sandboxs_credentials_are_never_sent_to_a_vendor(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTOR_MODE", "live")
    with pytest.raises(exceptions.PyAirbyteInputError, match="CONNECTOR_MODE is live, and the credentials"):
        aha().check()


def test_live_without_a_config_takes_the_environments_credentials_or_names_them(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AHA_API_KEY", "AHA_SUBDOMAIN"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(exceptions.AirbyteConnectorCheckFailedError, match="AHA_SUBDOMAIN is not set"):
        ab.get_source("aha", mode="live").check()
    (desk / ".env").write_text("AHA_SUBDOMAIN=acme\nAHA_API_KEY=real\n")
    connected = ab.get_source("aha", mode="live").connected
    assert (connected.subdomain, connected.api_key) == ("acme", "real")  # type: ignore[attr-defined]  # it is Aha


@pytest.mark.parametrize("mode", ["sandbox", "live"])
def test_what_is_made_up_is_so_as_the_environment_and_the_env_file_say(
    desk: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    (desk / ".env").write_text("FAKER_SEED=5\nFAKER_ALWAYS_UPDATED=yes\n")
    monkeypatch.setenv("FAKER_COUNT", "12")
    assert ab.get_source("faker", mode=mode).connected.account == "faker-12-seed5-updated"


@pytest.mark.parametrize("mode", ["sandbox", "live"])
def test_a_variable_of_the_wrong_kind_is_named_to_a_script(
    desk: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    monkeypatch.setenv("FAKER_COUNT", "many")
    source = ab.get_source("faker", mode=mode, streams="*", progress=False)
    with pytest.raises(ConfigurationError, match=r"^faker: FAKER_COUNT is 'many'; expected a whole number\.$"):
        source.read(DuckDBCache("cache.duckdb"))


def test_the_env_file_of_a_folder_above_says_the_same_as_in_that_folder(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (desk / ".env").write_text("CONNECTOR_MODE=live\nAHA_SUBDOMAIN=acme\nAHA_API_KEY=real\nDATA_FOLDER=kept\n")
    (desk / "notebooks").mkdir()
    seen = []
    for folder in (desk, desk / "notebooks"):
        monkeypatch.chdir(folder)
        source = ab.get_source("aha")
        seen.append((source.mode, source.connected.subdomain, ab.get_default_cache().db_path.resolve()))  # type: ignore[attr-defined]  # it is Aha
    assert seen == 2 * [("live", "acme", desk / "kept" / "live.duckdb")]
    monkeypatch.setenv("DATA_FOLDER", "here")
    assert ab.get_default_cache().db_path.resolve() == desk / "notebooks" / "here" / "live.duckdb"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_an_env_file_that_is_not_utf_8_is_named_and_none_of_it_shown(desk: Path, encoding: str) -> None:
    (desk / ".env").write_text("# für Aha!\nAHA_API_KEY=sesame\n", encoding=encoding)
    with pytest.raises(exceptions.PyAirbyteInputError, match=r"\.env cannot be read: it is not UTF-8") as caught:
        ab.get_source("faker", config=FAKER).read()
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_an_account_beside_another_has_a_schema_of_its_own(desk: Path) -> None:
    source = faker(account="faker_two", streams="users")
    assert len(source.read(DuckDBCache(desk / "mine.duckdb"))["users"]) == 50
    cache = DuckDBCache(desk / "mine.duckdb")
    assert cache.run_sql_query("SELECT count(*) AS n FROM faker_two.users") == [{"n": 50}]
    with pytest.raises(exceptions.PyAirbyteInputError, match="account is no name"):
        faker(account="Faker Two")


def test_check_says_that_it_succeeded_on_stderr_or_why_not(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aha().check()
    assert capsys.readouterr() == (
        "",
        "Connection check succeeded for `source-aha`, from the sandbox: no real account.\n",
    )
    config = {**ab.sandbox_config("source-drift")}
    source = ab.get_source("source-drift", config={**config, "conversations_page_size": 50}, mode="sandbox")
    source.connected.__dict__["access_token"] = "expired"
    with pytest.raises(exceptions.AirbyteConnectorCheckFailedError, match="check DRIFT_ACCESS_TOKEN"):
        source.check()


# Records without a cache


def test_records_come_in_a_loop_and_again_in_the_next_one(desk: Path) -> None:
    records = faker().get_records("users")
    assert [len([record for record in records]) for _ in range(2)] == [50, 50]  # noqa: C416 -- the loop of a user
    assert next(iter(records))["id"] == 1
    with pytest.raises(exceptions.AirbyteStreamNotFoundError):
        faker().get_records("user")


def test_a_look_at_some_records_asks_for_no_more_pages_than_it_needs(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ab.get_source("faker", config={**FAKER, "records_per_slice": 10})
    read, pages = type(source.connected).read, []

    def noting(self: Any, *asked: Any) -> Any:
        for each in read(self, *asked):
            pages.append(each)
            yield each

    monkeypatch.setattr(type(source.connected), "read", noting)
    assert [len(list(source.get_records("users", limit=limit))) for limit in (0, 10, 11)] == [0, 10, 11]
    assert len(pages) == 0 + 1 + 2
    with pytest.raises(exceptions.PyAirbyteInputError, match="limit is below 0"):
        source.get_records("users", limit=-1)


def test_a_look_that_may_end_anywhere_asks_for_nothing_before_it_is_wanted(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = aha()
    read, at_a_time = type(source.connected).read, []

    def noting(self: Any, *asked: Any) -> Any:
        at_a_time.append(self.concurrency)
        return read(self, *asked)

    monkeypatch.setattr(type(source.connected), "read", noting)
    for how in ({"limit": 1}, {"stop_event": threading.Event()}, {}):
        assert next(iter(source.get_records("goals", **how)))
    source.get_samples("goals")
    assert at_a_time == [1, 1, 8, 1]


def test_records_of_a_substream_know_their_parent(desk: Path) -> None:
    records = list(aha().get_records("key_results"))
    goals = {record["id"] for record in aha().get_records("goals")}
    assert {record["goal_id"] for record in records} <= goals
    assert records


def test_as_many_records_come_by_themselves_as_are_landed(desk: Path) -> None:
    source = aha(streams=["ideas", "idea_comments", "features"])
    result = source.read(DuckDBCache(desk / "mine.duckdb"))
    assert {name: len(list(source.get_records(name))) for name in result} == {
        name: len(dataset) for name, dataset in result.items()
    }


def test_an_event_stops_the_reading_of_records(desk: Path) -> None:
    stop, met = threading.Event(), 0
    for _ in faker().get_records("users", stop_event=stop):
        met += 1
        stop.set()
    assert met == 1


def test_names_are_normalized_and_undeclared_fields_pruned_where_that_is_asked_for(desk: Path) -> None:
    source = aha()
    plain = next(iter(source.get_records("features", limit=1)))
    declared = set(source.get_stream_json_schema("features")["properties"])
    pruned = next(iter(source.get_records("features", limit=1, prune_undeclared_fields=True)))
    assert set(pruned) == set(plain) & declared
    normalized = next(iter(ab.get_source("drift").get_records("messages", limit=1, normalize_field_names=True)))
    assert {"conversationid", "createdat"} <= set(normalized)


def test_fields_that_have_one_name_once_it_is_normalized_are_all_kept(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"Full Name": "A", "full_name": "B", "FULL-NAME": "C", "Name": "D", "name": "E"}
    source = faker(streams="users")
    sent = Page((json.dumps({"Id": 0, "id": 1, "AGE": 2, **fields}).encode(),))
    monkeypatch.setattr(type(source.connected), "read", lambda *asked: iter([sent]))
    (record,) = source.read(DuckDBCache(desk / "mine.duckdb"))["users"]
    assert {name: record[name] for name in fields} == fields
    assert list(source.get_records("users", normalize_field_names=True)) == [{"Id": 0, "id": 1, "age": 2, **fields}]


def test_samples_are_the_first_records_of_each_stream(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = faker().get_samples(limit=2)
    assert {name: len(sample) for name, sample in samples.items() if sample is not None} == {
        "users": 2, "products": 2, "purchases": 2,
    }  # fmt: skip
    faker().print_samples(["users"], limit=2)
    printed = capsys.readouterr().out
    assert "source-faker: users" in printed
    assert "email" in printed


def test_a_sample_that_fails_is_an_error_or_none_as_is_asked_for(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ab.get_source("aha", config={**ab.sandbox_config("aha"), "custom_reports": "1"})
    with pytest.raises(ConnectorError):
        source.get_samples(["custom_report_rows"])
    assert source.get_samples(["custom_report_rows"], on_error="ignore") == {"custom_report_rows": None}
    assert capsys.readouterr().err == ""
    assert source.get_samples(["custom_report_rows"], on_error="log") == {"custom_report_rows": None}
    assert "custom_report_rows: no sample." in capsys.readouterr().err


def test_documents_are_made_of_records_without_a_cache(desk: Path) -> None:
    documents = list(aha().get_documents("ideas"))
    assert documents
    assert all(document.content and document.id for document in documents)


def test_documents_that_lack_what_another_stream_has_say_so_once(desk: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = ab.get_source("source-drift", config=ab.sandbox_config("source-drift"), progress=False)
    assert len(list(itertools.islice(source.get_documents("conversations"), 3))) == 3
    (told,) = caplog.messages
    assert told.startswith("drift.conversations: documents are made without messages, which are another stream. read()")
    caplog.clear()
    assert list(itertools.islice(source.get_documents("conversations", content_properties=["status"]), 1))
    assert list(itertools.islice(source.get_documents("users"), 1))
    assert caplog.messages == []


# Reading


def test_a_read_lands_in_the_assets_database_and_says_what_it_brought(desk: Path) -> None:
    result = faker(streams=["users", "products"]).read()
    assert (result.processed_records, list(result), len(result["users"])) == (150, ["users", "products"], 50)
    assert (desk / "data" / "sandbox.duckdb").exists()
    assert [record["id"] for record in result["users"]] == list(range(1, 51))
    assert ab.get_default_cache()["users"].to_pandas().shape[0] == 50


def test_without_a_selection_all_streams_are_read_and_with_an_empty_one_none(desk: Path) -> None:
    source = faker()
    assert list(source.read()) == ["users", "products", "purchases"]
    assert source.get_selected_streams() == []
    source.select_streams([])
    with pytest.raises(exceptions.PyAirbyteNoStreamsSelectedError, match="users"):
        source.read()
    with pytest.raises(exceptions.PyAirbyteNoStreamsSelectedError, match="users"):
        faker().read(streams=[])


def test_streams_that_are_named_are_read_and_the_selection_stays(desk: Path) -> None:
    source = faker(streams="users")
    assert list(source.read(streams=["products"])) == ["products"]
    assert source.get_selected_streams() == ["users"]


@pytest.mark.parametrize("strategy", ["auto", "append", "replace", "merge", ab.WriteStrategy.MERGE])
def test_every_strategy_lands_all_records(desk: Path, strategy: str) -> None:
    cache = DuckDBCache(desk / "mine.duckdb")
    assert len(faker(streams="users").read(cache, write_strategy=strategy)["users"]) == 50


def test_a_strategy_that_is_none_is_refused(desk: Path) -> None:
    with pytest.raises(exceptions.PyAirbyteInputError, match="one of auto, append, replace, merge"):
        faker(streams="users").read(write_strategy="upsert")


def test_to_replace_with_no_records_leaves_no_rows(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = aha(streams="goals")
    there = len(source.read()["goals"])
    monkeypatch.setattr(type(source.connected), "read", lambda *asked: iter([Page(())]))
    with pytest.raises(exceptions.AirbyteConnectorReadError, match="write_strategy='replace' in a script"):
        source.read()
    assert len(ab.get_default_cache()["goals"]) == there
    assert list(source.read(write_strategy="replace")["goals"]) == []


def test_of_made_up_records_fewer_may_come_than_before(desk: Path) -> None:
    counts = [len(ab.get_source("faker", config={"count": count}, streams="users").read()["users"]) for count in (9, 2)]
    assert counts == [9, 2]


def test_a_table_that_was_dropped_is_read_again(desk: Path) -> None:
    source = aha(streams="features")
    there = len(source.read()["features"])
    ab.get_default_cache().execute_sql("DROP TABLE aha.features CASCADE")
    assert len(source.read()["features"]) == there > 0


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(exceptions.PyAirbyteInputError, match=r"mode is sandbox or live\..*prod"):
        ab.get_source("aha", mode="prod")  # type: ignore[arg-type]  # what a user may do


def test_a_check_tries_twice_and_no_more(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ab.get_source("drift", config={"access_token": "real", "base_url": "http://127.0.0.1:9"})
    tries: list[int] = []
    trying = type(source.connected).trying  # type: ignore[attr-defined]  # it is read over HTTP

    def noting(self: Any, most: int) -> Any:
        probe = trying(self, most)
        probe.client.sleep = lambda seconds: tries.append(1)
        return probe

    monkeypatch.setattr(type(source.connected), "trying", noting)
    with pytest.raises(exceptions.AirbyteConnectorCheckFailedError, match="ConnectionRefusedError"):
        source.check()
    assert len(tries) == 1


def test_who_reads_the_sandbox_is_told_so(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = ab.get_source("aha", streams="goals")
    source.read()
    assert "aha: reading from the sandbox: no real account." in capsys.readouterr().err
    assert repr(source) == "<Source source-aha: 1 of 67 streams selected, sandbox>"
    faker(streams="users", progress=None).read()
    assert "sandbox" not in capsys.readouterr().err


def test_a_stream_that_fails_later_leaves_those_that_finished_and_the_error_has_them(
    desk: Path, small_sandbox: SandboxProcess
) -> None:
    source = aha(streams=["goals", "key_results", "products"])
    refuse(small_sandbox, "GET /aha/api/v1/goals/*")
    failed = r"1 stream failed; goals, products were read\. key_results: .* the answer is not whole JSON"
    with pytest.raises(exceptions.AirbyteConnectorReadError, match=failed) as told:
        source.read()
    refuse(small_sandbox)
    assert told.value.result is not None
    assert {name: len(dataset) > 0 for name, dataset in told.value.result.items()} == {"goals": True, "products": True}
    assert list(told.value.failed) == ["key_results"]
    assert len(ab.get_default_cache()["goals"]) == len(told.value.result["goals"])


def refuse(sandbox: SandboxProcess, *patterns: str) -> None:
    """Let requests of these patterns, instead of those before, be answered with a web page."""
    faults = [{"pattern": pattern, "kind": "html", "times": 10_000} for pattern in patterns]
    requests.post(f"{sandbox.url}/_sandbox/faults", json=faults, timeout=10).raise_for_status()


PAGED = {**FAKER, "records_per_slice": 10}

DIES_AT_THE_FOURTH_PAGE = """
import os, signal, sys
import connector_resources as ab

source = ab.get_source("faker", config=%r, progress=False)
read = type(source.connected).read

def dying(*asked):
    for number, page in enumerate(read(*asked)):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield page

type(source.connected).read = dying
source.read(streams="users")
"""


def test_a_process_that_is_killed_while_it_reads_is_gone_on_with_after_its_last_page(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(child(DIES_AT_THE_FOURTH_PAGE % PAGED), returncode=-9)
    source = ab.get_source("faker", config=PAGED, progress=False)
    read, tokens = type(source.connected).read, []

    def noting(self: Any, stream: Any, slice: Any, token: str | None = None) -> Any:
        tokens.append(token)
        return read(self, stream, slice, token)

    monkeypatch.setattr(type(source.connected), "read", noting)
    assert len(source.read(streams="users")["users"]) == 50
    assert len(tokens) == 1
    assert '"row":31' in (tokens[0] or "")


def test_a_read_goes_on_where_the_last_one_stopped(desk: Path) -> None:
    source = aha(streams="features")
    first = source.read()
    before = source.connected.statistics.requests
    again = source.read()
    assert source.connected.statistics.requests - before == 1
    assert (again.processed_records, len(again["features"])) == (0, len(first["features"]))
    assert source.read(force_full_refresh=True).processed_records == first.processed_records


def test_a_first_day_may_be_named(desk: Path) -> None:
    recent = (datetime.now(UTC) - timedelta(days=3)).date()
    source = aha(streams="features", start_date=recent.isoformat())
    few = len(source.read(DuckDBCache(desk / "few.duckdb"))["features"])
    whole = len(aha(streams="features").read(DuckDBCache(desk / "all.duckdb"))["features"])
    assert 0 < few < whole
    with pytest.raises(exceptions.PyAirbyteInputError, match="start_date is no day"):
        aha(streams="features", start_date="yesterday")


def test_composite_keys_tell_records_apart(desk: Path) -> None:
    source = faker(streams="users")
    source.set_primary_key("users", ["name", "age"])
    source.set_primary_keys(products="id")
    assert source.configured_catalog.streams[0].primary_key == (("name",), ("age",))
    cache = DuckDBCache(desk / "mine.duckdb")
    result = source.read(cache)
    pairs = {(record["name"], record["age"]) for record in faker().get_records("users")}
    assert len(result["users"]) == len(pairs)
    with pytest.raises(exceptions.PyAirbyteInputError, match="users has no column 'colour'"):
        source.set_primary_key("users", ["colour"])
    with pytest.raises(exceptions.PyAirbyteInputError):
        source.set_primary_key("users", [])


def test_another_cursor_reads_the_stream_whole(desk: Path) -> None:
    source = aha(streams="features")
    source.set_cursor_key("features", "created_at")
    assert source.configured_catalog.streams[0].sync_mode == "full_refresh"
    cache = DuckDBCache(desk / "mine.duckdb")
    first, again = source.read(cache), source.read(cache)
    assert first.processed_records == again.processed_records == len(again["features"]) > 0
    source.set_cursor_keys(features="updated_at")
    assert {each.sync_mode for each in source.configured_catalog.streams} == {"incremental"}
    with pytest.raises(exceptions.PyAirbyteInputError, match="features has no column 'when'"):
        source.set_cursor_key("features", "when")


def test_two_sources_with_a_stream_of_one_name_have_a_table_each(desk: Path) -> None:
    cache = DuckDBCache(desk / "mine.duckdb")
    drift = ab.get_source("drift", config=ab.sandbox_config("drift"), progress=False)
    counts = {
        "drift.users": len(drift.read(cache, streams="users")["users"]),
        "faker.users": len(faker(streams="users").read(cache)["users"]),
    }
    assert {name: len(cache[name]) for name in counts} == counts
    assert len(drift.read(cache, streams="users")["users"]) == counts["drift.users"]


def test_a_stream_is_known_by_the_name_that_airbytes_connector_has_for_it(desk: Path) -> None:
    source = aha(streams=["goals_stream", "users_stream", "goals"])
    assert source.get_selected_streams() == ["goals", "users"]
    assert next(iter(source.get_records("goals_stream", limit=1)))["id"]
    cache = DuckDBCache(desk / "mine.duckdb", table_prefix="my_")
    assert "goals_stream" not in cache
    result = source.read(cache)
    faker(streams="users").read(cache)
    assert list(result) == ["goals", "users"]
    assert result["goals_stream"] == result["goals"] == cache["goals_stream"] == cache["aha.goals_stream"]
    assert cache["users_stream"] == cache["aha.users"] != cache["faker.users"]
    assert ["goals_stream" in cache, "aha.users_stream" in cache, "faker.users_stream" in cache] == [True, True, False]
    for missing in ("goal_stream", "faker.users_stream", "ideas_stream"):
        with pytest.raises(KeyError):
            cache[missing]


def test_another_name_of_a_stream_leads_to_one_and_is_no_streams_own() -> None:
    for kind in discover():
        names = {stream.name for stream in kind.streams}
        assert set(kind.stream_aliases.values()) <= names
        assert not names & set(kind.stream_aliases)


@pytest.mark.parametrize("account", ["drift", "frames", "main", "temp"])
def test_an_account_has_no_name_that_means_something_else(account: str) -> None:
    with pytest.raises(exceptions.PyAirbyteInputError, match="means something else already"):
        aha(account=account)
    assert aha(account="aha").account == "aha"


def test_nothing_is_appended_in_the_assets_database(desk: Path) -> None:
    for cache in (None, DuckDBCache("data/sandbox.duckdb")):
        with pytest.raises(exceptions.PyAirbyteInputError, match="Give it a cache of its own"):
            faker(streams="users").read(cache, write_strategy="append")
    assert not (desk / "data" / "sandbox.duckdb").exists()


def test_another_key_or_cursor_is_not_read_by_in_the_assets_database(desk: Path) -> None:
    by_name, by_creation = faker(streams="users"), aha(streams="features")
    by_name.set_primary_key("users", "name")
    by_creation.set_cursor_key("features", "created_at")
    for source in (by_name, by_creation):
        with pytest.raises(exceptions.PyAirbyteInputError, match="by the declared key and cursor"):
            source.read()
    by_name.set_primary_key("users", "id")
    assert len(by_name.read()["users"]) == 50


def test_what_assets_have_landed_of_one_source_is_not_mixed_with_another(desk: Path) -> None:
    faker(streams="users").read()
    cache = ab.get_default_cache()
    cache.execute_sql("DROP TABLE _claims")
    into_the_same = DuckDBCache("data/sandbox.duckdb", schema_name="faker")
    with pytest.raises(exceptions.AirbyteConnectorReadError, match="Their rows would mix"):
        aha(streams="users").read(into_the_same)
    assert len(faker(streams="users").read()["users"]) == 50


@pytest.mark.parametrize("strategy", ["auto", "append", "merge", "replace"])
def test_a_table_that_pyairbyte_has_made_is_refused_before_anything_is_read(desk: Path, strategy: Any) -> None:
    cache = DuckDBCache("theirs.duckdb", schema_name="main")
    theirs = "SELECT 1 AS id, 'Ada' AS name, '01J' AS _airbyte_raw_id, now() AS _airbyte_extracted_at"
    with duckdb.connect(str(cache.db_path)) as connection:
        connection.execute(f"CREATE TABLE main.users AS {theirs}")
        before = connection.execute("FROM main.users").fetchall()
    source = faker(streams="users")
    with pytest.raises(
        exceptions.AirbyteConnectorReadError,
        match=r"main\.users in .*theirs\.duckdb is .* of Airbyte or PyAirbyte.*another",
    ):
        source.read(cache, write_strategy=strategy)
    with duckdb.connect(str(cache.db_path)) as connection:
        assert connection.execute("FROM main.users").fetchall() == before
        assert connection.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("users",)]
    assert source.connected.statistics.requests == 0
    with_prefix = DuckDBCache("theirs.duckdb", schema_name="main", table_prefix="our_")
    assert len(source.read(with_prefix)["users"]) == 50


def test_live_rows_of_another_account_than_the_assets_are_not_landed_beside_theirs(desk: Path) -> None:
    (desk / ".env").write_text("AHA_SUBDOMAIN=acme\nAHA_API_KEY=real\n")
    source = ab.get_source("aha", {"api_key": "other", "url": "beta"}, streams="goals")
    with pytest.raises(exceptions.PyAirbyteInputError, match="The assets read another account") as caught:
        source.read()
    assert "other" not in str(caught.value).replace("another", "")
    assert not (desk / "data" / "live.duckdb").exists()
    kind = next(kind for kind in discover() if kind.name == "aha")
    same = ab.get_source("aha", {"api_key": "other", "url": "acme.aha.io"}, streams="goals")
    assert account_of_assets(kind) == same.connected.account
    (desk / ".env").unlink()
    assert account_of_assets(kind) is None


def test_a_first_day_that_is_none_is_refused_and_one_before_all_time_is_the_first_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(exceptions.PyAirbyteInputError, match="start_date is no day"):
        first_day("live", 5)  # type: ignore[arg-type]  # that is what is refused
    assert first_day("live", "0001-01-01") == date(1970, 1, 1)
    monkeypatch.setenv("PARTITIONS_START", "0001-01-01")
    assert first_day("live", None) == date(1970, 1, 1)


@pytest.mark.parametrize("start", ["2026-03-02T01:00:00+02:00", "2026-03-01T23:00:00Z", "2026-03-01"])
def test_a_first_day_is_the_day_of_an_instant_in_utc(start: str) -> None:
    assert first_day("live", start) == date(2026, 3, 1)


def test_four_threads_read_into_one_cache(desk: Path) -> None:
    cache = DuckDBCache(desk / "mine.duckdb")

    def read(number: int) -> int:
        source = ab.get_source("faker", config={**FAKER, "count": 50 + number}, account=f"f{number}", progress=False)
        return len(source.read(cache, streams="users")["users"])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [50, 51, 52, 53]
    assert len(list(cache)) == 4


def test_rows_of_the_sandbox_and_real_ones_never_share_a_cache(desk: Path) -> None:
    cache = DuckDBCache(desk / "mine.duckdb")
    faker(streams="users", mode="sandbox").read(cache)
    with pytest.raises(ConnectorError, match="never share a database"):
        faker(streams="users", mode="live").read(cache)


def test_progress_is_lines_on_stderr_where_no_terminal_is_and_none_where_nobody_wants_it(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faker(streams="users", progress=None).read()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "faker.users: 50 records read" in printed.err
    faker(streams="users", progress=False).read()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("said", "drawn"), [(None, 0), ("terminal", 1), ("FORCE_COLOR", 1), ("TTY_COMPATIBLE", 1), ("notebook", 1)]
)
def test_bars_are_drawn_where_there_may_be_a_terminal_or_a_notebook(
    desk: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, drawn: int
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(terminal, "bars", lambda console, streams: nullcontext(asked.append(streams)))  # type: ignore[func-returns-value]
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    if said == "terminal":
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    elif said == "notebook":
        monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    elif said is not None:
        monkeypatch.setenv(said, "1")

    with watcher(faker().connected, None) as shown:
        shown.planned([])

    assert len(asked) == drawn


def test_where_bars_show_how_far_a_reading_is_no_line_does(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Bars:
        def told(self, progress: Progress) -> None:
            seen.append(progress.records)

        def ended(self, name: str) -> None:
            raise AssertionError

    seen: list[int] = []
    connected, ticks = faker().connected, itertools.count(0.0, 10.0)
    stream = connected.stream("users")
    spool = spooled(desk, stream, [page({"id": 1})])
    with watcher(connected, None, lambda: next(ticks)) as watching:
        watching.began(stream, [SNAPSHOT], Slice(), connected)
        with watched_by(Bars()):
            watching.paged(stream, spool)
        assert (seen, capsys.readouterr().err) == ([1], "")
        watching.paged(stream, spool)
        assert "faker.users: 1 " in capsys.readouterr().err


def test_a_script_that_reads_prints_nothing_to_stdout(desk: Path) -> None:
    code = "import connector_resources as ab; ab.get_source('faker', config={'count': 5}, streams='*').read()"
    assert said(child(code)) == ""


# In another process

COPIES = {"pickle": lambda each: pickle.loads(pickle.dumps(each)), "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("account", [None, "drift_shop"])
def test_a_source_that_was_used_is_copied_as_one_that_was_not(
    desk: Path, account: str | None, copied: Callable[[Any], Any]
) -> None:
    source = ab.get_source("drift", ab.sandbox_config("drift"), account=account, streams="users", progress=False)
    source.connected.client  # type: ignore[attr-defined]  # it is read over HTTP  # noqa: B018 -- makes it
    made = copied(source)
    assert (made.account, made.get_config(), made.get_selected_streams(), made.mode) == (
        account or "drift",
        source.get_config(),
        ["users"],
        "sandbox",
    )
    assert made.connected is not source.connected
    assert made.connected.client is not source.connected.client  # type: ignore[attr-defined]


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_what_a_read_and_a_write_have_done_can_be_handed_to_another_process(
    desk: Path, copied: Callable[[Any], Any]
) -> None:
    source = ab.get_source("faker", config=FAKER, progress=False)
    result = source.read(DuckDBCache("cache.duckdb"), streams="*")
    made = copied(result)
    assert (repr(made), made.cache.db_path, len(made["users"])) == (repr(result), desk / "cache.duckdb", 50)
    written = ab.get_destination("destination-csv", {"destination_path": "out"}).write(result)
    again = copied(written)
    assert (dict(again.records), dict(again.files)) == (dict(written.records), dict(written.files))
    assert copied(exceptions.AirbyteConnectorReadError("Two failed.")).failed == {}
    error = exceptions.AirbyteConnectorReadError("One failed.")
    error.result, error.failed = result, {"purchases": RequestRejected("refused", status=403)}
    told = copied(error)
    assert (str(told), repr(told.result), told.failed["purchases"].status) == (str(error), repr(result), 403)
