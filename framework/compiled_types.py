"""What numba must know to compile a per-event function: `event["Muon_pt"]`, `event["Muon"].pt`, `len(event["Muon"])`.

An event is the columns of its block and its number there. Reading a product takes a slice of the content, or one value, as
in Python; nothing is made for products that an event does not read. numba is imported here, and this file only when a
module is compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.extending import intrinsic, models, register_model
from numba.core.imputils import lower_builtin
from numba.core.typing import signature
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer, infer_getattr, infer_global
from numba.np.arrayobj import load_item, make_array, populate_array
from numba.np.numpy_support import from_dtype

from .errors import did_you_mean


@dataclass(frozen=True)
class ColumnKind:
    """The form of a column."""

    dtype: str
    """As NumPy writes it: `<f4`."""
    ndim: int
    """Dimensions of its values or content."""
    jagged: bool

    @property
    def arrays(self) -> Any:
        """The type of the arrays that hold it: (offsets, content) or (values,)."""
        content = types.Array(from_dtype(np.dtype(self.dtype)), self.ndim, "C", readonly=True)
        return types.Tuple((types.Array(types.int64, 1, "C", readonly=True), content) if self.jagged else (content,))

    @property
    def value(self) -> Any:
        """The type of what one event has."""
        dtype = from_dtype(np.dtype(self.dtype))
        ndim = self.ndim if self.jagged else self.ndim - 1
        return types.Array(dtype, ndim, "C", readonly=True) if ndim else dtype


class EventType(types.Type):  # type: ignore[misc]  # numba has no types
    """An event that holds some columns."""

    def __init__(
        self, columns: tuple[tuple[str, ColumnKind], ...], collections: tuple[tuple[str, tuple[str, ...]], ...]
    ):
        self.columns = dict(columns)
        self.collections = dict(collections)
        self.places = {key: place for place, (key, _) in enumerate(columns)}
        self.arrays = types.Tuple([kind.arrays for _, kind in columns])
        super().__init__(f"Event({columns}, {collections})")

    def read(self, key: str) -> Any:
        """The type of `event[key]`. Raises TypingError."""
        if key in self.columns:
            return self.columns[key].value
        if key in self.collections:
            return CollectionType(self, key)
        known = [*self.columns, *self.collections]
        raise TypingError(f"it reads '{key}', which it does not declare as an input{did_you_mean(key, known)}")


class CollectionType(types.Type):  # type: ignore[misc]
    """A collection of an event; holds what the event holds."""

    def __init__(self, event: EventType, collection: str) -> None:
        self.event = event
        self.collection = collection
        super().__init__(f"Collection({collection}, {event.name})")

    def product(self, field: str) -> str:
        """The product of a field. Raises TypingError."""
        fields = self.event.collections[self.collection]
        if field not in fields:
            near = did_you_mean(field, fields) or f"; it has {', '.join(fields)}"
            raise TypingError(f"collection '{self.collection}' has no field '{field}' here{near}")
        return f"{self.collection}_{field}"


@register_model(EventType)
class _EventModel(models.StructModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: EventType) -> None:
        members = [("number", types.intp)]
        for key, column in kind.columns.items():
            place = kind.places[key]
            members.append((f"content_{place}", types.CPointer(from_dtype(np.dtype(column.dtype)))))
            if column.jagged:
                members.append((f"offsets_{place}", types.CPointer(types.int64)))
            members += [(f"extent_{place}_{axis}", types.intp) for axis in range(1, column.ndim)]
        super().__init__(manager, kind, members)


@register_model(CollectionType)
class _CollectionModel(models.StructModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: CollectionType) -> None:
        super().__init__(manager, kind, [("event", kind.event)])


def event_maker(kind: EventType) -> Any:
    """`make(arrays, number)`, for compiled code: one event of a block."""

    @intrinsic
    def make(context: Any, arrays: Any, number: Any) -> Any:
        def build(context: Any, builder: Any, sig: Any, values: Any) -> Any:
            struct = cgutils.create_struct_proxy(kind)(context, builder)
            columns, struct.number = values
            for key, column in kind.columns.items():
                place = kind.places[key]
                pair = builder.extract_value(columns, place)
                last = len(column.arrays) - 1
                content = make_array(column.arrays[last])(context, builder, value=builder.extract_value(pair, last))
                setattr(struct, f"content_{place}", content.data)
                for axis, extent in list(enumerate(cgutils.unpack_tuple(builder, content.shape)))[1:]:
                    setattr(struct, f"extent_{place}_{axis}", extent)
                if column.jagged:
                    offsets = make_array(column.arrays[0])(context, builder, value=builder.extract_value(pair, 0))
                    setattr(struct, f"offsets_{place}", offsets.data)
            return struct._getvalue()

        return kind(kind.arrays, types.intp), build

    return make


@infer
class _ReadProduct(AbstractTemplate):  # type: ignore[misc]
    key = "static_getitem"

    def generic(self, args: Any, kws: Any) -> Any:
        owner, key = args
        if isinstance(owner, EventType) and isinstance(key, str):
            return signature(owner.read(key), owner, types.literal(key))
        if isinstance(owner, CollectionType) and isinstance(key, str):
            return signature(owner.event.read(owner.product(key)), owner, types.literal(key))
        return None


@infer_getattr
class _ReadField(AttributeTemplate):  # type: ignore[misc]
    key = CollectionType

    def generic_resolve(self, owner: CollectionType, field: str) -> Any:
        return owner.event.read(owner.product(field))


@infer_global(len)
class _Length(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) != 1 or not isinstance(args[0], CollectionType):
            return None
        owner = args[0]
        first = owner.event.read(owner.product(owner.event.collections[owner.collection][0]))
        return signature(types.intp, owner) if isinstance(first, types.Array) else None


def _load(context: Any, builder: Any, kind: EventType, value: Any, key: str) -> Any:
    """The value of a product of an event: a number, or an array that borrows the memory of its column."""
    struct = cgutils.create_struct_proxy(kind)(context, builder, value=value)
    column, place = kind.columns[key], kind.places[key]
    content = getattr(struct, f"content_{place}")
    extents = [getattr(struct, f"extent_{place}_{axis}") for axis in range(1, column.ndim)]
    first, shape = struct.number, extents
    if column.jagged:
        offsets = getattr(struct, f"offsets_{place}")
        first = builder.load(builder.gep(offsets, [struct.number]))
        after = builder.add(struct.number, context.get_constant(types.intp, 1))
        shape = [builder.sub(builder.load(builder.gep(offsets, [after])), first), *extents]
    for extent in extents:
        first = builder.mul(first, extent)
    at = builder.gep(content, [first])
    if not shape:
        return load_item(context, builder, column.arrays[0], at)
    array = make_array(column.value)(context, builder)
    size = context.get_constant(types.intp, np.dtype(column.dtype).itemsize)
    strides = [size]
    for extent in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], extent))
    populate_array(array, data=at, shape=shape, strides=strides, itemsize=size, meminfo=None)
    return array._getvalue()


@lower_builtin("static_getitem", EventType, types.StringLiteral)  # type: ignore[untyped-decorator]
def _lower_product(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind, (value, key) = sig.args[0], args
    if isinstance(sig.return_type, CollectionType):
        struct = cgutils.create_struct_proxy(sig.return_type)(context, builder)
        struct.event = value
        return struct._getvalue()
    return _load(context, builder, kind, value, key)


@lower_builtin("static_getitem", CollectionType, types.StringLiteral)  # type: ignore[untyped-decorator]
def _lower_item(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _lower_field(context, builder, sig.args[0], args[0], args[1])


def _lower_field(context: Any, builder: Any, kind: CollectionType, value: Any, field: str) -> Any:
    struct = cgutils.create_struct_proxy(kind)(context, builder, value=value)
    return _load(context, builder, kind.event, struct.event, kind.product(field))


def _register_getattr() -> None:
    from numba.core.imputils import lower_getattr_generic

    lower_getattr_generic(CollectionType)(_lower_field)


_register_getattr()


@lower_builtin(len, CollectionType)  # type: ignore[untyped-decorator]
def _lower_length(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    first = kind.event.collections[kind.collection][0]
    value = _lower_field(context, builder, kind, args[0], first)
    array = kind.event.columns[kind.product(first)].value
    return context.compile_internal(builder, lambda values: len(values), signature(types.intp, array), (value,))
