"""The compiler's front door."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streams.events import Event
from streams.mapping.directives import DIRECTIVES
from streams.mapping.scope import Scope


def compile_mapping(mapping: Any, *, path: str = "") -> Callable[[Event], Any]:
    """A closure from an event to the value that ``mapping`` describes.

    The closure answers :data:`~streams.mapping.UNDEFINED` where there is nothing, leaves
    such keys out of objects, and raises ``PayloadError`` where a directive cannot be applied
    to an event. It changes neither the event nor the mapping; what it answers may share
    parts with the event.

    ``path`` says where the mapping stands, for messages. Raises ``SettingsError`` for a bad
    mapping, naming the place in it.
    """
    return Scope(path, DIRECTIVES).compile(mapping)
