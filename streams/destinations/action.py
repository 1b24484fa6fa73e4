"""What an action is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streams.destinations.base import Conversation, Request
from streams.mapping.payload import Field, Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that a destination can be asked to do.

    ``slug`` and ``title`` are its names, Segment's where it has some; ``stream`` is that of the
    per-action stream. ``request`` is given what the destination makes its calls with. It may
    raise ``PayloadError``, and make the payload a part of the request.
    """

    slug: str
    title: str
    stream: str
    fields: Mapping[str, Field]
    request: Callable[[Any, Payload], Request | Conversation]
