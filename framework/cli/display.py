"""How far a job has come, while it runs: a bar that moves on a terminal, plain lines elsewhere.

Both write to stderr, so that the summary and what modules print can go into a file alone. Plain lines get rarer as the job
goes on, down to two a minute: the log of a long job stays short, and that of a short one still says something.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol, TextIO

from . import text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from evproc.framework.report import Progress

SPARSE = 30.0
"""Seconds between two plain lines of a long job."""


class Display(Protocol):
    """Shows progress between enter and exit."""

    def __enter__(self) -> Display: ...

    def __exit__(self, *_: object) -> None: ...

    def __call__(self, progress: Progress) -> None:
        """Show how far the job has come."""


def display_for(stream: TextIO, period: float) -> Display:
    """The display that suits a stream; `period` is the least time between two plain lines, seconds."""
    if stream.isatty():
        from rich.console import Console

        console = Console(file=stream)
        if not console.is_dumb_terminal:
            return LiveDisplay(console)
    return PlainDisplay(stream, period)


def facts(progress: Progress) -> list[str]:
    """What there is to say beside the number of events."""
    said = [text.rate(progress.rate)] if progress.rate > 0 else []
    if progress.seconds_left is not None and not progress.done:
        said.append(f"{text.duration(max(1.0, round(progress.seconds_left)))} left")
    said.append(f"{text.count(progress.blocks_open, 'block')} open")
    return [*said, *(f"{name} {value}" for name, value in progress.status.items())]


class PlainDisplay:
    """One line now and then."""

    def __init__(self, stream: TextIO, period: float) -> None:
        self._stream = stream
        self._period = period
        self._next = 0.0

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, progress: Progress) -> None:
        """Write a line, if it is time for one."""
        if progress.done or progress.elapsed_s < self._next or (progress.events == 0 and self._next == 0.0):
            return
        pause = max(self._period, min(SPARSE, progress.elapsed_s / 20))
        self._next = progress.elapsed_s + pause
        done = text.count(progress.events, "event")
        if progress.total is not None:
            done = f"{progress.events:,} of {text.count(progress.total, 'event')}"
            done += f" ({text.percent(progress.events, progress.total)})" if progress.total else ""
        self._stream.write(f"{', '.join([done, *facts(progress)])}\n")
        self._stream.flush()


class LiveDisplay:
    """A bar and a line of facts that stay in place; gone when the job ends."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._console = console
        # Drawn when told to, not by a thread of its own that would take the CPU from the job.
        self._live = Live(
            "Checking the workflow ...",
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )

    def __enter__(self) -> LiveDisplay:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, progress: Progress) -> None:
        """Draw the bar anew."""
        self._live.update(self._drawn(progress), refresh=True)

    def _drawn(self, progress: Progress) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        below = Text("  ".join(facts(progress)), style="dim", overflow="ellipsis", no_wrap=True)
        if progress.total is None:
            head = Text.assemble((f"{progress.events:,}", "bold"), f" events after {text.duration(progress.elapsed_s)}")
            return Group(head, below)
        line = Table.grid(padding=(0, 2), expand=True)
        line.add_column(ratio=1)
        line.add_column(justify="right", no_wrap=True)
        line.add_column(justify="right", no_wrap=True)
        line.add_row(
            ProgressBar(max(1, progress.total), progress.events, complete_style="cyan", finished_style="green"),
            Text(text.percent(progress.events, progress.total), style="bold"),
            f"{progress.events:,} of {progress.total:,} events",
        )
        return Group(line, below)
