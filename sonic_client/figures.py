"""What the report of a job says of its inference: the form of `services.LABEL` for an `InferenceService`.

The schema is made from these dataclasses. Times are seconds. The time of a request is split in four: it waits here until it is
sent; of what then goes by until its answer is there, whose mean is `latency_mean_s`, the server says how long it waited there
and was computed on; the wire is the rest, the packing of the tensors included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class ModelFigures:
    """One model on one server, as modules that ask in the same way have asked it."""

    model: str
    version: str
    """The version that was asked for; `latest` if none was."""
    answered: dict[str, int]
    """Version that the server named in its answers -> rows."""
    server: str
    events: int
    """Events whose rows were handed over for the model, on all servers."""
    rows: int
    requests: int
    rows_per_request: float
    sent_bytes: int
    """Inputs of the requests that were answered."""
    received_bytes: int
    """Their outputs."""
    sent_bytes_per_event: float
    """`sent_bytes` / `events`: the sum over the servers of a model is what an event takes."""
    received_bytes_per_event: float
    latency_mean_s: float
    """From sending a request to having its answer."""
    latency_median_s: float
    latency_p99_s: float
    latency_total_s: float
    waiting_s: float
    """Mean over requests, from when the oldest row was handed over until the request was first sent."""
    again_s: float
    """Mean over requests, in attempts that failed and the pauses after them."""
    wire_s: float | None
    """`latency_mean_s` without what the server says that it took; None where it says nothing."""
    server_queue_s: float | None
    """Mean over the requests that the server answered during the job, those of other clients too: waiting there."""
    server_compute_s: float | None
    """The same: being computed on, tensors moved within the server included."""
    server_requests: int
    """The requests that these two are the means of."""
    server_share: float | None
    """What the server took, as a part of the latency."""
    retries: int
    """Attempts that were followed by another."""
    failures: int
    """Attempts that failed."""
    circuit: str
    """State of the circuit at the end: closed, open or half-open."""
    circuit_opened: int
    """How often it was opened."""
    limit: str
    """One line that says what limits it."""


@dataclass(slots=True, kw_only=True)
class CircuitFigures:
    """The circuit of a model on a server."""

    state: str
    opened: int


@dataclass(slots=True, kw_only=True)
class ServerFigures:
    """One server."""

    server: str
    name: str
    ready: bool
    """What the last health poll has found."""
    fallback: bool
    """Whether it is the job's own."""
    limit: int
    """Requests that could be under way at the end."""
    peak: int
    """Requests that were under way at most."""
    circuits: dict[str, CircuitFigures] = field(default_factory=dict)
    """Model -> its circuit, where it was ever opened."""


@dataclass(slots=True, kw_only=True)
class OutcomeFigures:
    """What became of the requests for one model, over all servers."""

    events: int
    defaulted_rows: int
    """Rows that got a default value."""
    skipped_rows: int
    """Rows whose events failed with EventSkipped."""
    busy: int
    """Refusals by servers with too much to do."""
    opened: int
    """How often a circuit was opened."""
    hedges: int
    """Requests that were sent to a second server as well."""
    hedges_won: int
    """Of these, how often the second was first."""
    held_peak_bytes: int
    """Inputs that were held at most."""


@dataclass(slots=True, kw_only=True)
class InferenceFigures:
    """What an `InferenceService` reports."""

    models: list[ModelFigures]
    servers: list[ServerFigures]
    outcomes: dict[str, OutcomeFigures]
    """Model -> what became of its requests."""
    changes: list[str]
    """What happened to servers, in order, the first 1000: come, gone, ready, circuits opened and closed."""


def schema() -> dict[str, Any]:
    """The JSON Schema of what an `InferenceService` reports."""
    from pydantic import TypeAdapter

    made = TypeAdapter(InferenceFigures).json_schema(mode="serialization")
    for part in (made, *made["$defs"].values()):
        part["required"] = list(part["properties"])
        part["additionalProperties"] = False
    return made
