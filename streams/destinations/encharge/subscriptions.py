"""Subscriptions as Segment writes them, compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from streams.destinations.base import Request, Subscription
from streams.destinations.encharge.actions import ACTIONS, Action
from streams.destinations.encharge.api import Api
from streams.errors import PayloadError, SettingsError
from streams.events import Event
from streams.mapping import compile_payload
from streams.mapping.javascript import type_name
from streams.routing.triggers import compile_trigger

MAX_SUBSCRIPTIONS: Final = 50
"""Segment's limit for one destination ("Encharge (Actions) Destination")."""

_KEYS: Final[Mapping[str, type]] = {
    "partnerAction": str,
    "name": str,
    "enabled": bool,
    "subscribe": str,
    "mapping": dict,
}


def compile_subscriptions(
    api: Api, definitions: Sequence[Mapping[str, Any]], *, parity: bool = False
) -> tuple[Subscription, ...]:
    """The enabled ones of ``definitions``, in their order.

    Each is ``{partnerAction, subscribe, mapping, name?, enabled?}``. Raises ``SettingsError``
    for a bad one, and for more than :data:`MAX_SUBSCRIPTIONS`. Of a disabled one, only the
    shape is looked at, so that disabling is a way to put one aside.

    With ``parity`` they do what Segment's runtime would do with them: a trigger that it cannot
    read never matches, a bad mapping is an error of each event, and disabled ones are not left
    out (in Segment, that is not the runtime's task).
    """
    if len(definitions) > MAX_SUBSCRIPTIONS:
        raise SettingsError(
            f"subscriptions: at most {MAX_SUBSCRIPTIONS} are possible, not {len(definitions)}"
        )
    subscriptions = []
    for index, given in enumerate(definitions):
        path = f"subscriptions[{index}]"
        definition = _as_segment_reads(given) if parity else given
        _check_shape(definition, path)
        if definition.get("enabled", True) and not (parity and _is_unknown(definition)):
            subscriptions.append(_compile(api, definition, path, parity=parity))
    return tuple(subscriptions)


def _as_segment_reads(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """What counts of a definition in Segment's runtime (`destination-kit/index.ts`)."""
    trigger = definition.get("subscribe")
    read = {
        "partnerAction": definition.get("partnerAction"),
        "subscribe": trigger if isinstance(trigger, str) else "",
        "mapping": definition.get("mapping") or {},
    }
    return read | ({"name": definition["name"]} if "name" in definition else {})


def _is_unknown(definition: Mapping[str, Any]) -> bool:
    # Segment's runtime does nothing for an action that it does not know.
    return definition["partnerAction"] not in ACTIONS


def _compile(api: Api, definition: Mapping[str, Any], path: str, *, parity: bool) -> Subscription:
    action = ACTIONS.get(definition["partnerAction"])
    if action is None:
        known = ", ".join(ACTIONS)
        raise SettingsError(
            f"{path}.partnerAction: there is no {definition['partnerAction']}, only {known}"
        )
    matches = compile_trigger(definition["subscribe"], path=f"{path}.subscribe", parity=parity)
    build = _compile_build(api, action, definition["mapping"], f"{path}.mapping", parity=parity)
    if parity:
        matches, build = _fail_in_build(matches, build)
    return Subscription(
        name=definition.get("name", action.title),
        action=action.stream,
        matches=matches,
        build=build,
    )


def _compile_build(
    api: Api, action: Action, mapping: Mapping[str, Any], path: str, *, parity: bool
) -> Callable[[Event], Request]:
    to_payload = compile_payload(action.fields, mapping, path=path, parity=parity)
    to_request = action.request
    return lambda event: to_request(api, to_payload(event))


def _fail_in_build(
    trigger: Callable[[Event], bool], build: Callable[[Event], Request]
) -> tuple[Callable[[Event], bool], Callable[[Event], Request]]:
    """Both, for a trigger that may raise ``PayloadError``: callers expect it of ``build`` only."""

    def matches(event: Event) -> bool:
        try:
            return trigger(event)
        except PayloadError:
            return True

    def build_if_it_matches(event: Event) -> Request:
        trigger(event)
        return build(event)

    return matches, build_if_it_matches


def _check_shape(definition: Mapping[str, Any], path: str) -> None:
    if not isinstance(definition, Mapping):
        raise SettingsError(f"{path}: should be an object, not {type_name(definition)}")
    for key, value in definition.items():
        if key not in _KEYS:
            raise SettingsError(f"{path}: there is no key {key}, only {', '.join(_KEYS)}")
        if not isinstance(value, _KEYS[key]):
            raise SettingsError(f"{path}.{key}: {type_name(value)} is the wrong type")
    for key in ("partnerAction", "subscribe", "mapping"):
        if key not in definition:
            raise SettingsError(f"{path}: {key} is missing")
