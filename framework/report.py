"""What a job did, as plain data: for the summary on the terminal, for the JSON report, and for users in Python."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .event import EventID
from .input_report import InputReport

REPORT_VERSION = 1


@dataclass(slots=True)
class ModuleReport:
    """What one module did."""

    label: str
    """Its name in the process."""
    type: str
    """The name of its class."""
    kind: str
    """source, producer, filter, analyzer or output."""
    calls: int = 0
    """Events that it was called for."""
    passed: int | None = None
    """Events that it let pass; None if it is no filter."""
    cpu_s: float = 0.0
    """Time in its methods, seconds."""
    failed: int = 0
    """Events for which it failed, and the job went on."""
    ignored: int = 0
    """Events for which its failure was ignored."""
    not_run: int = 0
    """Events for which it did not run because what it reads, or a module before it on its path, had failed."""
    external_wait_s: float = 0.0
    """From the end of `acquire` to the begin of `produce`, mean over events, seconds."""


@dataclass(slots=True)
class PathModuleReport:
    """What one module did on one path."""

    label: str
    shown: str
    """As the path writes it: `f`, `~f` or `ignored(f)`."""
    filter: bool
    """Whether it decides which events go on."""
    events: int
    """Events that came to it on this path."""
    rejected: int
    """Events that ended there because it said no (yes, where it is inverted)."""
    exceptions: int
    """Events that ended there because it failed, or could not run because what it needs had failed."""


@dataclass(slots=True)
class PathReport:
    """What one path did."""

    label: str
    events: int
    """Events of the job."""
    passed: int
    """Events that passed all its filters."""
    failed: int = 0
    """Events that a filter of it has rejected."""
    exceptions: int = 0
    """Events for which a module of it has failed."""
    modules: list[PathModuleReport] = field(default_factory=list)
    """Its modules, in order."""


@dataclass(slots=True)
class OutputReport:
    """One file that was written."""

    label: str
    """Name of the output module."""
    file: str
    events: int
    nbytes: int
    """Size of the file, bytes."""


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """A module failed on an event."""

    run: int
    luminosity_block: int
    event: int
    module: str
    error: str
    """The name of the exception's class."""
    message: str
    raised: str
    """File and line where it was raised, if known."""
    where: str
    """File and entries that the event comes from."""

    @property
    def id(self) -> EventID:
        """The identity of the event."""
        return EventID(self.run, self.luminosity_block, self.event)


@dataclass(slots=True)
class FailureReport:
    """How often a module failed in one way."""

    module: str
    error: str
    """The name of the exception's class."""
    action: str
    """try_to_continue, ignore, or rethrow for the one that ended the job."""
    events: int
    """Events for which it did."""
    first: str
    """The first of them in the order of the input: event and message."""


@dataclass(slots=True)
class Report:
    """What a job did."""

    process: str
    """Name of the process."""
    events: int = 0
    """Events that were processed."""
    blocks: int = 0
    """Blocks that these went through the schedule in."""
    wall_s: float = 0.0
    """From before the first event to after the last, seconds."""
    busy_s: float = 0.0
    """Of that, time when this process did not wait."""
    moving_s: float = 0.0
    """Of that, time in which requests were packed and sent, and answers taken."""
    waiting_external_s: float = 0.0
    """Of `wall_s`, time when nothing could be done but wait for answers."""
    waiting_input_s: float = 0.0
    """Of `wall_s`, time when nothing could be done but wait for the next chunk."""
    interrupted: bool = False
    """Whether Ctrl-C ended the job; its outputs are complete for what was done."""
    ended: str = ""
    """Why the job ended before the end of its input; empty if it did not. Its outputs are complete for what was done."""
    limit: str = ""
    """One line that says what limits the job."""
    modules: list[ModuleReport] = field(default_factory=list)
    """Those that ran: the source, then in the order of the schedule."""
    paths: list[PathReport] = field(default_factory=list)
    outputs: list[OutputReport] = field(default_factory=list)
    input: InputReport = field(default_factory=InputReport)
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Label -> figures of the service, each in a form of its own."""
    failed_events: int = 0
    """Events for which a module failed, and the job went on."""
    failed: list[FailedEvent] = field(default_factory=list)
    """The first of them, one entry for each module that failed."""
    failed_events_file: str = ""
    """Where all of them are, for `evproc run --only`; empty if nothing failed or no file is written."""
    failures: list[FailureReport] = field(default_factory=list)
    """How often each module failed in which way."""
    peak_memory_mb: float = 0.0
    """Largest resident memory of this process, MB."""
    warnings: list[str] = field(default_factory=list)
    """What modules and services want the user to know."""

    def module(self, label: str) -> ModuleReport:
        """The report of one module. Raises KeyError."""
        for report in self.modules:
            if report.label == label:
                return report
        raise KeyError(label)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, with the version of its form."""
        return {"version": REPORT_VERSION, **dataclasses.asdict(self)}

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(json.dumps(self.to_dict(), indent=2) + "\n")

    def _repr_html_(self) -> str:
        from .notebook import report_html

        return report_html(self)


@dataclass(slots=True)
class Progress:
    """How far a job has come."""

    events: int
    total: int | None
    """How many events there will be, if that is known."""
    elapsed_s: float
    rate: float
    """Events per second, of late."""
    blocks_open: int
    status: dict[str, str] = field(default_factory=dict)
    """Short facts of the services, as `in flight` -> `3`."""
    done: bool = False

    @property
    def seconds_left(self) -> float | None:
        """Seconds to go at this rate; None if that cannot be said."""
        if self.total is None or self.rate <= 0:
            return None
        return max(0.0, (self.total - self.events) / self.rate)
