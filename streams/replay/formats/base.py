"""What a container is."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedIOBase
from typing import Protocol


class Container(Protocol):
    """A way of putting lines into a file, after decompression."""

    MAGIC: bytes
    """What such a file begins with."""

    def lines(self, stream: BufferedIOBase) -> Iterator[bytes | None]:
        """The lines, or what corresponds to them; None for one that is too long to be read.

        Raises whatever it raises when the file is broken.
        """
