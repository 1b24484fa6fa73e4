"""``@json``: a value as the text of its JSON (encode), or the value that a text stands for.

To decode, text that is no JSON stays as it is, and so does what is no text.
"""

from __future__ import annotations

from typing import Any, Final

from streams.mapping.checks import anything, one_of, options
from streams.mapping.javascript import (
    UNDEFINED,
    is_json,
    is_truthy,
    parse_json,
    stringify,
    type_name,
)
from streams.mapping.paths import Resolver
from streams.mapping.scope import Directive, Scope

_check: Final = options(required={"value": anything, "mode": one_of("encode", "decode")})


def _compile(value: Any, scope: Scope) -> Resolver:
    if not isinstance(value, dict):
        return scope.refuse(f"should be an object, not {type_name(value)}")
    scope.insist_on_options(value, "value", "mode")
    for option in ("mode", "value"):
        if not is_truthy(value.get(option)):
            return scope.refuse(f"needs {option}")
    source = scope.inside("value").compile(value["value"])
    if value["mode"] == "encode":
        return lambda event: _encode(source(event), scope)
    if value["mode"] == "decode":
        return lambda event: _decode(source(event))
    # Segment lets ENCODE pass, and then does neither.
    if not scope.parity:
        raise scope.at("mode").error("should be encode or decode, in lower case")
    return lambda event: _ignore(source(event))


def _encode(value: Any, scope: Scope) -> Any:
    if not is_json(value):
        return UNDEFINED
    try:
        return stringify(value)
    except RecursionError:
        raise scope.fault("is nested too deeply") from None


def _decode(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except (ValueError, RecursionError):
        return value


def _ignore(_value: Any) -> Any:
    return UNDEFINED


JSON: Final = Directive(check=_check, compile=_compile, hollow=True)
"""``{"@json": {"mode": "encode" or "decode", "value"}}``."""
