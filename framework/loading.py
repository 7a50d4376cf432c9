"""From a file to a `Process`: a workflow in Python, or a configuration in YAML or JSON as `evproc config` writes it.

process: DIMUON                                        the name
arguments: [...]; modifiers: [...]; customise: [...]   what the workflow was given; a record, nothing is applied again
options: {streams: 4}                                  fields of `Options`
services: {inference: {type: InferenceService, ...}}   label -> type and parameters
modules: {mass: {type: dimuon.py:Mass, ...}, ...}      likewise; the source is one of them
paths: {select: [mass, ~veto, ignored(window)]}        label -> members, in order
end_paths: {end: [out]}                                likewise final_paths and sequences
tasks: {extra: [energy]}                               likewise conditional_tasks

`type` is the name of a plug-in, `package.module:Class`, or `file.py:Class` with a path from the folder of the configuration.
All faults of a file are reported together.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Several
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .aliases import Alias
from .documents import Document, parse_document
from .dumping import RECORD, SECTIONS, SWITCH, dump, results_hash
from .errors import ConfigurationError, EvprocError, Fault, PluginError, did_you_mean
from .function_entries import from_entry
from .paths import ConditionalTask, EndPath, FinalPath, ModuleList, Sequence, Task, parse
from .paths import Path as ModulePath
from .plugins import Registry, contract_faults, discover
from .process import Process
from .switch import SwitchProducer
from .workflow_import import import_types
from .workflow_loading import load_python, not_taken

if TYPE_CHECKING:
    from .module import Module
    from .service import Service

__all__ = ["dump", "load", "results_hash"]

DOCUMENTS = (".yaml", ".yml", ".json")
"""Names of configurations end like this."""

_LISTS: dict[str, type[ModuleList]] = {
    "paths": ModulePath,
    "end_paths": EndPath,
    "final_paths": FinalPath,
    "sequences": Sequence,
    "tasks": Task,
    "conditional_tasks": ConditionalTask,
}


def load(path: Path, arguments: Several[str] = (), modifiers: Several[str] = (), options: Several[str] = ()) -> Process:
    """The process that a file describes.

    `arguments` become `sys.argv[1:]` of a Python workflow, or the options of its function `process`; `modifiers` are names of
    modifiers that its process shall have; `options` are the names that an argument may have been meant to be.
    Raises ConfigurationError with all the faults that can be found without compiling the process.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigurationError([_absent(path)])
    if path.suffix == ".py":
        return load_python(path, arguments, modifiers, options)
    if path.suffix in DOCUMENTS:
        faults = []
        if arguments:
            faults.append(not_taken("a configuration", arguments, options))
        if modifiers:
            text = "a configuration is expanded: modifiers are for Python workflows, but got"
            faults.append(Fault(f"{text} {', '.join(modifiers)}"))
        if faults:
            raise ConfigurationError(faults)
        return _DocumentLoader(path).load()
    raise ConfigurationError([Fault(f"'{path}' is no workflow: its name must end in .py, .yaml, .yml or .json")])


def _absent(path: Path) -> Fault:
    if path.is_dir():
        return Fault(f"'{path}' is a folder, not a workflow file")
    if not path.parent.is_dir():
        return Fault(f"there is no workflow file '{path}': the folder '{path.parent}' does not exist")
    near = did_you_mean(path.name, [item.name for item in path.parent.iterdir() if item.is_file()])
    return Fault(f"there is no workflow file '{path}'{near}")


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


class _DocumentLoader:
    """Builds one process from one configuration file, collecting faults."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.faults: list[Fault] = []
        self.registry: Registry = discover()
        self.document = Document()

    def load(self) -> Process:
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError([Fault(f"cannot read '{self.path}': {error}")]) from error
        self.document = parse_document(text, self.path.name, self.path.suffix == ".json")
        self.faults.extend(self.document.faults)
        data = self.document.data
        if data is None and self.faults:
            raise ConfigurationError(self.faults)
        if not isinstance(data, dict):
            self.fault(f"a configuration is a table of {', '.join(('process', 'options', *SECTIONS))}")
            raise ConfigurationError(self.faults)
        process = self.build(data)
        if self.faults:
            for part in [*process.modules.values(), *process.services.values()]:
                self.faults.extend(part.faults())
            try:
                _ = process.options
            except ConfigurationError as error:
                self.faults.extend(error.faults)
            raise ConfigurationError(self.faults)
        return process

    def fault(self, message: str, *keys: str) -> None:
        """Note a fault of the entry at `keys`."""
        self.faults.append(Fault(message, ".".join(keys[1:]) or "".join(keys), where=self.where(*keys)))

    def where(self, *keys: str) -> str:
        line = self.document.lines.get(keys)
        return f"{self.path.name}:{line}" if line else self.path.name

    def build(self, data: dict[Any, Any]) -> Process:
        known = ["process", *RECORD, "options", *SECTIONS, "aliases"]
        for key in data:
            if key not in known:
                hint = did_you_mean(str(key), known) or f"; there are {', '.join(known)}"
                self.fault(f"unknown section{hint}", str(key))
        name = data.get("process")
        if not isinstance(name, str) or not name:
            self.fault("the name of the process must be given, as text", "process")
        record = {key: self.words(data, key) for key in RECORD if key in data}
        process = Process(str(name), record.pop("modifiers", ()))
        process._made_by.update(record)
        options = self.table(data, "options")
        process.set_options(**{str(key): value for key, value in options.items()})
        process._origins.update({str(key): self.where("options", str(key)) for key in options})
        process.__dict__["where"] = self.where("options") if options else self.where("process")
        homes: dict[str, str] = {}
        for section in ("services", "modules"):
            for label, entry in self.table(data, section).items():
                part = self.part(section, label, entry)
                if part is not None and self.place(process, section, label, part, homes):
                    part.where = self.where(section, label)
        for label, target in self.table(data, "aliases").items():
            if not isinstance(target, str):
                self.fault("must be the name of a product", "aliases", str(label))
            else:
                alias = Alias(target)
                if self.place(process, "aliases", label, alias, homes):
                    alias.where = self.where("aliases", label)
        shared = ("modules", "sequences", "tasks", "conditional_tasks")
        labels = [str(label) for section in shared for label in self.table(data, section)]
        for section, kind in _LISTS.items():
            for label, members in self.table(data, section).items():
                if self.members_exist(section, str(label), members, labels):
                    path = kind(*members)
                    if self.place(process, section, label, path, homes):
                        path.where = self.where(section, label)
        return process

    def words(self, data: Mapping[Any, Any], section: str) -> list[str]:
        """A section that is a list of texts; empty if it is wrong."""
        entries = data[section]
        if isinstance(entries, list) and all(isinstance(entry, str) for entry in entries):
            return entries
        self.fault("must be a list of texts", section)
        return []

    def table(self, data: Mapping[Any, Any], section: str) -> Mapping[Any, Any]:
        """A section, which must be a table; empty if it is absent or wrong."""
        entries = data.get(section)
        if entries is None:
            return {}
        if isinstance(entries, dict):
            return entries
        if not any(fault.label == section for fault in self.faults):
            self.fault(f"must be a table, not {_kind(entries)}", section)
        return {}

    def place(self, process: Process, section: str, label: Any, part: Any, homes: dict[str, str]) -> bool:
        """Make a part an attribute of the process, unless its label is wrong or taken."""
        name = str(label)
        if not isinstance(label, str) or not label.isidentifier():
            self.fault("a label must be a name as in Python: letters, digits and underscores", section, name)
        elif label in homes:
            self.fault(f"the label is in {homes[label]} already", section, label)
        else:
            homes[label] = section
            try:
                setattr(process, label, part)
            except (AttributeError, TypeError, ValueError) as error:
                self.fault(str(error), section, label)
            else:
                return True
        return False

    def part(self, section: str, label: Any, entry: Any) -> Module | Service | None:
        """The module or service of an entry; None, and a fault, if its type is wrong."""
        if section == "modules" and isinstance(entry, dict) and entry.get("type") == SWITCH:
            return self.switch(str(label), entry)
        return self.single(section, (section, str(label)), entry)

    def switch(self, label: str, entry: Mapping[str, Any]) -> SwitchProducer | None:
        """A switch, with all its cases; None, and faults, if it is none."""
        keys = ("modules", label)
        cases = entry.get("cases")
        if not isinstance(cases, dict) or not cases or not isinstance(entry.get("case"), str):
            self.fault("a switch has a `case`, a name, and `cases`, a table of modules by name", *keys)
            return None
        for key in entry.keys() - {"type", "case", "cases"}:
            self.fault(f"unknown parameter '{key}' of a switch; it knows case, cases", *keys, str(key))
        made = {str(name): self.single("modules", (*keys, "cases", str(name)), case) for name, case in cases.items()}
        for name, part in made.items():
            if part is not None:
                part.where = self.where(*keys, "cases", name)
            if not name.isidentifier() or name == "case":
                self.fault(f"'{name}' cannot be the name of a case", *keys)
                return None
        if None in made.values():
            return None
        switch = SwitchProducer(entry["case"], **made)
        switch._origins = {"case": self.where(*keys, "case")}
        return switch

    def single(self, section: str, keys: tuple[str, ...], entry: Any) -> Module | Service | None:
        """One module or service; None, and a fault, if its type is wrong."""
        if not isinstance(entry, dict):
            self.fault(f"must be a table with a type, not {_kind(entry)}", *keys)
            return None
        name = entry.get("type")
        if not isinstance(name, str):
            self.fault("its type must be given", *keys)
            return None
        kind = self.type_of(name, keys)
        if kind is None:
            return None
        given = {str(key): value for key, value in entry.items() if key != "type"}
        if callable(kind) and not isinstance(kind, type):
            kind, problem = from_entry(kind, given.pop("as", None), given)
            if kind is None:
                self.fault(f"type '{name}': {problem}", *keys)
                return None
        from .module import Module
        from .service import Service

        wanted = Module if section == "modules" else Service
        wrong = contract_faults(kind)
        if not wrong and not issubclass(kind, wanted):
            wrong = [f"{kind.__name__} is no {wanted.__name__} and does not belong in {section}"]
        for message in wrong:
            self.fault(f"type '{name}': {message}", *keys)
        if wrong:
            return None
        made: Module | Service = kind(**given)
        made._origins = dict(self.origins(given, keys))
        return made

    def origins(
        self, parameters: Mapping[str, Any], above: tuple[str, ...], start: str = ""
    ) -> Iterator[tuple[str, str]]:
        """Dotted key -> line, for parameters and those in their blocks."""
        for key, value in parameters.items():
            here = (*above, str(key))
            yield f"{start}{key}", self.where(*here)
            if isinstance(value, dict):
                yield from self.origins(value, here, f"{start}{key}.")

    def type_of(self, name: str, keys: tuple[str, ...]) -> Any:
        """What a type names; None, and a fault, if there is no such thing."""
        home, _, attribute = name.rpartition(":")
        try:
            if not home:
                return self.registry.get(name).load_part()
            module = import_types(self.path.parent / home) if home.endswith(".py") else importlib.import_module(home)
        except PluginError as error:
            self.fault(f"unknown type: {error}" if name not in self.registry else str(error), *keys)
        except ConfigurationError as error:
            self.fault(f"type '{name}' cannot be loaded: {'; '.join(str(fault) for fault in error.faults)}", *keys)
        except (EvprocError, Exception) as error:
            self.fault(f"type '{name}' cannot be loaded: {type(error).__name__}: {error}", *keys)
        else:
            found: Any = module
            for part in attribute.split("."):
                found = getattr(found, part, None)
            if found is None:
                classes = [key for key, value in vars(module).items() if isinstance(value, type)]
                self.fault(
                    f"unknown type: '{home}' has no class '{attribute}'{did_you_mean(attribute, classes)}", *keys
                )
            return found
        return None

    def members_exist(self, section: str, label: str, members: Any, labels: list[str]) -> bool:
        """Whether the members of a path are a list of labels of modules."""
        if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
            self.fault("must be a list of labels", section, label)
            return False
        unknown = [name for member in members if (name := parse(member).label) not in labels]
        for name in unknown:
            self.fault(f"there is no module '{name}'{did_you_mean(name, labels)}", section, label)
        return not unknown
