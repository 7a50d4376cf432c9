"""HTTP/2 header blocks that are known already.

The problem: hpack puts the headers of each request together and takes those of each answer apart field by field, in Python.
At 64 B that is a seventh of the client's time, although the headers of one method's calls are the same, and after the first
call a block is nothing but a row of indices into tables that no longer change.

The policy: a block that left its table as it was means the same as long as the table stays as it is. So it is kept until
the table changes. Fields that must never be indexed are put together each time.

The cost: blocks and headers of `MOST` kinds of calls, at most, for each connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hpack import Decoder, Encoder
from hpack.struct import HeaderTuple, NeverIndexedHeaderTuple
from hpack.table import HeaderTable

if TYPE_CHECKING:
    from h2.connection import H2Connection

MOST = 64
"""Blocks that are kept."""


class _Table(HeaderTable):
    """A table that counts its changes."""

    changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        """Take in an entry."""
        self.changes += 1
        super().add(name, value)

    @property
    def state(self) -> tuple[int, int, int]:
        """Equal as long as each index means the same, and room has not changed."""
        return self.changes, len(self.dynamic_entries), self.maxsize


def know_headers(connection: H2Connection) -> None:
    """Let a connection that has not sent or received headers yet keep those that it knows."""
    decoder = KnownDecoder()
    decoder.max_header_list_size = connection.decoder.max_header_list_size
    decoder.max_allowed_table_size = connection.decoder.max_allowed_table_size
    connection.encoder, connection.decoder = KnownEncoder(), decoder


class KnownEncoder(Encoder):
    """Puts headers together that it does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.header_table: _Table = _Table()
        self._state = self.header_table.state
        self._known: dict[tuple[Any, ...], bytes] = {}

    def encode(self, headers: Any, huffman: bool = True) -> bytes:
        """The block of some headers, pairs of name and value."""
        table, fields = self.header_table, tuple(headers)
        if table.resized:  # the block must say so
            return super().encode(fields, huffman)
        if table.state != self._state or len(self._known) >= MOST:
            self._known.clear()
            self._state = table.state
        block = self._known.get(fields)
        if block is None:
            block = super().encode(fields, huffman)
            if table.state == self._state and not any(isinstance(field, NeverIndexedHeaderTuple) for field in fields):
                self._known[fields] = block
        return block


class KnownDecoder(Decoder):
    """Takes blocks apart that it does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.header_table: _Table = _Table()
        self._state = self.header_table.state
        self._known: dict[bytes, list[HeaderTuple]] = {}

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        """The headers of a block."""
        table = self.header_table
        if table.state != self._state or len(self._known) >= MOST:
            self._known.clear()
            self._state = table.state
        known = self._known.get(data) if raw else None
        if known is None:
            known = list(super().decode(data, raw))
            if raw and table.state == self._state:
                self._known[data] = known
        return list(known)
