"""What a module or a service is, in words: its kind, its parameters, what it reads and makes. For `evproc modules`."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .conditions import ConditionMark, ConditionsProducer
from .config import InputMark, _is_input, block_type, is_placement, unit_of
from .flow import KINDS
from .service import Service

if TYPE_CHECKING:
    from .plugins import PartType, Plugin

_WORDS = {bool: "true or false", int: "integer", float: "number", str: "text", bytes: "bytes", type(None): "none"}
_SIGNS = {annotated_types.Gt: ">", annotated_types.Ge: ">=", annotated_types.Lt: "<", annotated_types.Le: "<="}


@dataclass(frozen=True, slots=True)
class ParameterDescription:
    """One parameter."""

    name: str
    type: str
    """In words: `number > 0`, `list of products`."""
    unit: str
    default: Any
    """Plain data; None if it must be given."""
    required: bool
    placement: bool
    """Whether it says only where and how fast to run."""
    description: str
    inner: tuple[ParameterDescription, ...] = ()
    """The parameters of a block."""


@dataclass(frozen=True, slots=True)
class Description:
    """One module or service."""

    name: str
    kind: str
    """source, producer, filter, analyzer, output, conditions or service."""
    package: str
    version: str
    target: str
    doc: str
    """Its docstring."""
    external: bool
    """Whether it hands out work."""
    reads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Product by default -> fields, where only some of a collection are read."""
    makes: dict[str, str] = field(default_factory=dict)
    """Product -> type; LABEL stands for the module's label."""
    parameters: tuple[ParameterDescription, ...] = ()

    @property
    def first_line(self) -> str:
        """The first line of the docstring."""
        return self.doc.partition("\n")[0]

    def to_dict(self) -> dict[str, Any]:
        """The description as plain data."""
        return asdict(self)


def kind_of(part: type[object]) -> str:
    """The kind of a class, in a word."""
    if issubclass(part, Service):
        return "conditions" if issubclass(part, ConditionsProducer) else "service"
    return next((name for kind, name, _ in KINDS if issubclass(part, kind)), "module")


def describe(part: PartType, plugin: Plugin) -> Description:
    """Describe an installed class."""
    from .module import ExternalWork

    produces = getattr(part, "produces", None)
    makes: dict[str, str] = {}
    if isinstance(produces, str):
        makes = {"LABEL": produces}
    elif isinstance(produces, typing.Mapping):
        makes = {f"LABEL:{instance}" if instance else "LABEL": str(kind) for instance, kind in produces.items()}
    reads: dict[str, tuple[str, ...]] = dict.fromkeys(getattr(part, "consumes", ()), ())
    reads.update(_default_inputs(part.Config))
    return Description(
        plugin.name,
        kind_of(part),
        plugin.package,
        plugin.version,
        plugin.target,
        inspect.cleandoc(part.__doc__ or ""),
        issubclass(part, ExternalWork),
        reads,
        makes,
        parameters_of(part.Config),
    )


def _default_inputs(block: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """The products that a block's InputTag fields name by default, with the fields of a collection that are read."""
    found: dict[str, tuple[str, ...]] = {}
    for info in block.model_fields.values():
        if not _is_input(info) or info.is_required():
            continue
        value = info.get_default(call_default_factory=True, validated_data={})
        extra = info.json_schema_extra
        fields = extra.get("collection_fields") if isinstance(extra, dict) else None
        listed = tuple(str(item) for item in fields) if isinstance(fields, list) else ()
        found.update(dict.fromkeys([value] if isinstance(value, str) else value or (), listed))
    return found


def parameters_of(
    block: type[BaseModel], default: BaseModel | None = None, above: Sequence[type] = ()
) -> tuple[ParameterDescription, ...]:
    """The parameters of a block; `default` is what the block is if it is not given."""
    found = []
    for name, info in block.model_fields.items():
        value = getattr(default, name) if default is not None else _default(info)
        nested = block_type(info)
        inner: tuple[ParameterDescription, ...] = ()
        if nested is not None and nested not in above:
            inner = parameters_of(nested, value if isinstance(value, nested) else None, [*above, block])
        found.append(
            ParameterDescription(
                name,
                type_text(info.annotation, info.metadata),
                unit_of(info),
                None if inner and isinstance(value, BaseModel) else _plain(value),
                info.is_required() and default is None,
                is_placement(info),
                info.description or "",
                inner,
            )
        )
    return tuple(found)


def _default(info: FieldInfo) -> Any:
    if info.is_required():
        return None
    return info.get_default(call_default_factory=True, validated_data={})


def _plain(value: Any) -> Any:
    """A default as plain data."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def type_text(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """A type in words: `integer >= 1 or "auto"`, `list of products`, `product or none`."""
    if any(isinstance(mark, InputMark) for mark in metadata):
        return "product"
    if any(isinstance(mark, ConditionMark) for mark in metadata):
        return "condition"
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        nested = [mark for info in marks if isinstance(info, FieldInfo) for mark in info.metadata]
        return type_text(inner, [*marks, *nested, *metadata])
    return " ".join([_bare(annotation), *_limits(metadata)])


def _bare(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_text(choice) for choice in arguments))
    if origin is Literal:
        return " or ".join(f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in arguments)
    if origin in (dict, typing.get_origin(typing.Mapping[str, Any])):
        return f"table of {_several(arguments[1])}"
    if origin is tuple and len(arguments) == 2 and arguments[1] is not Ellipsis:
        return " and ".join(type_text(item) for item in arguments)
    if origin is not None and arguments:
        return f"list of {_several(arguments[0])}"
    if annotation in _WORDS:
        return _WORDS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f'"{choice.value}"' for choice in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "block"
    return str(getattr(annotation, "__name__", annotation)).lower()


def _several(annotation: Any) -> str:
    one = type_text(annotation)
    return (
        f"{one}s"
        if one in ("product", "integer", "number", "text", "block", "path")
        else f"({one})"
        if " " in one
        else one
    )


def _limits(metadata: Sequence[Any]) -> list[str]:
    """`> 0`, `<= 1`, `(1 at least)` from the constraints of a field."""
    said = []
    for mark in metadata:
        for kind, sign in _SIGNS.items():
            if isinstance(mark, kind):
                said.append(f"{sign} {getattr(mark, kind.__name__.lower())}")
        if isinstance(mark, annotated_types.MinLen) and mark.min_length > 1:
            said.append(f"({mark.min_length} at least)")
    return [" and ".join(said)] if said else []
