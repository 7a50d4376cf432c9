"""What modules and services have in common: parameters that are set, cloned, and know where they come from.

Parameters are kept as they were given, beside the validated `config`: a change validates them all again. Each keeps its
origin, so that `evproc config --origin` can say which line, option, modifier or customise function set it. What is said
last holds. A part of a process that runs, or has run, can be changed no more: its outputs name the configuration that
made them. A clone can.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self, get_args

from pydantic import BaseModel, ValidationError

from .callers import caller
from .config import Block, InvalidBlock, faults_of
from .errors import ConfigurationError, Fault

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from .modifiers import Change
    from .process import Process

_cause: ContextVar[str] = ContextVar("cause", default="")


@contextmanager
def because(cause: str) -> Iterator[None]:
    """What is set within is set because of a modifier, a customise function or an option."""
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)


def origin_here(made: object = None) -> str:
    """Why and where something is set at present: `modifier remote [workflow.py:12]`, `workflow.py:12` or `-o a.b=3`."""
    cause, where = _cause.get(), caller(made)
    if cause.startswith("-o ") or cause.endswith("]"):
        return cause
    return f"{cause} [{where}]" if cause and where else cause or where


class Owner:
    """The process that a part belongs to, without keeping it alive. A copy, or what was pickled, belongs to none yet."""

    __slots__ = ("_process",)

    def __init__(self, process: Process | None = None) -> None:
        self._process = weakref.ref(process) if process is not None else None

    def __call__(self) -> Process | None:
        """The process, if there is one."""
        return self._process() if self._process is not None else None

    def __reduce__(self) -> tuple[type[Owner], tuple[()]]:
        return Owner, ()


class Configured:
    """What modules and services have in common: a label, and parameters held against the nested class `Config`."""

    class Config(Block):
        """No parameters."""

    config: Any
    label: str
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *arguments: Any, **parameters: Any) -> Self:
        """Keep what it is made with, for clones."""
        made = super().__new__(cls)
        made._arguments = (arguments, parameters)
        return made

    def __init__(self, **parameters: Any) -> None:
        self.label = ""
        #: what the user should know, and does not keep the job from running
        self.warnings: list[str] = []
        self.where = caller(self)
        self._parameters: dict[str, Any] = {}
        #: dotted key -> where its value comes from
        self._origins: dict[str, str] = {}
        self._faults: tuple[Fault, ...] = ()
        self._owner = Owner()
        #: changes by modifiers, for when the part belongs to a process
        self._pending: list[Change] = []
        origin = origin_here(self)
        for key, value in parameters.items():
            self._assign(key.split("."), _plain(value), origin)
        self._validate()

    def set(self, **parameters: Any) -> None:
        """Set parameters: those of a block by dotted keys, or by a dict of those that change; a whole block replaces all.

        Wrong values are faults, which are reported when the process is compiled. Raises ConfigurationError if the process
        runs or has run.
        """
        self._check_changeable()
        origin = origin_here(self)
        for key, value in parameters.items():
            for path, item in _opened(self.Config, key.split("."), value):
                self._assign(path, _plain(item), origin)
        self._validate()

    def clone(self, **changes: Any) -> Self:
        """Another of the same kind with the same parameters but for `changes`, which are those of `set`.

        It has no label, and shares nothing with this one: `process.other = process.energy.clone(client={"timeout": 5})`.
        """
        arguments, parameters = self._arguments
        made = type(self)(*arguments, **parameters)
        made._parameters = copy.deepcopy(self._parameters)
        made._origins = dict(self._origins)
        made.set(**changes)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        made = self.clone()
        memo[id(self)] = made
        made.label, made.where, made._pending = self.label, self.where, copy.deepcopy(self._pending, memo)
        return made

    def _check_changeable(self) -> None:
        """Raise ConfigurationError if the process that it belongs to runs, or has run."""
        owner = self._owner()
        if owner is not None:
            owner._check_changeable(self.label)

    def _assign(self, path: list[str], value: Any, origin: str) -> None:
        """Set one parameter, opening blocks on the way, and note where it comes from."""
        target = self._parameters
        model: type[BaseModel] | None = self.Config
        for part in path[:-1]:
            field = model.model_fields.get(part) if model is not None else None
            inner = target.get(part, field.default if field is not None else None)
            if isinstance(inner, BaseModel):
                inner = inner.model_dump(exclude_unset=True)
            target[part] = inner = dict(inner) if isinstance(inner, Mapping) else {}
            target = inner
            model = _block_of(field) if field is not None else None
        target[path[-1]] = value
        key = ".".join(path)
        for below in [known for known in self._origins if known.startswith(f"{key}.")]:
            del self._origins[below]
        self._origins[key] = origin

    def _validate(self) -> None:
        try:
            self.config = self.Config(**self._parameters)
            if isinstance(self.config, InvalidBlock):
                self.Config.model_validate(self._parameters)
            self._faults = ()
        except ValidationError as error:
            self.__dict__.pop("config", None)
            self._faults = tuple(faults_of(error, self.Config))

    def auxiliary_files(self) -> Iterable[str]:
        """Files that it reads besides events, and that change results: outputs say their checksums. Asked after `check`."""
        return ()

    def written_files(self) -> Iterable[str]:
        """Files that it writes; no other part of the process may write the same."""
        return ()

    def origin_of(self, key: str) -> str:
        """Where the value of a parameter, by its dotted key, comes from; empty if nobody set it.

        What was set with the whole block comes from where the block does.
        """
        while key not in self._origins:
            key, dot, _ = key.rpartition(".")
            if not dot:
                return ""
        return self._origins[key]

    def faults(self) -> list[Fault]:
        """What is wrong with the parameters, labelled."""
        kind = type(self).__name__
        return [
            Fault(f"{fault.message} ({kind})", self.label, fault.key, self._place_of(fault.key))
            for fault in self._faults
        ]

    def _place_of(self, key: str) -> str:
        """Where a faulty parameter was set; else where the part was made."""
        return self.origin_of(key) or self.where

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name == "config" and self.__dict__.get("_faults"):
                raise ConfigurationError(self.faults())
            raise AttributeError(f"{type(self).__name__} '{self.__dict__.get('label', '')}' has no attribute '{name}'")

    def __repr__(self) -> str:
        inside = ", ".join(f"{key}={value!r}" for key, value in self._parameters.items())
        return f"{type(self).__name__}({inside})"


def _plain(value: Any) -> Any:
    """The value with invalid blocks opened, so that their faults are found again where they are used."""
    if isinstance(value, InvalidBlock):
        return _plain(value.parameters)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value) if type(value) in (list, tuple) else value
    return value


def _block_of(field: FieldInfo) -> type[BaseModel] | None:
    """The block that a field is, possibly an optional one; None if there is a choice of several, or none."""
    choices = get_args(field.annotation) if not isinstance(field.annotation, type) else (field.annotation,)
    found = [kind for kind in choices if isinstance(kind, type) and issubclass(kind, BaseModel)]
    whole = getattr(field.annotation, "__origin__", None) in (list, tuple, dict)
    return found[0] if len(found) == 1 and not whole else None


def _opened(model: type[BaseModel] | None, path: list[str], value: Any) -> Iterator[tuple[list[str], Any]]:
    """A dict for a block as one value for each of its keys, at any depth; anything else as it is."""
    inner = model
    for part in path:
        field = inner.model_fields.get(part) if inner else None
        inner = _block_of(field) if field is not None else None
    if inner is None or not isinstance(value, dict) or not value:
        yield path, value
        return
    for key, item in value.items():
        yield from _opened(model, [*path, *str(key).split(".")], item)
