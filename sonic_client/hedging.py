"""Hedged requests: one that is late is sent to a second server too, and the first answer counts. Pure.

The problem: with many servers some requests are slow for no reason of their own (a collection of garbage, a queue, a
switch), and a block waits for its slowest. The policy (Dean and Barroso, "The tail at scale", 2013): when a request has
taken longer than most do, send it once more elsewhere; take the answer that comes first and cancel the other. As only the
slow ones are sent twice, it costs a few per cent more requests; `share` bounds that. It is off unless the workflow asks for
it, and needs two servers that have the model. The results are the same: it is the same model, and one of the two answers is
thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass

from evproc.framework import Block, Parameter

from .latency import LatencyRecord

LEARN = 20
"""Requests that are answered before a quantile of their times is believed."""
LOOK_AGAIN = 50
"""After how many requests the quantile is taken anew."""


class Hedge(Block):
    """When a request is sent to a second server as well."""

    quantile: float = Parameter(
        0.95,
        description="part of the requests that is answered sooner than the hedge is sent",
        placement=True,
        gt=0,
        lt=1,
    )
    after: float | None = Parameter(
        None, description="time after which it is sent, in place of the quantile", unit="s", placement=True, ge=0
    )
    share: float = Parameter(0.1, description="hedges as a part of all requests, at most", placement=True, gt=0, le=1)


@dataclass(slots=True)
class Hedging:
    """The hedges of one queue."""

    settings: Hedge
    requests: int = 0
    sent: int = 0
    won: int = 0
    _delay: float = 0.0
    _known: int = -LOOK_AGAIN

    def delay(self, record: LatencyRecord) -> float | None:
        """Seconds after which a request to this server is late; None while that is not known. Counts the request."""
        self.requests += 1
        if self.settings.after is not None:
            return self.settings.after
        if record.requests < LEARN:
            return None
        if self.requests - self._known >= LOOK_AGAIN:
            self._known = self.requests
            self._delay = record.quantile(self.settings.quantile)
        return self._delay

    def take(self) -> bool:
        """Whether one more hedge is allowed; it counts then."""
        if self.sent + 1 > self.settings.share * self.requests + 1:
            return False
        self.sent += 1
        return True
