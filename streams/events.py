"""What the stages hand to each other.

An event is the JSON object a Segment client sent, as a plain ``dict`` in Segment's own
spelling: mappings address it by path, so its shape is part of the public surface.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

Event: TypeAlias = dict[str, Any]
"""A Segment event (`spec/common.md` of segmentio/segment-docs), after :mod:`streams.source`."""


SOURCE_HEADER: Final = "source.name"
"""Header of a source record that the gateway wrote: the name of the write key's source."""

STAMP_BYTES: Final = 512
"""What the gateway may add to an event: times, an id, the source's name."""


class Origin(NamedTuple):
    """Where an event was read: the coordinates a person needs to find it again."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"
