"""Bytes of remote files for uproot: HTTP, XRootD and whatever else fsspec knows.

uproot reads remote files by fsspec: many ranges in one go, those that lie close together in one request. What it leaves
open is what a job over thousands of files needs, and what is done here:

- before anything else 64 bytes are asked for. That tells whether the file is there, whether the server sends parts of files at
  all (one that does not would send the whole file for each basket), and whether the file is complete;
- what a moment later may work (no connection, a time-out, status 429 or 5xx) is tried again, `TRIES` times in all with a pause
  between, for the ranges that failed only. A file for which that was in vain gets one try from then on, so that looking for
  what can still be read of it ends soon;
- errors say what the server said: the status, or what became of the connection. fsspec returns some of them as data.
"""

from __future__ import annotations

import asyncio
import importlib
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import fsspec
from fsspec.asyn import sync
from uproot.source.fsspec import FSSpecSource

from evproc.framework.errors import InputError

from .input_files import RemoteError, check_head

TRIES = 4
PAUSE = 0.25
"""Before the second try, seconds; each further pause is twice as long."""
CONNECT_SECONDS = 15.0
READ_SECONDS = 60.0
"""Without a byte, until a request is given up."""
_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))
_XROOTD_ANSWER = re.compile(r"Server responded with an error: \[(\d+)\]\s*(.*)")
_XROOTD_ERROR = re.compile(r"\[(?:ERROR|FATAL)\]\s*(.*)")
_XROOTD_NEVER = frozenset(("3000", "3010", "3011", "3013", "3016"))
"""Wrong argument, not authorised, not found, not supported, a folder: codes of the XRootD protocol."""
_NEEDS = {"http": "aiohttp", "https": "aiohttp", "root": "fsspec-xrootd"}


def options_of(url: str) -> dict[str, Any]:
    """What a file system of fsspec is made with: time limits."""
    scheme = urlsplit(url).scheme
    if scheme in ("http", "https"):
        import aiohttp

        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
        return {"client_kwargs": {"timeout": limits}}
    if scheme == "root":
        _limit_xrootd()
        return {"timeout": int(READ_SECONDS), "use_listings_cache": False}  # files may come after a folder was listed
    return {}


def _limit_xrootd() -> None:
    """Bound how long the client of XRootD waits, which is half an hour by default; its own variables (`XRD_...`) go before."""
    client: Any = importlib.import_module("XRootD.client")  # untyped in part
    client.EnvPutInt("ConnectionWindow", int(CONNECT_SECONDS))
    client.EnvPutInt("ConnectionRetry", 1)
    client.EnvPutInt("StreamErrorWindow", 0)  # a server that was not there may be at the next try
    client.EnvPutInt("RequestTimeout", int(READ_SECONDS))
    client.EnvPutInt("TimeoutResolution", 1)


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it. Raises InputError if nothing installed can read such URLs."""
    scheme = urlsplit(url).scheme
    try:
        return fsspec.core.url_to_fs(url, **options_of(url))  # type: ignore[no-any-return]  # fsspec is untyped
    except ImportError as error:
        package = f"{_NEEDS[scheme]} (pip install 'evproc[remote]')" if scheme in _NEEDS else str(error)
        raise InputError(f"file '{url}' cannot be opened: {scheme}:// needs {package}") from error
    except ValueError as error:
        raise InputError(f"file '{url}' cannot be opened: {error}") from error


def matches(pattern: str) -> list[str]:
    """The URLs that a pattern with `*` matches, sorted. Raises InputError if the server cannot be asked."""
    system, path = file_system(pattern)
    try:
        found = system.glob(path)
    except Exception as error:
        raise InputError(f"'{pattern}' cannot be listed: {said(error)}") from error
    return sorted(str(system.unstrip_protocol(name)) for name in found)


class RemoteSource(FSSpecSource):  # type: ignore[misc]  # uproot is untyped
    """The bytes of one remote file."""

    _fs: Any

    def __init__(self, file_path: str, **options: Any) -> None:
        super().__init__(file_path, **options, **options_of(file_path))
        try:
            self._fs.look(self._file_path)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def _open(self) -> None:
        super()._open()
        self._fs = Insisting(self._fs, self._file_path_orig, self._file_path)

    @property
    def num_bytes(self) -> int:
        """The length of the file."""
        return int(self._fs.nbytes)


class Insisting:
    """A file system of fsspec whose reads are tried again, and whose errors say what happened."""

    def __init__(self, system: Any, url: str, path: str) -> None:
        self._system = system
        self.url = url
        self._path = path
        self.nbytes = 0
        self.tries = TRIES

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)

    def look(self, path: str) -> None:
        """Read the head of the file, and find out how long it is. Raises RemoteError or InputError."""
        if self._system.async_impl:
            looked: Any = sync(self._system.loop, self._insist, lambda: self._head(path))
            head, self.nbytes = looked
        else:
            head, self.nbytes = self._system.cat_file(path, start=0, end=64), int(self._system.size(path))
        check_head(head, self.nbytes, self.url)

    async def _head(self, path: str) -> tuple[bytes, int]:
        if urlsplit(self.url).scheme not in ("http", "https"):
            information = await self._system._info(path)
            return await self._system._cat_file(path, start=0, end=64), int(information["size"])
        session = await self._system.set_session()
        asked = {**self._system.kwargs, "headers": {**self._system.kwargs.get("headers", {}), "Range": "bytes=0-63"}}
        async with session.get(self._system.encode_url(path), **asked) as answer:
            self._system._raise_not_found_for_status(answer, path)
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if answer.status != 206 or not total.isdecimal():
                raise InputError(
                    f"file '{self.url}' cannot be read in parts: the server answers with all of it (status {answer.status}), "
                    f"not with the bytes asked for; copy it first, or let `simplecache::{self.url}` copy it when it is opened"
                )
            return await answer.read(), int(total)

    async def _insist(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """The result of an attempt, made until it succeeds, cannot succeed, or the tries are used up."""
        for number in range(1, self.tries + 1):
            try:
                return await attempt()
            except InputError:
                raise
            except Exception as error:
                self._forget_handle()
                if number == self.tries or not may_pass(error):
                    raise self._given_up(error, number) from error
            await asyncio.sleep(PAUSE * 2 ** (number - 1))
        raise AssertionError("there is one try at least")

    def _forget_handle(self) -> None:
        """Let the next try open the file anew: fsspec-xrootd keeps handles, also those whose connection has broken."""
        handles = getattr(self._system, "_readonly_filehandle_cache", None)
        if handles is not None:
            handles._cache.pop(self._system.unstrip_protocol(self._path), None)

    def _given_up(self, error: Exception, tries: int) -> RemoteError:
        self.tries = 1
        return RemoteError(f"{said(error)}{f', in {tries} tries' if tries > 1 else ''}")

    def cat_file(self, path: str, start: int, end: int) -> bytes:
        """Some bytes of the file. Raises RemoteError."""
        if not self._system.async_impl:
            return bytes(self._system.cat_file(path, start=start, end=end))
        parts: Any = sync(self._system.loop, self._cat_ranges, [path], [start], [end])
        return bytes(parts[0])

    async def _cat_ranges(self, paths: list[str], starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
        """Several ranges at once; those that failed are tried again. Raises RemoteError."""
        parts: dict[int, bytes] = {}

        async def attempt() -> None:
            left = [place for place in range(len(paths)) if place not in parts]
            asked = [[items[place] for place in left] for items in (paths, starts, ends)]
            came = await self._system._cat_ranges(*asked, on_error="return")
            failures = [item for item in came if isinstance(item, BaseException)]
            parts.update(
                (place, item) for place, item in zip(left, came, strict=True) if not isinstance(item, BaseException)
            )
            if failures:
                raise next((error for error in failures if not may_pass(error)), failures[0])

        await self._insist(attempt)
        for place, part in parts.items():
            if len(part) > ends[place] - starts[place]:
                raise RemoteError(
                    f"the server sent {len(part)} bytes where {ends[place] - starts[place]} were asked for"
                )
        return [parts[place] for place in range(len(paths))]


def may_pass(error: BaseException) -> bool:
    """Whether a moment later it may work."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and status > 0:
        return status in _AGAIN
    answer = _XROOTD_ANSWER.search(str(error))
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError) or (
        answer is not None and answer[1] in _XROOTD_NEVER
    ):
        return False
    return isinstance(error, OSError | TimeoutError) or type(error).__module__.partition(".")[0] == "aiohttp"


def said(error: BaseException) -> str:
    """What the server said, or what became of the connection."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and status > 0:
        return f"HTTP status {status} {getattr(error, 'message', '')}".strip()
    answer = _XROOTD_ANSWER.search(str(error))
    if isinstance(error, FileNotFoundError) or (answer is not None and answer[1] == "3011"):
        return "there is no such file on the server"
    failure = _XROOTD_ERROR.search(str(error))
    if isinstance(error, TimeoutError) or (failure is not None and failure[1].strip() == "Operation expired"):
        return f"no answer in time ({CONNECT_SECONDS:g} s to connect, {READ_SECONDS:g} s without data)"
    if answer is not None:
        return f"the server says: {answer[2].strip()} (error {answer[1]} of XRootD)"
    if failure is not None:
        return f"the client of XRootD says: {failure[1].strip()}"
    return " ".join(str(error).split()) or type(error).__name__
