"""What failed in a job: counts for its report, and each event for a file from which it can be run again.

An event is written when its block has ended, so the file is in the order of the input; one line for each module that
failed on it. The file is written beside its place and moved there at the end, also when the job ends early; of a job that
is killed, `FILE.part` stays. Only the lines of open blocks are held in memory, and the first `KEPT` events for the report.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from .errors import EvprocError, ModuleError, OutputError
from .exception_policy import Action, ExceptionPolicy, Rules
from .report import FailedEvent, FailureReport, Report

if TYPE_CHECKING:
    from types import TracebackType

    from .block import Block
    from .engine import Engine
    from .process import Process
    from .replay import EventList

FORM = 1
"""Version of the form of the file."""
KEPT = 1000
"""Failed events that a report holds at most; the file has all."""
_FRAMEWORK = str(Path(__file__).parent)
_REAL_FRAMEWORK = str(Path(__file__).resolve().parent)


class Note(NamedTuple):
    """An error that did not end the job, in words: the error itself would keep the event's data alive."""

    action: Action
    category: str
    """The name of its class."""
    message: str
    raised: str
    """File and line."""


@dataclass(slots=True)
class Failures:
    """The failures of a job."""

    rules: Rules
    anyway: frozenset[str]
    """Modules that are called though what they read has failed."""
    path: Path | None
    """The file for failed events."""
    order: Mapping[str, int]
    """Module -> its place in the process, which is that of its line among those of an event."""
    header: dict[str, Any]
    """Its first line: workflow, configuration, version."""
    limit: int | None = None
    """The job ends when more events than this have failed."""
    events: int = 0
    """Events for which something failed."""
    first: list[FailedEvent] = field(default_factory=list)
    leftover: Callable[[bool], list[str]] | None = None
    """Given whether the job failed, lines that belong at the end: of events that were to be run again, and have not been."""
    _open: dict[int, list[tuple[int, Action, FailedEvent]]] = field(default_factory=dict)
    _blocks: set[tuple[int, int]] = field(default_factory=set)
    """(run, luminosity block) of all failed events."""
    _counts: dict[tuple[str, str, str], FailureReport] = field(default_factory=dict)
    _file: TextIO | None = None

    def judge(self, label: str, error: BaseException) -> Note | None:
        """What becomes of an error of a module; None if it ends the job. May be called in any thread."""
        action = self.rules.action(label, error)
        if action is Action.RETHROW:
            return None
        return Note(action, type(error).__name__, str(error), _raised(error.__traceback__))

    def note(self, block: Block, number: int, label: str, note: Note) -> None:
        """A module has failed on an event of an open block."""
        identity = block.store.event_id(number)
        failed = FailedEvent(*identity, label, note.category, note.message, note.raised, block.store.where)
        self._open.setdefault(block.number, []).append((number, note.action, failed))

    def ended(self, number: int, size: int) -> None:
        """A block has ended: count and write what failed in its first `size` events. Raises ModuleError if too much has."""
        if number not in self._open:
            return
        notes = [note for note in self._open.pop(number) if note[0] < size]
        if not notes:
            return
        before = self.events
        self._take(notes)
        if self.limit is not None and self.events > self.limit:
            failed = {number: event for number, action, event in reversed(notes) if action is not Action.IGNORE}
            last = failed[sorted(failed)[self.limit - before]]
            raise ModuleError(
                f"more than max_failed = {self.limit} events have failed; the one too many: module '{last.module}' at "
                f"{last.id}: {last.error}: {last.message}"
            )

    def __enter__(self) -> Failures:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:  # blocks behind an early end do not count
            self._open.clear()
        try:
            self.close(failed=error is not None)
        except OutputError:
            if error is None:  # what ended the job is the better message
                raise

    def runs_again(self, only: EventList, engine: Engine) -> None:
        """The job is for the events of a file. If failed events go to the same, those that are not run stay in it."""
        if self.path is not None and self.path.resolve() == only.path.resolve():
            self.leftover = lambda failed: only.remaining(0 if failed else engine.events_done)

    def close(self, *, failed: bool) -> None:
        """The job has ended, perhaps early: write what is left, and give the file its name. Raises OutputError."""
        for number in sorted(self._open):
            self._take(self._open.pop(number))
        lines = self.leftover(failed) if self.leftover else []
        if self.path is None:
            return
        try:
            if lines:
                self._opened().write("".join(lines))
            if self._file is not None:
                self._file.close()
                self._part.replace(self.path)
            else:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._cannot_write(error) from error
        finally:
            self._file = None

    def fill(self, report: Report) -> None:
        """Enter the failures into the report of the job."""
        report.failed_events = self.events
        report.input.not_complete(self._blocks)
        report.failed = list(self.first)
        report.failures = list(self._counts.values())
        report.failed_events_file = str(self.path) if self.path is not None and self.events else ""
        for failure in report.failures:
            tally = report.module(failure.module)
            if failure.action == Action.IGNORE.value:
                tally.ignored += failure.events
            else:
                tally.failed += failure.events

    def _take(self, notes: list[tuple[int, Action, FailedEvent]]) -> None:
        notes.sort(key=lambda item: (item[0], self.order.get(item[2].module, 0)))
        failed = [item for item in notes if item[1] is not Action.IGNORE]
        self.events += len({number for number, _, _ in failed})
        self._blocks.update((event.run, event.luminosity_block) for _, _, event in failed)
        for _, action, event in notes:
            self._count(action, event)
        self.first += [event for _, _, event in failed[: KEPT - len(self.first)]]
        if failed and self.path is not None:
            text = "".join(f"{json.dumps(_plain(event))}\n" for _, _, event in failed)
            try:
                self._opened().write(text)
                self._opened().flush()
            except OSError as error:
                raise self._cannot_write(error) from error

    def _count(self, action: Action, event: FailedEvent) -> None:
        key = (event.module, event.error, action.value)
        known = self._counts.get(key)
        if known is None:
            self._counts[key] = FailureReport(*key, 1, f"{event.id}: {event.message}")
        else:
            known.events += 1

    @property
    def _part(self) -> Path:
        assert self.path is not None
        return self.path.with_name(f"{self.path.name}.part")

    def _opened(self) -> TextIO:
        if self._file is None:
            self._file = self._part.open("w", encoding="utf-8")
            self._file.write(f"{json.dumps(self.header)}\n")
        return self._file

    def _cannot_write(self, error: OSError) -> EvprocError:
        return OutputError(f"the failed events cannot be written to '{self.path}': {error.strerror or error}")


def failures_of(process: Process, provenance: Mapping[str, str]) -> Failures | None:
    """Where a process keeps its failures; None if it has no policy, so that the first one ends the job."""
    policy = next((part for part in process.services.values() if isinstance(part, ExceptionPolicy)), None)
    if policy is None:
        return None
    path = policy.path if policy.config.failed_events else None
    header = {"failed_events": FORM, "workflow": process.name, **provenance}
    header.pop("process", None)
    order = {label: place for place, label in enumerate(process.modules)}
    anyway = frozenset(policy.config.call_anyway)
    return Failures(policy.rules(), anyway, path, order, header, policy.config.max_failed)


def _plain(event: FailedEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in FailedEvent.__slots__}


def _raised(trace: TracebackType | None) -> str:
    """File and line of the innermost frame that is not the framework's."""
    place = ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith((_FRAMEWORK, _REAL_FRAMEWORK, "<")):
            place = f"{Path(file).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
