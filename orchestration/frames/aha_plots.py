"""Plots of Aha!'s frames. Apart from the frames: a plot that changes does not make the data another version."""

from typing import TYPE_CHECKING

from connector_resources.words import counted, share
from orchestration.plots import BLUE, GREEN, GREY, INK, MUTED, RED, SKY, Plot, bars, legend, most_common

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MOST_BARS = 12


def _features_by_status(features: "pd.DataFrame", figure: "Figure") -> str:
    status = most_common(features["status"], _MOST_BARS, "no status")
    complete, overdue = features["is_complete"], features["is_overdue"]
    counts = features.groupby(status).size()
    order = counts.sort_index().sort_values(ascending=False, kind="stable").index
    parts = {
        "complete": (complete, GREEN),
        "open": (~complete & ~overdue, SKY),
        "open and overdue": (~complete & overdue, RED),
    }
    axes = figure.subplots()
    stacked = {
        name: (chosen.groupby(status).sum().reindex(order).tolist(), colour)
        for name, (chosen, colour) in parts.items()
    }  # fmt: skip
    bars(axes, list(order), stacked, "features")
    legend(axes)
    return f"{counted(len(features), 'feature')}: {complete.sum():,} complete, {overdue.sum():,} open and overdue."


FEATURES_BY_STATUS = Plot("Features by status", _features_by_status)


def _ideas_by_votes(ideas: "pd.DataFrame", figure: "Figure") -> str:
    votes = ideas["votes"].fillna(0).astype("int64")
    top = ideas.assign(votes=votes).sort_values(["votes", "id"], ascending=[False, True]).head(_MOST_BARS)
    top = top[top["votes"] > 0]
    if top.empty:
        return f"Nobody has voted for any of {counted(len(ideas), 'idea')} yet."
    names = [f"{number}  {name}" for number, name in zip(top["reference_num"], top["name"], strict=True)]
    promoted = top["is_promoted"]
    parts = {
        "became a feature": (top["votes"].where(promoted, 0).tolist(), GREEN),
        "not yet": (top["votes"].mask(promoted, 0).tolist(), BLUE),
    }
    axes = figure.subplots()
    bars(axes, names, parts, "votes")
    legend(axes)
    return (
        f"The first {len(top)} have {share(top['votes'].sum(), votes.sum())} of {counted(votes.sum(), 'vote')} for "
        f"{counted(len(ideas), 'idea')}; {promoted.sum()} of them became a feature."
    )


IDEAS_BY_VOTES = Plot("Ideas with most votes", _ideas_by_votes)


def _release_burn_up(releases: "pd.DataFrame", figure: "Figure") -> str:
    import pandas as pd

    planned = releases[~releases["is_parking_lot"] & (releases["features"].fillna(0) > 0)]
    if planned.empty:
        return "No release has a feature."
    # Those in work first, then what was shipped last; drawn by their dates.
    ranked = planned.sort_values(["is_shipped", "release_date", "id"], ascending=[True, False, True], kind="stable")
    shown = ranked.head(_MOST_BARS).sort_values(["release_date", "id"], kind="stable")
    done = shown["done_features"].fillna(0).astype("int64")
    left = shown["features"].astype("int64") - done
    names = [f"{number}  {name}" for number, name in zip(shown["reference_num"], shown["name"], strict=True)]
    days_late = [None if days is pd.NA else int(days) for days in shown["days_late"]]
    bars(
        axes := figure.subplots(),
        names,
        {"done": (done.tolist(), GREEN), "left": (left.tolist(), GREY)},
        "features",
        notes=[_standing(*row) for row in zip(done, done + left, days_late, shown["is_shipped"], strict=True)],
    )
    for note, late in zip(axes.texts, shown["is_late"] & ~shown["is_shipped"], strict=True):
        if late:
            note.set_color(RED)
    legend(axes)
    in_work = releases[~releases["is_shipped"] & ~releases["is_parking_lot"]]
    return (
        f"{counted(len(in_work), 'release')} in work, {in_work['is_late'].sum()} of them late: "
        f"{in_work['done_features'].sum():,} of {counted(in_work['features'].sum(), 'feature')} done."
    )


def _standing(done: int, planned: int, days_late: int | None, shipped: bool) -> str:
    """Return how a release stands, for the end of its bar."""
    text = f"{done} of {planned}"
    if days_late is not None:
        text += f", {counted(abs(days_late), 'day')} {'late' if days_late > 0 else 'early' if shipped else 'left'}"
    return text


RELEASE_BURN_UP = Plot("Features done by release", _release_burn_up)


def _lead_days(features: "pd.DataFrame", figure: "Figure") -> str:
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    days = features["lead_days"].dropna().astype("float64").clip(lower=0)
    in_work = int((~features["is_done"]).sum())
    if days.empty:
        return f"No feature is done yet; {in_work:,} in work."
    half, most = (float(np.quantile(days, part, method="inverted_cdf")) for part in (0.5, 0.85))
    # Whole days to a bar, so that none covers a day more than the next; what is far out is in the last one.
    end = max(float(np.quantile(days, 0.98, method="inverted_cdf")), most) + 1
    width = max(1, int(np.ceil(end / 40)))
    edges = np.arange(0, end + width, width)
    counts, _ = np.histogram(days.clip(upper=edges[-1] - 0.5), edges)
    axes = figure.subplots()
    axes.stairs(counts, edges, fill=True, color=SKY, linewidth=0)
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(0, counts.max() * 1.18)
    for value, name in ((half, "half"), (most, "85 %")):
        axes.axvline(value + 0.5, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate(
            f"{name}: {counted(value, 'day')}", (value + 0.5, counts.max() * 1.12), (5, 0),
            textcoords="offset points", va="center", color=INK,
        )  # fmt: skip
    axes.set_xlabel(
        "days from made to done" + (" (the last bar has all longer ones)" if days.max() >= edges[-1] else "")
    )
    axes.set_ylabel("features")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.xaxis.label.set_color(MUTED)
    return (
        f"Half of {counted(len(days), 'done feature')} took at most {counted(half, 'day')}, 85 % at most "
        f"{counted(most, 'day')}; {in_work:,} in work."
    )


LEAD_DAYS = Plot("Days from made to done", _lead_days)
