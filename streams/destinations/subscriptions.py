"""Subscriptions as Segment writes them, compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from streams.config import MAX_SUBSCRIPTIONS
from streams.destinations.action import Action
from streams.destinations.base import Conversation, Request, Subscription
from streams.errors import PayloadError, SettingsError
from streams.events import Event
from streams.faults import Faults, closest, suggestion
from streams.mapping import compile_payload, default_mapping
from streams.mapping.compiler import find_faults
from streams.mapping.javascript import type_name
from streams.mapping.whole import ROOT
from streams.routing.triggers import compile_trigger, event_types

Actions = Mapping[str, Action]
"""What a destination can be asked to do, by ``partnerAction``."""

Definition = Mapping[str, Any]
"""A subscription in the form of Segment's configuration."""

_KEYS: Final[Mapping[str, type]] = {
    "partnerAction": str,
    "name": str,
    "enabled": bool,
    "subscribe": str,
    "mapping": dict,
}

_TYPES: Final[Mapping[type, str]] = {str: "a text", bool: "true or false", dict: "an object"}

_REQUIRED: Final[Mapping[str, str]] = {
    "partnerAction": "one of {actions}",
    "subscribe": 'when to act, such as type = "track"',
    "mapping": "an object with the action's fields",
}


class Subscriptions:
    """A destination's compiled subscriptions, and which of them an event may match."""

    __slots__ = ("_by_type", "_of_any_type", "all")

    def __init__(
        self,
        actions: Actions,
        api: Any,
        definitions: Sequence[Definition],
        *,
        parity: bool = False,
    ) -> None:
        """See :func:`compile_subscriptions`."""
        self.all = compile_subscriptions(actions, api, definitions, parity=parity)
        # In Segment's runtime, a trigger can fail: nobody may pass over it.
        limits = [None] * len(self.all) if parity else _types(definitions)
        kinds = frozenset[str]().union(*(limit for limit in limits if limit is not None))
        self._by_type = {kind: self._about(limits, kind) for kind in kinds}
        self._of_any_type = self._about(limits, None)

    def _about(
        self, limits: Sequence[frozenset[str] | None], kind: str | None
    ) -> tuple[Subscription, ...]:
        pairs = zip(self.all, limits, strict=True)
        return tuple(s for s, limit in pairs if limit is None or kind in limit)

    def candidates(self, kind: Any) -> Sequence[Subscription]:
        """As :attr:`all`, without those that no event of the type ``kind`` matches."""
        if type(kind) is not str:
            return self._of_any_type
        return self._by_type.get(kind, self._of_any_type)


def _types(definitions: Sequence[Definition]) -> list[frozenset[str] | None]:
    return [event_types(given["subscribe"]) for given in definitions if given.get("enabled", True)]


def preset(action: Action, trigger: str, name: str | None = None) -> Definition:
    """The subscription of a new destination to an action, with its default mapping."""
    return {
        "partnerAction": action.slug,
        "name": name or action.title,
        "enabled": True,
        "subscribe": trigger,
        "mapping": default_mapping(action.fields),
    }


def complete(actions: Actions, definition: Definition) -> Definition:
    """A subscription without a mapping has its action's default one."""
    action = actions.get(str(definition.get("partnerAction")))
    if "mapping" in definition or action is None:
        return {"mapping": {}, **definition}
    return {**definition, "mapping": default_mapping(action.fields)}


def compile_subscriptions(
    actions: Actions, api: Any, definitions: Sequence[Definition], *, parity: bool = False
) -> tuple[Subscription, ...]:
    """The enabled ones of ``definitions``, in their order. ``api`` is for their actions.

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
        _check_shape(actions, definition, path)
        # Segment's runtime does nothing for an action that it does not know.
        is_unknown = parity and definition["partnerAction"] not in actions
        if definition.get("enabled", True) and not is_unknown:
            subscriptions.append(_compile(actions, api, definition, path, parity=parity))
    return tuple(subscriptions)


def check_subscription(actions: Actions, definition: Definition, path: str) -> None:
    """Raises ``SettingsError`` with everything that is wrong with one that a person wrote.

    Unlike :func:`compile_subscriptions` it goes on after the first, looks at a disabled one as
    well, and refuses what Segment's form would not let a person do: to map a field that there
    is not, or to leave out a required one.
    """
    faults = Faults()
    with faults:
        _check_shape(actions, definition, path)
    name, trigger, mapping = map(definition.get, ("partnerAction", "subscribe", "mapping"))
    action = actions.get(name) if isinstance(name, str) else None
    if isinstance(name, str) and action is None:
        faults.append(_unknown_action(actions, name, path))
    if isinstance(trigger, str):
        with faults:
            compile_trigger(trigger, path=f"{path}.subscribe")
    if isinstance(mapping, Mapping):
        faults += find_faults(mapping, path=f"{path}.mapping")
        if action is not None:
            faults += _field_faults(action, mapping, f"{path}.mapping")
    faults.raise_any()


def _field_faults(action: Action, mapping: Mapping[Any, Any], path: str) -> Iterator[str]:
    if any(str(key).startswith(("@", ROOT)) for key in mapping):
        return
    unknown = [key for key in mapping if key not in action.fields]
    for key in unknown:
        yield f"{path}.{key}: {action.slug} has no such field; {suggestion(key, action.fields)}"
    meant = {closest(key, action.fields) for key in unknown}
    for name, field in action.fields.items():
        if field.required and name not in mapping and name not in meant:
            yield f"{path}: {name} ({field.label}) is required and not mapped; add {name}"


def _unknown_action(actions: Actions, name: str, path: str) -> str:
    return f"{path}.partnerAction: there is no {name}; {suggestion(name, actions)}"


def _as_segment_reads(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """What counts of a definition in Segment's runtime (`destination-kit/index.ts`)."""
    trigger = definition.get("subscribe")
    read = {
        "partnerAction": definition.get("partnerAction"),
        "subscribe": trigger if isinstance(trigger, str) else "",
        "mapping": definition.get("mapping") or {},
    }
    return read | ({"name": definition["name"]} if "name" in definition else {})


def _compile(
    actions: Actions, api: Any, definition: Definition, path: str, *, parity: bool
) -> Subscription:
    action = actions.get(definition["partnerAction"])
    if action is None:
        raise SettingsError(_unknown_action(actions, definition["partnerAction"], path))
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
    api: Any, action: Action, mapping: Mapping[str, Any], path: str, *, parity: bool
) -> Callable[[Event], Request | Conversation]:
    to_payload = compile_payload(action.fields, mapping, path=path, parity=parity)
    to_request = action.request
    return lambda event: to_request(api, to_payload(event))


def _fail_in_build(
    trigger: Callable[[Event], bool], build: Callable[[Event], Request | Conversation]
) -> tuple[Callable[[Event], bool], Callable[[Event], Request | Conversation]]:
    """Both, for a trigger that may raise ``PayloadError``: callers expect it of ``build`` only."""

    def matches(event: Event) -> bool:
        try:
            return trigger(event)
        except PayloadError:
            return True

    def build_if_it_matches(event: Event) -> Request | Conversation:
        trigger(event)
        return build(event)

    return matches, build_if_it_matches


def _check_shape(actions: Actions, definition: Definition, path: str) -> None:
    if not isinstance(definition, Mapping):
        raise SettingsError(f"{path}: should be an object, not {type_name(definition)}")
    faults = Faults()
    for key, value in definition.items():
        if key not in _KEYS:
            faults.append(f"{path}: there is no key {key}; {suggestion(key, _KEYS)}")
        elif not isinstance(value, _KEYS[key]):
            told = type_name(value)
            faults.append(f"{path}.{key}: {told} is the wrong type; write {_TYPES[_KEYS[key]]}")
    for key, hint in _REQUIRED.items():
        if key not in definition:
            told = hint.format(actions=", ".join(actions))
            faults.append(f"{path}.{key}: is missing; write {told}")
    faults.raise_any()
