"""Readings as bars on a terminal, above which the lines of the log go on."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Display
from rich.table import Column

from connector_resources.progress import Progress, watched_by


class _Bars:
    """One bar for all streams, and one below it for each that is being read."""

    def __init__(self, display: Display, streams: int) -> None:
        self._display = display
        self._all = display.add_task("streams", total=streams, state=f"0 of {streams}")
        self._tasks: dict[str, TaskID] = {}
        self._ended: set[str] = set()
        self._streams = streams

    def told(self, progress: Progress) -> None:
        if progress.name not in self._tasks:
            self._tasks[progress.name] = self._display.add_task(progress.name, total=None, state="")
        state = "; ".join(part for part in (progress.came, progress.left, progress.budget) if part)
        self._display.update(
            self._tasks[progress.name], total=progress.total, completed=progress.done, state=state, refresh=True
        )

    def ended(self, name: str) -> None:
        if name in self._tasks:
            self._display.remove_task(self._tasks.pop(name))
        self._ended.add(name)  # one that waits for its vendor ends several times
        done = len(self._ended)
        self._display.update(self._all, completed=done, state=f"{done} of {self._streams}", refresh=True)


@contextmanager
def bars(console: Console, streams: int) -> Iterator[None]:
    """Show what the streams of this process do, `streams` of them, while the block runs: on a terminal, in a notebook.

    Where `console` is none nothing is written, and the lines of the log are all there is.
    """
    if _has_widgets(console):
        yield from _drawn(console, streams)
        return
    if not console.is_terminal or console.is_dumb_terminal:
        yield
        return
    with _kept(console) as terminal:
        yield from _drawn(terminal, streams)


def _has_widgets(console: Console) -> bool:
    """Whether it is a notebook that can draw bars; one without ipywidgets can only write lines."""
    return console.is_jupyter and find_spec("ipywidgets") is not None


@contextmanager
def _kept(console: Console) -> Iterator[Console]:
    """Yield a console that stays on the terminal when stdout does not.

    While a step runs, Dagster turns the descriptor of stdout into a file and copies what comes there to the terminal.
    """
    try:
        descriptor = os.dup(console.file.fileno())
    except OSError:  # it is no file, but something like one
        yield console
        return
    with os.fdopen(descriptor, "w", encoding=console.encoding) as file:
        yield Console(file=file, force_terminal=True, width=console.width)


def _drawn(console: Console, streams: int) -> Iterator[None]:
    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[state]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    # What goes to a file goes there still.
    display = Display(
        *columns,
        console=console,
        auto_refresh=False,
        transient=True,
        expand=True,
        redirect_stderr=sys.stderr.isatty(),
    )
    with display, watched_by(_Bars(display, streams)):
        yield
