"""Run the sandbox alone: `python -m connector_resources.sandbox --port 8787`."""

import argparse
import contextlib
import gc
import json
import os
import socket
import sys
import threading
from datetime import date

import uvicorn

from connector_resources.sandbox.accounts import credentials
from connector_resources.sandbox.faults import Fault
from connector_resources.sandbox.server import build
from connector_resources.sandbox.settings import Settings, today_utc
from connector_resources.sandbox.vendors import vendors


def main() -> None:
    """Parse the options, say where the sandbox is, and serve until stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m connector_resources.sandbox",
        description="Local stand-ins for vendors, Aha! and Drift among them, that keep the vendors' rules.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8787, help="0 takes a free one (default 8787)")
    parser.add_argument("--likely-port", type=int, default=0, help="with --port 0: the one to take where it is free")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same data")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of records")
    parser.add_argument("--limits", type=float, default=1.0, help="multiplies the vendors' rate limits; 0 is none")
    parser.add_argument("--today", type=date.fromisoformat, default=today_utc(), help="the day after the newest record")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds added to every answer")
    parser.add_argument("--fault", type=Fault.parse, action="append", default=[], help="a fault as JSON; repeatable")
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when standard input is closed")
    options = parser.parse_args()
    if options.scale <= 0 or options.limits < 0 or options.latency < 0:
        parser.error("--scale must be above 0, --limits and --latency not below")
    settings = Settings(
        options.seed, options.scale, options.limits, options.today, options.latency, tuple(options.fault)
    )
    try:
        listener = _listener(options.host, options.port, options.likely_port)
    except OSError as error:
        parser.error(f"{options.host}:{options.port} cannot be taken ({error.strerror}); name another with --port")
    with listener:
        url = f"http://{options.host}:{listener.getsockname()[1]}"
        _say(json.dumps({"url": url, "pid": os.getpid()}))
        if options.exit_with_parent:
            threading.Thread(target=_exit_with_parent, daemon=True).start()
        else:
            _say(f"To read from it: SANDBOX_URL={url} make run")
            for vendor in vendors():
                _say(f"{vendor}: {url}/{vendor}, credentials {json.dumps(credentials(vendor))}")
        gc.set_threshold(100_000, 50, 100)  # a page of records is no cycle; looking for some takes half of its time
        config = uvicorn.Config(
            build(settings), log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        uvicorn.Server(config).run(sockets=[listener])


def _listener(host: str, port: int, likely_port: int) -> socket.socket:
    if port == 0 and likely_port:
        with contextlib.suppress(OSError):  # another sandbox has it
            return socket.create_server((host, likely_port), reuse_port=False)
    return socket.create_server((host, port), reuse_port=False)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _exit_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
