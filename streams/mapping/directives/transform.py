"""``@transform``: a mapping applied to what another mapping makes of the event."""

from __future__ import annotations

from typing import Any, Final

from streams.mapping.checks import object_or_directive, options
from streams.mapping.javascript import is_truthy, type_name
from streams.mapping.paths import Resolver
from streams.mapping.scope import Directive, Scope
from streams.mapping.whole import compile_whole

_check: Final = options(required={"apply": object_or_directive, "mapping": object_or_directive})


def _compile(value: Any, scope: Scope) -> Resolver:
    if not isinstance(value, dict):
        return scope.refuse(f"should be an object, not {type_name(value)}")
    scope.insist_on_options(value, "apply", "mapping")
    for option in ("mapping", "apply"):
        if not is_truthy(value.get(option)):
            return scope.refuse(f"needs {option}")
    if not isinstance(value["apply"], dict):
        return scope.at("apply").refuse("should be an object")
    apply = compile_whole(value["apply"], scope.at("apply"))
    mapping = scope.inside("mapping").compile(value["mapping"])

    def resolve(event: Any) -> Any:
        return mapping(apply(event))

    return resolve


TRANSFORM: Final = Directive(check=_check, compile=_compile, hollow=True)
"""``{"@transform": {"apply": a mapping, "mapping": a mapping}}``."""
