"""What is made without being asked for: frames after their streams, substreams after their parents; all evaluated."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.events import DagsterEventType
from dagster._core.execution.api import execute_run

from connector_resources.sources import discover
from connector_resources.streams import Stream
from orchestration.automation import follows, follows_its_parent
from orchestration.partitions import daily as daily_partitions
from tests.landing import children, daily, snapshot

NOW = datetime(2026, 3, 6, 8, tzinfo=UTC)
PARTITIONS = daily_partitions(date(2026, 3, 1))
DAYS = PARTITIONS.get_partition_keys(NOW)
LAST = DAYS[-1]
DEEDS, LANDS = daily("deeds"), snapshot("lands", id="string")


def stream_asset(stream: Stream) -> dg.AssetsDefinition:
    """An asset with the automation of a stream, which reads nothing."""

    @dg.asset(
        name=stream.name,
        deps=[] if stream.parent is None else [stream.parent.stream.name],
        partitions_def=PARTITIONS if stream.is_partitioned else None,
        backfill_policy=dg.BackfillPolicy.single_run(),
        automation_condition=follows_its_parent(stream),
    )
    def landed() -> None: ...

    return landed


def frame(name: str, *deps: str) -> dg.AssetsDefinition:
    """An asset with the automation of a frame; it fails in runs that are tagged so."""

    @dg.asset(name=name, deps=list(deps), automation_condition=follows())
    def made(context: dg.AssetExecutionContext) -> None:
        if "fail" in context.run.tags:
            raise dg.Failure("as asked")

    return made


DEFINITIONS = dg.Definitions(
    [
        *map(stream_asset, (DEEDS, children(DEEDS, "parts"), LANDS, children(LANDS, "plots"))),
        frame("summary", "deeds", "lands"),
        frame("report", "summary", "parts"),
    ],
    executor=dg.in_process_executor,
)


class Automation:
    """The automation of a project, evaluated again and again as the daemon does; runs are by hand."""

    def __init__(self, folder: Path) -> None:
        self.instance = dg.DagsterInstance.ephemeral(tempdir=str(folder))
        self.cursor = dg.evaluate_automation_conditions(DEFINITIONS, self.instance, evaluation_time=NOW).cursor

    def tick(self) -> dict[str, list[str | None]]:
        """The assets that the daemon would start, with their partitions."""
        result = dg.evaluate_automation_conditions(DEFINITIONS, self.instance, cursor=self.cursor, evaluation_time=NOW)
        self.cursor = result.cursor
        requested: dict[str, list[str | None]] = {}
        for each in result.results:
            for asset, day in each.true_subset.expensively_compute_asset_partitions() if each.true_subset.size else ():
                requested.setdefault(asset.to_user_string(), []).append(day)
        return {name: sorted(days, key=str) for name, days in requested.items()}

    @contextmanager
    def running(self, *assets: str, days: Sequence[str] = (), fail: bool = False) -> Iterator[None]:
        """A run that is begun, and done at the end of the block; of everything where no asset is named."""
        keys = {dg.AssetKey(name) for name in assets}
        job = DEFINITIONS.resolve_implicit_global_asset_job_def().get_subset(asset_selection=keys or None)
        tags = {"fail": "yes"} if fail else {}
        if days:
            tags |= {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
        run = self.instance.create_run_for_job(job, tags=tags, asset_selection=frozenset(keys) or None)
        started = dg.DagsterEvent(DagsterEventType.PIPELINE_STARTING.value, job.name)
        self.instance.report_dagster_event(started, run.run_id)
        run = self.instance.get_run_by_id(run.run_id) or run
        yield
        result = execute_run(InMemoryJob(job), run, self.instance, raise_on_error=False)
        assert result.success != fail

    def run(self, *assets: str, days: Sequence[str] = (), fail: bool = False) -> None:
        """A run from its beginning to its end."""
        with self.running(*assets, days=days, fail=fail):
            pass

    def landed(self) -> None:
        """This, with everything landed and nothing to do."""
        self.run("deeds", "parts", "lands", "plots", days=DAYS)
        assert self.tick() == {"summary": [None], "report": [None]}
        self.run("summary", "report")
        assert self.tick() == {}


@pytest.fixture
def automation(tmp_path: Path) -> Automation:
    """Automation that was turned on where nothing had been landed."""
    return Automation(tmp_path)


def test_turning_automation_on_starts_nothing(automation: Automation) -> None:
    assert [automation.tick() for _ in range(3)] == [{}, {}, {}]


def test_a_frame_follows_when_something_of_each_stream_has_landed(automation: Automation) -> None:
    automation.run("lands")
    assert "summary" not in automation.tick()
    automation.run("deeds", days=DAYS[:1])
    assert automation.tick() == {"summary": [None]}


def test_an_update_is_followed_once(automation: Automation) -> None:
    automation.landed()
    automation.run("lands")
    assert automation.tick() == {"plots": [None], "summary": [None], "report": [None]}
    automation.run("plots", "summary", "report")
    assert [automation.tick() for _ in range(2)] == [{}, {}]


def test_frames_of_frames_are_made_in_the_same_tick(automation: Automation) -> None:
    automation.landed()
    automation.run("deeds", "parts", days=[LAST])
    assert automation.tick() == {"summary": [None], "report": [None]}


def test_a_substream_follows_the_newest_day_of_its_parent(automation: Automation) -> None:
    automation.landed()
    automation.run("deeds", days=[LAST])
    assert automation.tick()["parts"] == [LAST]


def test_a_backfill_of_a_parent_asks_for_no_more_than_the_newest_day_of_its_substream(automation: Automation) -> None:
    automation.landed()
    automation.run("deeds", days=DAYS)
    assert automation.tick()["parts"] == [LAST]
    automation.run("parts", days=[LAST])
    automation.run("deeds", days=DAYS[:2])
    assert "parts" not in automation.tick()


def test_what_lands_in_one_run_with_its_parent_is_not_read_again(automation: Automation) -> None:
    automation.landed()
    automation.run("deeds", "parts", days=[LAST])
    assert "parts" not in automation.tick()
    automation.run("lands", "plots")
    assert "plots" not in automation.tick()
    automation.run(days=DAYS)  # which does not name its assets
    assert automation.tick().keys() & {"parts", "plots"} == set()


def test_a_frame_waits_for_the_runs_upstream_and_is_made_once_after_them(automation: Automation) -> None:
    automation.landed()
    with automation.running("deeds", days=DAYS):
        automation.run("lands")
        assert "summary" not in automation.tick()
    assert automation.tick()["summary"] == [None]
    assert automation.tick() == {}


def test_a_stream_that_lands_while_its_frame_is_made_is_followed_once_more(automation: Automation) -> None:
    automation.landed()
    with automation.running("summary"):
        automation.run("deeds", days=[LAST])
        assert "summary" not in automation.tick()
    assert automation.tick()["summary"] == [None]


def test_a_frame_that_failed_is_not_tried_again_before_the_next_update(automation: Automation) -> None:
    automation.landed()
    automation.run("lands")
    assert automation.tick()["summary"] == [None]
    automation.run("summary", fail=True)
    assert [automation.tick() for _ in range(2)] == [{}, {}]
    automation.run("lands")
    assert automation.tick()["summary"] == [None]


def test_a_stream_follows_its_parent_where_both_are_daily_or_both_are_snapshots() -> None:
    lone = {"north": daily("deeds"), "south": snapshot("lands", id="string")}
    assert [follows_its_parent(stream) for stream in lone.values()] == [None, None]
    for source in discover():
        for stream in source.streams:
            follows_one = stream.parent is not None and stream.is_partitioned == stream.parent.stream.is_partitioned
            assert (follows_its_parent(stream) is not None) == follows_one, stream.name


def test_a_daily_stream_does_not_follow_a_snapshot_that_is_read_every_hour() -> None:
    releases = next(kind for kind in discover() if kind.name == "aha").stream("releases")
    assert (releases.parent is not None, releases.is_partitioned, follows_its_parent(releases)) == (True, True, None)
