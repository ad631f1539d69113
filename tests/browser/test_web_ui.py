"""What a person sees and does in the web UI, from the first page to a range of days read anew.

The pictures of the documentation are made here, so each shows what the project is today (`make pictures`).
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from connector_resources.sandbox.accounts import credentials
from connector_resources.sources.drift import Drift
from orchestration.run_config import StreamConfig
from tests.browser.conftest import watched
from tests.landing import ROOT

pytestmark = pytest.mark.browser

Picture = Callable[[Page, str], None]


@pytest.fixture(scope="session")
def backfill(context: BrowserContext, ui: str, days: list[str], picture: Picture) -> str:
    """The address of a backfill of three days, asked for by clicking; the daemon takes half a minute to take it up."""
    page = context.new_page()
    page.goto(f"{ui}/assets/drift/conversations")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_placeholder("No matching partitions").fill(f"[{days[-4]}...{days[-2]}]")
    page.keyboard.press("Enter")
    dialog.get_by_text("3 partitions", exact=True).wait_for()
    seen(page, "Backfills all partitions in a single run.")
    picture(page, "backfill")
    dialog.get_by_role("button", name="Launch backfill").click()
    page.get_by_text("Created backfill").wait_for()
    page.get_by_text("View", exact=True).click()
    page.wait_for_url("**/runs/b/*")
    address = str(page.url)
    page.close()
    return address


def test_what_a_page_does_wrong_is_noticed(context: BrowserContext, ui: str) -> None:
    page = context.new_page()
    wrongs = watched(page)
    page.goto(f"{ui}/server_info")
    with page.expect_event("pageerror"), page.expect_request("http://192.0.2.1/"):
        page.evaluate(
            "console.error('broken'); fetch('http://192.0.2.1/').catch(() => {}); setTimeout(() => { throw 'x' })"
        )
    page.close()
    assert {wrong.split(" ")[0] for wrong in wrongs} == {"says:", "asks", "fails:"}


def test_the_graph_has_every_source_and_what_is_made_of_them(
    page: Page, ui: str, backfill: str, picture: Picture
) -> None:
    page.goto(f"{ui}/asset-groups")
    graph = page.locator("svg")
    for group in ("aha", "documents", "drift", "faker", "frames", "overview"):
        graph.get_by_text(group, exact=True).wait_for()
    expect(page.get_by_text("fetching statuses")).to_have_count(0)
    picture(page, "graph")


def test_a_group_shows_streams_with_their_checks_and_days(
    page: Page, ui: str, days: list[str], picture: Picture
) -> None:
    page.goto(f"{ui}/locations/headrace/asset-groups/drift/lineage")
    seen(page, "conversations", "8 / 8 Passed", "100% filled", f"{len(days)} partitions")
    picture(page, "lineage")


def test_an_asset_says_what_it_is_where_its_columns_come_from_and_whether_it_is_fresh(
    page: Page, ui: str, picture: Picture
) -> None:
    page.set_viewport_size({"width": 1500, "height": 900})  # in a smaller one, Dagster draws its states over each other
    page.goto(f"{ui}/assets/aha/features")
    seen(
        page,
        "Pieces of work to deliver in a release.",
        "json_path: $.features[*].reference_num",
        "sandbox.aha.features",
        "Passing",
        "daily_streams",
        "catch_up",
    )
    picture(page, "asset")


def test_a_day_says_what_was_landed_and_what_it_cost(page: Page, ui: str, days: list[str], picture: Picture) -> None:
    page.goto(f"{ui}/assets/aha/features?view=partitions&partition={days[-1]}")
    seen(page, f"Materialized ({len(days)})", "Missing (0)", "records_received", "requests", "seconds_behind")
    picture(page, "partitions")


def test_every_check_says_what_it_holds_and_what_it_counted(page: Page, ui: str, picture: Picture) -> None:
    page.goto(f"{ui}/assets/aha/features?view=checks&checkDetail=key_unique")
    seen(page, "Checks (8)", "This is a blocking asset check.", "Passed", "query")
    for check in ("all_received", "cursor_in_partition", "types_as_declared", "volume_usual", "nothing_quarantined"):
        page.get_by_text(check, exact=True).first.wait_for()
    assert page.get_by_text("Succeeded", exact=True).count() == 8
    picture(page, "checks")


def test_a_frame_shows_its_plot(page: Page, ui: str, picture: Picture) -> None:
    page.goto(f"{ui}/assets/frames/company_requests?view=events")
    page.get_by_role("row", name="plot").get_by_text("Show Markdown").click()
    image = page.get_by_role("dialog").locator("img")
    image.wait_for()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 500
    picture(page, "plot")


def test_a_preview_shows_as_many_columns_as_stand_on_one_line(page: Page, ui: str) -> None:
    page.goto(f"{ui}/assets/frames/ideas?view=events")
    preview = page.get_by_role("row", name="preview").first
    preview.get_by_text("more columns: ").wait_for()
    heights = preview.locator("table tbody tr").evaluate_all("rows => rows.map(row => row.clientHeight)")
    assert heights
    assert max(heights) < 30


def test_the_report_is_made_by_a_click_and_opens_in_a_browser(page: Page, ui: str, picture: Picture) -> None:
    page.goto(f"{ui}/assets/sync_report")
    materialized(page)
    page.goto(f"{ui}/assets/sync_report?view=events")
    path = page.get_by_role("row", name="page").get_by_text("sandbox_sync_report.html").inner_text().strip()
    page.goto(Path(path).as_uri())
    page.get_by_role("heading", name="Sync report").wait_for()
    seen(page, "Rows by day", "conversations", "company_requests")
    picture(page, "sync_report")
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator(".assets tbody th", has_text="conversations").first.evaluate("name => name.clientWidth") > 150
    page.emulate_media(color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


def test_a_resource_explains_every_field_and_masks_its_secrets(page: Page, ui: str, picture: Picture) -> None:
    page.goto(f"{ui}/locations/headrace/resources/drift")
    seen(page, "client_secret")
    page.mouse.move(759, 500)  # the edge between the table and the description, to see the values too
    page.mouse.down()
    page.mouse.move(1100, 500, steps=5)
    page.mouse.up()
    rows = {row[0]: row[1:] for row in map(cells, page.locator("tbody tr").all())}
    for field, info in Drift.model_fields.items():
        assert info.description
        assert info.description in rows[field][0]
    assert {field for field, row in rows.items() if row[-1] == "********\nSecret"} == {
        "access_token",
        "client_secret",
        "refresh_token",
    }
    assert credentials("drift")["access_token"] not in page.content()
    picture(page, "resource")


def test_the_launchpad_explains_what_a_run_may_be_told_and_runs_it(page: Page, ui: str, picture: Picture) -> None:
    page.goto(f"{ui}/assets/drift/users")
    materialize = page.get_by_role("button", name="Materialize").first
    materialize.locator("xpath=following::button[1]").click()
    page.get_by_text("Open launchpad").click()
    dialog = page.get_by_role("dialog")
    line = dialog.locator(".CodeMirror-line", has_text="limit: 0").first
    line.click()
    help_text = dialog.get_by_text("Read this many records at most")
    help_text.wait_for()
    for field in StreamConfig.model_fields:
        dialog.locator(".CodeMirror-line", has_text=f"{field}: ").first.wait_for()
    shown = re.sub(r"\s+", " ", dialog.inner_text())
    for info in StreamConfig.model_fields.values():
        assert info.description
        assert info.description in shown
    page.keyboard.press("End")
    page.keyboard.press("Backspace")
    page.keyboard.type("5")
    page.keyboard.press("Escape")
    dialog.locator(".CodeMirror-line", has_text="limit: 5").wait_for()
    dialog.get_by_text("No errors").wait_for()
    expect(dialog.get_by_role("button", name="Materialize")).to_be_enabled()
    picture(page, "launchpad")
    dialog.get_by_role("button", name="Materialize").click()
    page.wait_for_url("**/runs/*")
    page.get_by_text("Success", exact=True).wait_for()
    seen(page, "records_seen")


def test_an_asset_is_materialised_by_a_click_and_its_run_says_what_it_does(
    page: Page, ui: str, picture: Picture
) -> None:
    page.goto(f"{ui}/assets/drift/users")
    materialized(page)
    page.reload()  # the message stays as long as its button has the focus
    seen(page, "RUN_SUCCESS")
    log = page.get_by_placeholder("Filter…")
    for text in ("drift.users, the plan: 1 partition (all), about 1 request", "rows in a snapshot from 1 page"):
        log.fill(text)
        seen(page, text)
    assert page.get_by_text("RUN_SUCCESS").count() == 0
    log.fill("")
    log.blur()
    page.get_by_text("step", exact=True).wait_for(state="hidden")
    seen(page, "RUN_SUCCESS")
    picture(page, "run")  # the chart of steps is drawn by now


def test_schedules_are_off_and_one_click_switches_one_on(page: Page, ui: str, picture: Picture) -> None:
    page.goto(f"{ui}/automation")
    seen(page, "automation", "catch_up", "hourly", "At 01:30 AM UTC")
    assert page.locator("input[type=checkbox]:checked").count() == 0
    daily = page.get_by_text("daily", exact=True).locator("xpath=ancestor::div[.//input][1]")
    switch = daily.locator("input[type=checkbox]").nth(1)  # the first one selects the row
    for is_on in (True, False):
        switch.locator("xpath=..").click()
        expect(switch).to_be_checked(checked=is_on)
        expect(switch).to_be_enabled()
        if is_on:
            picture(page, "automation")


def test_a_range_of_days_is_read_in_one_run_and_the_other_days_are_left(
    page: Page, ui: str, days: list[str], backfill: str
) -> None:
    page.goto(backfill)
    seen(page, "100% completed", f"{days[-4]}...{days[-2]}")
    for day, count in ((days[-5], 1), (days[-4], 2), (days[-2], 2), (days[-1], 1)):
        page.goto(f"{ui}/assets/drift/conversations?view=partitions&partition={day}")
        seen(page, f"View all historical events ({count})")
    page.goto(f"{backfill}?tab=runs")
    page.get_by_text("Success", exact=True).wait_for()
    assert page.get_by_text("Success", exact=True).count() == 1


def test_the_tutorials_lines_for_a_notebook_read_a_frame(ui: str, home: Path) -> None:
    code = (ROOT / "docs/tutorial.md").read_text().partition("<!-- notebook -->\n```python\n")[2].partition("```")[0]
    told = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[0].split() == ["company", "votes", "chat_conversations"]
    assert len(told.splitlines()) == 6


def materialized(page: Page) -> None:
    """Press the button on the page of an asset, and follow the message to the run until it has succeeded."""
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("View", exact=True).click()
    page.wait_for_url("**/runs/*")
    page.get_by_text("Success", exact=True).wait_for()


def seen(page: Page, *texts: str) -> None:
    """Wait until each text is somewhere to be seen."""
    for text in texts:
        page.get_by_text(text).locator("visible=true").first.wait_for()


def cells(row: Locator) -> list[str]:
    """Return the texts of a row of a table; the first one in two: its first line, and what is below."""
    first, *others = (cell.inner_text().strip() for cell in row.locator("td").all())
    name, _, explained = first.partition("\n")
    return [name, explained, *others]
