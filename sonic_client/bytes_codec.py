"""grpclib, made to move bytes: messages are put together and read elsewhere."""

from __future__ import annotations

from typing import Any

from grpclib.encoding.base import CodecBase
from hyperframe.frame import DataFrame


class BytesCodec(CodecBase):
    """Passes the bytes of a message through, under the name of protobuf's encoding."""

    __content_subtype__ = "proto"  # pyright: ignore[reportAssignmentType]  # a constant, as in grpclib's own codecs

    def encode(self, message: Any, message_type: Any) -> bytes:
        """The message, which is bytes."""
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        """The bytes themselves."""
        return data


def _size_only(frame: DataFrame) -> str:
    return f"{len(frame.data)} bytes"


def spare_frame_texts() -> None:
    """Keep h2 from describing the content of each frame of data that it receives.

    h2 4 evaluates `repr(frame)` for a log message that nobody reads; for a frame of data this copies the frame. For
    large tensors it was 40 % of the time. Replaced is the text of that one class of frames, by its length.
    """
    DataFrame._body_repr = _size_only  # type: ignore[method-assign, assignment]
