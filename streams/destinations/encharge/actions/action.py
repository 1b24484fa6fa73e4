"""What an action is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streams.destinations.base import Request
from streams.destinations.encharge.api import Api
from streams.mapping.payload import Field, Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that Encharge can be asked to do.

    ``slug`` and ``title`` are Segment's names for it, ``stream`` is that of the per-action
    stream. ``request`` may raise ``PayloadError``, and make the payload a part of the request.
    """

    slug: str
    title: str
    stream: str
    fields: Mapping[str, Field]
    request: Callable[[Api, Payload], Request]
