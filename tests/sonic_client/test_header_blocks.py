"""Headers that are known already, held against hpack's own coding."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hpack import Decoder, Encoder, HeaderTuple, NeverIndexedHeaderTuple
from hypothesis import given

from evproc.sonic_client.header_blocks import MOST, KnownDecoder, KnownEncoder

WORDS = st.sampled_from([b":path", b"te", b"grpc-timeout", b"authorization", b"x" * 40])
VALUES = st.sampled_from([b"/a", b"/b", b"59S", b"trailers", b"secret", b"y" * 60, b"z" * 200])
FIELDS = st.builds(
    lambda kind, *pair: kind(*pair), st.sampled_from([HeaderTuple, NeverIndexedHeaderTuple]), WORDS, VALUES
)
BLOCKS = st.lists(FIELDS, min_size=1, max_size=4)
ROOM = st.sampled_from([0, 100, 250, 4096])
"""Sizes of the tables: nothing, one or two entries, all of them."""


def decoded(decoder: Decoder, block: bytes) -> list[tuple[Any, ...]]:
    """The headers of a block, and whether they may be indexed."""
    return [(*field, field.indexable) for field in decoder.decode(block, raw=True)]


@given(
    st.lists(BLOCKS, min_size=1, max_size=4),
    st.lists(st.integers(0, 3) | ROOM.map(lambda room: -1 - room), max_size=40),
)
def test_blocks_are_those_of_hpack(kinds: list[list[HeaderTuple]], turns: list[int]) -> None:
    """Whatever comes again, and whenever the tables change their size: bytes and headers are the same, both ways."""
    plain, known, reader, knower = Encoder(), KnownEncoder(), Decoder(), KnownDecoder()
    for turn in turns:
        if turn < 0:
            plain.header_table_size = known.header_table_size = -1 - turn
            continue
        headers = kinds[turn % len(kinds)]
        block = plain.encode(headers)
        assert known.encode(iter(headers)) == block
        found = decoded(knower, block)
        assert found == decoded(reader, block)
        assert [(name, value) for name, value, _ in found] == [tuple(field) for field in headers]


def test_what_is_kept_is_bounded() -> None:
    """A header that is different each time does not gather blocks."""
    encoder, decoder, plain = KnownEncoder(), KnownDecoder(), Decoder()
    for number in range(3 * MOST):
        headers = [(":status", "200"), ("n", str(number % (2 * MOST)))]
        block = encoder.encode(headers)
        assert list(decoder.decode(block)) == list(plain.decode(block)) == headers
        assert len(encoder._known) <= MOST
        assert len(decoder._known) <= MOST


def test_headers_that_were_handed_out_may_be_changed() -> None:
    """Each call gets a list of its own."""
    encoder, decoder = KnownEncoder(), KnownDecoder()
    blocks = [encoder.encode([(b":status", b"200")]) for _ in range(2)]
    first: Any = decoder.decode(blocks[0], raw=True)
    first.clear()
    assert list(decoder.decode(blocks[1], raw=True)) == [(b":status", b"200")]
