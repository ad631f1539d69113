"""The sandbox as a child process, started when it is first needed. Cheap to import."""

import atexit
import json
import os
import subprocess
import sys
import threading
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Self

from connector_resources.errors import ConfigurationError

if TYPE_CHECKING:
    from connector_resources.sandbox.settings import Settings

_ROOT = Path(__file__).parents[2]
_STOP_SECONDS = 5


class SandboxProcess:
    """A sandbox server of our own, on a free port; a context manager.

    The child stops when this process ends, however it ends: its standard input is then closed.
    """

    def __init__(self, settings: "Settings") -> None:
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> Self:
        """Start the server and wait until it answers. Raises ConfigurationError when it cannot start."""
        settings = self._settings
        options = {
            "seed": settings.seed,
            "scale": settings.scale,
            "limits": settings.limits,
            "today": settings.today.isoformat(),
            "latency": settings.latency_seconds,
        }
        # The same sandbox comes back at the same place where it is free, so that a run that died is taken up again.
        likely_port = 20_000 + zlib.crc32(f"{_ROOT} {options} {settings.faults}".encode()) % 10_000
        command = [sys.executable, "-m", "connector_resources.sandbox", "--port", "0", "--exit-with-parent"]
        command += ["--likely-port", str(likely_port)]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        for fault in settings.faults:
            command += ["--fault", json.dumps(asdict(fault))]
        # Wherever this process was started, the child finds the package where we found it.
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", ""))))
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
        )
        self._process = process
        assert process.stdout is not None
        first_line = process.stdout.readline()
        if not first_line:
            status = process.wait()
            self.stop()
            raise ConfigurationError(f"The sandbox did not start (status {status}); see its message above.")
        self.url = json.loads(first_line)["url"]
        return self

    def stop(self) -> None:
        """Stop the server."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()


_running: dict["Settings", SandboxProcess] = {}
_starting = threading.Lock()


def running_sandbox(settings: "Settings") -> SandboxProcess:
    """Return this process's sandbox with these settings, started at the first call and stopped at exit."""
    with _starting:
        if settings not in _running:
            sandbox = SandboxProcess(settings).start()
            atexit.register(sandbox.stop)
            _running[settings] = sandbox
        return _running[settings]
