"""What an inference service says of its models: figures for the report of a job, facts for the provenance of outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .circuit import CircuitState
from .figures import ModelFigures
from .repository import checksum

if TYPE_CHECKING:
    from .model_queue import ModelQueue, Policy, Server
    from .server_counts import ServerCount

Queues = Mapping[tuple[str, str, "Policy"], "ModelQueue"]
Counts = Mapping[tuple[str, str], "ServerCount"]
EMBEDDED = "embedded"
"""What the provenance calls the server of a job's own, whose port differs from job to job."""


def model_reports(queues: Queues, counts: Counts, servers: Mapping[str, Server]) -> list[ModelFigures]:
    """Per model and server: rows, requests, bytes, latency, and what the server says that it took of it."""
    found = []
    for (model, version, _), queue in queues.items():
        for url, record in queue.records.items():
            count, requests = counts.get((url, model)), max(1, record.requests)
            mean = record.total_s / requests
            queue_s = count.mean_queue_s if count else None
            compute_s = count.mean_compute_s if count else None
            inside = None if queue_s is None or compute_s is None else queue_s + compute_s
            share = None if inside is None or not mean else min(1.0, inside / mean)
            server = servers.get(url)
            circuit = server.circuits.get(model) if server else None
            events = max(1, queue.outcomes.events)
            found.append(
                ModelFigures(
                    model=model,
                    version=version or "latest",
                    answered=dict(record.versions),
                    server=url,
                    events=queue.outcomes.events,
                    rows=record.rows,
                    requests=record.requests,
                    rows_per_request=record.rows / requests,
                    sent_bytes=record.sent_bytes,
                    received_bytes=record.received_bytes,
                    sent_bytes_per_event=record.sent_bytes / events,
                    received_bytes_per_event=record.received_bytes / events,
                    latency_mean_s=mean,
                    latency_median_s=record.quantile(0.5),
                    latency_p99_s=record.quantile(0.99),
                    latency_total_s=record.total_s,
                    waiting_s=record.waited_s / requests,
                    again_s=record.again_s / requests,
                    wire_s=None if inside is None else max(0.0, mean - inside),
                    server_queue_s=queue_s,
                    server_compute_s=compute_s,
                    server_requests=count.requests if count else 0,
                    server_share=share,
                    retries=record.retries,
                    failures=record.failures,
                    circuit=(circuit.state if circuit else CircuitState.CLOSED).value,
                    circuit_opened=circuit.opened if circuit else 0,
                    limit=_limit_hint(share),
                )
            )
    return found


class OwnModels(NamedTuple):
    """What a server of the job's own is called, and its model repository."""

    server: str
    folder: Path


def model_provenance(
    queues: Queues, offers: Mapping[str, Sequence[Server]], own: Mapping[str, OwnModels]
) -> dict[str, Any]:
    """Per model: name, versions, checksum where its files are at hand, and which servers answered how many rows.

    own: address -> the server of the job's own that is there; its port differs from job to job, so it is named
    """
    models = []
    for (model, version, _), queue in queues.items():
        at_hand = next((own[server.url].folder for server in offers.get(model, []) if server.url in own), None)
        models.append(
            {
                "model": model,
                "version": version or ",".join(queue.metadata.versions) or "latest",
                "checksum": "" if at_hand is None else checksum(at_hand, model),
                "servers": [
                    {
                        "server": own[url].server if url in own else url,
                        "rows": record.rows,
                        "answered": dict(sorted(record.versions.items())),
                    }
                    for url, record in queue.records.items()
                    if record.requests
                ],
            }
        )
    return {"models": models} if models else {}


def _limit_hint(share: float | None) -> str:
    if share is None:
        return ""
    if share >= 0.6:
        return f"the server itself takes {share:.0%} of a request's time, so more servers would help"
    return f"the server itself takes {share:.0%} of a request's time, the way there and back the rest"
