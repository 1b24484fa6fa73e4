"""Where logs are: files, directory trees, standard input, and addresses that fsspec knows."""

from __future__ import annotations

import gzip
import importlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from streams.errors import SettingsError

STDIN: Final = "-"
BUFFER_BYTES: Final = 1 << 20
LAYERS: Final = 3
"""Gzip in gzip: what a browser or a proxy makes of an archive."""

_GZIP: Final = b"\x1f\x8b"
_START_BYTES: Final = 4
_ADDRESS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
# Segment puts it into an archive to try whether it may.
_NO_LOGS: Final = frozenset({"dummy-object.txt"})


@dataclass(frozen=True, slots=True)
class Source:
    """One file. ``size`` as it is stored, None if nobody knows."""

    name: str
    size: int | None
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Listing:
    """Files, in the order in which they are read, and how many in their folders are no logs."""

    files: tuple[Source, ...]
    skipped: int

    @property
    def size(self) -> int | None:
        """Of all files together; None if nobody knows."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(cast("list[int]", sizes))


def find(names: list[str]) -> Listing:
    """The files behind sources. Raises ``SettingsError`` for one that is not there."""
    if names.count(STDIN) > 1:
        raise SettingsError(f"{STDIN}: standard input can be read once only")
    files: list[Source] = []
    skipped = 0
    for name in names:
        found, left_out = _find(name)
        files += found
        skipped += left_out
    return Listing(tuple(files), skipped)


def _find(name: str) -> tuple[list[Source], int]:
    if name == STDIN:
        return [Source("stdin", None, lambda: sys.stdin.buffer)], 0
    address = _ADDRESS.match(name)
    if address:
        return _remote(name, address[1].lower())
    path = Path(name)
    if path.is_dir():
        inside = [
            Path(folder, file)
            for folder, _, names in os.walk(path)
            for file in names
            if Path(folder, file).is_file()
        ]
        logs = sorted(file for file in inside if _is_log(file.relative_to(path).parts))
        return [_local(file) for file in logs], len(inside) - len(logs)
    if not path.exists():
        raise SettingsError(f"{name}: no such file or directory")
    return [_local(path)], 0


def _local(path: Path) -> Source:
    # A pipe has no size that says anything.
    size = path.stat().st_size if path.is_file() else None
    return Source(str(path), size, lambda: cast("BinaryIO", path.open("rb", buffering=0)))


def _is_log(parts: tuple[str, ...]) -> bool:
    return parts[-1] not in _NO_LOGS and not any(part[:1] in (".", "_") for part in parts)


def _remote(name: str, scheme: str) -> tuple[list[Source], int]:
    system, path = _file_system(name, scheme)
    try:
        is_file = system.isfile(path)
        found = {path: system.info(path)} if is_file else system.find(path, detail=True)
    except Exception as error:  # whatever the other side's library raises
        raise SettingsError(f"{name}: {type(error).__name__}: {error}") from error
    if not found:
        raise SettingsError(f"{name}: there is nothing")
    root = path.rstrip("/")
    files: list[Source] = []
    for key in sorted(found):
        relative = key[len(root) :].strip("/") if key.startswith(root) else key
        # A folder's own object has a name too, and no content.
        if (relative or key) and (not relative or _is_log(tuple(relative.split("/")))):
            size = found[key].get("size")
            files.append(Source(f"{scheme}://{key.lstrip('/')}", size, _opener(system, key)))
    return files, len(found) - len(files)


def _opener(system: Any, key: str) -> Callable[[], BinaryIO]:
    return lambda: cast("BinaryIO", system.open(key, "rb"))


def _file_system(name: str, scheme: str) -> tuple[Any, str]:
    extra = _EXTRAS.get(scheme)
    try:
        core = importlib.import_module("fsspec.core")
        system, path = core.url_to_fs(name)
    except ImportError as error:
        what = f"'encharge-streams[{extra}]'" if extra else f"fsspec ({error})"
        raise SettingsError(f"{name}: to read it, pip install {what}") from error
    except Exception as error:  # whatever the other side's library raises
        raise SettingsError(f"{name}: {type(error).__name__}: {error}") from error
    return system, str(path)


def content(stored: BinaryIO) -> tuple[bytes, io.BufferedIOBase]:
    """The start of a file's content and all of it, decompressed: told by how it begins."""
    start, stream = _peek(stored)
    for _ in range(LAYERS):
        if not start.startswith(_GZIP):
            break
        start, stream = _peek(cast("BinaryIO", gzip.GzipFile(fileobj=stream)))
    return start, stream


def _peek(stream: BinaryIO) -> tuple[bytes, io.BufferedIOBase]:
    start = b""
    while len(start) < _START_BYTES and (more := stream.read(_START_BYTES - len(start))):
        start += more
    return start, io.BufferedReader(_Joined(start, stream), BUFFER_BYTES)


class _Joined(io.RawIOBase):
    """What was read of a stream already, and the rest of it."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self._start = start
        # One read at a time: where a file breaks off, what was before is not lost with it.
        self._read = getattr(rest, "read1", rest.read)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._start:
            size = min(len(buffer), len(self._start))
            buffer[:size], self._start = self._start[:size], self._start[size:]
            return size
        read = self._read(len(buffer))
        buffer[: len(read)] = read
        return len(read)


def read_sizes(stream: BinaryIO) -> Iterator[int]:
    """How far a stored file has been read, whenever asked; 0 where it does not say."""
    while True:
        try:
            yield stream.tell()
        except (OSError, ValueError):
            yield 0
