"""Friends: other files that hold more about the same events, matched by identity.

Problem: a friend written by another job may lack events, hold more, and hold them in another order; matching by position
would then give events the numbers of others, silently. Policy: the identities of friend files are read into an index, file by
file, as far as needed to find the events that are asked for; `match="position"` is for files without an identity, and must be
said. Branches are read in pieces of the friend's file that are kept for the next chunk, up to `CACHE_BYTES`; only those
that a module reads.
Cost: 20 bytes for each event of the friend's files that were looked through, up to 60 for a moment while the index grows.
Where the friend has the order of the events, each of its pieces is read once; in random order, once per chunk of events.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from evproc.framework.column_making import column_from_array
from evproc.framework.columns import Array, Column
from evproc.framework.errors import InputError

from .event_ranges import Keys
from .friend_files import Friend, FriendFiles, friend_products
from .input_ledger import InputLedger, Segment


class Friends:
    """All friends of a source, while it is read."""

    def __init__(
        self, friends: Sequence[Friend], keys: Collection[str], ledger: InputLedger, *, skip_bad: bool
    ) -> None:
        self._files: list[FriendFiles] = []
        #: of the segment that is being read: for each friend, the entry of each event
        self._entries: list[Array] = []
        self._segment: Segment | None = None
        left = set(keys)
        for friend in friends:
            names = friend_products(friend, skip_bad=skip_bad).types
            mine = sorted(name for name in names if f"{friend.prefix}{name}" in left)
            left -= {f"{friend.prefix}{name}" for name in mine}
            if mine or friend.missing != "absent":
                self._files.append(FriendFiles(friend, mine, ledger, skip_bad=skip_bad))
        #: products that friends hold
        self.keys = set(keys) - left

    def __bool__(self) -> bool:
        return bool(self._files)

    @property
    def by_identity(self) -> bool:
        """Whether the identities of events are needed to find their friends."""
        return any(files.friend.match == "identity" for files in self._files)

    def look_up(self, batch: Array, segment: Segment, keys: Keys | None, number: int, where: str) -> Array:
        """Find the friends of the events at some places of a segment; (events,) bool: whether all that must be are there.

        Raises InputError for events without a friend, unless they are to be skipped.
        """
        if segment is not self._segment:
            self._segment = segment
            self._entries = [np.full(len(segment.codes), -1, np.int64) for _ in self._files]
        there = np.ones(len(batch), np.bool_)
        for files, entries in zip(self._files, self._entries, strict=True):
            if files.friend.match == "identity":
                assert keys is not None
                found = files.find(keys.at(batch))
            else:
                found = files.find(batch + segment.first + number)
            entries[batch] = found
            missing = (found < 0) & there
            if missing.any() and files.friend.missing == "error":
                at = int(batch[np.flatnonzero(missing)[0]])
                raise InputError(_missing(files, keys, at, f"{where}, entry {segment.first + at}", int(missing.sum())))
            if files.friend.missing == "skip":
                there &= ~missing
        return there

    def columns(self, places: Array, segment: Segment) -> tuple[dict[str, Column], Array]:
        """The products of friends for the events at some places of the segment; which events have all that they must have.

        Products come for these events only.
        """
        assert segment is self._segment
        sound = np.ones(len(places), np.bool_)
        read: list[tuple[FriendFiles, dict[str, Column], Array]] = []
        for files, entries in zip(self._files, self._entries, strict=True):
            if not files.keys:
                continue
            mine = entries[places]
            known = mine >= 0
            columns, could = files.read(mine[known])
            have = np.zeros(len(places), np.bool_)
            have[np.flatnonzero(known)[could]] = True
            if files.friend.missing == "error" and not have.all():
                at = segment.first + int(places[np.flatnonzero(~have)[0]])
                raise InputError(f"{segment.file}, entry {at}: its entry in {files.name} is there, but cannot be read")
            if files.friend.missing == "skip":
                sound &= have
            read.append((files, columns, have))
        made: dict[str, Column] = {}
        for files, columns, have in read:
            for key in files.keys:
                made[f"{files.friend.prefix}{key}"] = _fitted(files, key, columns.get(key), have, sound)
        return made, sound

    def close(self) -> None:
        """Close all files."""
        for files in self._files:
            files.close()


def _fitted(files: FriendFiles, key: str, column: Column | None, have: Array, sound: Array) -> Column:
    """The column for the events that are `sound`, from that for those that `have` one; None for others, if that is allowed."""
    if files.friend.missing != "absent":
        if column is None or sound.sum() == have.sum():
            return column if column is not None else column_from_array(files.empty(key))
        return column.take(np.flatnonzero(sound[have]))
    import awkward as ak

    index = np.full(len(have), -1, np.int64)
    index[have] = np.arange(int(have.sum()))
    values = files.empty(key) if column is None else ak.Array(column.array())
    layout = ak.contents.IndexedOptionArray(ak.index.Index64(index[sound]), ak.to_layout(values))
    return column_from_array(ak.Array(layout))


def _missing(files: FriendFiles, keys: Keys | None, at: int, where: str, count: int) -> str:
    more = f", and {count - 1} more events of this segment neither" if count > 1 else ""
    if keys is None:
        return f"{where}: {files.name} has no entry at this position{more}"
    return (
        f"{where}: {keys.name(at)} is not in the files of {files.name}{more}; "
        "set its `missing` to 'skip' or 'absent' to go on without"
    )
