"""Services that a command adds to a workflow: `evproc run --trace`, and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evproc.framework.process import Process


def add_service(process: Process, kind: str, **parameters: Any) -> None:
    """Add a service by its plug-in's name; one of that class that the workflow has gets the parameters instead."""
    from evproc.framework.plugins import discover

    part = discover().get(kind).load_part()
    for label, service in process.services.items():
        if type(service) is part:
            for key, value in parameters.items():
                process.override(f"{label}.{key}", value)
            return
    label = kind.lower()
    while hasattr(process, label):
        label += "_"
    setattr(process, label, part(**parameters))
