"""The `integrations` object: which destinations an event is meant for.

`spec/common.md` and `guides/filtering-data.md` of segmentio/segment-docs: on by default;
``All`` is the fallback for names that are not listed; names are case-sensitive; an object
(options of that destination) counts as on.
"""

from __future__ import annotations

from collections.abc import Iterable

from streams.events import Event


def enabled(event: Event, names: Iterable[str]) -> bool:
    """Whether an event is meant for the destination that goes by ``names``."""
    integrations = event.get("integrations")
    if not integrations or type(integrations) is not dict:
        return True
    listed = [integrations[name] for name in names if name in integrations]
    if listed:
        return any(flag is not False and flag is not None for flag in listed)
    return integrations.get("All", True) is not False
