"""Fields of protobuf's messages, written and found by hand (protobuf, "Encoding")."""

from __future__ import annotations

from collections.abc import Iterator


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def message_fields(data: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Each field of the outermost level: number, the whole field, and its content (empty for a bare number)."""
    position, end = 0, len(data)
    while position < end:
        start = position
        tag, position = _read_varint(data, position)
        kind = tag & 7
        if kind == 2:
            length, position = _read_varint(data, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        elif kind == 0:
            _, position = _read_varint(data, position)
            length = 0
        else:
            raise ValueError("the answer is not a ModelInferResponse")
        content, position = position, position + length
        if position > end:
            raise ValueError(f"the answer ends {position - end} bytes too early")
        yield tag >> 3, data[start:position], data[content:position]


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
    number = shift = 0
    while position < len(data):
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    raise ValueError("the answer ends in the middle of a number")
