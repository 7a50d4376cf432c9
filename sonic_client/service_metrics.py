"""Figures of inference while a job runs, as counters and gauges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from evproc.framework.service import Metric

from .circuit import CircuitState

if TYPE_CHECKING:
    from .fleet import Server
    from .model_queue import ModelQueue
    from .server_counts import ServerCount

PREFIX = "evproc_inference"
_RECORD = {
    "requests_total": ("requests", "requests that were answered"),
    "rows_total": ("rows", "rows that were answered"),
    "sent_bytes_total": ("sent_bytes", "inputs of requests that were answered"),
    "received_bytes_total": ("received_bytes", "outputs of requests that were answered"),
    "waiting_seconds_total": ("waited_s", "from the oldest row of a request to its first attempt"),
    "again_seconds_total": ("again_s", "in attempts that failed, and the pauses after them"),
    "latency_seconds_total": ("total_s", "from sending a request to having its answer"),
    "retries_total": ("retries", "attempts that were followed by another"),
    "failures_total": ("failures", "attempts that failed"),
}
_COUNT = {
    "server_requests_total": ("requests", "requests that the server has answered, of all its clients"),
    "server_queue_seconds_total": ("queue_s", "time that these waited in the server"),
    "server_compute_seconds_total": ("compute_s", "time that these were computed on"),
}


def service_metrics(
    queues: Mapping[Any, ModelQueue], counts: Mapping[tuple[str, str], ServerCount], servers: Mapping[str, Server]
) -> Iterator[Metric]:
    """All that is counted, per model and server; queues of one model are summed."""
    sums: dict[tuple[str, str, str], float] = {}
    for queue in queues.values():
        model = queue.metadata.name
        for url, record in queue.records.items():
            for name, (attribute, _) in _RECORD.items():
                key = name, url, model
                sums[key] = sums.get(key, 0.0) + getattr(record, attribute)
    for (name, url, model), value in sums.items():
        yield _metric(name, _RECORD[name][1], value, url, model)
    for (url, model), count in counts.items():
        for name, (attribute, meaning) in _COUNT.items():
            yield _metric(name, meaning, getattr(count, attribute), url, model)
    for url, server in servers.items():
        yield _metric("in_flight", "requests under way", server.outstanding, url)
        yield _metric("in_flight_limit", "requests that may be under way", server.places.value, url)
        yield _metric("server_ready", "1 if the last poll has found it ready", float(server.ready), url)
        for model, circuit in server.circuits.items():
            closed = float(circuit.state is CircuitState.CLOSED)
            yield _metric("circuit_opened_total", "how often the circuit was opened", circuit.opened, url, model)
            yield _metric(
                "circuit_closed", "1 while requests are sent, 0 while the server is left alone", closed, url, model
            )
    held: dict[str, int] = {}
    for queue in queues.values():
        held[queue.metadata.name] = held.get(queue.metadata.name, 0) + queue.held_bytes
    for model, nbytes in held.items():
        yield Metric(f"{PREFIX}_held_bytes", "inputs that wait or are under way", nbytes, {"model": model})


def _metric(name: str, meaning: str, value: float, server: str, model: str = "") -> Metric:
    labels = {"server": server, "model": model} if model else {"server": server}
    return Metric(f"{PREFIX}_{name}", meaning, value, labels)
