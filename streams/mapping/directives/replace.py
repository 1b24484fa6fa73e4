"""``@replace``: one text for another in a string.

The pattern is literal, the replacement is one of JavaScript's: ``$&`` in it is what was found,
``$$`` is a dollar sign. Both have at most ten characters. Numbers and booleans are taken as
text; whatever else is not a string becomes an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from streams.mapping.checks import boolean, options, short, string_or_directive
from streams.mapping.javascript import (
    UNDEFINED,
    is_truthy,
    replace_text,
    to_string,
    type_name,
    utf16_length,
)
from streams.mapping.paths import Resolver
from streams.mapping.scope import Directive, Scope, constant

MAX_LENGTH: Final = 10

_check: Final = options(
    required={"pattern": short(1, MAX_LENGTH), "value": string_or_directive},
    optional={"replacement": short(0, MAX_LENGTH), "ignorecase": boolean, "global": boolean},
)


def _compile(value: Any, scope: Scope) -> Resolver:
    if not isinstance(value, dict):
        return scope.refuse(f"should be an object, not {type_name(value)}")
    if not scope.parity:
        _insist(value, scope)
    if not is_truthy(value.get("pattern")):
        return scope.refuse("needs a pattern")
    if not is_truthy(value.get("value")):
        return constant(UNDEFINED)
    source = scope.inside("value").compile(value["value"])
    change = _compile_change(value, scope)

    def resolve(event: Any) -> Any:
        found = source(event)
        if isinstance(found, (bool, int, float)):
            found = to_string(found)
        return change(found) if isinstance(found, str) else ""

    return resolve


def _insist(value: Mapping[str, Any], scope: Scope) -> None:
    """Refuses what Segment ignores, or notices only in use."""
    scope.insist_on_options(
        value,
        *("pattern", "replacement", "pattern2", "replacement2"),
        *("value", "ignorecase", "global"),
    )
    for option in ("pattern2", "replacement2"):
        if option in value:
            short(0, MAX_LENGTH)(value[option], scope.at(option))


def _compile_change(value: Mapping[str, Any], scope: Scope) -> Callable[[str], str]:
    """The closure from a text to the other one."""

    def option(name: str, default: Any) -> Any:
        return default if value.get(name) is None else value[name]

    replacement = option("replacement", "")
    ignore_case, everywhere = option("ignorecase", False), option("global", True)
    strings = isinstance(value["pattern"], str) and isinstance(replacement, str)
    if not strings or not isinstance(ignore_case, bool) or not isinstance(everywhere, bool):
        return lambda _text: ""
    pairs = [(value["pattern"], replacement)]
    second = (option("pattern2", ""), option("replacement2", ""))
    if second[0] and all(isinstance(part, str) for part in second):
        pairs.append(second)
    too_long = any(utf16_length(part) > MAX_LENGTH for pair in pairs for part in pair)

    def change(text: str) -> str:
        if too_long:
            raise scope.fault(f"takes patterns and replacements of {MAX_LENGTH} characters")
        for pattern, new in pairs:
            text = replace_text(text, pattern, new, ignore_case=ignore_case, everywhere=everywhere)
        return text

    return change


REPLACE: Final = Directive(check=_check, compile=_compile)
"""``{"@replace": {"value", "pattern", "replacement"?, "pattern2"?, "replacement2"?,
"ignorecase"?, "global"?}}``."""
