"""What commands that read Kafka share: aligned text, progress, and the setting at fault."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Final

import typer

PATIENCE_SECONDS: Final = 1.0
"""How long a reading may take before it is worth a word on how far it is."""

Line = tuple[str, ...]


def put_out(text: str) -> None:
    """Print; whoever reads may have seen enough, as with `| head`."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Progress(contextlib.AbstractContextManager["Progress"]):
    """A line on a terminal, when it takes long; gone at the end."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._since = time.monotonic()
        self._is_shown = False

    def tell(self, done: int, total: int) -> None:
        """How far a reading is."""
        if not sys.stderr.isatty() or time.monotonic() - self._since < PATIENCE_SECONDS:
            return
        self._is_shown = True
        print(f"\r\033[Kreading {self._topic}: {done:,} of {total:,}", end="", file=sys.stderr)
        sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        if self._is_shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def aligned(rows: Sequence[Line]) -> list[str]:
    """Rows as text, each cell as wide as its column; columns without text are left out."""
    widths: dict[int, int] = {}
    for row in rows:
        for column, cell in enumerate(row):
            widths[column] = max(widths.get(column, 0), len(cell))
    return [
        "  " + "  ".join(cell.ljust(widths[i]) for i, cell in enumerate(row) if widths[i]).rstrip()
        for row in rows
    ]


def shown(text: str) -> str:
    """Text from an event, which may be anything, so that it cannot steer a terminal."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def utf8(argument: str | None) -> str | None:
    """The argument, as a callback of typer's. Raises ``BadParameter`` if it is not UTF-8."""
    if argument is not None and not is_text(argument):
        raise typer.BadParameter("is not UTF-8")
    return argument


def is_text(argument: str) -> bool:
    """Whether an argument is UTF-8; Python keeps other bytes in a form of its own."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True
