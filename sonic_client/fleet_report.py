"""What the report says of servers and of what became of requests, beside the figures per model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .figures import CircuitFigures, OutcomeFigures, ServerFigures

if TYPE_CHECKING:
    from .fleet import Server
    from .model_queue import ModelQueue


def server_reports(servers: Iterable[Server]) -> list[ServerFigures]:
    """Per server: how many requests could be under way, how many were at most, and how its circuits stand."""
    return [
        ServerFigures(
            server=server.url,
            name=server.name,
            ready=server.ready,
            fallback=server.fallback,
            limit=server.places.value,
            peak=server.peak,
            circuits={
                model: CircuitFigures(state=circuit.state.value, opened=circuit.opened)
                for model, circuit in server.circuits.items()
                if circuit.opened
            },
        )
        for server in servers
    ]


def outcome_reports(queues: Mapping[Any, ModelQueue]) -> dict[str, OutcomeFigures]:
    """Per model: rows that got a default or were skipped, refusals, circuits opened, hedges, bytes held at most."""
    found: dict[str, dict[str, int]] = {}
    for queue in queues.values():
        figures = asdict(queue.outcomes)
        hedging = queue.hedging
        figures |= {"hedges": hedging.sent, "hedges_won": hedging.won} if hedging else {"hedges": 0, "hedges_won": 0}
        figures["held_peak_bytes"] = queue.peak_bytes
        before = found.setdefault(queue.metadata.name, dict.fromkeys(figures, 0))
        for key, value in figures.items():
            before[key] += value
    return {model: OutcomeFigures(**figures) for model, figures in found.items()}
