"""The subscriptions of a new Encharge destination: `encharge/index.ts`, action-destinations."""

from __future__ import annotations

from typing import Any, Final

from streams.destinations.encharge.actions import ACTIONS
from streams.mapping import default_mapping

_TRIGGERS: Final = {
    "aliasUser": 'type = "alias"',
    "identifyUser": 'type = "identify"',
    "trackPageView": 'type = "page"',
    "createUpdateObject": 'type = "group"',
    "trackEvent": 'type = "track"',
}


def _preset(slug: str, trigger: str) -> dict[str, Any]:
    action = ACTIONS[slug]
    return {
        "partnerAction": slug,
        "name": action.title,
        "enabled": True,
        "subscribe": trigger,
        "mapping": default_mapping(action.fields),
    }


PRESETS: Final = tuple(_preset(slug, trigger) for slug, trigger in _TRIGGERS.items())
"""Alias, identify, page, group and track. Tags have no preset."""
