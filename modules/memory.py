"""`Memory`: what the products of each module hold, and how the memory of the process grows.

    process.memory = Memory()          # or: evproc run workflow.py --memory

A product is released after the last module that reads it has run. This service shows it: how much the products of each module
hold, per event and at most at any time, and how much all of them held together at the worst moment. The growth of the process
is read from the operating system before and after a module runs, as often as a share of the time (`share`) allows; a module
that grows for ever shows, small ones drown in what the allocator keeps for later.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from evproc.framework import Job, Observer, Parameter
from evproc.framework.observing import ProductInfo, StepInfo
from evproc.framework.resident import resident_bytes


@dataclass(slots=True)
class _Held:
    """What is known of one module. All in bytes but `events` and `looks`."""

    module: str
    events: int = 0
    made: int = 0
    held: int = 0
    held_peak: int = 0
    looks: int = 0
    growth: int = 0


class Memory(Observer):
    """Memory of the products of each module, and growth of the process."""

    class Config(Observer.Config):
        """How much may be measured."""

        share: float = Parameter(
            0.01, description="what looking at the process may cost, as a share of the time", placement=True, ge=0, le=1
        )

    config: Config

    async def begin_job(self, job: Job) -> None:
        """Forget the job before."""
        self._modules: dict[str, _Held] = {}
        self._held = self._peak = 0
        self._zero = perf_counter()
        self._spent = 0.0
        self._before: int | None = None
        self._begin = self._resident = resident_bytes()

    def _of(self, module: str) -> _Held:
        return self._modules.setdefault(module, _Held(module))

    def on_product(self, product: ProductInfo) -> None:
        """A product is held."""
        module = self._of(product.module)
        module.events += product.events
        module.made += product.nbytes
        module.held += product.nbytes
        module.held_peak = max(module.held_peak, module.held)
        self._held += product.nbytes
        self._peak = max(self._peak, self._held)

    def on_release(self, product: ProductInfo) -> None:
        """A product is gone."""
        self._of(product.module).held -= product.nbytes
        self._held -= product.nbytes

    def on_step_begin(self, step: StepInfo) -> None:
        """Look at the process, if there is time for it."""
        self._before = None
        if self._spent <= self.config.share * (step.begin - self._zero):
            self._before = self._look()

    def on_step_end(self, step: StepInfo) -> None:
        """By how much the process has grown."""
        if self._before is not None:
            module = self._of(step.module)
            module.looks += 1
            module.growth += self._look() - self._before

    def _look(self) -> int:
        begin = perf_counter()
        resident = resident_bytes()
        self._resident = max(self._resident, resident)
        self._spent += perf_counter() - begin
        return resident

    def status(self) -> dict[str, str]:
        """What all products hold at present, for the progress display."""
        return {"products": f"{self._held / 1e6:.1f} MB"}

    def report(self) -> dict[str, Any]:
        """Bytes that products held, in all and by module, and the growth of the process."""
        entries = []
        for module in self._modules.values():
            entry = asdict(module)
            entry["per_event"] = module.made / module.events if module.events else 0.0
            entries.append(entry)
        return {
            "memory": entries,
            "products_peak": self._peak,
            "products_held": self._held,
            "resident_begin": self._begin,
            "resident_peak": self._resident,
        }
