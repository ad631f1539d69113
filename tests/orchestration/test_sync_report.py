"""The sync report: what it collects, from where, and that its page shows it and nothing else."""

import re
import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from connector_resources.http.rate_limit import usage_path
from connector_resources.http.rate_usage import MinuteOfUse, UsageLog
from connector_resources.sources import discover
from orchestration.plots import BLUE, INK
from orchestration.report.asset import report_path, sync_report_asset
from orchestration.report.charts import COLOURS, by_hour, charts, rows_by_day, runs_by_day, themed
from orchestration.report.facts import (
    AssetFacts,
    Failure,
    Landing,
    NewField,
    Quarantine,
    Report,
    Run,
    Use,
    collected,
    is_late,
)
from orchestration.report.page import page, spark
from tests.orchestration.conftest import DAYS, Fail, Project, failures, kind_of, materialized

NOW = datetime(2026, 11, 21, 16, 30, tzinfo=UTC)
NASTY = (
    "<script>alert(1)</script>",
    "\" onmouseover='alert(1)' x=\"",
    "</td></table><img src=http://elsewhere.example/x.png>",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:alert(1) &amp; https://elsewhere.example",
)


def full_report(name: str = "features") -> Report:
    """Return a report with something of everything, in which every text that comes from elsewhere is `name`."""
    use = MinuteOfUse(int(NOW.timestamp() // 60) - 90, 300.0, 40, 2.5, 1)
    return Report(
        made_at=NOW,
        mode="sandbox",
        database=name,
        size_bytes=1_234_567,
        run_id="0123456789abcdef",
        assets=[
            AssetFacts(
                f"aha/{name}",
                "aha",
                rows=1_200,
                days=2,
                planned_days=3,
                landed_at=NOW - timedelta(hours=1),
                newest=NOW - timedelta(hours=30),
                landing=Landing(NOW - timedelta(hours=1), "1", requests=17, wait_seconds=2.5),
                trend=(5, None, 9),
                quarantined=4,
                new_fields=1,
            ),
            AssetFacts("aha/teams", "aha"),
            AssetFacts("drift/users", "drift", landed_at=NOW - timedelta(days=3), is_late=True),
            AssetFacts("frames/ideas", "frames", landed_at=NOW - timedelta(days=3), failed_at=NOW),
        ],
        failures=[Failure(NOW, "fedcba9876543210", name, name)],
        quarantine=[Quarantine(name, name, 4)],
        new_fields=[NewField(name, name, name, NOW)],
        uses=[Use("aha", name, name, [use]), Use("aha", "aha-d7eb4a04da04", "account", [])],
        unknown=[name],
        runs=[Run(NOW, "failed"), Run(NOW - timedelta(days=2), "succeeded"), Run(NOW, "unfinished")],
        rows_by_day={
            date(2026, 11, 18): {"aha": 5},
            date(2026, 11, 19): {},
            date(2026, 11, 20): {"aha": 9, "drift": 1},
        },
    )


class Elements(HTMLParser):
    """What a browser would make of a page: its elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.goes_on = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "wbr":  # the same text goes on
            self.goes_on = True
            return
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(self.texts.pop() + data if self.goes_on else data)
        self.goes_on = False


# The page


def test_what_comes_from_elsewhere_is_text_on_the_page_and_never_markup() -> None:
    plain = Elements(page(full_report()))
    for name in NASTY:
        elements = Elements(page(full_report(name)))
        assert elements.tags == plain.tags
        assert {key for key, _ in elements.attributes} == {key for key, _ in plain.attributes}
        assert ("title", name) in elements.attributes  # of the database; its text is the end of its path
        is_shown_whole = len(Path(name).parts) <= 2 and "//" not in name
        assert [text for text in elements.texts if text.strip() == name] == [name] * (11 if is_shown_whole else 10)


def test_the_page_needs_nothing_from_elsewhere_and_forbids_a_browser_to_ask_for_it() -> None:
    text = page(full_report())
    elements = Elements(text)
    assert elements.tags & {"script", "link", "img", "iframe", "object", "base", "form", "audio", "video", "a"} == set()
    loaded = {"src", "href", "srcset", "action", "data", "poster", "xlink:href"}
    assert [value for key, value in elements.attributes if key in loaded and not value.startswith("#")] == []
    assert [key for key, _ in elements.attributes if key.startswith("on")] == []
    assert re.findall(r"url\((?!#)|@import", text) == []
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in elements.attributes


def test_an_id_is_there_once_or_is_of_the_same_thing() -> None:
    text = page(full_report())
    found: dict[str, str] = {}
    for match in re.finditer(r'<(\w+) id="([^"]+)"(.*?)</\1>|<(\w+) id="([^"]+)"([^>]*)/>', text, re.DOTALL):
        name, content = match[2] or match[5], match[3] or match[6]
        assert found.setdefault(name, content) == content


def test_pictures_take_their_colours_from_the_page_in_light_and_in_dark() -> None:
    text = page(full_report())
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(pictures) == 5
    assert re.findall(r"#[0-9a-fA-F]{6}|fill: (?:white|black)", "".join(pictures)) == []
    light, dark = (re.findall(r"--(\w+):", block) for block in re.findall(r":root \{(.*?)\}", text, re.DOTALL))
    assert set(light) == set(dark) >= set(COLOURS.values()) | set(re.findall(r"var\(--(\w+)\)", text))


def test_a_picture_is_as_wide_as_its_place() -> None:
    (picture, *_) = charts(full_report())
    element = themed(picture.svg)
    head = element.partition(">")[0]
    assert head.startswith("<svg")
    assert "viewBox=" in head
    assert re.findall(r" (?:width|height)=", head) == []
    assert "var(--ink)" in element
    assert (INK in element, BLUE in element) == (False, False)


def test_the_same_report_gives_the_same_page() -> None:
    assert page(full_report()) == page(full_report())


def test_a_report_on_nothing_is_a_page_too() -> None:
    text = page(Report(NOW, "live", "/srv/headrace/data/live.duckdb", 0, "run", []))
    assert '<span title="/srv/headrace/data/live.duckdb">data/live.duckdb</span>' in text
    assert "No day has been landed." in text
    assert "Nothing was sent in the last seven days." in text
    assert "There was no run in the last 30 days." in text
    assert "Nothing failed in the last 30 days." in text
    assert "<svg" not in text


def test_the_page_says_first_what_somebody_should_look_at() -> None:
    report = full_report()
    assert report.finding == "Of 4 streams and frames 1 failed, 1 never landed, 1 late."
    assert "frames/ideas, aha/teams, drift/users" in page(report)
    well = replace(report, assets=report.assets[:1])
    assert well.finding == "All 1 streams and frames are landed and none is late."


def test_what_was_never_landed_has_no_number_of_rows_and_an_empty_table_has_none(project: Project) -> None:
    teams, features = project.asset("aha/teams"), project.asset("aha/features")
    assert project.run(teams).success
    with duckdb.connect(str(project.store.path)) as connection:
        connection.execute('UPDATE _state SET "rows" = 0')
    specs = [*teams.specs, *features.specs]
    report = collected(specs, project.store, project.instance, {}, mode="sandbox", run_id="none", now=NOW)
    assert {asset.name: asset.rows for asset in report.assets} == {"teams": 0, "features": None}
    cells = re.findall(r'data-label="rows">([^<]*)<', page(report))
    assert cells == ["–", "0"]


def test_an_account_is_called_as_its_source_is_where_that_has_but_one() -> None:
    report = full_report()
    assert [report.account_name(use) for use in report.uses] == ["features", "aha-d7eb4a04da04"]
    uses = [replace(use, account="aha-d7eb4a04da04") for use in report.uses]
    assert "d7eb4a04da04" not in page(replace(report, uses=uses))


def test_a_long_name_is_broken_between_its_words() -> None:
    text = page(replace(full_report(), assets=[AssetFacts("aha/custom_field_definitions", "aha")]))
    assert '<th scope="row">custom_<wbr>field_<wbr>definitions</th>' in text


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, "missing"),
        ({"failed_at": NOW}, "failed"),
        ({"landed_at": NOW}, "fine"),
        ({"landed_at": NOW, "is_late": True}, "late"),
        ({"landed_at": NOW, "failed_at": NOW - timedelta(seconds=1)}, "fine"),
        ({"landed_at": NOW, "failed_at": NOW + timedelta(seconds=1), "is_late": True}, "failed"),
    ],
)
def test_an_asset_stands_as_its_last_failure_landing_and_policy_say(facts: Mapping[str, Any], state: str) -> None:
    assert AssetFacts("aha/features", "aha", **facts).state == state


def test_a_trend_is_a_column_a_number_and_a_gap_for_a_day_that_was_not_landed() -> None:
    assert spark((10, 0, None, 5)) == "M1 24V2.0M4 24V23.0M10 24V13.0"
    assert spark((0, 0)) == "M1 24V23.0M4 24V23.0"


# Its figures


def test_requests_are_counted_in_their_hour_up_to_the_report() -> None:
    def use(source: str, ago: timedelta, used: int) -> Use:
        return Use(source, "a", "account", [MinuteOfUse(int((NOW - ago).timestamp() // 60), 300.0, used, 0.0, 0)])

    report = replace(
        full_report(),
        uses=[
            use("aha", timedelta(0), 1),
            use("aha", timedelta(minutes=30), 2),  # 16:00
            use("aha", timedelta(minutes=31), 4),
            use("drift", timedelta(hours=167), 8),
        ],
    )
    frame = by_hour(report, lambda minute: minute.used)
    assert len(frame) == 7 * 24
    assert frame["aha"].tolist()[-2:] == [4, 3]
    assert (frame["drift"].iloc[0], frame["drift"].sum()) == (8, 8)
    assert by_hour(report, lambda minute: minute.wait_seconds).empty


def test_rows_and_runs_are_counted_by_day() -> None:
    report = full_report()
    assert rows_by_day(report).to_dict("list") == {"aha": [5, 0, 9], "drift": [0, 0, 1]}
    runs = runs_by_day(report)
    assert {name: counts[-3:] for name, counts in runs.to_dict("list").items()} == {
        "succeeded": [1, 0, 0],
        "failed": [0, 0, 1],
        "unfinished": [0, 0, 1],
    }
    assert [image.finding for image in charts(report)] == [
        "5 rows a day in the last 3 days of data.",
        "40 requests in the last seven days.",
        "2 s of waiting in the last seven days.",
        "3 runs in the last 30 days, 1 of them failed.",
    ]


@pytest.mark.parametrize(
    ("policy", "landed", "late"),
    [
        (None, timedelta(days=900), False),
        (dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=2)), timedelta(hours=1), False),
        (dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=2)), timedelta(hours=2), True),
        # At half past four in the afternoon the last deadline was at nine.
        (dg.FreshnessPolicy.cron("0 9 * * *", timedelta(hours=2)), timedelta(hours=9), False),
        (dg.FreshnessPolicy.cron("0 9 * * *", timedelta(hours=2)), timedelta(hours=9, minutes=31), True),
        (dg.FreshnessPolicy.cron("0 9 * * *", timedelta(hours=2), "Asia/Tokyo"), timedelta(hours=17), False),
        (dg.FreshnessPolicy.cron("0 9 * * *", timedelta(hours=2), "Asia/Tokyo"), timedelta(hours=19), True),
    ],
)
def test_late_is_what_the_freshness_policy_says(
    policy: dg.FreshnessPolicy | None, landed: timedelta, late: bool
) -> None:
    assert is_late(policy, NOW - landed, NOW) == late


# In Dagster


@pytest.fixture
def project(tmp_path: Path, sandbox_url: str) -> Project:
    return Project(tmp_path, sandbox_url)


def test_a_report_on_an_empty_folder_says_that_nothing_was_landed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it talked to somebody"))
    project = Project(tmp_path, "http://127.0.0.1:1")
    asset = sync_report_asset([project.asset("aha/features")], discover(), "sandbox")
    (told,) = materialized(project.run(asset), "sync_report").values()
    assert (told["finding"], told["never_landed"]) == ("Of 1 streams and frames 1 never landed.", "aha/features")
    assert [path.name for path in project.settings.database.parent.glob("*sync_report*")] == [
        "sandbox_sync_report.html"
    ]
    assert not project.settings.database.exists()


def test_a_database_without_tables_of_ours_holds_nothing_that_is_known(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:1")
    project.store.path.parent.mkdir(exist_ok=True)
    with duckdb.connect(str(project.store.path)) as connection:
        connection.execute("CREATE TABLE somebodys AS SELECT 1")
    asset = sync_report_asset([project.asset("aha/features")], discover(), "sandbox")
    (told,) = materialized(project.run(asset), "sync_report").values()
    assert (told["finding"], told["quarantined"]) == ("Of 1 streams and frames 1 never landed.", 0)


def test_a_report_tells_what_its_own_run_landed_what_it_cost_and_what_failed(project: Project, fail: Fail) -> None:
    @dg.asset(key=["zz", "broken"], group_name="zz", io_manager_key="warehouse")
    def broken() -> None:
        raise ValueError("it quotes customer 4711")

    streams = [project.asset(name) for name in ("aha/features", "aha/teams", "drift/users")]
    fail({"pattern": "GET /drift/users/list", "kind": "html"})
    report = sync_report_asset([*streams, broken], discover(), "sandbox")
    result = project.run(*streams, broken, report, days=DAYS)
    assert not result.success
    (told,) = materialized(result, "sync_report").values()
    ((features,),) = project.store.query("SELECT count(*) FROM aha.features")
    ((teams,),) = project.store.query("SELECT count(*) FROM aha.teams")
    assert told["finding"] == "Of 4 streams and frames 2 failed."
    assert (told["failed"], told["rows"]) == ("drift/users, zz/broken", features + teams)
    assert (told["assets_failed"], told["assets_never_landed"], told["assets_late"]) == (2, 0, 0)
    assert told["page"] == str(report_path(project.settings.database).resolve())
    assert told["rows_by_day"].startswith("![Rows by day of the data. ")
    text = Path(told["page"]).read_text(encoding="utf-8")
    assert "ValueError; its message is in the run&#39;s log." in text
    assert "4711" not in text
    assert "drift.users: GET /users/list: the answer is not whole JSON" in text
    assert "There was no run in the last 30 days." in text  # but the one that made the page


def test_a_record_of_requests_that_cannot_be_read_is_a_line_on_the_page_and_the_rest_is_told(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    streams = [project.asset(name) for name in ("aha/teams", "drift/users")]
    assert project.run(*streams).success
    damaged = next((project.folder / "state").rglob("drift-*.account.usage"))
    damaged.unlink()
    damaged.mkdir()
    result = project.run(sync_report_asset(streams, discover(), "sandbox"))
    (told,) = materialized(result, "sync_report").values()
    text = Path(told["page"]).read_text(encoding="utf-8")
    account = damaged.name.partition(".")[0]
    why = f"Requests of {account} are not counted here. The record of the requests sent, {damaged}, cannot be written"
    assert f'<p class="warn about">{why} (Is a directory).' in text
    assert why in capfd.readouterr().err
    assert (told["finding"], told["requests_in_7_days"]) == ("All 2 streams and frames are landed and none is late.", 1)


def test_a_page_that_cannot_be_written_is_named(project: Project) -> None:
    path = report_path(project.settings.database)
    path.mkdir(parents=True)
    ((error, message),) = failures(project.run(sync_report_asset([], discover(), "sandbox"))).values()
    assert (error, message) == (
        "DestinationUnwritable",
        f"sync_report: {path} cannot be written (Is a directory). Make room, or move away what lies in its place.",
    )
    assert list(path.parent.glob("*.new")) == []


def test_a_database_that_cannot_be_read_is_named(project: Project) -> None:
    project.settings.database.parent.mkdir(parents=True, exist_ok=True)
    project.settings.database.write_bytes(b"no database" * 1_000)
    ((error, message),) = failures(project.run(sync_report_asset([], discover(), "sandbox"))).values()
    assert (error, str(project.settings.database) in message) == ("DestinationUnwritable", True)


def test_what_is_known_is_read_from_the_database_the_history_and_the_limiters(project: Project) -> None:
    stream = project.asset("aha/features")
    assert project.run(stream, days=DAYS[2:3]).success
    again = project.run(stream, days=DAYS[:3])
    told = materialized(again, "aha/features")[DAYS[0]]
    (newest,) = project.instance.fetch_materializations(stream.key, limit=1).records
    log = UsageLog(usage_path(project.folder / "limits" / "rate_limits" / "aha-0a1b.account"))
    log.path.parent.mkdir(parents=True)
    now = datetime.now(UTC)
    log.add(now.timestamp(), 300.0, used=7, wait_seconds=1.5, refused=2)
    report = collected(
        list(stream.specs),
        project.store,
        project.instance,
        {"aha": project.folder / "limits", "drift": project.folder / "limits"},
        mode="sandbox",
        run_id="none",
        now=now,
    )
    (facts,) = report.assets
    held = dict(project.store.query("SELECT _partition, count(*) FROM aha.features GROUP BY ALL"))
    assert (facts.name, facts.state, facts.days, facts.planned_days) == ("features", "fine", 3, len(project.days()))
    assert facts.trend == [held.get(day, 0) if day in DAYS[:3] else None for day in project.days()]
    assert facts.rows == sum(held.values())
    assert facts.landing is not None
    assert facts.landing.at == datetime.fromtimestamp(newest.timestamp, UTC)
    assert (facts.landing.run_id, facts.landing.requests) == (again.run_id, told["requests"])
    assert facts.newest == project.store.query("SELECT max(updated_at) FROM aha.features")[0][0]
    assert [run.outcome for run in report.runs] == ["succeeded", "succeeded"]
    (use,) = report.uses
    assert (use.account, use.limit, use.used, use.busiest, use.allowed, use.wait_seconds, use.refused) == (
        "aha-0a1b", "account", 7, 7, 300.0, 1.5, 2,
    )  # fmt: skip
    assert report.size_bytes == project.settings.database.stat().st_size


def test_records_put_aside_and_fields_nobody_declared_are_told(project: Project) -> None:
    declared = kind_of("aha").stream("teams").columns
    columns = tuple(replace(column, type="integer") if column.name == "name" else column for column in declared)
    strict = project.asset("aha/teams", columns=columns)
    project.warehouse["max_quarantined_share"] = 1.0
    assert project.run(strict).success
    report = collected(
        list(strict.specs), project.store, project.instance, {}, mode="sandbox", run_id="none", now=datetime.now(UTC)
    )
    assert sum(each.records for each in report.quarantine) == report.assets[0].quarantined > 0
    assert {each.key for each in report.quarantine} == {"aha/teams"}


def test_a_failure_that_was_made_good_is_told_and_no_longer_counts(project: Project, fail: Fail) -> None:
    stream = project.asset("drift/users")
    fail({"pattern": "GET /drift/users/list", "kind": "html"})
    assert not project.run(stream).success
    fail()
    assert project.run(stream).success
    report = collected(
        list(stream.specs), project.store, project.instance, {}, mode="sandbox", run_id="none", now=datetime.now(UTC)
    )
    assert (report.assets[0].state, [failure.key for failure in report.failures]) == ("fine", ["drift/users"])
    assert [run.outcome for run in report.runs] == ["succeeded", "failed"]


def test_a_run_that_failed_before_any_step_did_is_told_without_what_it_quotes(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:1")

    @dg.resource
    def closed(context: dg.InitResourceContext) -> None:
        raise ValueError("it quotes customer 4711")

    @dg.asset(key=["zz", "needy"], required_resource_keys={"closed"}, io_manager_key="warehouse")
    def needy() -> None: ...

    resources = {**project.resources(), "closed": closed}
    result = dg.materialize([needy], instance=project.instance, resources=resources, raise_on_error=False)
    assert not result.success
    report = collected(
        list(needy.specs), project.store, project.instance, {}, mode="sandbox", run_id="none", now=datetime.now(UTC)
    )
    assert [(failure.run_id, failure.message) for failure in report.failures] == [
        (result.run_id, "The run failed outside of a step; its log says why.")
    ]
