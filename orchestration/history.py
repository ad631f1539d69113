"""Dagster's history: a folder for the sandbox and one for live, so that neither knows of the other's runs.

`dagster.yaml` names this class, so every process that opens the instance chooses by itself: the web UI, the daemon, the
commands, and the runs they start. All of them have the same CONNECTOR_MODE, as the assets have.
"""

from pathlib import Path
from typing import Any

from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

from connector_resources.environment import mode


class HistoryByMode(DagsterSqliteStorage):
    """Dagster's own storage in SQLite files, in `base_dir/sandbox` or `base_dir/live`, as CONNECTOR_MODE says.

    Runs, events and what was switched on in the web UI are in it. Raises ConfigurationError where the mode is neither.
    """

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> "HistoryByMode":
        """Open the history of the mode that the environment, or .env in the working directory, sets."""
        folder = Path(config_value["base_dir"]) / (mode() or "sandbox")
        return cls.from_local(str(folder), inst_data)
