"""The charts of the sync report: rows by day, requests and waits by hour, runs by day.

Each is a plot like those of the frames. On the page its colours are the page's own variables, so that one drawing is
right in light and dark.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from connector_resources.http.rate_usage import MinuteOfUse
from connector_resources.words import counted, duration
from orchestration.plots import (
    BLUE,
    GREEN,
    GREY,
    GRID,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Image,
    Plot,
    legend,
    steps,
)
from orchestration.report.facts import DAYS_OF_RUNS, Report

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLOURS: Mapping[str, str] = {
    INK: "ink", MUTED: "muted", GRID: "line", BLUE: "blue", GREEN: "green", ORANGE: "orange", RED: "red", SKY: "sky",
    PURPLE: "purple", GREY: "grey", "#ffffff": "card",
}  # fmt: skip
"""The variables of the page's style sheet that stand for the colours of plots."""

_SOURCES = (BLUE, SKY, GREEN, ORANGE, PURPLE, RED)
_OUTCOMES = {"succeeded": GREEN, "failed": RED, "unfinished": GREY}
_HOURS = 7 * 24
_WIDTH_INCHES, _HEIGHT_INCHES = 4.6, 2.3
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_SIZE = re.compile(r' (?:width|height)="[\d.]+pt"')
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_GROUP = re.compile(r'<g id="[^"]*">')


def charts(report: Report) -> list[Image]:
    """Return the charts for the page."""
    return [
        plot.figure(frame, _WIDTH_INCHES, _HEIGHT_INCHES)
        for plot, frame in (
            (ROWS_BY_DAY, rows_by_day(report)),
            (REQUESTS_BY_HOUR, by_hour(report, lambda use: use.used)),
            (WAITS_BY_HOUR, by_hour(report, lambda use: use.wait_seconds)),
            (RUNS_BY_DAY, runs_by_day(report)),
        )
    ]


def themed(svg: bytes) -> str:
    """Return a picture as an element of the page: as wide as its place, in the page's colours."""
    text = _METADATA.sub("", _PROLOGUE.sub("", svg.decode(), count=1))
    text = _GROUP.sub("<g>", text)  # a page has several pictures, and an id only once
    head, end, rest = text.partition(">")
    text = f'{_SIZE.sub("", head)} aria-hidden="true"{end}{rest}'
    for colour, name in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return text


# Their data: one row a period, one column a part


def rows_by_day(report: Report) -> "pd.DataFrame":
    """Return the rows of daily streams, of the last 60 days by source."""
    import pandas as pd

    days = pd.DatetimeIndex(list(report.rows_by_day), dtype="datetime64[us]")
    names = sorted({name for counts in report.rows_by_day.values() for name in counts})
    rows = [[counts.get(name, 0) for name in names] for counts in report.rows_by_day.values()]
    return pd.DataFrame(rows, days, names)


def by_hour(report: Report, amount: "Callable[[MinuteOfUse], float]") -> "pd.DataFrame":
    """Return an amount of the last seven days by source, up to the hour of the report; nothing where all is nothing."""
    import pandas as pd

    last = report.made_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [last - timedelta(hours=number) for number in range(_HOURS - 1, -1, -1)]
    sums: dict[str, dict[datetime, float]] = {}
    for use in report.uses:
        for minute in use.minutes:
            hour = datetime.fromtimestamp(minute.minute * 60 // 3600 * 3600, UTC)
            of_source = sums.setdefault(use.source, {})
            of_source[hour] = of_source.get(hour, 0) + amount(minute)
    if not any(value for of_source in sums.values() for value in of_source.values()):
        return pd.DataFrame()
    index = pd.DatetimeIndex([hour.replace(tzinfo=None) for hour in hours], dtype="datetime64[us]")
    return pd.DataFrame({name: [its.get(hour, 0.0) for hour in hours] for name, its in sorted(sums.items())}, index)


def runs_by_day(report: Report) -> "pd.DataFrame":
    """Return the runs of the last 30 days by what became of them, the day of the report included."""
    import pandas as pd

    if not report.runs:
        return pd.DataFrame()
    last = report.made_at.astimezone(UTC).date()
    days = [last - timedelta(days=number) for number in range(DAYS_OF_RUNS - 1, -1, -1)]
    counts = [
        [sum(run.outcome == outcome and run.at.astimezone(UTC).date() == day for run in report.runs) for day in days]
        for outcome in _OUTCOMES
    ]
    index = pd.DatetimeIndex(days, dtype="datetime64[us]")
    return pd.DataFrame({name: its for name, its in zip(_OUTCOMES, counts, strict=True) if any(its)}, index)


# How they are drawn


def _columns(
    frame: "pd.DataFrame", figure: "Figure", days: float, unit: str, colours: Mapping[str, str] | None = None
) -> None:
    axes = figure.subplots()
    names = list(frame.columns)
    given: Mapping[str, str] = colours or dict(zip(names, _sources_colours(names), strict=True))
    index: Any = frame.index
    steps(axes, index, days, {name: (frame[name].tolist(), given[name]) for name in names}, unit)
    legend(axes)


def _sources_colours(names: Sequence[str]) -> list[str]:
    return [_SOURCES[number] if number < len(_SOURCES) else GREY for number in range(len(names))]


def _rows_by_day(frame: "pd.DataFrame", figure: "Figure") -> str:
    _columns(frame, figure, 1, "rows")
    week = frame.tail(7).to_numpy().sum() / min(7, len(frame))
    return f"{counted(round(float(week)), 'row')} a day in the last {counted(min(7, len(frame)), 'day')} of data."


def _requests_by_hour(frame: "pd.DataFrame", figure: "Figure") -> str:
    _columns(frame, figure, 1 / 24, "requests")
    return f"{counted(float(frame.to_numpy().sum()), 'request')} in the last seven days."


def _waits_by_hour(frame: "pd.DataFrame", figure: "Figure") -> str:
    _columns(frame, figure, 1 / 24, "seconds")
    return f"{duration(float(frame.to_numpy().sum()))} of waiting in the last seven days."


def _runs_by_day(frame: "pd.DataFrame", figure: "Figure") -> str:
    _columns(frame, figure, 1, "runs", _OUTCOMES)
    failed = int(frame["failed"].sum()) if "failed" in frame else 0
    return f"{counted(int(frame.to_numpy().sum()), 'run')} in the last {DAYS_OF_RUNS} days, {failed:,} of them failed."


ROWS_BY_DAY = Plot("Rows by day of the data", _rows_by_day, nothing="No day has been landed.")
REQUESTS_BY_HOUR = Plot("Requests by hour", _requests_by_hour, nothing="Nothing was sent in the last seven days.")
WAITS_BY_HOUR = Plot(
    "Waits by hour", _waits_by_hour, nothing="Nobody waited for the request budget in the last seven days."
)
RUNS_BY_DAY = Plot("Runs by day", _runs_by_day, nothing=f"There was no run in the last {DAYS_OF_RUNS} days.")
