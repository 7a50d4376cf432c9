"""A service of one's own: it watches for modules that keep the CPU for long."""

from __future__ import annotations

from typing import Any

from evproc.framework import Job, Observer, Parameter
from evproc.framework.observations import StepInfo


class SlowSteps(Observer):
    """Counts how often each module has held the CPU for longer than a limit."""

    class Config(Observer.Config):
        """The limit."""

        limit: float = Parameter(0.02, description="longer is slow", unit="s", gt=0, placement=True)

    async def begin_job(self, job: Job) -> None:
        """Forget the job before."""
        self.slow: dict[str, int] = {}

    def on_step_end(self, step: StepInfo) -> None:
        """A module has given the CPU back."""
        if step.end - step.begin > self.config.limit:
            self.slow[step.module] = self.slow.get(step.module, 0) + 1

    def report(self) -> dict[str, Any]:
        """Figures for the report of the job."""
        return {"slow_steps": self.slow}
