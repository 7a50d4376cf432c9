"""From the method of a module to a function that numba can compile: no `self`, no dict, helpers compiled too.

What is out of numba's reach in a method has a cure each, made on the syntax tree:

    self.config.min_pt, f"{self.config.jets}_pt"    a constant of the job: evaluated now, and written in its place
    self.mass(a, b), pair_mass(a, b)                a Python function: compiled too, with what it calls
    if self.config.coordinates == "polar":          a choice that is the same for all events: made now
    return {"mass": m, "sign": s}                   products of several names: returned as a tuple, in a fixed order

`event[...]` stays as it is; numba is taught what it means (compiled_types.py). Line numbers stay those of the file, so that
errors point at the author's own lines. `recipe` collects all that the machine code follows from, for the cache.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

SELF_SAFE = frozenset(("config", "label"))
"""Attributes of a module that are fixed before `begin_job`."""
_SIMPLE = (bool, int, float, complex, str, bytes, np.generic, type(None))


_SINGLE = (
    *("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "erf", "erfc", "exp", "expm1", "fabs", "gamma"),
    *("lgamma", "log", "log10", "log1p", "log2", "sin", "sinh", "sqrt", "tan", "tanh", "degrees", "radians"),
)
_PAIR = ("atan2", "copysign", "fmod", "hypot", "pow")
UNKNOWN = "?"
"""The fingerprint of what has none: code that uses it is compiled anew in each job."""


class CannotCompile(Exception):
    """A function cannot be compiled; the text says where and why."""


@dataclass(slots=True)
class Lowered:
    """A function of an event alone."""

    function: Callable[..., Any]
    where: str
    """File and line of the method."""
    recipe: list[str] = field(default_factory=list)
    """Everything that the machine code follows from, as text."""
    mentioned: set[str] = field(default_factory=set)
    """All names and texts in the code of the method and of what it calls: the products that it reads are among them."""


def own_attributes(method: Any) -> set[str]:
    """The attributes of `self` that a method reads, beside what is fixed before the job begins and beside other methods."""
    tree, _ = _parsed(method.__func__)
    name = tree.args.args[0].arg if tree.args.args else ""
    found = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }
    kind = type(method.__self__)
    return {attribute for attribute in found - SELF_SAFE if not hasattr(kind, attribute)}


def lower(method: Any, instances: Sequence[str], jit: Callable[[Any], Any]) -> Lowered:
    """The function of an event alone that does what a bound method does. Raises CannotCompile.

    instances: names of the products if there are several, in the order in which the function returns them.
    jit: compiles a helper when it is called.
    """
    return _Lowering(method.__self__, jit).method(method, instances)


def doubles(jit: Callable[[Any], Any]) -> dict[Any, Any]:
    """What computes in float64 in Python whatever it is given, and must do so in machine code: `float` and `math`."""

    def single(function: Any) -> Any:
        return jit(lambda x: function(np.float64(x)))

    def pair(function: Any) -> Any:
        return jit(lambda x, y: function(np.float64(x), np.float64(y)))

    found: dict[Any, Any] = {float: np.float64}
    found |= {getattr(math, name): single(getattr(math, name)) for name in _SINGLE}
    return found | {getattr(math, name): pair(getattr(math, name)) for name in _PAIR}


class _Lowering:
    """One method with all that it calls."""

    def __init__(self, module: Any, jit: Callable[[Any], Any]) -> None:
        self.module = module
        self.jit = jit
        self.recipe: list[str] = []
        self.mentioned: set[str] = set()
        self.helpers: dict[Any, Any] = {}
        self.doubles = doubles(jit)

    def method(self, method: Any, instances: Sequence[str]) -> Lowered:
        """A method, and all that its machine code follows from."""
        function, where = self._function(method, instances)
        return Lowered(function, where, self.recipe, self.mentioned)

    def helper(self, function: Any) -> Any:
        """A Python function or method, compiled; with what it calls."""
        if function in self.helpers:
            if self.helpers[function] is None:
                raise CannotCompile(f"'{function.__qualname__}' calls itself, directly or by way of others")
        else:
            self.helpers[function] = None
            self.helpers[function] = self.jit(self._function(function)[0])
        return self.helpers[function]

    def _function(self, called: Any, instances: Sequence[str] = ()) -> tuple[Any, str]:
        """A function or bound method without its `self`, and where it is written."""
        bound = isinstance(called, MethodType)
        function = called.__func__ if bound else called
        tree, first = _parsed(function)
        file = inspect.getsourcefile(function) or "<unknown>"
        names = {**function.__globals__, **_cells(function)}
        _Folding(self, tree, names, file, bound).run()
        if instances:
            _returns_dicts(tree, instances, file)
        code = compile(ast.fix_missing_locations(ast.Module([tree], type_ignores=[])), file, "exec")
        names["__name__"] = __name__
        self._supply(next(inner for inner in code.co_consts if isinstance(inner, CodeType)), names)
        made: dict[str, Any] = {}
        exec(code, names, made)  # noqa: S102 - the author's own function
        self.recipe.append(ast.dump(tree))
        return made[tree.name], f"{file}:{first}"

    def _supply(self, code: CodeType, names: dict[str, Any]) -> None:
        """Let the functions among the global names of some code be compiled ones; note the values of the others."""
        self.mentioned |= _mentioned(code)
        for name in sorted(_global_names(code)):
            value = names.get(name, getattr(builtins, name, None))
            if isinstance(value, FunctionType):
                names[name] = self.helper(value)
                self.recipe.append(f"{name} = helper {list(self.helpers).index(value)}")
            elif isinstance(value, BuiltinFunctionType | type) and value in self.doubles:
                names[name] = self.doubles[value]
                self.recipe.append(f"{name} = double {value.__name__}")
            elif name in names:
                self.recipe.append(f"{name} = {self._named_value(value)}")

    def _named_value(self, value: Any) -> str:
        """What a name stands for, as text that changes when it does."""
        for kind, known in (("helper", self.helpers), ("double", self.doubles)):
            for number, made in enumerate(known.values()):
                if made is value:
                    return f"{kind} {number}"
        return _fingerprint(value)


class _Folding(ast.NodeTransformer):
    """Puts values in the place of expressions that are the same for all events."""

    def __init__(
        self, lowering: _Lowering, tree: ast.FunctionDef, names: dict[str, Any], file: str, bound: bool
    ) -> None:
        self.lowering = lowering
        self.tree = tree
        self.names = names
        self.file = file
        arguments = [*tree.args.posonlyargs, *tree.args.args]
        #: the name of `self`; empty for a function that has none
        self.own = arguments.pop(0).arg if bound else ""
        self.locals = {argument.arg for argument in [*arguments, *tree.args.kwonlyargs]} | _assigned(tree)

    def run(self) -> None:
        """Fold, and take `self` away from the arguments."""
        tree = self.tree
        tree.body = self._visited(tree.body)
        if self.own:
            (tree.args.posonlyargs or tree.args.args).pop(0)
        tree.decorator_list, tree.returns = [], None
        for argument in [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]:
            argument.annotation = None
        for node in ast.walk(tree):
            if self.own and isinstance(node, ast.Name) and node.id == self.own:
                raise CannotCompile(f"{self.at(node)}: a compiled method uses '{self.own}' for its attributes alone")

    def at(self, node: ast.AST) -> str:
        """File and line of a node."""
        return f"{self.file}:{getattr(node, 'lineno', 0)}"

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and self._fixed(node):
            return self._value(node, self._evaluate(node))
        if self.own and _root(node) == self.own and not isinstance(node.ctx, ast.Load):
            raise CannotCompile(
                f"{self.at(node)}: a compiled method cannot change its module ('{ast.unparse(node)} =')"
            )
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        parts = [inner.value for inner in node.values if isinstance(inner, ast.FormattedValue)]
        if all(self._constant(part) for part in parts):
            return self._value(node, self._evaluate(node))
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and self._constant(node.slice):
            if self._fixed(node.value):
                return self._value(node, self._evaluate(node))
            key = self._evaluate(node.slice)
            if isinstance(key, str):
                node.slice = ast.copy_location(ast.Constant(key), node.slice)
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> Any:
        names = {inner.id for inner in ast.walk(node.test) if isinstance(inner, ast.Name)}
        calls = any(isinstance(inner, ast.Call) for inner in ast.walk(node.test))
        if self.own and names == {self.own} and not calls:
            taken = node.body if self._evaluate(node.test) else node.orelse
            return self._visited(taken) or ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def _visited(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Statements, folded; one may become several."""
        made: list[ast.stmt] = []
        for statement in statements:
            found = self.visit(statement)
            made.extend(found if isinstance(found, list) else [found])
        return made

    def _fixed(self, node: ast.expr) -> bool:
        """Whether a node is an attribute of `self`, or of a module of Python that holds a function of the author."""
        root = _root(node)
        if self.own and root == self.own:
            return isinstance(node, ast.Attribute)
        if root is None or root in self.locals or not isinstance(self.names.get(root), ModuleType):
            return False
        try:
            value = self._evaluate(node)
            python = isinstance(value, FunctionType) and not _is_numeric(self.names[root])
            return python or (isinstance(value, BuiltinFunctionType) and value in self.lowering.doubles)
        except CannotCompile:
            return False

    def _constant(self, node: ast.expr) -> bool:
        """Whether an expression is the same for all events, and simple enough to be evaluated."""
        if isinstance(node, ast.Constant):
            return True
        if isinstance(node, ast.Name):
            return node.id not in self.locals and isinstance(self.names.get(node.id), str)
        if isinstance(node, ast.JoinedStr):
            parts = [inner.value for inner in node.values if isinstance(inner, ast.FormattedValue)]
            return all(self._constant(part) for part in parts)
        return isinstance(node, ast.Attribute) and bool(self.own) and _root(node) == self.own

    def _evaluate(self, node: ast.expr) -> Any:
        code = compile(ast.fix_missing_locations(ast.Expression(node)), self.file or "<unknown>", "eval")
        try:
            own = {self.own: self.lowering.module} if self.own else {}
            return eval(code, {**self.names, **own})  # noqa: S307 - the author's own expression
        except Exception as error:
            raise CannotCompile(f"{self.at(node)}: '{ast.unparse(node)}': {error}") from error

    def _value(self, node: ast.expr, value: Any) -> ast.AST:
        """The expression of a value: a constant, or the name of one."""
        if isinstance(value, bool | int | float | str | None) and not isinstance(value, np.generic):
            if isinstance(value, float) and not math.isfinite(value):
                return self._named(node, value)
            return ast.copy_location(ast.Constant(value), node)
        if isinstance(value, FunctionType | MethodType):
            return self._named(node, self.lowering.helper(value))
        if isinstance(value, BuiltinFunctionType) and value in self.lowering.doubles:
            return self._named(node, self.lowering.doubles[value])
        if isinstance(value, np.ndarray | np.generic | complex | BuiltinFunctionType) or _is_simple(value):
            return self._named(node, tuple(value) if isinstance(value, list) else value)
        kind = type(value).__name__
        raise CannotCompile(
            f"{self.at(node)}: '{ast.unparse(node)}' is of the type {kind}; a compiled method can use numbers, text, "
            "tuples of these, NumPy arrays and functions"
        )

    def _named(self, node: ast.expr, value: Any) -> ast.AST:
        name = f"_evproc_{len(self.names)}"
        self.names[name] = value
        return ast.copy_location(ast.Name(name, ast.Load()), node)


def _returns_dicts(tree: ast.FunctionDef, instances: Sequence[str], file: str) -> None:
    """Make each `return {...}` of the function the return of a tuple in the order of `instances`. Raises CannotCompile."""
    for node in _own_nodes(tree):
        if not isinstance(node, ast.Return):
            continue
        at = f"{file}:{node.lineno}"
        value = node.value
        if not isinstance(value, ast.Dict):
            raise CannotCompile(f"{at}: return the products as a dict, written there: return {{'{instances[0]}': ...}}")
        keys = [key.value if isinstance(key, ast.Constant) else None for key in value.keys]
        if sorted(map(str, keys)) != sorted(instances):
            raise CannotCompile(f"{at}: it should return a dict of {sorted(instances)}, not {keys}")
        order = [value.values[keys.index(instance)] for instance in instances]
        node.value = ast.copy_location(ast.Tuple(order, ast.Load()), value)


def _parsed(function: Any) -> tuple[ast.FunctionDef, int]:
    """The syntax tree of a function, with the line numbers of its file, and its first line."""
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError) as error:
        name = getattr(function, "__qualname__", function)
        raise CannotCompile(f"the source of '{name}' is not there ({error})") from error
    tree = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(tree, first - 1)
    node = tree.body[0]
    if not isinstance(node, ast.FunctionDef):
        raise CannotCompile(
            f"{inspect.getsourcefile(function)}:{first}: only a function written with `def` can be compiled"
        )
    return node, node.lineno


def _cells(function: Any) -> dict[str, Any]:
    """The names that a function closes over, with their values."""
    cells = function.__closure__ or ()
    return {name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, cells, strict=True)}


def _global_names(code: CodeType) -> set[str]:
    """The names that some code, or a function within it, looks up."""
    names = set(code.co_names)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            names |= _global_names(inner) | set(inner.co_freevars)
    return names | set(code.co_freevars)


def _mentioned(code: CodeType) -> set[str]:
    """All names and texts in some code."""
    found = set(code.co_names)
    for value in code.co_consts:
        if isinstance(value, CodeType):
            found |= _mentioned(value)
        elif isinstance(value, str):
            found.add(value)
    return found


def _root(node: ast.AST) -> str | None:
    """The name that a chain of attributes and subscripts begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _assigned(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _own_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, those of functions within it left out."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            yield node
            yield from _own_nodes(node)


def _is_simple(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_simple(inner) for inner in value)
    return isinstance(value, _SIMPLE)


def _is_numeric(module: Any) -> bool:
    """Whether numba itself knows a module."""
    return module.__name__.partition(".")[0] in ("numpy", "math", "cmath", "numba", "operator")


def _fingerprint(value: Any) -> str:
    """What a global name stands for, as text that changes when it does."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    if _is_simple(value):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, type | BuiltinFunctionType | np.ufunc):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__name__', '')}"
    return UNKNOWN
