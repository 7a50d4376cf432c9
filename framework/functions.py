"""Functions as modules: `process.mass = producer(dimuon_mass, muons="Muon")`.

An algorithm is best an ordinary function on arrays: it can be called, tested and used elsewhere without evproc. One call
makes a module of it; what it reads, what it makes and which parameters it has are read from its signature (signature.py).

For each function and use a class is made, with a `Config` of the function's parameters and the function's own name. So it is a
module like any other: its parameters are checked and can be set with `-o`, its inputs are known before the first event, it is
shown under its name, and a configuration names it by the place of the function, with `as` for what it is used as:

    mass: {type: "dimuon.py:dimuon_mass", as: producer, muons: Muon}

Cost: a call of a function goes through one closure, about 0.1 us an event beside the look-ups that any module makes.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeAlias, get_origin

from pydantic import create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from .conditions import ConditionTag
from .config import Input, InputMark, InputTag, Parameter
from .errors import Fault
from .function_calls import bound_call, unpacked
from .module import Analyzer, ExternalFilter, ExternalProducer, Filter, Module, Producer
from .signature import EMPTY, Argument, Role, Signature, name_of, read_signature

Produces: TypeAlias = str | Mapping[str, str] | None
_BASES: dict[tuple[str, bool], tuple[type[Module], str]] = {
    ("producer", False): (Producer, "produce"),
    ("producer", True): (ExternalProducer, "produce"),
    ("filter", False): (Filter, "filter"),
    ("filter", True): (ExternalFilter, "filter"),
    ("analyzer", False): (Analyzer, "analyze"),
    ("analyzer", True): (Analyzer, "analyze"),
}


def producer(
    function: Callable[..., Any],
    *,
    columns: bool | None = None,
    produces: Produces = None,
    threaded: bool | int = False,
    resources: Sequence[str] = (),
    **parameters: Any,
) -> Module:
    """A producer that puts what the function returns into the event.

    Each parameter of the function is the product of that name, or a configuration parameter if it has a default; keywords name
    other products or set other values. One that returns a TypedDict, a NamedTuple or a dataclass makes several products.
    `columns` says that it takes whole blocks; `produces` is the type of what it makes, where the annotation does not tell;
    `threaded`, that it blocks or leaves Python for long, and may be a limit of calls; `resources` are what only one module
    may use at a time. An `async` function is external work.

    Nothing is raised here: what is wrong with the signature or a parameter is told with all other faults of the process.
    """
    return _made("producer", function, columns, produces, threaded, resources, parameters)


def filter_by(
    function: Callable[..., Any],
    *,
    columns: bool | None = None,
    threaded: bool | int = False,
    resources: Sequence[str] = (),
    **parameters: Any,
) -> Module:
    """A filter that lets events pass for which the function says True; otherwise as `producer`."""
    return _made("filter", function, columns, None, threaded, resources, parameters)


def analyzer(
    function: Callable[..., Any],
    *,
    columns: bool | None = None,
    threaded: bool | int = False,
    resources: Sequence[str] = (),
    **parameters: Any,
) -> Module:
    """An analyzer that calls the function, in the order of the input; otherwise as `producer`."""
    return _made("analyzer", function, columns, None, threaded, resources, parameters)


class FunctionModule(Module):
    """What all modules made of functions have in common."""

    function: ClassVar[Callable[..., Any]]
    signature: ClassVar[Signature]
    used_as: ClassVar[dict[str, Any]]
    """What `producer` and its like were told: `kind`, and `columns`, `produces`, `threaded` where they were given."""

    def faults(self) -> list[Fault]:
        """What is wrong with the signature and with the parameters."""
        wrong = [
            Fault(f"{text} ({self.signature.name})", self.label, where=self.where) for text in self.signature.faults
        ]
        return [*wrong, *super().faults()]


def class_of(
    function: Any,
    kind: str,
    given: Mapping[str, Any],
    *,
    columns: bool | None = None,
    produces: Produces = None,
    threaded: bool | int = False,
    resources: Sequence[str] = (),
    fields: Mapping[str, Sequence[str]] | None = None,
) -> type[Module]:
    """The class of a module that calls a function, as a `kind`: producer, filter or analyzer.

    `given` are the parameters that the module will get; `fields` are those that are read of a collection, where its annotation
    does not name them.
    """
    signature = read_signature(function, given, columns)
    base, method = _BASES[kind, signature.asynchronous]
    signature.faults += _misuses(signature, kind, threaded, named=signature.several or isinstance(produces, Mapping))
    told: dict[str, Any] = {"columns": columns, "produces": produces, "threaded": threaded or None}
    told |= {"resources": list(resources) or None, "fields": fields or None}
    namespace: dict[str, Any] = {
        "__module__": str(getattr(function, "__module__", None) or __name__),
        "__qualname__": str(getattr(function, "__qualname__", name_of(function))),
        "__doc__": inspect.getdoc(function) if callable(function) and hasattr(function, "__name__") else None,
        "function": staticmethod(function) if callable(function) else None,
        "signature": signature,
        "used_as": {"kind": kind, **{key: value for key, value in told.items() if value is not None}},
        "threaded": threaded,
        "resources": resources if isinstance(resources, str) else tuple(resources),
        "Config": _config(base, signature, fields or {}),
    }
    if kind == "producer":
        namespace["produces"] = signature.produces if produces is None else produces
        if isinstance(produces, str) and signature.several:
            signature.faults.append(f"it returns several products, so `produces` is a table of them, not '{produces}'")
        if isinstance(produces, Mapping):
            signature.faults += _other_products(signature, produces)
    namespace |= _methods(method, signature)
    name = signature.name if signature.name.isidentifier() else "function"
    return type(name, (FunctionModule, base), namespace)


def _made(
    kind: str,
    function: Callable[..., Any],
    columns: bool | None,
    produces: Produces,
    threaded: bool | int,
    resources: Sequence[str],
    parameters: dict[str, Any],
) -> Module:
    given = {name: value for name, value in parameters.items() if not isinstance(value, FieldInfo)}
    fields: dict[str, list[str]] = {}
    for name, value in parameters.items():
        if isinstance(value, FieldInfo):  # Input("Muon", fields=...)
            extra = value.json_schema_extra
            listed = extra.get("collection_fields") if isinstance(extra, dict) else None
            fields |= {name: [str(item) for item in listed]} if isinstance(listed, list) and listed else {}
            given |= {} if value.is_required() else {name: value.default}
    options: dict[str, Any] = {"columns": columns, "produces": produces, "threaded": threaded, "resources": resources}
    return class_of(function, kind, given, **options, fields=fields)(**given)


def _misuses(signature: Signature, kind: str, threaded: bool | int, *, named: bool) -> list[str]:
    """What a signature says that does not fit the use that is made of it; `named` says that several products have names."""
    returns, found = signature.returns, []
    if kind == "producer" and returns in (None, type(None)):
        found.append("it returns nothing (-> None), so it is no producer; use analyzer")
    bare = get_origin(returns) or returns
    if kind == "producer" and not named and bare in (dict, tuple):
        found.append(f"it returns a {bare.__name__} without names; several products are a TypedDict or a NamedTuple")
    if kind == "filter" and not signature.columns and returns is not EMPTY and not _is_decision(returns):
        found.append(f"it is a filter, which says True or False for an event (-> bool), but returns {_shown(returns)}")
    if kind == "filter" and signature.columns and returns in (bool, None, type(None)):
        found.append(f"it takes whole blocks, so as a filter it returns (events,) bool, not {_shown(returns)}")
    if kind == "analyzer" and signature.asynchronous:
        found.append("it is asynchronous, but an analyzer only looks; use producer or filter_by")
    if threaded and signature.asynchronous:
        found.append("it is asynchronous and threaded; it can be only one of them")
    return found


def _is_decision(returns: Any) -> bool:
    return getattr(returns, "__name__", "") in ("bool", "bool_", "Any")


def _shown(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _other_products(signature: Signature, produces: Mapping[str, str]) -> list[str]:
    """What `produces` says that the return annotation contradicts."""
    if not signature.several or set(produces) == set(signature.produces):
        return []
    return [f"`produces` names {', '.join(produces)}, but it returns {', '.join(signature.produces)}"]


def _config(base: type[Module], signature: Signature, named: Mapping[str, Sequence[str]]) -> Any:
    """The parameters of a function as a block."""
    fields: dict[str, Any] = {}
    for argument in signature.arguments:
        if argument.role is Role.INPUT:
            fields[argument.name] = _input_field(argument, tuple(named.get(argument.name, ())) or argument.fields)
        elif argument.role is Role.CONDITION:
            label = argument.name if argument.default is EMPTY else argument.default
            if not isinstance(label, str):
                signature.faults.append(f"the default of '{argument.name}' is the label of a condition, not {label!r}")
                label = argument.name
            fields[argument.name] = (ConditionTag, Parameter(label, description="label of a conditions producer"))
        elif argument.role is Role.SETTING:
            fields[argument.name] = (_annotation(argument), ... if argument.default is EMPTY else argument.default)
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                return create_model("Config", __base__=base.Config, __module__=__name__, **fields)
        except (PydanticUserError, UserWarning) as error:
            name = next((name for name in fields if _refused(base, name, fields[name])), next(iter(fields)))
            del fields[name]
            why = str(error).partition("\n")[0]
            signature.faults.append(f"parameter '{name}' cannot be a parameter of a configuration: {why}")


def _refused(base: type[Module], name: str, definition: Any) -> bool:
    try:
        create_model("Config", __base__=base.Config, **{name: definition})
    except PydanticUserError:
        return True
    return False


def _annotation(argument: Argument) -> Any:
    if argument.annotation is not EMPTY:
        return argument.annotation
    return Any if argument.default in (EMPTY, None) else type(argument.default)


def _input_field(argument: Argument, fields: tuple[str, ...]) -> Any:
    if argument.default is None:
        return Annotated[str | None, InputMark()], Input(None, fields=fields)
    return InputTag, Input(argument.name, fields=fields)


def _methods(method: str, signature: Signature) -> dict[str, Any]:
    """The methods of a class, each defined once: they call what `_caller` makes for the parameters of the module."""
    suffix = "_columns" if signature.columns else ""
    name = f"acquire{suffix}" if signature.asynchronous else f"{method}{suffix}"
    several = signature.several

    def call(self: Any, given: Any) -> Any:
        return caller_of(self)(given)

    def begin_job(self: Any, job: Any) -> None:
        """Bind the parameters, which do not change from now on."""
        self.__dict__[name] = caller_of(self)

    def caller_of(self: Any) -> Callable[[Any], Any]:
        inner = bound_call(self.signature, self.function, self.config)
        return (lambda given: unpacked(inner(given))) if several and not signature.asynchronous else inner

    def collect(self: Any, given: Any, result: Any) -> Any:
        return unpacked(result) if several else result

    found: dict[str, Any] = {name: call, "begin_job": begin_job}
    if signature.asynchronous and method != "analyze":
        found[f"{method}{suffix}"] = collect
    elif signature.asynchronous:
        found[method] = call
    return found
