"""The `integrations` object: which destinations an event is meant for.

`spec/common.md` and `guides/filtering-data.md` of segmentio/segment-docs: on by default;
``All`` is the fallback for names that are not listed; names are case-sensitive; an object
(options of that destination) counts as on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def enabled(integrations: Mapping[str, Any] | None, names: Iterable[str]) -> bool:
    """Whether an event with this object is meant for the destination that goes by ``names``."""
    if not integrations:
        return True
    listed = [integrations[name] for name in names if name in integrations]
    if listed:
        return any(flag is not False and flag is not None for flag in listed)
    return integrations.get("All", True) is not False
