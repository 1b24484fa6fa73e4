"""Triggers: which events a subscription is for.

For now the part of Segment's query language (FQL) that the presets use: ``type = "track"``,
and several of these joined by ``or``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from streams.errors import SettingsError
from streams.events import Event

_TERM: Final = r"""type\s*=\s*(?:"[^"]*"|'[^']*')"""
_TRIGGER: Final = re.compile(rf"\s*{_TERM}(?:\s+or\s+{_TERM})*\s*")
_VALUE: Final = re.compile(r""""([^"]*)"|'([^']*)'""")


def compile_trigger(text: str, *, path: str = "trigger") -> Callable[[Event], bool]:
    """A closure that says whether an event matches ``text``.

    ``path`` says where the trigger stands, for messages. Raises ``SettingsError`` if it is
    not of the form above.
    """
    if not _TRIGGER.fullmatch(text):
        raise SettingsError(f'{path}: expected type = "...", got {text!r}')
    types = tuple(double or single for double, single in _VALUE.findall(text))
    if len(types) == 1:
        return _matches_one(types[0])
    # A tuple: what an event holds under "type" need not be hashable.
    return lambda event: event.get("type") in types


def _matches_one(name: str) -> Callable[[Event], bool]:
    return lambda event: event.get("type") == name
