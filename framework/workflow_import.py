"""Import Python files that lie anywhere: workflow files, and files whose classes a configuration names.

A workflow is executed under a module name of its own, with its folder first on `sys.path`, so that it can import what lies
beside it. Afterwards the folder stays on the path, last, because a module may import a helper only when it is called. Two
folders may both hold a `common.py`; what one workflow imported from its folder is forgotten before another folder's is loaded.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, SupportsIndex, cast

from .errors import ConfigurationError, EvprocError, Fault

_PREFIX = "evproc_workflow_"
_siblings: dict[str, Path] = {}
"""Name of each module that lies beside a workflow -> its file."""
_imported: dict[str, Path] = {}
"""Those of them that were imported by loading the workflow."""
_loading: list[Path] = []
"""The folders of what is being imported, outermost first."""


class _Uncached(SourceFileLoader):
    """Compiles the file each time, and leaves no `__pycache__` beside a workflow."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class Arguments(list[str]):
    """The `sys.argv` of a workflow; knows whether anybody has looked at more than its first entry."""

    read = False

    def __getitem__(self, place: Any) -> Any:
        self.read = self.read or place != 0
        return super().__getitem__(place)

    def __iter__(self) -> Iterator[str]:
        self.read = True
        return super().__iter__()

    def __len__(self) -> int:
        self.read = True
        return super().__len__()

    def __contains__(self, item: object) -> bool:
        self.read = True
        return super().__contains__(item)

    def pop(self, place: SupportsIndex = -1) -> str:
        """Take one off."""
        self.read = True
        return super().pop(place)


@contextmanager
def as_argv(arguments: list[str]) -> Iterator[None]:
    """Let `sys.argv` be these."""
    before, sys.argv = sys.argv, arguments
    try:
        yield
    finally:
        sys.argv = before


def import_workflow(path: Path, arguments: Arguments | None = None) -> ModuleType:
    """Execute a workflow file; `arguments` are its `sys.argv`.

    Raises ConfigurationError with file and line if it fails, and whatever EvprocError it raises itself; SystemExit, if it ends
    before it has defined `process`.
    """
    path = path.resolve()
    name = f"{_PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = cast(ModuleSpec, spec_from_loader(name, _Uncached(name, str(path))))
    module = module_from_spec(spec)
    module.__file__ = str(path)
    _forget_other_folders(path.parent)
    sys.modules[name] = module
    try:
        with as_argv(arguments if arguments is not None else [str(path)]), _folder_first(path.parent), explained(path):
            cast(_Uncached, spec.loader).exec_module(module)
    except SystemExit as end:  # as `typer.run` ends
        if end.code or "process" not in vars(module):
            del sys.modules[name]
            raise
    except BaseException:
        del sys.modules[name]
        raise
    return module


def import_types(path: Path) -> ModuleType:
    """Import a file for the classes that it defines, under its plain name where that is free. Raises ConfigurationError.

    What lies in a package is imported as part of it, unless the package refuses.
    """
    path = path.resolve()
    folder, parts = path.parent, [path.stem]
    while (folder / "__init__.py").exists():
        folder, parts = folder.parent, [folder.name, *parts]
    _forget_other_folders(folder)
    if len(parts) > 1:
        try:
            with _folder_first(folder):
                importlib.import_module(".".join(parts[:-1]))
        except ImportError:
            folder, parts = path.parent, [path.stem]
    name = ".".join(parts)
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    taken = known is not None or parts[0] in sys.builtin_module_names or not all(part.isidentifier() for part in parts)
    if taken:
        return import_workflow(path)
    with _folder_first(folder), explained(path):
        return importlib.import_module(name)


def home_of(module_name: str) -> str:
    """The name of a module, the same whether a workflow is executed, imported, or run by Python itself."""
    file = file_of(module_name)
    return file.stem if file is not None and module_name not in _siblings else module_name


def file_of(module_name: str) -> Path | None:
    """The file of a module that cannot be imported by its name elsewhere: a workflow, or what lies beside it."""
    if module_name in _siblings:
        return _siblings[module_name]
    if module_name.startswith(_PREFIX) or module_name == "__main__":
        file = getattr(sys.modules.get(module_name), "__file__", None)
        return Path(file).resolve() if file else None
    return None


@contextmanager
def _folder_first(folder: Path) -> Iterator[None]:
    """Put a folder first on the path, and last on leaving; note what is imported from it."""
    known = set(sys.modules)
    entry = str(folder)
    sys.path.insert(0, entry)
    _loading.append(folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        _loading.pop()
        sys.path.remove(entry)
        if entry not in sys.path:
            sys.path.append(entry)
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            base = folder.joinpath(*name.split("."))
            if file in (f"{base}.py", f"{base}/__init__.py") and name.partition(".")[0] != "evproc":
                _siblings[name] = Path(file)
                if name not in known:
                    _imported[name] = Path(file)


def _forget_other_folders(folder: Path) -> None:
    """Forget what was imported from beside other workflows; not while one of these is being loaded."""
    if _loading:
        return
    for name, file in list(_imported.items()):
        if not file.is_relative_to(folder):
            del _imported[name], _siblings[name]
            sys.modules.pop(name, None)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what a workflow file raises into a ConfigurationError that names its file and line."""
    try:
        yield
    except EvprocError:
        raise
    except Exception as error:
        raise ConfigurationError([_fault(error, path)]) from error


def _fault(error: Exception, path: Path) -> Fault:
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        source = f": {error.text.strip()}" if error.text and error.text.strip() else ""
        return Fault(f"{kind}: {error.msg}{source}", where=f"{Path(error.filename).name}:{error.lineno}")
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith("<")
        and frame.f_globals.get("__name__", "").split(".")[0] != "evproc"
    ]
    mine = [line for file, line in frames if file == str(path)]
    where = f"{path.name}:{mine[-1]}" if mine else path.name
    message = f"{kind}: {error}" if str(error) else kind
    if frames and frames[-1][0] != str(path):
        message += f" (raised in {Path(frames[-1][0]).name}:{frames[-1][1]})"
    return Fault(message, where=where)
