"""What people are told of a failed run, through a webhook as Slack's, and what they are not told."""

import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from traceback import format_exception
from typing import Any

import dagster as dg
import pytest
import tenacity

from connector_resources.errors import ConnectorError, RequestRejected, RequestRetryable
from orchestration.automatic_runs import sensors
from orchestration.failure_webhook import failure_webhook, message, post
from orchestration.io_manager import failure
from orchestration.partitions import daily
from orchestration.settings import Settings
from tests.orchestration.conftest import kind_of

SECRET = "T0/B0/c8Xq2vLr"
"""The path of a webhook is its credential."""
NO_WAIT = tenacity.wait_none()


@dataclass
class Webhook:
    """A server that takes posts, and answers with one status after another; the last one stays."""

    url: str = ""
    answers: list[int] = field(default_factory=lambda: [200])
    posted: list[tuple[str, str, Any]] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        return [body["text"] for _, _, body in self.posted]


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    state = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.posted.append((self.path, self.headers["Content-Type"], body))
            status = state.answers.pop(0) if len(state.answers) > 1 else state.answers[0]
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"{state.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}/services/{SECRET}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def failed_run(
    tmp_path: Path, errors: Mapping[str, Exception], days: Sequence[str] = ()
) -> tuple[dg.DagsterInstance, dg.ExecuteInProcessResult]:
    """A run in which every asset ends with its error."""

    def asset(name: str, error: Exception) -> dg.AssetsDefinition:
        @dg.asset(
            key=name.split("/"), partitions_def=DAILY if days else None, backfill_policy=dg.BackfillPolicy.single_run()
        )
        def broken() -> None:
            raise failure(error) if isinstance(error, ConnectorError) else error

        return broken

    tags = {}
    if len(days) > 1:
        tags = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
    instance = dg.DagsterInstance.ephemeral(tempdir=str(tmp_path))
    result = dg.materialize(
        [asset(name, error) for name, error in errors.items()],
        instance=instance,
        partition_key=days[0] if len(days) == 1 else None,
        tags=tags,
        raise_on_error=False,
    )
    assert not result.success
    return instance, result


def told(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> None:
    """Let the sensor see the failure as the daemon shows it."""
    event = next(event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
    context = dg.build_run_status_sensor_context(
        sensor_name="failure_webhook", dagster_instance=instance, dagster_run=result.dagster_run, dagster_event=event
    )
    sensor(context.for_run_failure())


DAILY = daily(date(2026, 1, 1))
REJECTED = RequestRejected("aha.ideas: 403 from GET /api/v1/ideas, page 1. Check <AHA_API_KEY> & its rights.")


# What is said


def test_a_failed_run_is_told_with_what_failed_of_which_days_why_and_where_to_look(
    webhook: Webhook, tmp_path: Path
) -> None:
    instance, result = failed_run(tmp_path, {"aha/ideas": REJECTED}, ["2026-01-03", "2026-01-04"])
    told(failure_webhook(webhook.url, webserver_url="https://dagster.example.com"), instance, result)
    assert webhook.posted == [
        (
            f"/services/{SECRET}",
            "application/json",
            {
                "text": f"Run {result.run_id[:8]} failed.\n"
                "• aha/ideas 2026-01-03…2026-01-04: RequestRejected: aha.ideas: 403 from GET /api/v1/ideas, page 1. "
                "Check &lt;AHA_API_KEY&gt; &amp; its rights.\n"
                f"https://dagster.example.com/runs/{result.run_id}"
            },
        )
    ]


@pytest.mark.parametrize("kind", [ValueError, dg.Failure])
def test_of_a_foreign_error_only_its_class_is_told(webhook: Webhook, tmp_path: Path, kind: type[Exception]) -> None:
    instance, result = failed_run(tmp_path, {"aha/ideas": kind("body: {'token': 'hunter2'}")}, ["2026-01-03"])
    told(failure_webhook(webhook.url), instance, result)
    assert webhook.texts == [
        f"Run {result.run_id[:8]} failed.\n• aha/ideas 2026-01-03: {kind.__name__}; its message is in the run's log."
    ]


def test_a_long_list_and_a_long_message_are_cut(webhook: Webhook, tmp_path: Path) -> None:
    instance, result = failed_run(tmp_path, {f"aha/s{number}": RequestRejected("x" * 2000) for number in range(8)})
    told(failure_webhook(webhook.url), instance, result)
    (text,) = webhook.texts
    assert text.count("•") == 5
    assert text.endswith("… and 3 more")
    assert len(text) < 5 * 600


def test_a_run_that_failed_before_any_step_is_told_too() -> None:
    run = dg.DagsterRun(job_name="daily_streams", tags={"dagster/partition": "2026-01-03"})
    assert message(run, []) == f"Run {run.run_id[:8]} 2026-01-03 failed before any step did."


# What is not said


def test_no_credential_is_in_the_message_even_when_an_error_quotes_it(
    webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AHA_API_KEY", "hunter2-key")
    error = RequestRejected(f"aha.ideas: hunter2-key was refused, and {webhook.url} told.")
    instance, result = failed_run(tmp_path, {"aha/ideas": error})
    told(failure_webhook(webhook.url, secrets=kind_of("aha").secrets()), instance, result)
    assert webhook.texts == [
        f"Run {result.run_id[:8]} failed.\n• aha/ideas: RequestRejected: aha.ideas: *** was refused, and *** told."
    ]


def test_the_secrets_of_a_source_are_those_its_fields_are_masked_for() -> None:
    assert "AHA_API_KEY" in kind_of("aha").secrets()
    assert "AHA_SUBDOMAIN" not in kind_of("aha").secrets()


@pytest.mark.parametrize("answers", [[200], [404], [500], [302]])
def test_the_address_is_in_no_log_and_no_error(
    webhook: Webhook, answers: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    webhook.answers = answers
    raised = ""
    try:
        post(webhook.url, "text", NO_WAIT)
    except ConnectorError as error:
        raised = "".join(format_exception(error))
    assert (raised == "") == (answers == [200])
    assert SECRET not in raised
    assert SECRET not in caplog.text


def test_an_address_where_nobody_listens_is_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(RequestRetryable) as raised:
        post(f"http://127.0.0.1:9/services/{SECRET}", "text", NO_WAIT)
    assert (
        str(raised.value)
        == "The webhook of FAILURE_WEBHOOK_URL did not answer (ConnectionError); nobody was told of this failed run."
    )
    assert SECRET not in "".join(format_exception(raised.value)) + caplog.text


# How it is sent


@pytest.mark.parametrize("failing", [[500], [429, 503, 502]])
def test_a_webhook_that_is_out_of_order_for_a_moment_is_tried_again(webhook: Webhook, failing: list[int]) -> None:
    webhook.answers = [*failing, 200]
    post(webhook.url, "text", NO_WAIT)
    assert webhook.texts == ["text"] * (len(failing) + 1)


@pytest.mark.parametrize(
    ("status", "tries", "error"), [(404, 1, RequestRejected), (302, 1, RequestRejected), (500, 4, RequestRetryable)]
)
def test_what_does_not_get_better_is_an_error_that_says_nobody_was_told(
    webhook: Webhook, status: int, tries: int, error: type[ConnectorError]
) -> None:
    webhook.answers = [status]
    with pytest.raises(error, match=rf"answered {status}; nobody was told of this failed run"):
        post(webhook.url, "text", NO_WAIT)
    assert len(webhook.posted) == tries


def test_without_an_address_there_is_no_such_sensor() -> None:
    settings = [Settings.from_environment({"FAILURE_WEBHOOK_URL": url} if url else {}) for url in ("", "http://h/x")]
    names = [[sensor.name for sensor in sensors(each, {}, daily(each.start), [])] for each in settings]
    assert names == [["automation", "catch_up"], ["automation", "catch_up", "failure_webhook"]]
