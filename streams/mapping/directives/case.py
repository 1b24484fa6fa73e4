"""``@case``: a string in upper or lower case. Anything but a string stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from streams.mapping.checks import options, string, string_or_directive
from streams.mapping.javascript import UNDEFINED, is_truthy, type_name
from streams.mapping.paths import Resolver
from streams.mapping.scope import Directive, Scope, constant

_OPERATORS: Final[Mapping[Any, Callable[[str], str]]] = {"lower": str.lower, "upper": str.upper}

_check: Final = options(optional={"operator": string, "value": string_or_directive})


def _compile(value: Any, scope: Scope) -> Resolver:
    if not isinstance(value, dict):
        return scope.refuse(f"should be an object, not {type_name(value)}")
    scope.insist_on_options(value, "operator", "value")
    name = value.get("operator")
    if not is_truthy(name):
        return scope.refuse("needs an operator")
    operator = _OPERATORS.get(name) if isinstance(name, str) else None
    if operator is None and not scope.parity:
        raise scope.error(f"operator should be lower or upper, not {name}")
    if not is_truthy(value.get("value")):
        return constant(UNDEFINED)
    source = scope.inside("value").compile(value["value"])

    def resolve(event: Any) -> Any:
        found = source(event)
        if not isinstance(found, str):
            return found
        if operator is None:
            raise scope.fault("operator should be lower or upper")
        return operator(found)

    return resolve


CASE: Final = Directive(check=_check, compile=_compile, hollow=True)
"""``{"@case": {"operator": "lower" or "upper", "value": a string or a directive}}``."""
