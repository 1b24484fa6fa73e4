"""``@liquid``: text made by a template of the Liquid language (:mod:`streams.mapping.liquid`)."""

from __future__ import annotations

from typing import Any, Final

from streams.mapping.checks import string
from streams.mapping.javascript import type_name, utf16_length
from streams.mapping.paths import Resolver
from streams.mapping.scope import Directive, Scope, constant

MAX_LENGTH: Final = 1000


def _compile(value: Any, scope: Scope) -> Resolver:
    if not isinstance(value, str):
        return scope.refuse(f"should be a string, not {type_name(value)}")
    if not value:
        return constant("")
    if utf16_length(value) > MAX_LENGTH:
        return scope.refuse(f"is limited to {MAX_LENGTH} characters")
    # The parser takes a quarter of a second to load, and few mappings need it.
    from streams.mapping.liquid import LiquidError, compile_liquid  # noqa: PLC0415

    try:
        render = compile_liquid(value)
    except LiquidError as error:
        return scope.refuse(str(error))

    def resolve(event: Any) -> Any:
        try:
            return render(event)
        except LiquidError as error:
            raise scope.fault(str(error)) from None

    return resolve


LIQUID: Final = Directive(check=string, compile=_compile)
"""``{"@liquid": a template}``."""
