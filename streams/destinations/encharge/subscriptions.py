"""Subscriptions as Segment writes them, compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from streams.destinations.base import Request, Subscription
from streams.destinations.encharge.actions import ACTIONS
from streams.destinations.encharge.api import Api
from streams.errors import SettingsError
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
    api: Api, definitions: Sequence[Mapping[str, Any]]
) -> tuple[Subscription, ...]:
    """The enabled ones of ``definitions``, in their order.

    Each is ``{partnerAction, subscribe, mapping, name?, enabled?}``. Raises ``SettingsError``
    for a bad one, and for more than :data:`MAX_SUBSCRIPTIONS`. Of a disabled one, only the
    shape is looked at, so that disabling is a way to put one aside.
    """
    if len(definitions) > MAX_SUBSCRIPTIONS:
        raise SettingsError(
            f"subscriptions: at most {MAX_SUBSCRIPTIONS} are possible, not {len(definitions)}"
        )
    subscriptions = []
    for index, definition in enumerate(definitions):
        path = f"subscriptions[{index}]"
        _check_shape(definition, path)
        if definition.get("enabled", True):
            subscriptions.append(_compile(api, definition, path))
    return tuple(subscriptions)


def _compile(api: Api, definition: Mapping[str, Any], path: str) -> Subscription:
    action = ACTIONS.get(definition["partnerAction"])
    if action is None:
        known = ", ".join(ACTIONS)
        raise SettingsError(
            f"{path}.partnerAction: there is no {definition['partnerAction']}, only {known}"
        )
    to_payload = compile_payload(action.fields, definition["mapping"], path=f"{path}.mapping")
    to_request = action.request

    def build(event: Event) -> Request:
        return to_request(api, to_payload(event))

    return Subscription(
        name=definition.get("name", action.title),
        action=action.stream,
        matches=compile_trigger(definition["subscribe"], path=f"{path}.subscribe"),
        build=build,
    )


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
