"""A browser in front of Dagster's web UI, which a fresh `dagster dev` serves; for `make browser`.

All tests share the server, the history of a first run that has landed everything, and one window. What a page must not
do, whatever it shows, is held for each: an error in the console, and a request that leaves the machine.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings
from tests.dagster_dev import dagster_dev, new_home
from tests.landing import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

PATIENCE_SECONDS = 120
"""How long anything may take to be seen. Nothing waits that long where nothing is wrong."""

CHROMIUM = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
QUIET = (
    "--no-sandbox",  # root, as in containers, is refused otherwise
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# Collected by `make test` too, where it is deselected and may not be installed.
collect_ignore_glob = [] if find_spec("playwright") else ["test_*.py"]


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where pictures go: into the documentation when `make pictures` asks for them, else into `build`."""
    folder = ROOT / (os.environ.get("PICTURES") or "build/pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def days() -> list[str]:
    """The partitions that there are, the oldest first: few, or as many as a new user has, for the documentation."""
    today = datetime.now(UTC)
    count = 30 if os.environ.get("PICTURES") else 7
    return [f"{today - timedelta(days=ago):%Y-%m-%d}" for ago in range(count, 0, -1)]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the project's data and of Dagster's history."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def ui(home: Path, days: list[str]) -> Iterator[str]:
    """The address of the web UI, of a project that has been run once."""
    scale = 1.0 if os.environ.get("PICTURES") else 0.3
    with SandboxProcess(Settings(scale=scale, limits=0)) as sandbox:
        environment = new_home(home, SANDBOX_URL=sandbox.url, SANDBOX_LIMITS="0", PARTITIONS_START=days[0])
        selection = "*" if os.environ.get("PICTURES") else '+group:"frames"'
        everything = ["--select", selection, "--partition-range", f"{days[0]}...{days[-1]}"]
        command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "orchestration.definitions"]
        with (home / "first_run").open("wb") as log:
            subprocess.run([*command, *everything], cwd=home, env=environment, stdout=log, stderr=log, check=True)
        if os.environ.get("PICTURES"):  # a page shows the sandbox's settings; a reader's are the usual ones
            environment = {name: value for name, value in environment.items() if not name.startswith("SANDBOX_")}
        with dagster_dev(home, environment) as address:
            waiting = Retrying(
                stop=stop_after_delay(PATIENCE_SECONDS),
                wait=wait_fixed(0.2),
                retry=retry_if_exception_type(requests.ConnectionError),
                reraise=True,
            )
            waiting(requests.get, f"{address}/server_info", timeout=PATIENCE_SECONDS).raise_for_status()
            yield address


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Chromium, as the system has it."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.exit(f"make browser needs one of {', '.join(CHROMIUM)} on the PATH: apt-get install chromium.", 1)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def context(browser: "Browser") -> Iterator["BrowserContext"]:
    """What the pages of all tests share: what the browser has loaded once."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, timezone_id="UTC", locale="en-US")
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    yield context
    context.close()


@pytest.fixture
def page(context: "BrowserContext", ui: str) -> Iterator["Page"]:
    """A page that must not fail where only a developer would see it, nor ask anybody outside."""
    page = context.new_page()
    wrongs = watched(page)
    page.goto(ui)
    yield page
    page.close()
    assert wrongs == []


def watched(page: "Page") -> list[str]:
    """Return a list that is told what a page does wrong, when it does."""
    wrongs: list[str] = []

    def requested(request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:", "file:")):
            wrongs.append(f"asks {request.url}")

    page.on("request", requested)
    page.on("pageerror", lambda error: wrongs.append(f"fails: {error}"))
    page.on("console", lambda message: wrongs.append(f"says: {message.text}") if message.type == "error" else None)
    return wrongs


@pytest.fixture(scope="session")
def picture(pictures: Path) -> Callable[["Page", str], None]:
    """A function that keeps what is to be seen now, under a name, in the colours that a small file has."""
    from PIL import Image

    def keep(page: "Page", name: str) -> None:
        page.mouse.move(640, 5)  # nothing is hovered over
        shot = Image.open(BytesIO(page.screenshot(animations="disabled", caret="hide")))
        shot.convert("RGB").quantize(256, kmeans=1).save(pictures / f"{name}.png", optimize=True)

    return keep
