"""A job step by step, for tests: one step of one block at a time, and external work answered in the order that the test says.

    with Stepwise(process) as job:
        step = job.step()                      # StepInfo(module='energy', phase='acquire', block=0, ...)
        job.run_until_idle()                   # nothing can go on: all that is left waits for answers
        second, first = reversed(job.held)     # HeldWork(number=2, module='energy', block=1, events=10) ...
        job.answer(second)
        job.step()                             # 'energy', phase 'collect', block 1
        result = job.finish()

The job is the real one, with the real engine: it runs in a thread of its own, is stopped before each step of a module and
waits there for the test. What external work brings is kept back until the test lets it through; the work itself begins when
the module hands it out. All is told through the hooks that observers have, so the engine knows nothing of tests.

A step is a stretch for which a module has the CPU. One that has to wait for answers ends with the outcome `waits`, and comes
again when there are some.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING

from .module import ExternalWork, Source
from .observing import StepInfo
from .stepping_gate import Gate, HeldWork, Steps, ending, held_back

if TYPE_CHECKING:
    from .process import Process
    from .result import Result

LABEL = "steps_of_the_test"
PATIENCE = 30.0
"""How long the test waits for the job, seconds; more means that something hangs."""


class Stepwise:
    """Runs a process step by step. A context manager: on leaving, whatever is left of the job is broken off.

    All methods wait for the job at most `patience` seconds, and raise TimeoutError then; what the job raises, they raise.
    """

    def __init__(self, process: Process, *, patience: float = PATIENCE) -> None:
        self._process = process
        self._patience = patience
        self._gate = Gate()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._run,), name="evproc-stepwise", daemon=True
        )
        self._result: Result | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Stepwise:
        for module in self._process.modules.values():  # their own methods, for as long as the test lasts
            if isinstance(module, Source):
                module.__dict__["chunks"] = partial(ending, module.chunks, self._gate)
            elif isinstance(module, ExternalWork):
                module.__dict__["launch"] = partial(held_back, module.launch, self._gate)
        steps = Steps()
        steps.gate = self._gate
        setattr(self._process, LABEL, steps)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        gate = self._gate
        with gate.changed:
            if gate.cancel is not None and not gate.over:
                gate.cancel()
        gate.open()
        self._thread.join(self._patience)
        for module in self._process.modules.values():
            for method in ("chunks", "launch"):
                module.__dict__.pop(method, None)
        self._process.services.pop(LABEL, None)

    def _run(self) -> None:
        try:
            self._result = self._process.run(progress=False)
        except BaseException as error:
            self._error = error
        finally:
            self._gate.ended()

    @property
    def held(self) -> list[HeldWork]:
        """External work that was handed out and not yet let through, in the order in which it was handed out."""
        with self._gate.changed:
            return list(self._gate.held)

    def step(self) -> StepInfo | None:
        """Let the next step run until it gives the CPU back; None if none can before work is answered, or at the end."""
        gate = self._gate
        with gate.changed:
            self._wait(gate.settled)
            done: list[StepInfo] = []
            if gate.at is not None:
                gate.let_go(done)
                self._wait(lambda: bool(done) or gate.over)
            if not done and self._error is not None:
                raise self._error
            return done[0] if done else None

    def run_until_idle(self) -> list[StepInfo]:
        """All steps that can run before external work is answered, or up to the end."""
        steps = []
        while (step := self.step()) is not None:
            steps.append(step)
        return steps

    def run_to(self, module: str, phase: str = "") -> StepInfo:
        """Steps up to and including the next one of a module. Raises LookupError if none comes."""
        passed = []
        while (step := self.step()) is not None:
            if step.module == module and phase in ("", step.phase):
                return step
            passed.append(step.module)
        waits = f"; work is held: {self.held}" if self.held else ""
        raise LookupError(f"no step of '{module}' {phase} comes after {passed}{waits}")

    def answer(self, *work: HeldWork) -> None:
        """Let the answers of some work through, one after the other; all that is held if none is named.

        If the job stands before a step at that time, they come after this step.
        """
        gate = self._gate
        with gate.changed:
            chosen = work or tuple(gate.held)
            for one in chosen:
                if one not in gate.held:
                    raise LookupError(f"{one} has been answered")
            gate.held = [one for one in gate.held if one not in chosen]
            gate.let_through(chosen)
            self._wait(lambda: gate.at is not None or gate.over or not gate.running)

    def finish(self) -> Result:
        """Let the job run to its end, answers coming when they are there. Raises what it raises."""
        self._gate.open()
        self._thread.join(self._patience)
        if self._thread.is_alive():
            raise TimeoutError(f"the job has not ended after {self._patience:g} s")
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def _wait(self, until: Callable[[], bool]) -> None:
        if not self._gate.changed.wait_for(until, self._patience):
            raise TimeoutError(f"the job came to no step in {self._patience:g} s")
