"""``@template``: text with ``{{path}}`` and ``{{{path}}}`` in it.

Both braces mean the same; what is missing or null leaves nothing. The triple ones are filled
first and the double ones in what results, so a value that a triple one brings in may itself
hold a placeholder, and is then filled as well. That is Segment's rule
(`packages/core/src/mapping-kit/placeholders.ts`); it reaches no further than the same event.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias

from streams.mapping.checks import string_or_directive
from streams.mapping.javascript import UNDEFINED, WHITESPACE, to_string
from streams.mapping.paths import Resolver, compile_path
from streams.mapping.scope import Directive, Scope, constant

_Render: TypeAlias = Callable[[Any], str]

_TRIPLE: Final = re.compile(r"\{\{\{([^}]+)\}\}\}")
_DOUBLE: Final = re.compile(r"\{\{([^}]+)\}\}")


def _compile(value: Any, scope: Scope) -> Resolver:
    if isinstance(value, str):
        return _compile_text(value)
    source = scope.compile_string(value)

    def resolve(event: Any) -> Any:
        return _cached_text(source(event))(event)

    return resolve


def _compile_text(text: str) -> _Render:
    if not _TRIPLE.search(text):
        return _fill(text, _DOUBLE)
    fill_triple = _fill(text, _TRIPLE)

    def render(event: Any) -> str:
        filled = fill_triple(event)
        return _fill(filled, _DOUBLE)(event) if "{{" in filled else filled

    return render


_cached_text = lru_cache(maxsize=1024)(_compile_text)


def _fill(text: str, placeholder: re.Pattern[str]) -> _Render:
    # split() gives literal text and what the group caught by turns.
    pieces = placeholder.split(text)
    if len(pieces) == 1:
        return constant(text)
    parts = [
        _rendered(piece) if index % 2 else constant(piece) for index, piece in enumerate(pieces)
    ]
    return lambda event: "".join([part(event) for part in parts])


def _rendered(path: str) -> _Render:
    lookup = compile_path(path.strip(WHITESPACE))

    def render(event: Any) -> str:
        # What leads nowhere inside @transform and @arrayPath counts as an empty object.
        value = lookup({} if event is UNDEFINED else event)
        return "" if value is None or value is UNDEFINED else to_string(value)

    return render


TEMPLATE: Final = Directive(check=string_or_directive, compile=_compile)
"""``{"@template": a text, or a directive that leads to one}``."""
