"""What happens to servers during a job: told in words to the report, to the log and to observers."""

from __future__ import annotations

import logging
from time import perf_counter

from evproc.framework.logs import logger
from evproc.framework.observations import ChangeInfo, StatisticsInfo
from evproc.framework.observing import Observers

from .server_counts import Growth

DISCOVERY = logger("discovery")
SERVICE = logger("service")
CLIENT = logger("client")
FAILURE = logger("failure")
KEPT = 1000
"""Changes that the report names; a server that comes and goes all the time must not fill the memory."""


class Changes(list[str]):
    """The changes of a job, in order; the first of them, if there are very many."""

    def __init__(self) -> None:
        super().__init__()
        self.observers = Observers()

    def append(self, text: str) -> None:
        """A server or a model has come, gone, or changed."""
        self._note(text, DISCOVERY, logging.INFO, "")

    def circuit(self, server: str, model: str, *, opened: bool) -> None:
        """A circuit was opened or closed."""
        state = "opened" if opened else "closed"
        level = logging.WARNING if opened else logging.INFO
        self._note(f"circuit of model '{model}' on {server} was {state}", FAILURE, level, server, model)

    def grown(self, growths: list[Growth]) -> None:
        """Servers have said what they counted."""
        if self.observers.statistics is not None:
            now = perf_counter()
            for one in growths:
                self.observers.statistics(
                    StatisticsInfo(now, one.server, one.model, one.requests, one.rows, one.queue_s, one.compute_s)
                )

    def _note(self, text: str, log: logging.Logger, level: int, server: str, model: str = "") -> None:
        if len(self) < KEPT:
            super().append(text)
        log.log(level, "%s", text)
        if self.observers.change is not None:
            self.observers.change(ChangeInfo(perf_counter(), text, server, model))
