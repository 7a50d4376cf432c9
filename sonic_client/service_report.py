"""What an inference service says of its models: figures for the report of a job, facts for the provenance of outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .repository import checksum

if TYPE_CHECKING:
    from .model_queue import ModelQueue, Policy, Server
    from .tensors import ModelStatistics

Queues = Mapping[tuple[str, str, "Policy"], "ModelQueue"]
Statistics = Mapping[tuple[str, str], "ModelStatistics"]
EMBEDDED = "embedded"
"""What the provenance calls the server of a job's own, whose port differs from job to job."""


def model_reports(queues: Queues, begin: Statistics, end: Statistics) -> list[dict[str, Any]]:
    """Per model and server: rows, requests, latency, and what the server says that it took of it.

    `begin` and `end` are what servers counted before and after the job: (server, model) -> statistics.
    """
    found = []
    for (model, version, _), queue in queues.items():
        for url, record in queue.records.items():
            share = _server_share(begin.get((url, model)), end.get((url, model)), record.total_s)
            found.append(
                {
                    "model": model,
                    "version": version or "latest",
                    "server": url,
                    "rows": record.rows,
                    "requests": record.requests,
                    "rows_per_request": record.rows / record.requests if record.requests else 0.0,
                    "latency_median_s": record.quantile(0.5),
                    "latency_p99_s": record.quantile(0.99),
                    "latency_total_s": record.total_s,
                    "server_share": share,
                    "retries": record.retries,
                    "failures": record.failures,
                    "limit": _limit_hint(share),
                }
            )
    return found


def model_provenance(
    queues: Queues, offers: Mapping[str, Sequence[Server]], own_url: str, folder: Path | None
) -> dict[str, Any]:
    """Per model: name, versions, checksum where its files are at hand, and which servers answered how many rows.

    `folder` is the repository of the job's own server, which is at `own_url`.
    """
    models = []
    for (model, version, _), queue in queues.items():
        own = folder is not None and own_url in [server.url for server in offers.get(model, [])]
        models.append(
            {
                "model": model,
                "version": version or ",".join(queue.metadata.versions) or "latest",
                "checksum": checksum(folder, model) if own and folder is not None else "",
                "servers": [
                    {"server": EMBEDDED if url == own_url else url, "rows": record.rows}
                    for url, record in queue.records.items()
                    if record.requests
                ],
            }
        )
    return {"models": models} if models else {}


def _server_share(begin: ModelStatistics | None, end: ModelStatistics | None, total: float) -> float | None:
    """The part of the requests' time that the server spent on them, queueing included; None if it is not known."""
    if begin is None or end is None or total <= 0:
        return None
    spent = end.queue + end.compute - begin.queue - begin.compute
    return min(1.0, spent / total) if math.isfinite(spent) else None


def _limit_hint(share: float | None) -> str:
    if share is None:
        return ""
    if share >= 0.6:
        return f"the server itself takes {share:.0%} of a request's time, so more servers would help"
    return f"the server itself takes {share:.0%} of a request's time, the way there and back the rest"
