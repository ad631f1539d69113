"""The plot of companies across sources."""

from typing import TYPE_CHECKING

from connector_resources.words import counted
from orchestration.plots import BLUE, GREEN, GREY, Plot, bars, shortened

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MOST_BARS = 12


def _votes_and_chats(companies: "pd.DataFrame", figure: "Figure") -> str:
    shown = companies.head(_MOST_BARS)  # those with most votes come first, then most chats
    both = shown["chats_and_votes"]
    names = [
        company if isinstance(company, str) else domain
        for company, domain in zip(shown["company"], shown["domain"], strict=True)
    ]
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, column, unit, colour in (
        (left, "votes", "votes in Aha!", BLUE),
        (right, "chat_conversations", "conversations in Drift", GREEN),
    ):
        values = shown[column].fillna(0).astype("float64").tolist()
        bars(
            axes,
            [shortened(name, 30) for name in names],
            {unit: (values, [colour if each else GREY for each in both])},
            unit,
        )
    number = int(companies["chats_and_votes"].sum())
    return (
        f"{number:,} of {counted(len(companies), 'company', 'companies')} both voted and chatted (in colour): the ones "
        "to ask in a chat about what they voted for."
    )


VOTES_AND_CHATS = Plot("Votes and chats of companies", _votes_and_chats)
