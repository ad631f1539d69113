"""The sync report as one HTML page that needs nothing from elsewhere: no script, no font, no picture, no style.

Everything is escaped where it is put in. Beside that, the page's own policy forbids a browser to run or load anything.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from connector_resources.words import counted, duration
from orchestration.plots import shortened
from orchestration.report.charts import charts, themed
from orchestration.report.facts import AssetFacts, Report

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_SPARK_HEIGHT = 24
_MOST_NAMES = 8
_MESSAGE_CHARACTERS = 400


def page(report: Report) -> str:
    """Return the page. The same report gives the same page."""
    from markupsafe import Markup

    pictures = [
        (image, Markup(themed(image.svg)) if image.svg else None)  # matplotlib escapes what it writes
        for image in charts(report)
    ]
    groups = [
        (name, sorted(its, key=lambda asset: asset.key))
        for name, its in groupby(sorted(report.assets, key=_place), key=lambda asset: asset.group)
    ]
    text: str = _template().render(
        report=report, pictures=pictures, groups=groups, most_names=_MOST_NAMES, spark_height=_SPARK_HEIGHT
    )
    return text


def _place(asset: AssetFacts) -> tuple[bool, str]:
    """Frames come after what they are made of."""
    return asset.group == "frames", asset.group


def spark(trend: Sequence[int | None]) -> str:
    """Return a trend as the path of an SVG, 3 units a number: a column for each, at least a dot, and a gap for None."""
    most = max((number for number in trend if number), default=0) or 1
    columns = []
    for place, number in enumerate(trend):
        if number is None:
            continue
        top = _SPARK_HEIGHT - max(number / most * (_SPARK_HEIGHT - 2), 1.0)
        columns.append(f"M{place * 3 + 1} {_SPARK_HEIGHT}V{top:.1f}")
    return "".join(columns)


@cache
def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "number": lambda value: "–" if value is None else f"{value:,.0f}",
        "nearby": lambda path: "/".join(Path(path).parts[-2:]),
        "duration": lambda value: "–" if value is None else duration(value),
        "instant": _instant,
        "age": _age,
        "line": lambda text: shortened(text, _MESSAGE_CHARACTERS),
        "breakable": _breakable,
        "size": _size,
        "counted": counted,
        "spark": spark,
    }
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))


def _breakable(name: str) -> Any:
    """Return a name that goes on in the next line after a slash or an underscore, instead of in the midst of a word."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([/_])(?=.)", r"\1<wbr>", str(escape(name))))


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def _age(at: datetime, now: datetime) -> str:
    """Return how long ago something was; what lies ahead, such as a meeting, is so named."""
    seconds = (now - at).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes < 1e9 else f"{size_bytes / 1e9:,.1f} GB"
