"""What a job logs, by category: Python's `logging`, under the loggers `evproc.CATEGORY`.

    discovery   servers and their models: found, left out, come, gone
    service     the begin and end of services: servers of the job's own, models loaded, endpoints opened
    client      each request: server, rows, attempt, time (level DEBUG)
    failure     requests that failed and what was done about it, circuits opened and closed

Nothing is printed unless it is asked for: by `evproc run --log discovery,failure`, which writes to stderr, or by handlers that
the program which uses evproc sets. A category that nobody listens to costs the question whether somebody does, once for a
request, never for an event.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from .errors import did_you_mean

CATEGORIES = ("discovery", "service", "client", "failure")
ALL = "all"
ROOT = "evproc"
FORM = "%(asctime)s %(name)s: %(message)s"

logging.getLogger(ROOT).addHandler(logging.NullHandler())


def logger(category: str) -> logging.Logger:
    """The logger of a category."""
    assert category in CATEGORIES
    return logging.getLogger(f"{ROOT}.{category}")


def categories(text: str) -> list[str]:
    """The categories that a text names: `discovery,failure`, or `all`. Raises ValueError."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in (*CATEGORIES, ALL):
            known = ", ".join((*CATEGORIES, ALL))
            raise ValueError(
                f"no category of the log is called '{name}' (known: {known}){did_you_mean(name, CATEGORIES)}"
            )
    return list(CATEGORIES) if ALL in names else names


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what is stderr at the time: a progress display may have put itself before it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


@contextmanager
def shown(names: Sequence[str]) -> Iterator[None]:
    """Write categories to stderr, all of their levels."""
    handler = _Stderr()
    handler.setFormatter(logging.Formatter(FORM))
    before = []
    for name in names:
        log = logger(name)
        before.append((log, log.level, log.propagate))
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
        log.propagate = False
    try:
        yield
    finally:
        for log, level, propagate in before:
            log.removeHandler(handler)
            log.setLevel(level)
            log.propagate = propagate
