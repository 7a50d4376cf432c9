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

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from .aliases import Alias
from .callers import caller
from .config import Options, faults_of, is_placement
from .configured import Owner, origin_here
from .errors import ConfigurationError, Fault, did_you_mean
from .modifiers import all_chosen, apply_pending
from .module import Module, Source
from .paths import ConditionalTask, EndPath, FinalPath, ModuleList, Path, Sequence, Task, ignored, inverted
from .service import Service
from .switch import SwitchProducer

if TYPE_CHECKING:
    from types import ModuleType

    from .modifiers import Modifier
    from .result import Result

RUNS, HAS_RUN = "runs", "has run"
_TABLES: dict[type, str] = {
    SwitchProducer: "switches",
    Module: "modules",
    Alias: "aliases",
    Service: "services",
    Path: "paths",
    EndPath: "end_paths",
    FinalPath: "final_paths",
    Sequence: "sequences",
    Task: "tasks",
    ConditionalTask: "conditional_tasks",
}
"""Kind of a part -> the table of the process that holds it."""


class Process:
    """A job: one source, modules, paths, tasks and services, each an attribute that is named by its label.

    `modifiers` are those that it has, beside those of the command line. Keyword arguments are the fields of `Options`:
    `streams`, `block`, `memory` ...
    """

    name: str
    modifiers: frozenset[str]
    """The names of the modifiers that it has."""

    def __init__(self, name: str, modifiers: Iterable[Modifier | str] = (), **options: Any) -> None:
        self.__dict__.update(
            name=name,
            modifiers=all_chosen(modifiers),
            where=caller(self),
            **{table: {} for table in _TABLES.values()},
            _options={},
            _origins={},
            _faults=[],
            _state="",
            _made_by={},
        )
        self.set_options(**options)

    # The attributes of a process are its parts; type checkers see them as Any.
    def __setattr__(self, label: str, part: Any) -> None:
        table = self._table_for(part)
        if table is None:
            raise TypeError(f"process.{label} must be a module, a path, a task or a service, not {type(part).__name__}")
        if label in type(self).__dict__ or label in self.__dict__ or label.startswith("_"):
            raise AttributeError(f"'{label}' is no label: a process has an attribute of that name already")
        self._check_changeable(label)
        if part.label and part.label != label:
            raise ValueError(f"process.{label}: this {type(part).__name__} has the label '{part.label}' already")
        for other in self._tables():
            before = other.get(label) if other is table else other.pop(label, None)
            if before is not None:
                before._owner = Owner()
        part.label = label
        table[label] = part
        part._owner = Owner(self)
        if isinstance(part, SwitchProducer):
            part.join(self)
        apply_pending(self, part)

    def __getattr__(self, label: str) -> Any:
        known: list[str] = []
        for table in self._tables():
            if label in table:
                return table[label]
            known.extend(table)
        raise AttributeError(f"process '{self.__dict__.get('name', '')}' has no '{label}'{did_you_mean(label, known)}")

    def __delattr__(self, label: str) -> None:
        part = getattr(self, label)
        self._check_changeable(label)
        part.label, part._owner = "", Owner()
        for table in self._tables():
            table.pop(label, None)

    def _tables(self) -> list[dict[str, Any]]:
        return [self.__dict__.get(name, {}) for name in _TABLES.values()]

    def _table_for(self, part: Any) -> dict[str, Any] | None:
        for kind, name in _TABLES.items():
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
        where = self._origins
        return [
            Fault(fault.message, "options", fault.key, where.get(fault.key, self.where))
            for fault in faults_of(error, Options)
        ]

    def set_options(self, **options: Any) -> None:
        """Set fields of `Options`. Faults are reported when the process is compiled.

        A process that has run may be given others of those that change no results. Raises ConfigurationError for the rest of
        them, and while the process runs.
        """
        fields = Options.model_fields
        if self._state == RUNS or not all(name in fields and is_placement(fields[name]) for name in options):
            self._check_changeable("options")
        self._options.update(options)
        self._origins.update(dict.fromkeys(options, origin_here(self)))

    def override(self, key: str, value: Any) -> None:
        """Set one parameter by its dotted name: `energy.min_energy`, `energy.client.timeout`, `options.streams`.

        Raises ConfigurationError if there is no such part; a wrong value is found when the process is compiled.
        """
        label, _, rest = key.partition(".")
        parts = {**self.modules, **self.switches, **self.services}
        if label == "options" and rest:
            self.set_options(**{rest: value})
        elif label in parts and rest:
            parts[label].set(**{rest: value})
        else:
            known = [*parts, "options"]
            hint = did_you_mean(label, known) or f"; there are {', '.join(sorted(known))}"
            wrong = f"no module or service '{label}'{hint}" if rest else "a parameter is named LABEL.KEY"
            raise ConfigurationError([Fault(f"cannot set '{key}': {wrong}")])

    def load(self, fragment: str | FilePath | ModuleType | Process, *, replace: bool = False) -> None:
        """Take over the modules, paths, tasks and services of a fragment, each under its name there.

        A fragment is a Python file (relative to the file that loads it), the name of a module that can be imported, a module,
        or another process. What it defines at the top level is copied, so that it can be loaded again; names that begin
        with an underscore are its own. `replace` allows it to define labels that the process has already.
        Raises ConfigurationError.
        """
        from .fragments import load_fragment

        load_fragment(self, fragment, replace)

    def customise(self, *functions: Callable[[Process], Any] | str) -> None:
        """Call functions that change this process; each is one, or a name: `module:function` or `file.py:function`.

        Raises ConfigurationError if there is no such function, or if it fails.
        """
        from .fragments import customise

        for function in functions:
            customise(self, function)

    def clone(self) -> Process:
        """Another process with clones of all parts: it can be changed where this one has run."""
        from .fragments import copy_parts

        made = Process(self.name, self.modifiers)
        made.__dict__.update(where=self.where, _made_by=dict(self._made_by), _origins=dict(self._origins))
        made._options.update(self._options)
        copy_parts(self._parts(), made)
        made.__dict__["_faults"] = list(self._faults)
        return made

    def _record(self) -> dict[str, list[str]]:
        """What it was made with, beside its file: arguments, modifiers and customise functions."""
        return {**self._made_by, "modifiers": sorted(self.modifiers)}

    def _accepts(self, part: object) -> bool:
        """Whether something can be a part of a process: a module, a service, a path or a task."""
        return self._table_for(part) is not None

    def _parts(self) -> dict[str, Any]:
        """Label -> module, switch, alias, service, path or task."""
        parts = {label: part for table in self._tables()[1:] for label, part in table.items()}
        return {label: self.switches.get(label, part) for label, part in parts.items()}

    def _all_faults(self) -> list[Fault]:
        """What is wrong with it, beside its modules and services."""
        return [*self._faults, *(fault for switch in self.switches.values() for fault in switch.faults())]

    def _check_changeable(self, label: str = "") -> None:
        """Raise ConfigurationError if the process runs or has run."""
        if self._state:
            advice = "change it before" if self._state == RUNS else "a clone can be changed: process.clone()"
            wrong = f"cannot be changed: process '{self.name}' {self._state}; {advice}"
            raise ConfigurationError([Fault(wrong, label, where=caller())])

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Nothing may be changed within; nor afterwards, unless the job failed and left no outputs."""
        self.__dict__["_state"] = RUNS
        try:
            yield
        except BaseException:
            self.__dict__["_state"] = ""
            raise
        self.__dict__["_state"] = HAS_RUN

    def run(self, progress: Callable[[Any], None] | bool | None = None) -> Result:
        """Check, compile and run to the end. Returns what the job did and made; raises an `EvprocError` if it fails.

        Works in a notebook too. `progress` is called with a `Progress` now and then; None shows a bar in a notebook and
        nothing elsewhere, True shows one anywhere, False nowhere.
        """
        from .job import run
        from .notebook import shown
        from .result import Result

        with shown(progress) as show:
            report = run(self, show)
        return Result(report, self)

    def _repr_html_(self) -> str:
        from .notebook import process_html

        return process_html(self)

    def __repr__(self) -> str:
        return f"<Process '{self.name}': {len(self.modules)} modules, {len(self.paths)} paths>"


__all__ = [
    "ConditionalTask",
    "EndPath",
    "FinalPath",
    "ModuleList",
    "Path",
    "Process",
    "Sequence",
    "Task",
    "ignored",
    "inverted",
]
