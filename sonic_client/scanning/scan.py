"""A scan: its points one after another, each with its clients; what is finished is kept, whatever comes then.

After each point the results so far are written (`scan.json`, `scan.csv`). The same scan in the same folder goes on where it
was left: points that are there are not measured again, those that failed are. A point that fails is a line with its error, and
the scan goes on; Ctrl-C ends the clients of the point, and all that was measured before is there.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evproc.framework.errors import ConfigurationError, EvprocError, Fault, InputError, InternalError, OutputError
from evproc.framework.new_files import in_one_step

from .clients import ClientLauncher, tidy
from .points import Point, Result, as_csv
from .servers import Kind, Servers
from .window import measure

FORM = 1
MARGIN = 60.0
"""s, for clients to begin and end, beside the time in which they run; and one more for each client."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What all points of a scan have in common; another one is another scan."""

    workflow: str
    arguments: tuple[str, ...] = ()
    """Of the workflow."""
    settings: tuple[str, ...] = ()
    """KEY=VALUE"""
    modifiers: tuple[str, ...] = ()
    server: str = "auto"
    capacity: dict[str, float] = field(default_factory=dict)
    """Of a fake server."""
    models: tuple[str, ...] = ()
    seconds: float = 5.0
    """For which clients begin blocks."""
    warm_up: float = 0.5
    """Of that, what does not count, s."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        data: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return data


@dataclass(slots=True)
class Folder:
    """Where a scan is kept."""

    path: Path
    setup: Setup
    results: dict[Point, Result] = field(default_factory=dict)
    started: str = ""

    @classmethod
    def open(cls, path: Path, setup: Setup, *, fresh: bool = False) -> Folder:
        """The folder, with what is finished of the same scan. Raises ConfigurationError if it holds another one."""
        made = cls(path, setup)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder '{path}': {error.strerror}") from error
        if fresh or not made.file.exists():
            return made
        try:
            data = json.loads(made.file.read_text())
            if data["version"] != FORM:
                raise ValueError(f"its version is {data['version']}, not {FORM}")
            results = [Result.from_dict(each) for each in data["results"]]
            before = data["setup"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"'{made.file}' is no scan that can go on ({error}); --fresh begins anew") from error
        if before != setup.to_dict():
            now = setup.to_dict()
            names = [name for name in now if before.get(name) != now[name]]
            wrong = f"'{path}' holds a scan with other settings ({', '.join(names)}): --fresh replaces it"
            raise ConfigurationError([Fault(wrong, where="--output")])
        made.results = {result.point: result for result in results}
        return made

    @property
    def file(self) -> Path:
        """All of the scan, as JSON."""
        return self.path / "scan.json"

    def reports(self, point: Point) -> Path:
        """Where the reports of the clients of a point are."""
        return self.path / "reports" / point.slug

    def add(self, result: Result) -> None:
        """Keep a result. Raises OutputError."""
        self.results[result.point] = result
        data = {
            "version": FORM,
            "setup": self.setup.to_dict(),
            "results": [each.to_dict() for each in self.results.values()],
        }
        write(self.file, json.dumps(data, indent=1) + "\n")
        write(self.path / "scan.csv", as_csv(self.results.values()))

    def finished(self, point: Point) -> bool:
        """Whether a point was measured."""
        return point in self.results and self.results[point].measured is not None


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises OutputError."""
    try:
        with in_one_step(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror}") from error


def run_scan(
    folder: Folder,
    points: Sequence[Point],
    servers: Servers,
    inference: Sequence[str],
    told: Callable[[Point, Result | None], None],
) -> None:
    """Measure all points that are not finished.

    inference: labels of the modules that ask servers; told: is called before a point (None) and after it
    Raises OutputError if results cannot be kept, InternalError if the clients' maker has ended.
    """
    setup = folder.setup
    todo = [point for point in points if not folder.finished(point)]
    if not todo:
        return
    with ClientLauncher(Path(setup.workflow), setup.arguments) as launcher:
        if servers.kind != Kind.fake:  # its first requests take longer than all that come after
            once = dataclasses.replace(setup, seconds=min(1.0, setup.seconds), warm_up=0.0)
            first = Folder(folder.path / ".first", once)
            _measured(first, dataclasses.replace(todo[0], clients=1), servers, inference, launcher)
            shutil.rmtree(first.path, ignore_errors=True)
        for point in todo:
            told(point, None)
            result = _measured(folder, point, servers, inference, launcher)
            folder.add(result)
            told(point, result)


def _measured(
    folder: Folder, point: Point, servers: Servers, inference: Sequence[str], launcher: ClientLauncher
) -> Result:
    setup, where = folder.setup, folder.reports(point)
    try:
        given = [*setup.settings, *servers.settings(point.latency_s), *settings_of(point, inference, setup.seconds)]
        options = [text for setting in given for text in ("-o", setting)]
        options += [text for name in setup.modifiers for text in ("--modifier", name)]
        arguments = [setup.workflow, *options, *(["--", *setup.arguments] if setup.arguments else [])]
        try:
            seen = launcher.run(arguments, point.clients, where, setup.seconds + MARGIN + point.clients)
            found = measure(
                seen.times,
                seen.reports,
                warm_up=setup.warm_up,
                seconds=setup.seconds,
                servers=int(setup.capacity.get("instances", 1)),
            )
        finally:
            tidy(where, keep_reports=True)
    except (InternalError, OutputError, ConfigurationError):
        raise
    except EvprocError as error:
        return Result(point, None, str(error))
    return Result(point, found)


def settings_of(point: Point, inference: Sequence[str], seconds: float) -> list[str]:
    """The settings of a point, as for `evproc run -o`."""
    made = [f"options.max_seconds={seconds:g}"]
    made += [f"options.block={point.block}"] if point.block is not None else []
    made += [f"options.streams={point.streams}"] if point.streams is not None else []
    if point.batch is not None:
        made += [f"{label}.client.max_rows={point.batch}" for label in inference]
    return made
