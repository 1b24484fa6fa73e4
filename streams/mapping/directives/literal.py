"""``@literal``: a value that stands for itself.

Directives inside it are resolved all the same, as Segment does.
"""

from __future__ import annotations

from typing import Any, Final

from streams.mapping.checks import anything
from streams.mapping.paths import Resolver
from streams.mapping.scope import Directive, Scope


def _compile(value: Any, scope: Scope) -> Resolver:
    return scope.compile(value)


LITERAL: Final = Directive(check=anything, compile=_compile)
"""``{"@literal": value}``."""
