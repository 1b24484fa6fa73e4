"""A stage record that carries many events.

Layout: a JSON array of one header per item, a newline, then the items' bytes one after
the other. A header ends with the length of its item. What Avro would cost in its place is
measured by ``bench/avro.py`` (docs/adr/0008-internal-topics-stay-packed.md).

The bytes of an item are never looked at: a dead letter at the end of the pipeline still
holds what the producer sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import orjson

Header: TypeAlias = tuple[Any, ...]


def pack(headers: Sequence[Header], payloads: Sequence[bytes]) -> bytes:
    """One value of ``headers`` (JSON-compatible tuples) and their ``payloads``."""
    head = [(*header, len(payload)) for header, payload in zip(headers, payloads, strict=True)]
    return b"".join((orjson.dumps(head), b"\n", *payloads))


def unpack(value: bytes) -> list[tuple[list[Any], bytes]]:
    """The (header, payload) pairs of a packed value, in order.

    Raises ``ValueError``, or what follows from reading something else as a list of lists,
    when the value was not made by :func:`pack`.
    """
    end = value.index(b"\n")
    start = end + 1
    items: list[tuple[list[Any], bytes]] = []
    for header in orjson.loads(value[:end]):
        end = start + header.pop()
        items.append((header, value[start:end]))
        start = end
    if start != len(value):
        raise ValueError(f"packed record: {len(value) - start} bytes left over")
    return items


def split(
    items: Iterable[tuple[Header, bytes]], max_bytes: int
) -> Iterator[tuple[list[Header], list[bytes]]]:
    """Group items so that each group packs to about ``max_bytes`` or is a single item."""
    headers: list[Header] = []
    payloads: list[bytes] = []
    size = 0
    for header, payload in items:
        if payloads and size + len(payload) > max_bytes:
            yield headers, payloads
            headers, payloads, size = [], [], 0
        headers.append(header)
        payloads.append(payload)
        size += len(payload) + 64
    if payloads:
        yield headers, payloads
