"""Parts of a workflow that several workflows share: fragments, whose parts are copied, and functions that change a process."""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .callers import caller, calling_file
from .configured import because
from .errors import ConfigurationError, Fault, did_you_mean
from .workflow_import import explained, import_types, import_workflow

if TYPE_CHECKING:
    from .process import Process

DEFAULT_FUNCTION = "customise"


def load_fragment(process: Process, fragment: str | Path | ModuleType | Process, replace: bool) -> None:
    """Copy the parts of a fragment into a process. Raises ConfigurationError with all that keeps it from being loaded."""
    from .process import Process as ProcessType

    process._check_changeable()
    if isinstance(fragment, ProcessType):
        name, parts = f"process '{fragment.name}'", fragment._parts()
    else:
        module = fragment if isinstance(fragment, ModuleType) else _imported(str(fragment), fresh=True)
        file = getattr(module, "__file__", None)
        name, parts = f"fragment '{Path(file).name if file else module.__name__}'", {}
        for label, value in vars(module).items():
            if process._accepts(value) and not label.startswith("_"):
                parts[label] = value
        inner = getattr(module, "process", None)
        if isinstance(inner, ProcessType):
            parts.update(inner._parts())
    if not parts:
        raise ConfigurationError([Fault(f"{name} defines no modules, paths, tasks or services", where=caller())])
    taken = [label for label in parts if label in process._parts()]
    if taken and not replace:
        advice = "; load(..., replace=True) puts the fragment's in their place"
        raise ConfigurationError(
            [
                Fault(f"{name} defines '{label}', which the process has already{advice}", where=caller())
                for label in taken
            ]
        )
    copy_parts(parts, process)


def copy_parts(parts: Mapping[str, Any], process: Process) -> None:
    """Make copies of parts, which refer to one another, the parts of a process."""
    memo: dict[int, Any] = {}
    for label, part in parts.items():
        made = copy.deepcopy(part, memo)
        made.label = ""
        setattr(process, label, made)


def customise(process: Process, function: Callable[[Process], Any] | str) -> None:
    """Call a function that changes a process. Raises ConfigurationError."""
    name = function if isinstance(function, str) else getattr(function, "__name__", repr(function))
    call = _function_named(function) if isinstance(function, str) else function
    if not callable(call):
        raise ConfigurationError([Fault(f"cannot customise by {call!r}: it is no function", where=caller())])
    process._check_changeable()
    file = inspect.getsourcefile(call) if inspect.isroutine(call) else None
    with because(f"customise {name}"), explained(Path(file).resolve() if file else Path(name)):
        result = call(process)
    if result is not None and result is not process:
        wrong = (
            f"customise function '{name}' changes the process and returns it or nothing, not {type(result).__name__}"
        )
        raise ConfigurationError([Fault(wrong, where=Path(file).name if file else "")])
    process._made_by.setdefault("customise", []).append(name)


def _function_named(name: str) -> Any:
    """What `module:function` or `file.py:function` names; `customise` if no function is named. Raises ConfigurationError."""
    home, colon, attribute = name.rpartition(":")
    if not colon:
        home, attribute = name, DEFAULT_FUNCTION
    module = _imported(home, fresh=False)
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        functions = [key for key, value in vars(module).items() if inspect.isroutine(value)]
        near = did_you_mean(attribute, functions) or (f"; it has {', '.join(functions)}" if functions else "")
        raise ConfigurationError([Fault(f"'{home}' has no function '{attribute}'{near}", where=caller())])
    return found


def _imported(name: str, *, fresh: bool) -> ModuleType:
    """A Python file, relative to the file that asks for it or to the current folder, or a module by its name."""
    if not name.endswith(".py") and "/" not in name:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                hint = f"; a file is named with its ending: '{name}.py'" if Path(f"{name}.py").exists() else ""
                raise ConfigurationError([Fault(f"there is no module '{name}'{hint}", where=caller())]) from None
            raise ConfigurationError([Fault(f"module '{name}' cannot be imported: {error}", where=caller())]) from error
    asking = calling_file()[0]
    tried = [(Path(asking).parent / name) if asking else Path(name), Path(name)]
    for path in tried:
        if path.is_file():
            return import_workflow(path) if fresh else import_types(path)
    near = did_you_mean(Path(name).name, [item.name for item in tried[0].parent.glob("*.py")])
    raise ConfigurationError([Fault(f"there is no file '{name}'{near}", where=caller())])
