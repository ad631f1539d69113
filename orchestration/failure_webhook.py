"""Telling people of failed runs: a message to a webhook that takes what Slack's does, `{"text": …}`."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import dagster as dg
import tenacity

from connector_resources.errors import RequestRejected, RequestRetryable

_TIMEOUT_SECONDS = 10.0
_TRIES = 4
_STEPS_TOLD = 5
_CHARACTERS_OF_A_MESSAGE = 500


def failure_webhook(
    url: str,
    *,
    webserver_url: str = "",
    secrets: Sequence[str] = (),
    wait: tenacity.wait.wait_base = tenacity.wait_exponential_jitter(initial=1, max=20),  # noqa: B008 -- a value
) -> dg.SensorDefinition:
    """Return the sensor that posts what failed to `url`; it is on, for whoever sets an address wants it.

    `secrets` names environment variables whose values are cut out of the message, should one ever be in it. With
    `webserver_url` the message has a link to the run.
    """

    @dg.run_failure_sensor(
        name="failure_webhook",
        description="Posts to FAILURE_WEBHOOK_URL what failed, why, and where to look.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def failure_webhook(context: dg.RunFailureSensorContext) -> None:
        withheld = [url, *(os.environ.get(name, "") for name in secrets)]
        post(url, message(context.dagster_run, context.get_step_failure_events(), webserver_url, withheld), wait)

    return failure_webhook


def message(
    run: dg.DagsterRun, failures: Sequence[dg.DagsterEvent], webserver_url: str = "", withheld: Sequence[str] = ()
) -> str:
    """Return what people are told, as Slack reads it: what failed, of which days, why, and a link to the run.

    The text of an error is told where it is one of ours, which hold no secrets. Of any other only its class is, since
    nobody knows what it quotes.
    """
    first = run.tags.get("dagster/asset_partition_range_start") or run.tags.get("dagster/partition")
    last = run.tags.get("dagster/asset_partition_range_end") or first
    days = "" if first is None else f" {first}" if first == last else f" {first}…{last}"
    lines = [f"Run {run.run_id[:8]} failed." if failures else f"Run {run.run_id[:8]}{days} failed before any step did."]
    for event in failures[:_STEPS_TOLD]:
        name = (event.step_key or "").replace("__", "/")
        lines.append(f"• {name}{days}: {reason(event)}")
    if len(failures) > _STEPS_TOLD:
        lines.append(f"… and {len(failures) - _STEPS_TOLD} more")
    text = "\n".join(lines)
    for value in sorted(filter(None, withheld), key=len, reverse=True):
        text = text.replace(value, "***")
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{text}\n{webserver_url}/runs/{run.run_id}" if webserver_url else text


def reason(event: dg.DagsterEvent) -> str:
    """Return why a step failed: our own message, which holds no secret; of any other error the class."""
    data = event.step_failure_data
    ours = data.user_failure_data
    if ours is None or "error" not in ours.metadata:
        error = data.error
        while error is not None and error.cause is not None:
            error = error.cause
        return f"{'an error' if error is None else error.cls_name}; its message is in the run's log."
    text = " ".join((ours.description or "").split())
    cut = text if len(text) <= _CHARACTERS_OF_A_MESSAGE else f"{text[:_CHARACTERS_OF_A_MESSAGE]}…"
    return f"{ours.metadata['error'].value}: {cut}"


def post(url: str, text: str, wait: tenacity.wait.wait_base) -> None:
    """Post a text. Raises RequestRejected, or RequestRetryable after four tries; neither says the address.

    The address is the credential of such a webhook, so the errors of requests, which quote it, are not chained.
    """
    tries = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(RequestRetryable),
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=wait,
        reraise=True,
    )
    tries(_post_once, url, text)


def _post_once(url: str, text: str) -> None:
    import requests

    failed: str | None = None
    answer: requests.Response | None = None
    try:
        with _out_of_the_log(url):
            answer = requests.post(url, json={"text": text}, timeout=_TIMEOUT_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        failed = type(error).__name__
    if answer is None:
        raise RequestRetryable(
            f"The webhook of FAILURE_WEBHOOK_URL did not answer ({failed}); nobody was told of this failed run."
        )
    if answer.status_code == 429 or answer.status_code >= 500:
        raise RequestRetryable(
            f"The webhook of FAILURE_WEBHOOK_URL answered {answer.status_code}; nobody was told of this failed run.",
            status=answer.status_code,
        )
    if not answer.ok or answer.is_redirect:
        raise RequestRejected(
            f"The webhook of FAILURE_WEBHOOK_URL answered {answer.status_code}; nobody was told of this failed run. "
            "Check the address.",
            status=answer.status_code,
        )


@contextmanager
def _out_of_the_log(url: str) -> Iterator[None]:
    """Keep an address out of the log: at the level DEBUG urllib3 writes the path of each request."""
    path = urlsplit(url).path

    def is_harmless(record: logging.LogRecord) -> bool:
        return path not in record.getMessage()

    logger = logging.getLogger("urllib3.connectionpool")
    logger.addFilter(is_harmless)
    try:
        yield
    finally:
        logger.removeFilter(is_harmless)
