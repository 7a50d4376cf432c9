"""The throughput of clients that run at the same time: what is counted, and when.

Problem: clients never begin and end at the same moment. Events over the time of each job, added up, counts times when
some clients have the server for themselves: too much. All events over the time from the first begin to the last end is too
little. Policy: only the window counts in which all clients run, from the last client's first block, after a time of warming
up, to the end of the first client that ends. Blocks are longer than the edges of the window are sharp, so a block that is
partly inside counts with that part of its events: a client with one block after another has then the exact rate, whatever
the phase. Requests count if their answer came in the window. Cost: the events outside are thrown away. What would
change it: a server that tells when each client was served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evproc.framework.errors import InputError
from evproc.framework.report import Report

from .points import Measured


@dataclass(slots=True)
class ClientTimes:
    """What one client did and when; times are of one clock for all clients, s."""

    blocks: list[tuple[float, float, int]] = field(default_factory=list)
    """Begin, end, events of each."""
    requests: list[tuple[float, float, int, bool]] = field(default_factory=list)
    """Begin, end, rows of each, and whether it failed."""

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"blocks": self.blocks, "requests": self.requests}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ClientTimes:
        """From plain data."""
        blocks = [(float(begin), float(end), int(events)) for begin, end, events in data["blocks"]]
        requests = [(float(one), float(two), int(rows), bool(bad)) for one, two, rows, bad in data["requests"]]
        return cls(blocks, requests)


def common_window(clients: Sequence[ClientTimes], warm_up: float, seconds: float | None = None) -> tuple[float, float]:
    """Begin and end of the time in which all clients run. Raises InputError if there is none.

    seconds: how long clients begin blocks; what comes then is the end of a job, when others may have stopped already
    """
    if not clients or any(not client.blocks for client in clients):
        raise InputError(
            "a client has processed no block of events in the time: give more --seconds, or a smaller --block"
        )
    firsts = [min(begin for begin, _, _ in client.blocks) for client in clients]
    lasts = [max(end for _, end, _ in client.blocks) for client in clients]
    begin, end = max(firsts) + warm_up, min(lasts)
    if seconds is not None:
        end = min(end, min(firsts) + seconds)
    if end <= begin:
        raise InputError(
            f"the clients have run together for {end - begin + warm_up:.3g} s, of which {warm_up:g} s are for warming up: "
            "give more --seconds, or the source more events"
        )
    return begin, end


def events_within(blocks: Sequence[tuple[float, float, int]], begin: float, end: float) -> float:
    """The events of a window: of a block that is partly inside, that part."""
    total = 0.0
    for first, last, events in blocks:
        inside = min(last, end) - max(first, begin)
        if last > first and inside > 0:
            total += events * inside / (last - first)
        elif last == first and begin <= first < end:
            total += events
    return total


def measure(
    clients: Sequence[ClientTimes],
    reports: Sequence[Report],
    *,
    warm_up: float,
    seconds: float | None = None,
    servers: int = 1,
) -> Measured:
    """What all clients did together in their common window. Raises InputError if that is too little.

    servers: how many compute at the same time, for the part of the time in which one does
    """
    begin, end = common_window(clients, warm_up, seconds)
    length = end - begin
    events = sum(events_within(client.blocks, begin, end) for client in clients)
    inside = [request for client in clients for request in client.requests if begin <= request[1] < end]
    answered = [request for request in inside if not request[3]]
    latencies = sorted(last - first for first, last, _, _ in answered)
    compute = _mean_compute(reports)
    busy = [report.busy_s / report.wall_s for report in reports if report.wall_s > 0]
    starts = [min(first for first, _, _ in client.blocks) for client in clients]
    if not events:
        raise InputError("no event was processed in the window: give more --seconds")
    return Measured(
        window_s=length,
        events=events,
        throughput=events / length,
        event_s=len(clients) * length / events,
        requests=len(answered),
        rows_per_request=sum(rows for _, _, rows, _ in answered) / max(1, len(answered)),
        latency_median_s=quantile(latencies, 0.5),
        latency_p99_s=quantile(latencies, 0.99),
        failures=len(inside) - len(answered),
        client_busy=sum(busy) / max(1, len(busy)),
        server_busy=None if compute is None else len(answered) * compute / length / servers,
        server_s=compute,
        skew_s=max(starts) - min(starts),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of values in order: the smallest that is not below `share` of them; 0 if there are none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _mean_compute(reports: Sequence[Report]) -> float | None:
    """What servers computed for a request, mean over the requests of these clients, s; None if one of them says nothing."""
    total = requests = 0.0
    for report in reports:
        for service in report.services.values():
            for model in service.get("models") or ():
                if model["requests"] and model.get("server_compute_s") is None:
                    return None
                total += model["requests"] * (model.get("server_compute_s") or 0.0)
                requests += model["requests"]
    return total / requests if requests else None
