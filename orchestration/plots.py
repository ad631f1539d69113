"""Plots: the few forms that frames are drawn in, one style, and the way from a frame to an image.

An image is SVG in which text stays text: it is sharp on every screen, a few kilobytes, and a name is shown in whatever
script it is written. It is on white, because the web UI is light or dark whatever the browser prefers. The same frame
gives the same bytes.

matplotlib takes a second to import, so that nothing imports it before something is drawn. Its Figure is used without
pyplot, which would keep every figure in memory and choose a window system. It is an extra, for it would be a fifth of
all that is installed, and nothing but plots needs it: where it is missing, the words in a plot's place say so.
"""

import base64
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1f2937", "#6b7280", "#e5e7eb"
BLUE, GREEN, ORANGE, RED, SKY, PURPLE, GREY = (
    "#0072b2", "#009e73", "#e69f00", "#d55e00", "#56b4e9", "#cc79a7", "#b6bcc6",
)  # fmt: skip
"""Colours that people who confuse red and green tell apart (after Okabe and Ito), and grey for the rest."""

_STYLE: Mapping[str, Any] = {
    "figure.facecolor": "white",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib; the reader's browser takes its own where it lacks it
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "headrace",  # else ids are drawn by lot
    "text.color": INK,
    "text.parse_math": False,  # a name with two $ is no formula
    "timezone": "UTC",
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}
NOT_INSTALLED = "Not drawn: matplotlib is not installed. It comes with the extra plots of headrace."

_WIDTH_INCHES, _HEIGHT_INCHES = 9.0, 4.0
_PATH, _FRACTION = re.compile(rb' d="[^"]*"'), re.compile(rb"(\.\d)\d+")
_DURATION_TICKS: Mapping[str, float] = {
    "1 s": 1, "10 s": 10, "1 min": 60, "5 min": 300, "30 min": 1800, "2 h": 7200, "8 h": 28800, "1 day": 86400,
    "3 days": 3 * 86400, "10 days": 10 * 86400, "30 days": 30 * 86400, "100 days": 100 * 86400,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Image:
    """A picture as SVG, and what it says in words."""

    svg: bytes
    finding: str
    title: str

    @property
    def markdown(self) -> str:
        """The picture as Markdown that needs nothing from elsewhere; who cannot see it is told what it shows.

        Where there is none, the words alone.
        """
        told = "".join(" " if character in "[]\\`<>" else character for character in f"{self.title}. {self.finding}")
        if not self.svg:
            return told
        return f"![{told}](data:image/svg+xml;base64,{base64.b64encode(self.svg).decode()})"


@dataclass(frozen=True, slots=True)
class Plot:
    """What is drawn of a frame.

    `draw` puts axes on a figure and returns the finding, one sentence that stands below `title`. Where it puts none,
    there is nothing to be drawn, and the sentence says why. It is not called for a frame without rows, of
    which `nothing` is the finding.
    """

    title: str
    draw: "Callable[[pd.DataFrame, Figure], str]"
    nothing: str = "No rows."

    def image(self, frame: "pd.DataFrame") -> Image:
        """Draw a frame, with title and finding above it. The same frame gives the same bytes."""

        def whole(figure: "Figure") -> str:
            figure.set_layout_engine("constrained", rect=(0.005, 0.01, 0.985, 0.84), hspace=0.06)
            finding = self.draw(frame, figure) if len(frame) else self.nothing
            figure.text(0.012, 0.965, self.title, size=13, weight="bold", va="top")
            if figure.axes:
                figure.text(0.012, 0.895, finding, size=9.5, color=MUTED, va="top")
            else:
                figure.text(0.5, 0.45, finding, size=11, color=MUTED, ha="center")
            return finding

        return Image(*_drawn(whole, _WIDTH_INCHES, _HEIGHT_INCHES), self.title)

    def figure(self, frame: "pd.DataFrame", width_inches: float, height_inches: float) -> Image:
        """Draw a frame for a page that has title and finding as text. There is no SVG of nothing."""

        def axes_only(figure: "Figure") -> str:
            figure.set_layout_engine("constrained", h_pad=0.02, w_pad=0.02)
            return self.draw(frame, figure) if len(frame) else self.nothing

        return Image(*_drawn(axes_only, width_inches, height_inches), self.title)


def _drawn(draw: "Callable[[Figure], str]", width_inches: float, height_inches: float) -> tuple[bytes, str]:
    """Return what is drawn on a new figure as SVG, empty where that is nothing, and the finding."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        return b"", NOT_INSTALLED

    style: Any = dict(_STYLE)
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()  # whatever a matplotlibrc of the reader's says
        mpl.rcParams.update(style)
        # Text is measured in a font that may lack a script; it is shown in one of the reader's that has it.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from font")
        figure = Figure(figsize=(width_inches, height_inches))
        finding = draw(figure)
        written = io.BytesIO()
        if figure.axes or figure.texts:
            figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return _PATH.sub(_rounded, written.getvalue()), finding


# Forms


def bars(
    axes: "Axes",
    labels: Sequence[str],
    parts: Mapping[str, "tuple[Sequence[float], str | Sequence[str]]"],
    unit: str,
    notes: Sequence[str] = (),
) -> None:
    """Draw one horizontal bar a label, the first on top, of parts one after another: their values and their colour.

    `notes` stand at the ends of the bars; without them, the sum of the parts does.
    """
    places = range(len(labels))
    ends = [0.0] * len(labels)
    for name, (values, colour) in parts.items():
        axes.barh(places, values, left=ends, height=0.72, color=colour, label=name)
        ends = [end + value for end, value in zip(ends, values, strict=True)]
    for place, end in zip(places, ends, strict=True):
        note = notes[place] if notes else f"{end:,.0f}"
        axes.annotate(note, (end, place), (4, 0), textcoords="offset points", va="center", size=8.5, color=MUTED)
    axes.set_yticks(list(places), [shortened(label) for label in labels])
    axes.set_ylim(max(len(labels), 4) - 0.4, -0.6)  # few bars are no thicker than many
    axes.set_xlim(0, max([*ends, 1.0]) * (1.3 if notes else 1.08))
    axes.set_xlabel(unit)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    _count_axis(axes.xaxis)


def steps(
    axes: "Axes", starts: "pd.DatetimeIndex", days: float, parts: Mapping[str, tuple[Sequence[float], str]], unit: str
) -> None:
    """Draw one column a period of `days` from each of `starts` on, of parts one above another.

    `starts` follow one another without a gap. One path a part: a column of its own would be ten times as large.
    """
    import numpy as np

    edges: Any = starts.union([starts[-1] + _days(days)]).to_numpy()
    below = np.zeros(len(starts))
    for name, (values, colour) in parts.items():
        above = below + np.asarray(values, dtype="float64")
        axes.stairs(above, edges, baseline=below, fill=True, color=colour, label=name, linewidth=0)
        below = above
    axes.set_ylim(0, max(float(below.max()), 1.0) * 1.08)
    axes.set_ylabel(unit)
    _count_axis(axes.yaxis)
    over_time(axes, starts, days)


def over_time(axes: "Axes", starts: "pd.DatetimeIndex", days: float) -> None:
    """Let the horizontal axis be the time (UTC) from the first of `starts` to the end of the last period."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
    ends: Any = (starts[0].to_datetime64(), (starts[-1] + _days(days)).to_datetime64())
    axes.set_xlim(*ends)


def durations(axes: "Axes", shortest_seconds: float, longest_seconds: float) -> None:
    """Let the vertical axis be durations in seconds, drawn so that twice as long is as far from any of them.

    Else one answer after a weekend would leave nothing to be seen of all the others.
    """
    low, high = max(shortest_seconds, 1.0) / 1.6, max(longest_seconds, 10.0) * 1.6
    ticks = {name: seconds for name, seconds in _DURATION_TICKS.items() if low <= seconds <= high}
    axes.set_yscale("log")
    axes.set_yticks(list(ticks.values()), list(ticks))
    axes.set_yticks([], minor=True)
    axes.set_ylim(low, high)


def legend(axes: "Axes") -> None:
    """Name the parts above the axes, at the right."""
    handles, names = axes.get_legend_handles_labels()
    axes.legend(
        handles,
        [shortened(name, 24) for name in names],
        ncols=len(names),
        loc="lower right",
        bbox_to_anchor=(1.0, 0.99),
        borderaxespad=0.1,
        handlelength=0.9,
        handleheight=0.9,
        columnspacing=1.4,
    )


# Numbers and names


def shortened(text: str, length: int = 38) -> str:
    """Return a name for one line of a plot: nothing that cannot be printed, and not too long."""
    line = "".join(character for character in " ".join(text.split()) if character.isprintable())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"


def most_common(values: "pd.Series[Any]", most: int, missing: str, other: str = "other") -> "pd.Series[Any]":
    """Return texts with the rarer ones as `other`, so that `most` different ones are left; null is `missing`.

    Of texts that are as common as another the alphabetically first is kept.
    """
    named = values.astype("object").where(values.notna(), missing).astype("str")
    counts = named.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return named if len(counts) <= most else named.where(named.isin(counts.index[: most - 1]), other)


def weeks(days: "pd.Series[Any]", most: int) -> "pd.DatetimeIndex":
    """Return the Mondays of the weeks from the first to the last of these instants or days; the `most` last of them."""
    import pandas as pd

    mondays = monday(days.dropna())
    return pd.date_range(mondays.min(), mondays.max(), freq="7D", unit="us")[-most:]


def monday(days: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return the Monday (UTC) of each instant's, or day's, ISO week, without a zone."""
    import pandas as pd

    plain = days.dt.tz_localize(None).dt.normalize()
    mondays: pd.Series[Any] = plain - pd.to_timedelta(plain.dt.day_of_week, unit="D")
    return mondays


def _rounded(path: re.Match[bytes]) -> bytes:
    """Return a path to the tenth of a point, in half of the bytes."""
    return _FRACTION.sub(rb"\1", path[0]).replace(b" \n", b"")


def _days(number: float) -> "pd.Timedelta":
    import pandas as pd

    return pd.Timedelta(days=number)


def _count_axis(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
