"""``@merge``: several objects as one.

Of a key that several have, the last one counts; with the direction "left", the first one. A
key that is undefined there counts as well, and is left out.
"""

from __future__ import annotations

from typing import Any, Final

from streams.faults import Faults
from streams.mapping.checks import array, object_or_directive, one_of, options
from streams.mapping.javascript import is_truthy, type_name, utf16_units
from streams.mapping.paths import Resolver
from streams.mapping.scope import Directive, Scope

_check_options: Final = options(
    required={"objects": array}, optional={"direction": one_of("left", "right")}
)


def _check(value: Any, scope: Scope) -> None:
    _check_options(value, scope)
    faults = Faults()
    for index, item in enumerate(value["objects"]):
        with faults:
            object_or_directive(item, scope.at("objects").at(str(index)))
    faults.raise_any()


def _compile(value: Any, scope: Scope) -> Resolver:
    if not isinstance(value, dict):
        return scope.refuse(f"should be an object, not {type_name(value)}")
    scope.insist_on_options(value, "objects", "direction")
    if not is_truthy(value.get("direction")):
        return scope.refuse("needs a direction")
    if not isinstance(value.get("objects"), list):
        return scope.refuse("needs an array of objects")
    if isinstance(value["direction"], str) and not scope.parity:
        _insist_on_direction(value["direction"], scope)
    direction = scope.inside("direction").compile(value["direction"])
    within = scope.inside("objects")
    sources = [within.at(str(index)).compile(item) for index, item in enumerate(value["objects"])]

    def resolve(event: Any) -> Any:
        to_left = direction(event) == "left"
        objects = [source(event) for source in sources]
        merged: dict[str, Any] = {}
        for item in reversed(objects) if to_left else objects:
            merged.update(_members(item))
        return merged

    return resolve


def _insist_on_direction(direction: str, scope: Scope) -> None:
    # Segment lets LEFT pass, and then merges to the right.
    if direction not in ("left", "right"):
        raise scope.at("direction").error("should be left or right, in lower case")


def _members(value: Any) -> dict[str, Any]:
    """What ``Object.assign`` copies from ``value``: strings have their characters by index."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        value = utf16_units(value)
    if isinstance(value, list):
        return {str(index): item for index, item in enumerate(value)}
    return {}


MERGE: Final = Directive(check=_check, compile=_compile, hollow=True)
"""``{"@merge": {"objects": [an object or a directive, ...], "direction"}}``."""
