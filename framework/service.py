"""Services: what a whole job shares, such as the connection to inference servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .configured import Configured
from .errors import ConfigurationError, Fault
from .transitions import TransitionMethods

if TYPE_CHECKING:
    from .module import Module
    from .observing import Observers

S = TypeVar("S", bound="Service")


class Metric(NamedTuple):
    """The value of something at a moment."""

    name: str
    """In Prometheus' style, with its unit: `evproc_inference_rows_total`. One that ends in `_total` only grows."""
    meaning: str
    value: float
    labels: Mapping[str, str] = {}


class Service(Configured, TransitionMethods):
    """Something that a whole job shares. All methods run in the event loop of the job."""

    async def check(self, modules: Mapping[str, Module]) -> list[Fault]:
        """Everything that would keep the job from running, found before the first event. May open connections."""
        return []

    async def begin_job(self, job: Job) -> None:
        """Called after `check`, before the modules' `begin_job`."""

    async def end_job(self) -> None:
        """Called once at the end, also after an error, also after a failed `check`."""

    def idle(self) -> None:
        """The CPU has nothing left to do: what was held back to be sent with more should be sent now."""

    def status(self) -> dict[str, str]:
        """Short facts for the progress display, as `in flight` -> `3`."""
        return {}

    def report(self) -> dict[str, Any]:
        """Figures for the report of the job (JSON)."""
        return {}

    def metrics(self) -> Iterator[Metric]:
        """Figures while the job runs, for who collects them from outside (Prometheus)."""
        return iter(())

    def provenance(self) -> dict[str, Any]:
        """What output files say of it (JSON types): what of its doing results depend on. Asked when the last event is done."""
        return {}


def _nobody() -> Observers:
    from .observing import Observers

    return Observers()


@dataclass(slots=True)
class Job:
    """What modules and services are given at the begin of a job."""

    process: str
    """Name of the process."""
    services: Mapping[str, Service]
    pool: ThreadPoolExecutor
    """For calls that block."""
    in_flight_bytes: int
    """Budget of external work in flight, bytes."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """What is known of it before the first event: process, version of evproc, hash of the configuration."""
    observers: Observers = field(default_factory=_nobody)
    """Who is told of what happens, and `observers.request`, by which services tell of their requests."""
    record: Callable[[], Mapping[str, Any]] = dict
    """All that output files say of where they come from, when the last event is done; see `provenance.record`."""

    def service(self, kind: type[S], label: str = "") -> S:
        """The service of a kind. Raises ConfigurationError if the process has none."""
        for name, service in self.services.items():
            if isinstance(service, kind) and (not label or name == label):
                return service
        raise ConfigurationError(
            [Fault(f"the process has no {kind.__name__}; add one: process.x = {kind.__name__}(...)")]
        )
