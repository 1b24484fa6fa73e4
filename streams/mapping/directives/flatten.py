"""``@flatten``: an object of objects as one object, whose keys are paths.

``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``. Arrays are taken for objects with the keys 0, 1 and
so on, unless ``omitArrays``. What is empty leaves no trace, and what is no object at all stands
under the key "", as Segment has it (`packages/core/src/mapping-kit/flatten.ts`).
"""

from __future__ import annotations

from typing import Any, Final

from streams.mapping.checks import anything, options, string
from streams.mapping.javascript import UNDEFINED, is_truthy, property_order, type_name
from streams.mapping.paths import Resolver
from streams.mapping.scope import Directive, Scope, constant

_check: Final = options(required={"value": anything}, optional={"separator": string})


def _compile(value: Any, scope: Scope) -> Resolver:
    if not isinstance(value, dict):
        return scope.refuse(f"should be an object, not {type_name(value)}")
    scope.insist_on_options(value, "value", "separator", "omitArrays")
    if not is_truthy(value.get("separator")):
        return scope.refuse("needs a separator")
    if not isinstance(value.get("omitArrays", False), bool) and not scope.parity:
        raise scope.at("omitArrays").error("should be true or false")
    separator = scope.inside("separator").compile(value["separator"])
    inside = scope.inside("value")
    source = inside.compile(value["value"]) if "value" in value else constant(UNDEFINED)
    omit_arrays = is_truthy(value.get("omitArrays"))

    def resolve(event: Any) -> Any:
        joint = separator(event)
        if not isinstance(joint, str):
            raise scope.fault(f"separator should be a string, not {type_name(joint)}")
        return _flatten(source(event), joint, omit_arrays=omit_arrays)

    return resolve


def _flatten(value: Any, separator: str, *, omit_arrays: bool) -> dict[str, Any]:
    """With a stack of its own, so that no event can exhaust Python's."""
    flat: dict[str, Any] = {}
    stack = [("", value)]
    while stack:
        prefix, item = stack.pop()
        if isinstance(item, dict):
            members = [(key, item[key]) for key in property_order(item)]
        elif isinstance(item, list) and not omit_arrays:
            members = [(str(index), inner) for index, inner in enumerate(item)]
        else:
            flat[prefix] = item
            continue
        start = f"{prefix}{separator}" if prefix else ""
        stack.extend((start + key, inner) for key, inner in reversed(members))
    return flat


FLATTEN: Final = Directive(check=_check, compile=_compile, hollow=True)
"""``{"@flatten": {"value", "separator", "omitArrays"?}}``."""
