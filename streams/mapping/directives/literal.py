"""``@literal``: a value that stands for itself.

Directives inside it are resolved all the same, as Segment does.
"""

from __future__ import annotations

from typing import Any

from streams.mapping.paths import Resolver
from streams.mapping.scope import Scope


def compile_literal(value: Any, scope: Scope) -> Resolver:
    """The closure for ``{"@literal": value}``."""
    return scope.compile(value)
