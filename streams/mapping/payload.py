"""The payload of an action: what a mapping makes of an event, as far as the fields accept it.

The rules are those of `packages/core/src` of segmentio/action-destinations: empty values are
dropped (`remove-empty-values.ts`), then a JSON schema made of the fields
(`fields-to-jsonschema.ts`) is applied with type coercion (`schema-validation.ts`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from streams.errors import PayloadError, SettingsError
from streams.events import Event
from streams.mapping.directives import DIRECTIVES
from streams.mapping.fields import Field, NoType, accepted_type, check_of, is_open, parts_of
from streams.mapping.javascript import UNDEFINED, type_name
from streams.mapping.paths import Resolver, compile_keys
from streams.mapping.plan import Step, compile_plan
from streams.mapping.scope import Scope, failing, is_directive
from streams.mapping.values import as_json
from streams.mapping.whole import may_be_hollow, may_fail, with_root

__all__ = ["Field", "Payload", "compile_payload", "default_mapping"]

Payload: TypeAlias = dict[str, Any]
"""The fields of an action by name, valid and without null, some of them in objects of it.
Its owner may change it, and these objects."""


def default_mapping(fields: Mapping[str, Field]) -> dict[str, Any]:
    """The mapping made of the fields' defaults (``defaultValues`` in Segment's core)."""
    return {name: field.default for name, field in fields.items() if field.default is not UNDEFINED}


def compile_payload(
    fields: Mapping[str, Field], mapping: Mapping[str, Any], *, path: str = "", parity: bool = False
) -> Callable[[Event], Payload]:
    """A closure from an event to the payload that ``mapping`` makes of it.

    It raises one ``PayloadError`` that names every field at fault. Keys of ``mapping`` that
    are no fields are left out, as Segment does. Raises ``SettingsError`` for a bad mapping,
    also under such a key; with ``parity``, the closure raises instead, where Segment does.
    """
    scope = Scope(path, DIRECTIVES, parity)
    try:
        mapping = with_root(mapping, scope)
        if parity:
            scope.check(mapping)
    except SettingsError as error:
        if not parity:
            raise
        return failing(error)
    if is_directive(mapping):
        return _compile_as_one(fields, mapping, scope)
    steps = []
    others = []
    for name, value in mapping.items():
        resolver = scope.at(name).compile(value)
        if name in fields:
            steps.append(_step(name, fields[name], value, resolver, scope))
        elif may_fail(value):
            others.append(resolver)
    build = compile_plan(steps, fields, _compile_steps(fields, steps))
    return _after(others, build) if others else build


def _after(
    others: Sequence[Resolver], build: Callable[[Event], Payload]
) -> Callable[[Event], Payload]:
    """``build``, if what stands under keys that are no fields can be resolved, as at Segment."""

    def build_after(event: Event) -> Payload:
        for resolve in others:
            resolve(event)
        return build(event)

    return build_after


def _compile_as_one(
    fields: Mapping[str, Field], mapping: Mapping[str, Any], scope: Scope
) -> Callable[[Event], Payload]:
    """As :func:`compile_payload`, for a mapping that is one directive and makes all fields."""
    whole = scope.compile(mapping)
    steps = [
        _step(name, field, mapping, compile_keys([name]), scope) for name, field in fields.items()
    ]
    build = _compile_steps(fields, steps)

    def build_as_one(event: Event) -> Payload:
        values = whole(event)
        if not isinstance(values, dict):
            raise scope.fault(f"should lead to an object, not {type_name(values)}")
        return build(values)

    return build_as_one


def _step(name: str, field: Field, mapping: Any, resolver: Resolver, scope: Scope) -> Step:
    check = check_of(field)
    if is_open(field) and may_be_hollow(mapping, scope):
        return Step(name, field, None, resolver, NoType, lambda value: as_json(check(value)))
    return Step(name, field, mapping, resolver, accepted_type(field), check)


def _compile_steps(
    fields: Mapping[str, Field], steps: Sequence[Step]
) -> Callable[[Event], Payload]:
    required = tuple(name for name, field in fields.items() if field.required)
    arrange = _arrangement(fields, steps)

    def build(event: Event) -> Payload:
        payload: Payload = {}
        faults: dict[str, str] = {}
        for name, _, _, resolve, accepted, check in steps:
            try:
                value = resolve(event)
                # No field accepts null; an empty string counts as absent at this level.
                if type(value) is accepted:
                    if value or accepted is dict:
                        payload[name] = value
                elif value is not UNDEFINED and value is not None and value != "":
                    payload[name] = check(value)
            except PayloadError as error:
                faults[name] = str(error)
            except RecursionError:
                faults[name] = "is nested too deeply"
        for name in required:
            if name not in payload:
                faults.setdefault(name, "is required")
        if faults:
            raise _error(faults, fields)
        arrange(payload)
        return payload

    return build


def _arrangement(fields: Mapping[str, Field], steps: Sequence[Step]) -> Callable[[Payload], None]:
    """What puts fields into the objects that hold them, with these at the end of the payload."""
    parts = parts_of(fields)
    moved = tuple((s.name, s.field.within) for s in steps if s.field.within)

    def arrange(payload: Payload) -> None:
        objects: dict[str, dict[str, Any]] = {part: {} for part in parts}
        for name, part in moved:
            if name in payload:
                objects[part][name] = payload.pop(name)
        payload.update(objects)

    return arrange


def _error(faults: Mapping[str, str], fields: Mapping[str, Field]) -> PayloadError:
    return PayloadError(
        "; ".join(f"{name} ({fields[name].label}) {text}" for name, text in faults.items())
    )
