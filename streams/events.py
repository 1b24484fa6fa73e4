"""What the stages hand to each other.

An event is the JSON object a Segment client sent, as a plain ``dict`` in Segment's own
spelling: mappings address it by path, so its shape is part of the public surface.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

Event: TypeAlias = dict[str, Any]
"""A Segment event (`spec/common.md` of segmentio/segment-docs), after :mod:`streams.source`."""


class Origin(NamedTuple):
    """Where an event was read: the coordinates a person needs to find it again."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"
