"""Typed configuration: every parameter is a field of a pydantic model, with type, unit, default and a sentence.

A workflow is Python, and Python stops at the first exception. A user with five typing errors should see five, so
constructing a module, a service or a block with wrong parameters does not raise: the faults are kept, with file and
line, and reported together when the process is compiled. Using such a module before that raises `ConfigurationError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic._internal._model_construction import ModelMetaclass
from pydantic.fields import FieldInfo

from .callers import caller as caller
from .errors import Fault, did_you_mean


class InputMark:
    """Marks a field as the name of a product that the module reads."""


InputTag: TypeAlias = Annotated[str, InputMark()]
"""The name of a product: `label`, `label:instance`, a branch (`Jet_pt`) or a collection (`Jet`)."""


ANY_FIELD = ("?",)
"""For `Input(fields=ANY_FIELD)`: one field of the collection will do, whichever; for who only counts objects."""


def Input(default: Any = ..., *, fields: Iterable[str] = (), description: str = "product to read") -> Any:
    """An `InputTag` field. Of a collection, only `fields` are read from the file (all of them if none is named)."""
    return Field(default, description=description, json_schema_extra={"collection_fields": [*fields]})


def Parameter(
    default: Any = ..., *, description: str, unit: str = "", placement: bool = False, **constraints: Any
) -> Any:
    """A field with a unit. `placement` marks what says where and how fast to run, and cannot change results.

    `constraints` are those of pydantic's Field: `gt`, `ge`, `lt`, `le`, `min_length`, `default_factory` ...
    """
    extra: dict[str, JsonValue] = {"unit": unit, "placement": placement}
    if "default_factory" not in constraints:
        constraints["default"] = default
    return Field(description=description, json_schema_extra=extra, **constraints)


class InvalidBlock:
    """A block that was given wrong parameters: kept until the module that holds it reports its faults."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters


class _BlockMeta(ModelMetaclass):
    if not TYPE_CHECKING:

        def __call__(cls, *args: Any, **parameters: Any) -> Any:  # noqa: N805 - cls is the class made
            try:
                return super().__call__(*args, **parameters)
            except ValidationError:
                if args:
                    raise
                return InvalidBlock(parameters)


class Block(BaseModel, metaclass=_BlockMeta):
    """A group of parameters: the `Config` of a module, or a block nested in one. Immutable; unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=False, protected_namespaces=())

    if not TYPE_CHECKING:  # which sees from `frozen` that nothing may be assigned

        def __setattr__(self, name: str, value: Any) -> None:
            """Refuse, and say what changes a parameter."""
            if name in type(self).model_fields:
                what = (
                    f"process.set_options({name}=...)"
                    if isinstance(self, Options)
                    else f"process.LABEL.set({name}=...)"
                )
                raise TypeError(f"a configuration is not changed by assigning to '{name}'; say {what}")
            super().__setattr__(name, value)


def faults_of(error: ValidationError, model: type[BaseModel]) -> list[Fault]:
    """pydantic's findings as faults, with the nearest right name for each unknown key."""
    found: list[Fault] = []
    for item in error.errors(include_url=False):
        location = [str(part) for part in item["loc"]]
        if item["type"] == "extra_forbidden":
            known = _fields_at(model, location[:-1])
            names = f"; it knows {', '.join(sorted(known))}" if known else ""
            message = f"unknown parameter '{location[-1]}'{did_you_mean(location[-1], known) or names}"
        elif item["type"] == "missing":
            message = f"parameter '{location[-1]}' must be given"
        else:
            message = f"{item['msg'][0].lower()}{item['msg'][1:]}, not {item['input']!r}"
        key = ".".join(_without_branches(model, location))
        if found and found[-1].key == key:  # another branch of the same union
            before = found.pop()
            given = f", not {item['input']!r}"
            message = f"{before.message.removesuffix(given)}, or {message}"
        found.append(Fault(message, key=key))
    return found


def _without_branches(model: Any, location: list[str]) -> list[str]:
    """A location without the names that pydantic gives to the branches of a union."""
    kept: list[str] = []
    for part in location:
        fields = getattr(model, "model_fields", None)
        if part.isdecimal():
            kept.append(part)
        elif fields is not None:
            kept.append(part)
            model = block_type(fields[part]) if part in fields else None
    return kept


def _fields_at(model: Any, location: list[str]) -> list[str]:
    """The names of the fields of the block at `location` inside `model`."""
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            continue
        model = block_type(field) or model
    return list(getattr(model, "model_fields", {}))


def block_type(field: FieldInfo) -> type[BaseModel] | None:
    """The block that a field holds, possibly in an Optional or a list."""
    pending = [field.annotation]
    while pending:
        kind = pending.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
        pending.extend(get_args(kind))
    return None


def input_tags(config: BaseModel) -> dict[str, tuple[str, ...]]:
    """The products that the `InputTag` fields of a configuration name, each with the fields of it that are read.

    A tag without fields means all of it. Lists of tags and nested blocks count too.
    """
    tags: dict[str, tuple[str, ...]] = {}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if _is_input(field):
            extra = field.json_schema_extra
            listed = extra.get("collection_fields") if isinstance(extra, dict) else None
            wanted = tuple(str(item) for item in listed) if isinstance(listed, list) else ()
            for tag in [value] if isinstance(value, str) else value or ():
                add_inputs(tags, {tag: wanted})
        elif isinstance(value, BaseModel):
            add_inputs(tags, input_tags(value))
        elif isinstance(value, list | tuple):
            for item in value:
                if isinstance(item, BaseModel):
                    add_inputs(tags, input_tags(item))
    return tags


def add_inputs(tags: dict[str, tuple[str, ...]], others: Mapping[str, tuple[str, ...]]) -> None:
    """Add inputs to `tags`: of a collection that is named twice, the fields of both; all, if one of them wants all."""
    for tag, fields in others.items():
        before = tags.get(tag, fields)
        tags[tag] = tuple(dict.fromkeys((*before, *fields))) if before and fields else ()


def _is_input(field: FieldInfo) -> bool:
    """Whether a field is an InputTag, an optional one, or a list of them."""
    return is_marked(field, InputMark)


def is_marked(field: FieldInfo, kind: type) -> bool:
    """Whether the type of a field, or what it is optional or a list of, has a mark of a kind."""
    if any(isinstance(mark, kind) for mark in field.metadata):
        return True
    pending = list(get_args(field.annotation))
    while pending:
        inner = pending.pop()
        if any(isinstance(mark, kind) for mark in getattr(inner, "__metadata__", ())):
            return True
        pending.extend(get_args(inner))
    return False


def is_placement(field: FieldInfo) -> bool:
    """Whether a field says only where and how fast to run."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("placement"))


def unit_of(field: FieldInfo) -> str:
    """The unit of a field; empty if it has none."""
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


class Options(Block):
    """How a process runs. None of it changes results, but `seed`, and `only`, which says for which events it runs."""

    streams: Annotated[int, Field(ge=1)] | Literal["auto"] = Parameter(
        "auto",
        description="blocks in flight at most; auto opens another whenever the CPU would wait",
        placement=True,
    )
    block: Annotated[int, Field(ge=1)] | Literal["auto"] = Parameter(
        "auto",
        description="events in a block; 1 is event by event; auto fits the modules and the memory",
        placement=True,
    )
    memory: float = Parameter(
        128.0, description="budget for events in flight, read ahead included", unit="MB", placement=True, gt=0
    )
    in_flight: float = Parameter(
        32.0, description="budget for external work in flight", unit="MB", placement=True, gt=0
    )
    max_seconds: float | None = Parameter(
        None,
        description="time after which no more events are begun; those in flight are finished, and the outputs complete",
        unit="s",
        placement=True,
        gt=0,
    )
    only: str = Parameter(
        "",
        description="file of failed events, or of lines run:block:event: only these events of the input are processed",
    )
    threads: int = Parameter(4, description="threads for modules and calls that block", placement=True, ge=1, le=256)
    progress: float = Parameter(1.0, description="time between two progress reports", unit="s", placement=True, gt=0)

    seed: int = Parameter(0, description="seed of the random numbers of modules; changes results", ge=0)

    MAX_STREAMS: ClassVar[int] = 256
