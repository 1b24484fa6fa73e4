"""What a package of a destination offers to the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streams.destinations.base import Destination, Request
from streams.destinations.subscriptions import Actions, Definition
from streams.settings import Settings

Build = Callable[[Settings, str, Sequence[Definition]], Destination]
"""``build(settings, name, subscriptions)`` makes an instance. Raises ``SettingsError``."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of destination.

    ``presets`` are its subscriptions where the configuration has none. ``required`` are the
    fields of the settings that it cannot do without: its key first. ``probe(settings)`` is a
    call that changes nothing and is answered with 200 if the key and the ``url`` are right.
    """

    build: Build
    actions: Actions
    presets: Sequence[Definition]
    required: Sequence[str]
    url: str
    probe: Callable[[Settings], Request]
