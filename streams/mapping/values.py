"""Values with "undefined" in them, on their way to JSON.

What a directive answers may hold :data:`~streams.mapping.UNDEFINED`, which JSON does not know.
No function changes what it is given. Each may raise ``RecursionError``.
"""

from __future__ import annotations

import math
from typing import Any

from streams.mapping.javascript import UNDEFINED, Function, is_json


def without_undefined(value: Any) -> Any:
    """``value`` without the keys that are undefined: `remove-undefined.ts` of Segment's core.

    Undefined items of arrays stay.
    """
    if isinstance(value, dict):
        return {
            key: without_undefined(item) if isinstance(item, (dict, list)) else item
            for key, item in value.items()
            if item is not UNDEFINED
        }
    if isinstance(value, list):
        return [
            without_undefined(item) if isinstance(item, (dict, list)) else item for item in value
        ]
    return value


def as_json(value: Any) -> Any:
    """``value`` as ``JSON.stringify`` writes it: what JSON does not know is null or left out."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items() if is_json(item)}
    if isinstance(value, list):
        return [as_json(item) if is_json(item) else None for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return UNDEFINED if isinstance(value, Function) else value
