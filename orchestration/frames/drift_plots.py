"""Plots of Drift's frames. Apart from the frames: a plot that changes does not make the data another version."""

from typing import TYPE_CHECKING

from connector_resources.words import counted, duration, share
from orchestration.plots import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Plot,
    bars,
    durations,
    legend,
    monday,
    most_common,
    shortened,
    steps,
    weeks,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MOST_BARS = 12
_MOST_WEEKS = 52
_MOST_DAYS = 91
_RECENT_WEEKS = 4


def _first_response_by_week(conversations: "pd.DataFrame", figure: "Figure") -> str:
    import numpy as np
    import pandas as pd

    asked = conversations.dropna(subset="first_contact_message_at")
    if asked.empty:
        return f"No contact wrote in any of {counted(len(conversations), 'conversation')}."
    every = weeks(asked["first_contact_message_at"], _MOST_WEEKS)
    by_week = asked.groupby(monday(asked["first_contact_message_at"]))
    waits = by_week["first_response_seconds"].quantile(np.array([0.5, 0.9])).unstack().reindex(every)
    answered, begun = (counts.reindex(every).fillna(0) for counts in (by_week["is_answered"].sum(), by_week.size()))
    speed, volume = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    middles = (every + pd.Timedelta(days=3.5)).to_numpy()
    for part, name, colour in ((0.9, "9 of 10 within", SKY), (0.5, "half within", BLUE)):
        speed.plot(middles, waits[part].clip(lower=1), color=colour, label=name, linewidth=2, marker="o", markersize=4)
    if waits[0.9].notna().any():
        durations(speed, float(waits[0.5].min()), float(waits[0.9].max()))
    speed.set_ylabel("first response")
    legend(speed)
    parts = {"answered": (answered.tolist(), BLUE), "not answered": ((begun - answered).tolist(), ORANGE)}
    steps(volume, every, 7, parts, "conversations")
    legend(volume)
    recent = asked[monday(asked["first_contact_message_at"]).isin(every[-_RECENT_WEEKS:])]
    seconds = recent["first_response_seconds"].dropna()
    fast = "no answers"
    if len(seconds):
        half, most = (duration(float(seconds.quantile(part))) for part in (0.5, 0.9))
        fast = f"half of the answers came within {half}, 9 of 10 within {most}"
    return f"Last {_span(every)}: {fast}; {share((~recent['is_answered']).sum(), len(recent))} got none."


FIRST_RESPONSE_BY_WEEK = Plot("First response by week", _first_response_by_week)


def _messages_by_day(days: "pd.DataFrame", figure: "Figure") -> str:
    import pandas as pd

    shown = days.tail(_MOST_DAYS).fillna(dict.fromkeys(days.columns[1:-1], 0))
    starts = pd.DatetimeIndex(shown["day"])
    written, begun = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    speakers = (("contact", "contacts", SKY), ("agent", "people", BLUE), ("bot", "bots", GREY))
    by_speaker = {
        name: (shown[f"messages_by_{speaker}"].astype("float64").tolist(), colour) for speaker, name, colour in speakers
    }
    steps(written, starts, 1, by_speaker, "messages")
    legend(written)
    conversations = shown["new_conversations"].astype("float64").tolist()
    steps(begun, starts, 1, {"new conversations": (conversations, GREEN)}, "conversations")
    legend(begun)
    recent = shown.tail(28)
    messages = recent[[f"messages_by_{speaker}" for speaker, *_ in speakers]].sum(axis="columns").mean()
    return (
        f"Last {counted(len(recent), 'day')}: {counted(round(messages), 'message')} and "
        f"{counted(round(float(recent['new_conversations'].mean())), 'new conversation')} on an average day."
    )


MESSAGES_BY_DAY = Plot("Messages by day and who wrote them", _messages_by_day)


def _conversations_by_person(workload: "pd.DataFrame", figure: "Figure") -> str:
    every = weeks(workload["week"], _RECENT_WEEKS)
    recent = workload[workload["week"].isin(every)]
    by_person = recent.groupby("agent_id")
    # The medians of weeks have no median; weighed by their answers, their mean is near it.
    weighed = (recent["median_first_response_seconds"] * recent["first_responses"]).groupby(recent["agent_id"]).sum()
    people = by_person.agg(conversations=("conversations", "sum"), responses=("first_responses", "sum"))
    people = people.assign(wait=weighed / people["responses"].astype("float64").where(people["responses"] > 0))
    people["name"] = recent.drop_duplicates("agent_id").set_index("agent_id")["agent"].astype("object")
    people = people.reset_index().sort_values(["conversations", "agent_id"], ascending=[False, True])
    shown = people.head(_MOST_BARS)
    names = [
        name if isinstance(name, str) else f"person {number}"
        for name, number in zip(shown["name"], shown["agent_id"], strict=True)
    ]
    notes = [
        f"{conversations:,}" + (f", answers in {duration(wait)}" if wait == wait else "")
        for conversations, wait in zip(shown["conversations"], shown["wait"].astype("float64"), strict=True)
    ]
    values = shown["conversations"].astype("float64").tolist()
    bars(
        figure.subplots(), names, {"conversations": (values, BLUE)}, f"conversations in the last {_span(every)}", notes
    )
    total = int(people["conversations"].sum())
    return (
        f"{shortened(names[0])} had {share(values[0], total)} of the conversations of "
        f"{counted(len(people), 'person', 'people')}. Beside each bar: the usual time to a first answer."
    )


CONVERSATIONS_BY_PERSON = Plot("Conversations by person", _conversations_by_person)


def _contacts_by_week(contacts: "pd.DataFrame", figure: "Figure") -> str:
    seen = contacts.dropna(subset="created_at")
    if seen.empty:
        return f"When {counted(len(contacts), 'contact')} came is not known."
    every = weeks(seen["created_at"], _MOST_WEEKS)
    kinds = most_common(seen["classification"], 6, "not classified")
    counts = seen.groupby([monday(seen["created_at"]), kinds]).size().unstack(fill_value=0).reindex(every).fillna(0)
    order = sorted(counts.columns, key=lambda kind: (kind in ("other", "not classified"), -counts[kind].sum(), kind))
    colours = dict(zip(order, (BLUE, SKY, GREEN, ORANGE, PURPLE, RED), strict=False))
    parts = {
        str(kind): (counts[kind].tolist(), GREY if kind in ("other", "not classified") else colours[kind])
        for kind in order
    }
    axes = figure.subplots()
    steps(axes, every, 7, parts, "contacts a week")
    legend(axes)
    recent = int(counts.tail(_RECENT_WEEKS).to_numpy().sum())
    again = int((contacts["conversations"].fillna(0) > 1).sum())
    return (
        f"{counted(len(contacts), 'contact')}, {recent:,} of them first seen in the last {_span(every)}; {again:,} had "
        "more than one conversation."
    )


CONTACTS_BY_WEEK = Plot("New contacts by week and classification", _contacts_by_week)


def _span(every: "pd.DatetimeIndex") -> str:
    number = min(len(every), _RECENT_WEEKS)
    return "week" if number == 1 else f"{number} weeks"
