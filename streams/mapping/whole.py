"""Mappings as a whole: `transform` in `packages/core/src/mapping-kit/index.ts` of Segment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streams.errors import SettingsError
from streams.mapping.inherited import ANY
from streams.mapping.javascript import UNDEFINED, type_name
from streams.mapping.paths import Resolver, split_path
from streams.mapping.scope import Scope, failing, has_directive

ROOT: Final = "__segment_internal_directive"
"""Beside other keys: one directive, which gets these as its option ``mapping``."""


def compile_whole(mapping: Mapping[str, Any], scope: Scope) -> Resolver:
    """The closure for a mapping of an event, or of what a mapping has made of one.

    It raises ``PayloadError`` for anything but an object.
    """
    try:
        mapping = with_root(mapping, scope)
        if scope.parity:
            scope.check(mapping)
    except SettingsError as error:
        if not scope.parity:
            raise
        return failing(error)
    resolve = scope.outermost().compile(mapping)

    def transform(event: Any) -> Any:
        if event is UNDEFINED:
            event = {}
        if not isinstance(event, dict):
            raise scope.fault(f"needs an object to work on, not {type_name(event)}")
        return resolve(event)

    return transform


def with_root(mapping: Mapping[str, Any], scope: Scope) -> Mapping[str, Any]:
    """``mapping`` with its :data:`ROOT`, if it has one, around the rest of it.

    Raises ``SettingsError`` if that is not one directive with options.
    """
    if ROOT not in mapping:
        return mapping
    rest = {key: value for key, value in mapping.items() if key != ROOT}
    root = mapping[ROOT]
    if not isinstance(root, dict) or len(root) != 1:
        raise scope.at(ROOT).error("should be one directive")
    ((name, options),) = root.items()
    if isinstance(options, list):
        return root
    if not isinstance(options, dict):
        raise scope.at(ROOT).error("should have options")
    return {name: {**options, "mapping": rest}}


def may_be_hollow(mapping: Any, scope: Scope) -> bool:
    """Whether values made by ``mapping`` may have something in them that JSON does not know."""
    if isinstance(mapping, list):
        return True
    if not isinstance(mapping, dict):
        return False
    if "@path" in mapping:
        return not (
            isinstance(mapping["@path"], str) and ANY.isdisjoint(split_path(mapping["@path"]))
        )
    return any(
        (name in scope.directives and scope.directives[name].hollow) or may_be_hollow(value, scope)
        for name, value in mapping.items()
    )


def may_fail(mapping: Any) -> bool:
    """Whether there is more in ``mapping`` than raw values and fixed paths."""
    if isinstance(mapping, list):
        return any(map(may_fail, mapping))
    if not isinstance(mapping, dict) or isinstance(mapping.get("@path"), str):
        return False
    return has_directive(mapping) or any(map(may_fail, mapping.values()))
