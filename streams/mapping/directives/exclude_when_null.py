"""``@excludeWhenNull``: nothing instead of null, also inside objects.

Segment looks into objects within objects, but not into arrays.
"""

from __future__ import annotations

from typing import Any, Final

from streams.mapping.checks import anything
from streams.mapping.javascript import UNDEFINED
from streams.mapping.paths import Resolver
from streams.mapping.scope import Directive, Scope


def _compile(value: Any, scope: Scope) -> Resolver:
    source = scope.compile_inside(value)

    def resolve(event: Any) -> Any:
        return _without_null(source(event))

    return resolve


def _without_null(value: Any) -> Any:
    if value is None:
        return UNDEFINED
    if not isinstance(value, dict):
        return value
    return {key: _without_null(item) for key, item in value.items()}


EXCLUDE_WHEN_NULL: Final = Directive(check=anything, compile=_compile, hollow=True)
"""``{"@excludeWhenNull": value}``."""
