"""``@path``: a value of the event.

``$.properties.plan`` and ``properties.plan`` are the same; ``$.`` alone is the whole event.
"""

from __future__ import annotations

from typing import Any, Final

from streams.mapping.checks import string_or_directive
from streams.mapping.paths import Resolver, cached_path, compile_path, without_root
from streams.mapping.scope import Directive, Scope


def _compile(value: Any, scope: Scope) -> Resolver:
    if isinstance(value, str):
        return compile_path(without_root(value))
    source = scope.compile_string(value)

    def resolve(event: Any) -> Any:
        return cached_path(without_root(source(event)))(event)

    return resolve


PATH: Final = Directive(check=string_or_directive, compile=_compile)
"""``{"@path": a path, or a directive that leads to one}``."""
