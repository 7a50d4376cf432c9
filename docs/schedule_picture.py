"""Draws the schedule of a small process, and which events of a block each step is for. It is compiled and run, not invented.

python docs/schedule_picture.py docs/schedule.svg
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from evproc.framework import (
    EndPath,
    Event,
    ExternalProducer,
    Filter,
    InputTag,
    Module,
    OutputModule,
    Parameter,
    Path,
    Process,
    Producer,
)
from evproc.framework.flow import kind_of, resolve
from evproc.framework.graph_drawing import COLOURS, tint
from evproc.framework.module import ExternalWork
from evproc.framework.schedule import Phase, Schedule, compile_schedule
from evproc.framework.selection import PathState
from evproc.framework.testing import EventSource

EVENTS = 16
LEFT, TOP, CELL, ROW, GAP = 250.0, 126.0, 24.0, 24.0, 34.0
INK, FAINT, LINE, NONE = "#1F2328", "#57606A", "#8C959F", "#F3F4F6"
WORDS = {Phase.ACQUIRE: "acquire", Phase.RUN: "", Phase.COLLECT: "produce", Phase.RESULT: "", Phase.TAIL: ""}


class Toy(Module):
    """Notes the events that it is called for."""

    class Config(Module.Config):
        """What it reads."""

        of: InputTag = "x"

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.seen: list[int] = []

    def value(self, event: Event) -> int:
        """What it reads of an event."""
        self.seen.append(event.id.event)
        return int(event[self.config.of])


class Copy(Toy, Producer):
    """Makes what it reads."""

    produces = "int64"

    def produce(self, event: Event) -> int:
        """The value."""
        return self.value(event)


class Remote(Toy, ExternalProducer):
    """Makes what it reads, by way of the event loop."""

    produces = "int64"

    def acquire(self, event: Event) -> Any:
        """Hand out the work."""
        return asyncio.sleep(0, self.value(event))

    def produce(self, event: Event, result: int) -> int:
        """The result."""
        return result


class Accept(Toy, Filter):
    """Lets events pass whose number divides by `by`, or does not."""

    class Config(Toy.Config):
        """The divisor."""

        by: int = Parameter(description="divisor")
        divides: bool = Parameter(True, description="whether it must divide")

    def filter(self, event: Event) -> bool:
        """Whether it goes on."""
        return (self.value(event) % int(self.config.by) == 0) is bool(self.config.divides)


class Keep(Toy, OutputModule):
    """Writes nothing."""

    class Config(OutputModule.Config):
        """What it reads."""

        of: InputTag = "x"

    def write(self, event: Event) -> None:
        """Note the event."""
        self.value(event)


def picture_process() -> Process:
    """Two paths that use one filter, external work, a producer on demand, and an output that selects."""
    process = Process("PICTURE", block=EVENTS)
    process.source = EventSource({"x": np.arange(EVENTS)})
    process.busy = Accept(by=3, divides=False)
    process.corrected = Copy()
    process.score = Remote(of="corrected")
    process.tagged = Accept(of="score", by=4, divides=False)
    process.width = Copy()
    process.out = Keep(of="score", select=["signal"])
    process.rest = Keep(of="width", select=["control"])
    process.signal = Path(process.busy, process.score, process.tagged)
    process.control = Path(~process.busy, process.width)
    process.end = EndPath(process.out, process.rest)
    return process


def drawn(process: Process) -> str:
    """The picture, as SVG."""
    schedule = compile_schedule(process, resolve(process))
    process.run()
    parts: list[str] = []
    _paths(parts, process)
    y = TOP
    _text(parts, LEFT, y - 18, f"events of a block (here {EVENTS}) →", FAINT, 11)
    _text(parts, 24, y - 18, "steps of the schedule ↓", FAINT, 11)
    for number, step in enumerate(schedule.steps):
        if number == schedule.tail:
            y += GAP
            _text(parts, 24, y - 12, "tail: for one block at a time, in the order of the input", FAINT, 11)
            _line(parts, 24, y - GAP + 8, LEFT + EVENTS * CELL)
        on_path = any(member.label == step.node.label for path in schedule.placed.values() for member in path.members)
        word = WORDS[step.node.phase] if on_path else "on demand"
        _step(parts, y, step.module, word, set(process.modules[step.node.label].seen))
        y += ROW
    y += GAP
    _line(parts, 24, y - GAP + 8, LEFT + EVENTS * CELL)
    _text(parts, 24, y - 12, "what the paths have come to", FAINT, 11)
    for label in schedule.path_masks:
        _result(parts, y, label, _states(process, schedule, label))
        y += ROW
    width, height = LEFT + EVENTS * CELL + 24, y + 12
    style = "font-family:DejaVu Sans,Helvetica,Arial,sans-serif"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" style="{style}">'
    box = f'<rect width="{width:g}" height="{height:g}" fill="white"/>'
    return "\n".join([head, box, *parts, "</svg>", ""])


def _paths(parts: list[str], process: Process) -> None:
    """The paths as the workflow writes them."""
    y = 26.0
    for label, path in [*process.paths.items(), *process.end_paths.items()]:
        _text(parts, 24, y, label, INK, 12, bold=True)
        x = 100.0
        for text in path.texts():
            module = process.modules[text.removeprefix("~")]
            width = 8.0 * len(text) + 16
            _pill(parts, x, y, width, text, _colour(module))
            x += width + 22
            if text != path.texts()[-1]:
                _text(parts, x - 17, y, "→" if label in process.paths else "", LINE, 12)
        y += 26


def _step(parts: list[str], y: float, module: Module, word: str, seen: set[int]) -> None:
    colour = _colour(module)
    _pill(parts, 24, y + 6, 8.0 * len(module.label) + 16, module.label, colour)
    _text(parts, 150, y + 6, word, FAINT, 11)
    for event in range(EVENTS):
        face, edge = (tint(colour, 0.75), colour) if event in seen else (NONE, NONE)
        _cell(parts, LEFT + event * CELL, y - 4, face, edge)


def _result(parts: list[str], y: float, label: str, states: list[PathState]) -> None:
    _text(parts, 24, y + 6, label, INK, 12, bold=True)
    for event, state in enumerate(states):
        good = state is PathState.PASS
        _cell(parts, LEFT + event * CELL, y - 4, "#D5EBDC" if good else NONE, "#3E8E5A" if good else NONE)
        sign = "✓" if good else "✗"
        _text(parts, LEFT + event * CELL + 6, y + 6, sign, "#2C6B43" if good else FAINT, 11)


def _states(process: Process, schedule: Schedule, label: str) -> list[PathState]:
    """What a path has come to for each event, from what its last module and its filters saw."""
    reached = set(range(EVENTS))
    for member in schedule.placed[label].members:
        module = process.modules[member.label]
        if isinstance(module, Accept):
            passed = {event for event in reached if (event % module.config.by == 0) is module.config.divides}
            reached = reached - passed if member.mark.value else passed
    return [PathState.PASS if event in reached else PathState.FAIL for event in range(EVENTS)]


def _colour(module: Module) -> str:
    return COLOURS[f"external {kind_of(module)}" if isinstance(module, ExternalWork) else kind_of(module)]


def _text(parts: list[str], x: float, y: float, text: str, colour: str, size: int, *, bold: bool = False) -> None:
    weight = ' font-weight="bold"' if bold else ""
    parts.append(f'<text x="{x:g}" y="{y + 4:g}" font-size="{size}" fill="{colour}"{weight}>{text}</text>')


def _pill(parts: list[str], x: float, y: float, width: float, text: str, colour: str) -> None:
    shape = f'<rect x="{x:g}" y="{y - 9:g}" width="{width:g}" height="18" rx="9"'
    parts.append(f'{shape} fill="{tint(colour)}" stroke="{colour}"/>')
    middle = f'<text x="{x + width / 2:g}" y="{y + 4:g}" font-size="11" text-anchor="middle"'
    parts.append(f'{middle} fill="{INK}">{text}</text>')


def _cell(parts: list[str], x: float, y: float, face: str, edge: str) -> None:
    shape = f'<rect x="{x + 2:g}" y="{y:g}" width="{CELL - 4:g}" height="{ROW - 4:g}" rx="3"'
    parts.append(f'{shape} fill="{face}" stroke="{edge}"/>')


def _line(parts: list[str], start: float, y: float, end: float) -> None:
    parts.append(f'<line x1="{start:g}" x2="{end:g}" y1="{y:g}" y2="{y:g}" stroke="{LINE}" stroke-dasharray="4 4"/>')


if __name__ == "__main__":
    FilePath(sys.argv[1]).write_text(drawn(picture_process()), encoding="utf-8")
