"""``@arrayPath``: an array of the event, each item mapped to a shape of its own.

Inside the shape, paths begin at the item. An object counts as an array of one; anything else
that is found, and an array without a shape, is taken as it is.
"""

from __future__ import annotations

from typing import Any, Final

from streams.mapping.checks import array, string_or_directive
from streams.mapping.javascript import UNDEFINED, type_name
from streams.mapping.paths import Resolver, compile_path, without_root
from streams.mapping.scope import Directive, Scope, constant


def _check(value: Any, scope: Scope) -> None:
    array(value, scope)
    string_or_directive(value[0] if value else UNDEFINED, scope.at("0"))
    if len(value) > 1:
        scope.at("1").check(value[1])


def _compile(value: Any, scope: Scope) -> Resolver:
    if not isinstance(value, list):
        return scope.refuse(f"should be an array, not {type_name(value)}")
    if len(value) > 2 and not scope.parity:
        raise scope.error("takes a path and a shape, nothing else")
    source = _compile_source(value[0] if value else UNDEFINED, scope.inside("0"))
    shape = value[1] if len(value) > 1 else None
    if not isinstance(shape, dict) or not shape:
        if shape is not None and not scope.parity:
            raise scope.at("1").error(f"should be an object with keys, not {type_name(shape)}")
        return source
    resolve_item = scope.inside("1").compile(shape)

    def resolve(event: Any) -> Any:
        found = source(event)
        if isinstance(found, list):
            return [resolve_item(item) for item in found]
        return [resolve_item(found)] if isinstance(found, dict) else found

    return resolve


def _compile_source(value: Any, scope: Scope) -> Resolver:
    if isinstance(value, str):
        return compile_path(without_root(value))
    return constant(UNDEFINED) if value is UNDEFINED else scope.compile(value)


ARRAY_PATH: Final = Directive(check=_check, compile=_compile, hollow=True)
"""``{"@arrayPath": [a path or a directive, a shape?]}``."""
