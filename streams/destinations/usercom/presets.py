"""The subscriptions of a new User.com destination.

Segment's page about User.com names page, group, identify and track. Alias has the API's merge.
"""

from __future__ import annotations

from typing import Final

from streams.destinations import engage
from streams.destinations.subscriptions import preset
from streams.destinations.usercom.actions import ACTIONS

_TRIGGERS: Final = {
    "mergeUsers": 'type = "alias"',
    "identifyUser": 'type = "identify"',
    "trackPageView": 'type = "page"',
    "updateCompany": 'type = "group"',
    "trackEvent": 'type = "track"',
    "setComputedTrait": engage.TRIGGER,
}

PRESETS: Final = tuple(preset(ACTIONS[slug], trigger) for slug, trigger in _TRIGGERS.items())
"""They fire in this order."""
