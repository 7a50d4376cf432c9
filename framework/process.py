"""`Process`: what a workflow file builds. Its attributes are the source, the modules, the paths, the tasks and the services.

process = Process("DIMUON")
process.source = NtupleSource(files=["muons.root"])
process.mass = DimuonMass()
process.window = RangeFilter(of="mass", above=60.0, below=120.0)
process.out = NtupleOutput(file="dimuons.root", keep=["mass"], select=["select"])
process.select = Path(process.mass, process.window)
process.end = EndPath(process.out)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from .config import Options, caller, faults_of
from .errors import ConfigurationError, Fault, did_you_mean
from .module import Module, Source
from .service import Service

if TYPE_CHECKING:
    from .report import Report


class ModuleList:
    """Modules in an order: the base of paths and tasks."""

    def __init__(self, *modules: Module | str) -> None:
        self.label = ""
        self.where = caller(self)
        self._members = modules

    def labels(self) -> list[str]:
        """The labels of the modules, in order."""
        return [member if isinstance(member, str) else member.label for member in self._members]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.labels())})"


class Path(ModuleList):
    """Modules that run in order; a filter that says no ends the path for that event. Whether an event passes is its result."""


class EndPath(ModuleList):
    """Modules that run when all paths have: analyzers and output modules, mostly."""


class Task(ModuleList):
    """Producers that run only for events in which something needs their products."""


class Process:
    """A job: one source, modules, paths, tasks and services, each an attribute that is named by its label.

    Keyword arguments are those of `Options`: `streams`, `block`, `memory` ...
    """

    name: str

    def __init__(self, name: str, **options: Any) -> None:
        self.__dict__.update(
            name=name,
            where=caller(self),
            modules={},
            services={},
            paths={},
            end_paths={},
            tasks={},
            _options={},
            _faults=[],
        )
        self.set_options(**options)

    # The attributes of a process are its parts; type checkers see them as Any.
    def __setattr__(self, label: str, part: Any) -> None:
        table = self._table_for(part)
        if table is None:
            raise TypeError(f"process.{label} must be a module, a path, a task or a service, not {type(part).__name__}")
        if label in type(self).__dict__ or label in self.__dict__ or label.startswith("_"):
            raise AttributeError(f"'{label}' is no label: a process has an attribute of that name already")
        if part.label and part.label != label:
            raise ValueError(f"process.{label}: this {type(part).__name__} has the label '{part.label}' already")
        for other in self._tables():
            other.pop(label, None)
        part.label = label
        table[label] = part

    def __getattr__(self, label: str) -> Any:
        known: list[str] = []
        for table in self._tables():
            if label in table:
                return table[label]
            known.extend(table)
        raise AttributeError(f"process '{self.__dict__.get('name', '')}' has no '{label}'{did_you_mean(label, known)}")

    def __delattr__(self, label: str) -> None:
        getattr(self, label).label = ""
        for table in self._tables():
            table.pop(label, None)

    def _tables(self) -> list[dict[str, Any]]:
        return [self.__dict__.get(name, {}) for name in ("modules", "services", "paths", "end_paths", "tasks")]

    def _table_for(self, part: Any) -> dict[str, Any] | None:
        kinds = {Module: "modules", Service: "services", Path: "paths", EndPath: "end_paths", Task: "tasks"}
        for kind, name in kinds.items():
            if isinstance(part, kind):
                table: dict[str, Any] = self.__dict__[name]
                return table
        return None

    @property
    def source_module(self) -> Source | None:
        """The source, if there is one."""
        return next((module for module in self.modules.values() if isinstance(module, Source)), None)

    @property
    def options(self) -> Options:
        """How the process runs."""
        try:
            return Options.model_validate(self._options)
        except ValidationError as error:
            raise ConfigurationError(self.option_faults(error)) from None

    def option_faults(self, error: ValidationError) -> list[Fault]:
        """pydantic's findings about the options, as faults."""
        return [Fault(fault.message, "options", fault.key, self.where) for fault in faults_of(error, Options)]

    def set_options(self, **options: Any) -> None:
        """Set fields of `Options`. Faults are reported when the process is compiled."""
        self._options.update(options)

    def override(self, key: str, value: Any) -> None:
        """Set one parameter by its dotted name: `energy.min_energy`, `energy.client.timeout`, `options.streams`.

        Raises ConfigurationError if there is no such part; a wrong value is found when the process is compiled.
        """
        label, _, rest = key.partition(".")
        parts = {**self.modules, **self.services}
        if label == "options" and rest:
            self.set_options(**{rest: value})
        elif label in parts and rest:
            parts[label].set(**{rest: value})
        else:
            known = [*parts, "options"]
            hint = did_you_mean(label, known) or f"; there are {', '.join(sorted(known))}"
            wrong = f"no module or service '{label}'{hint}" if rest else "a parameter is named LABEL.KEY"
            raise ConfigurationError([Fault(f"cannot set '{key}': {wrong}")])

    def run(self, progress: Callable[[Any], None] | None = None) -> Report:
        """Check, compile and run to the end. Returns the report; raises an `EvprocError` if the job fails."""
        from .job import run

        return run(self, progress)

    def __repr__(self) -> str:
        return f"<Process '{self.name}': {len(self.modules)} modules, {len(self.paths)} paths>"
