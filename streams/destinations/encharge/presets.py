"""The subscriptions of a new Encharge destination: `encharge/index.ts`, action-destinations."""

from __future__ import annotations

from typing import Final

from streams.destinations.encharge.actions import ACTIONS
from streams.destinations.subscriptions import preset

_TRIGGERS: Final = {
    "aliasUser": 'type = "alias"',
    "identifyUser": 'type = "identify"',
    "trackPageView": 'type = "page"',
    "createUpdateObject": 'type = "group"',
    "trackEvent": 'type = "track"',
}


PRESETS: Final = tuple(preset(ACTIONS[slug], trigger) for slug, trigger in _TRIGGERS.items())
"""Alias, identify, page, group and track. Tags have no preset."""
