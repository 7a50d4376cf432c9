"""The loop over the events of a block around a compiled function, as machine code; and the cache of such code.

numba's own cache looks at the file of a function alone: it would take old code for new when a helper in another file, a
global number or a parameter changes. Here the name of an entry is a digest of all that the code follows from: the syntax
trees, values in place, of the method and of what it calls, the types of the columns, and the versions. numba adds the
processor. Entries are written whole and are safe to delete; EVPROC_CACHE says where they are, or `off`.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.errors import NumbaError, NumbaWarning
from numba.np.numpy_support import as_dtype

from .compiled_source import UNKNOWN, CannotCompile, Lowered
from .compiled_types import ColumnKind, EventType, event_maker

OPTIONS = {"nogil": True, "boundscheck": True, "error_model": "python"}
"""Errors are those of Python: an index out of range and a division by zero raise."""
_INDEX = types.Array(types.int64, 1, "C", readonly=True)
_PLACE = types.Array(types.int64, 1, "C")


def jit(function: Any) -> Any:
    """A function, compiled when it is called from compiled code."""
    return numba.njit(**OPTIONS)(function)


class Program:
    """Machine code for the events of a block: `run(arrays, index, place)` returns a tuple of outputs."""

    def __init__(
        self,
        lowered: Lowered,
        columns: Sequence[tuple[str, ColumnKind]],
        collections: Sequence[tuple[str, tuple[str, ...]]],
        products: int,
        wants_bool: bool,
    ) -> None:
        event = EventType(tuple(columns), tuple(collections))
        recipe = "\n".join([*lowered.recipe, event.name, f"{products} {wants_bool}"])
        signature = (event.arrays, _INDEX, _PLACE)
        self.cached = _cached(recipe, signature)
        if self.cached is not None:
            self.run: Callable[..., Any] = self.cached
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumbaWarning)
            try:
                function = jit(lowered.function)
                result = function.compile((event,)) and function.overloads[(event,)].signature.return_type
                source = _driver(_outputs(result, products, wants_bool, lowered.where))
                names: dict[str, Any] = {"function": function, "make": event_maker(event), "np": np, "grow": _grow}
                exec(source, names)  # noqa: S102 - made here
                driver = names["drive"]
                driver.__module__ = __name__
                self.run = _compiled(jit(driver), recipe, signature)
            except CannotCompile:
                raise
            except NumbaError as error:
                raise CannotCompile(said(error, lowered.where)) from error
            except Exception as error:  # numba's own slips, on code that it does not expect
                raise CannotCompile(f"{lowered.where}: numba fails: {error!r}") from error


@jit
def _grow(content: Any, used: int, wanted: int) -> Any:
    larger = np.empty(max(2 * len(content), wanted), content.dtype)
    larger[:used] = content[:used]
    return larger


def _outputs(result: Any, products: int, wants_bool: bool, where: str) -> list[tuple[bool, str]]:
    """For each product, whether it is a list, and its dtype. Raises CannotCompile for what is no product."""
    several = products > 1
    kinds = list(result.types) if several and isinstance(result, types.BaseTuple) else [result]
    found = []
    for kind in map(types.unliteral, kinds):
        number = kind.dtype if isinstance(kind, types.Array) else kind
        if isinstance(kind, types.Array) and kind.ndim != 1:
            raise CannotCompile(
                f"{where}: it returns arrays of {kind.ndim} dimensions; a compiled function returns one at most"
            )
        if not isinstance(number, types.Number | types.Boolean | types.NPDatetime | types.NPTimedelta):
            what = "nothing" if isinstance(kind, types.NoneType) else f"{kind}"
            raise CannotCompile(
                f"{where}: it returns {what}; a compiled function returns a number or a one-dimensional array, of one type "
                "on all ways through it"
            )
        if wants_bool and kind != types.boolean:
            raise CannotCompile(f"{where}: a filter returns True or False, not {kind}")
        found.append((isinstance(kind, types.Array), as_dtype(number).str))
    return found


def _driver(outputs: Sequence[tuple[bool, str]]) -> str:
    """The loop, as Python for numba."""
    before, within, after = [], [], []
    for place, (is_list, dtype) in enumerate(outputs):
        value = f"result[{place}]" if len(outputs) > 1 else "result"
        kind = f"np.dtype('{dtype}')"
        if not is_list:
            before.append(f"out_{place} = np.empty(n, {kind})")
            within.append(f"out_{place}[k] = {value}")
            after.append(f"out_{place}")
            continue
        before += [f"ends_{place} = np.empty(n + 1, np.int64)", f"ends_{place}[0] = 0"]
        before.append(f"rows_{place} = np.empty(2 * n + 16, {kind})")
        within += [
            f"values = {value}",
            f"used = ends_{place}[k]",
            "wanted = used + len(values)",
            f"if wanted > len(rows_{place}):",
            f"    rows_{place} = grow(rows_{place}, used, wanted)",
            f"rows_{place}[used:wanted] = values",
            f"ends_{place}[k + 1] = wanted",
        ]
        after.append(f"(ends_{place}, rows_{place}[:ends_{place}[n]])")
    body = [
        "n = len(index)",
        *before,
        "for k in range(n):",
        "    place[0] = k",
        "    result = function(make(arrays, index[k]))",
        *(f"    {line}" for line in within),
        f"return ({', '.join(after)},)",
    ]
    return "def drive(arrays, index, place):\n" + "\n".join(f"    {line}" for line in body)


def said(error: NumbaError, where: str) -> str:
    """What numba says, in short: file and line, and why."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    places = re.findall(r'File "([^"]+)", line (\d+)', text)
    own = where.rpartition(":")[0]
    named = [(file, line) for file, line in places if Path(file).name == Path(own).name] or places
    place = f"{own}:{named[-1][1]}" if named else where
    telling: list[str] = []
    for line in map(str.strip, text.splitlines()):
        ends = not line or line.startswith(("File ", "During:", "- ", "There are"))
        if ends and telling and not telling[-1].endswith(":"):
            break
        if line and not line.startswith("Failed in"):
            telling.append(line)
    return f"{place}: {' '.join(telling)[:300]}"


# The cache


def cache_folder() -> Path | None:
    """Where compiled code is kept; None if it is not."""
    named = os.environ.get("EVPROC_CACHE", "")
    if named == "off":
        return None
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evproc"
    return base / "compiled"


class _Cache(FunctionCache):  # type: ignore[misc]
    """numba's cache, with an entry for each recipe."""

    def __init__(self, function: Any, digest: str, folder: Path) -> None:
        class Locator(_CacheLocator):  # type: ignore[misc]
            def get_cache_path(self) -> str:
                return str(folder)

            def get_source_stamp(self) -> str:
                return digest

            def get_disambiguator(self) -> str:
                return digest

        class Implementation(CompileResultCacheImpl):  # type: ignore[misc]
            def __init__(self, function: Any) -> None:
                self._locator = Locator()
                self._filename_base = f"{digest}.py{sys.version_info[0]}{sys.version_info[1]}"

        self._impl_class = Implementation
        super().__init__(function)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (str(sig), codegen.magic_tuple())


def _digest(recipe: str) -> str:
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__, OPTIONS, FORMAT)
    return hashlib.sha256(f"{versions}\n{recipe}".encode()).hexdigest()[:32]


_LOADED: dict[str, Any] = {}
"""Digest -> machine code of this process."""
FORMAT = 2
"""Version of what this file makes of a recipe."""


def _entry(function: Any, recipe: str) -> _Cache | None:
    folder = cache_folder()
    if folder is None or re.search(rf"(^|= ){re.escape(UNKNOWN)}$", recipe, re.MULTILINE):
        return None
    return _Cache(function, _digest(recipe), folder)


def _cached(recipe: str, signature: Any) -> Any:
    """The machine code for a recipe, if it was made before."""

    def drive(arrays: Any, index: Any, place: Any) -> Any:
        raise NotImplementedError

    drive.__module__ = __name__
    entry = _entry(drive, recipe)
    if entry is None:
        return None
    if (known := _LOADED.get(_digest(recipe))) is not None:
        return known
    dispatcher = jit(drive)
    try:
        found = entry.load_overload(signature, dispatcher.targetctx)
    except Exception:
        return None  # written by something else, or cut short: it is made anew
    if found is None:
        return None
    dispatcher.add_overload(found)
    return _kept(dispatcher, recipe)


def _compiled(dispatcher: Any, recipe: str, signature: Any) -> Any:
    """Compile the loop, and keep the code."""
    dispatcher.compile(signature)
    dispatcher.disable_compile()
    entry = _entry(dispatcher.py_func, recipe)
    if entry is not None:
        try:
            (made,) = dispatcher.overloads.values()
            entry.save_overload(signature, made)
        except Exception:  # noqa: S110 - a cache that cannot be written costs time, nothing else
            pass
        return _kept(dispatcher, recipe)
    return dispatcher


def _kept(dispatcher: Any, recipe: str) -> Any:
    """The machine code, kept for further jobs of this process."""
    dispatcher.disable_compile()
    _LOADED[_digest(recipe)] = dispatcher
    return dispatcher
