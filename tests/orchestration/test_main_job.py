"""The main job: what it does around the run."""

from pathlib import Path

import dagster as dg

from orchestration.main_job import history_held_open


def test_the_logs_of_the_history_are_written_back_once_and_not_after_every_event(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def left_after_an_event() -> list[str]:
            instance.report_runless_asset_event(dg.AssetMaterialization("things"))
            return sorted(path.name for path in tmp_path.rglob("*.db-wal"))

        assert left_after_an_event() == []
        with history_held_open(instance, "run"):
            assert "index.db-wal" in left_after_an_event()
        assert sorted(tmp_path.rglob("*.db-wal")) == []
        assert len(instance.fetch_materializations(dg.AssetKey("things"), limit=9).records) == 2


def test_a_history_that_is_no_file_needs_nothing_held(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance, history_held_open(instance, "run"):
        assert list(tmp_path.rglob("*.db")) == []
