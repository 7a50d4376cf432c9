"""Running a job for some events only: those of a file of failed events, or of a list of `run:block:event` lines.

The events are matched by their identity, behind the source and whatever it is: chunks are read as ever, and of each the
events that are named go on. That is as fast as reading; a source that can find events by itself need not be asked. An event
that the input has twice is run twice, one that it has not is told at the end.

A job that runs the events of a file may write the events that fail again to the same file. It then holds, at the end, what
has failed again and what was not run: a list that is worked off bit by bit loses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import ConfigurationError, Fault
from .event import EventID, EventIDs
from .module import Chunk

if TYPE_CHECKING:
    from .input_report import InputReport
    from .process import Process


class EventList:
    """The events that a job is for."""

    def __init__(self, path: Path, lines: dict[EventID, list[str]], workflow: str) -> None:
        self.path = path
        #: the lines of the file that name an event
        self.lines = lines
        #: the workflow whose failed events they are; empty if unsaid
        self.workflow = workflow
        self._numbers = np.array(sorted({identity.event for identity in lines}), np.uint64)
        #: the events that have been found, in the order of the input
        self._found: list[EventID] = []
        #: for each of them, how many events the source had yielded before
        self._before: list[int] = []
        self._yielded = 0

    def __len__(self) -> int:
        return len(self.lines)

    def chosen(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Of some chunks, the events that are on the list."""
        try:
            for chunk in chunks:
                index = self._places(chunk.ids)
                self._found += [chunk.ids[number] for number in index]
                self._before += [self._yielded + number for number in index]
                self._yielded += len(chunk)
                if len(index) == len(chunk):
                    yield chunk
                elif index:
                    yield _taken(chunk, np.array(index, np.int64))
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

    def _places(self, ids: EventIDs) -> list[int]:
        likely = np.flatnonzero(np.isin(np.asarray(ids.event, np.uint64), self._numbers))
        return [number for number in likely.tolist() if ids[number] in self.lines]

    def yielded(self, done: int) -> int:
        """How many events of the source are dealt with when `done` of those on the list have been processed."""
        return self._yielded if done >= len(self._found) else self._before[done]

    def remaining(self, done: int) -> list[str]:
        """The lines of the events that are not among the first `done` that were processed."""
        processed = set(self._found[:done])
        return [line for identity, lines in self.lines.items() if identity not in processed for line in lines]

    def missing(self) -> list[EventID]:
        """The events that the input does not have; to be asked when it has been read to its end."""
        return sorted(self.lines.keys() - set(self._found))

    def correct(self, report: InputReport, done: int) -> None:
        """Make a source's report, that knows nothing of the list, one of the events that were processed."""
        left_out = self.yielded(done) - done
        report.events = done
        if left_out:
            report.left_out["not on the list of events"] = left_out
            report.not_complete()

    def warnings(self, process: Process, *, whole: bool) -> list[str]:
        """What the user should know; `whole`: the input has been read to its end."""
        found = []
        if self.workflow and self.workflow != process.name:
            found.append(f"the events of '{self.path}' failed in workflow '{self.workflow}', not in '{process.name}'")
        missing = self.missing() if whole else []
        if missing:
            found.append(
                f"{len(missing)} of the {len(self)} events of '{self.path}' are not in the input: {missing[0]}"
            )
        return found


def event_list(process: Process) -> EventList | None:
    """The events that a process is for; None if it is for all. Raises ConfigurationError."""
    name = process.options.only
    if not name:
        return None
    path = Path(name).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text file"
        raise _fault(process, f"the list of events '{path}' cannot be read: {why}") from error
    lines: dict[EventID, list[str]] = {}
    workflow = ""
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        bare = line.partition("#")[0].strip() if not line.startswith("{") else line.strip()
        if not bare:
            continue
        try:
            found = _event_of(bare)
        except (ValueError, KeyError, TypeError):
            form = "run:block:event, or a line of a file of failed events"
            wrong = f"line {number} of '{path}' names no event; it should be {form}"
            raise _fault(process, f"{wrong}, not {bare[:60]!r}") from None
        if isinstance(found, EventID):
            lines.setdefault(found, []).append(line if line.endswith("\n") else f"{line}\n")
        else:
            workflow = found
    if not lines:
        raise _fault(process, f"the list of events '{path}' names no event")
    return EventList(path, lines, workflow)


def _event_of(line: str) -> EventID | str:
    """The event that a line names; the workflow, if it is the first line of a file of failed events."""
    if not line.startswith("{"):
        run, block, event = line.split(":")
        return EventID(int(run), int(block), int(event))
    entry = json.loads(line)
    if "failed_events" in entry:
        return str(entry["workflow"])
    return EventID(int(entry["run"]), int(entry["luminosity_block"]), int(entry["event"]))


def _fault(process: Process, message: str) -> ConfigurationError:
    return ConfigurationError([Fault(message, "options", "only", process.where)])


def _taken(chunk: Chunk, index: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Chunk:
    ids = EventIDs(
        np.asarray(chunk.ids.run)[index],
        np.asarray(chunk.ids.luminosity_block)[index],
        np.asarray(chunk.ids.event)[index],
    )
    where = f"{chunk.where}, some events of it" if chunk.where else ""
    return replace(
        chunk,
        ids=ids,
        columns={key: column.take(index) for key, column in chunk.columns.items()},
        where=where,
        nbytes=0,
    )
