"""Dagster as `make ui` starts it, in a folder of its own: for tests of what only a real daemon and web UI show."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.landing import ROOT


def new_home(home: Path, **environment: str) -> Mapping[str, str]:
    """Make a folder a Dagster instance with the project's settings; returns the environment of its processes.

    Nothing else of the environment counts, nor the `.env` of the checkout: processes are started in the folder.
    """
    settings = (ROOT / "dagster.yaml").read_text().replace("base_dir: .dagster", f"base_dir: {home}/.dagster")
    (home / "dagster.yaml").write_text(settings)
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME")},
        "DAGSTER_HOME": str(home),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "DATA_FOLDER": str(home / "data"),
        **environment,
    }


@contextmanager
def dagster_dev(home: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Start the web UI and the daemon, with their output in the file `log`; yields the address, before it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = ["dagster", "dev", "-w", str(ROOT / "workspace.yaml"), "--host", "127.0.0.1", "--port", port]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=home,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_listen_to_interrupts,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        finally:
            end_group(process.pid)
            process.wait()


def _listen_to_interrupts() -> None:
    """Undo what a shell does to commands in the background, and what is inherited: they ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def end_group(group: int) -> None:
    """End what is left of a process group: nothing, where the first one has ended its children."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
