"""The compiler's front door."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from streams.errors import SettingsError
from streams.events import Event
from streams.faults import Faults
from streams.mapping.directives import DIRECTIVES
from streams.mapping.paths import Resolver
from streams.mapping.scope import Scope, failing, has_directive
from streams.mapping.values import as_json
from streams.mapping.whole import ROOT, compile_whole, may_be_hollow, with_root

_SIMPLE: Final[Mapping[str, Any]] = {"@path": "$.a"}
"""A directive that may stand wherever one may."""

_GOOD: Final[Mapping[str, Mapping[str, Any]]] = {
    "@case": {"operator": "lower", "value": ""},
    "@flatten": {"separator": ".", "value": ""},
    "@if": {"exists": "a"},
    "@json": {"mode": "encode", "value": "a"},
    "@merge": {"direction": "right", "objects": []},
    "@replace": {"pattern": "a", "value": ""},
    "@transform": {"apply": {"a": ""}, "mapping": {"a": ""}},
}
"""Options with which a directive compiles, to try another one beside them."""


def compile_mapping(
    mapping: Any, *, path: str = "", parity: bool = False
) -> Callable[[Event], Any]:
    """A closure from an event to the value that ``mapping`` describes.

    The closure answers :data:`~streams.mapping.UNDEFINED` where there is nothing, leaves
    such keys out of objects, and raises ``PayloadError`` where a directive cannot be applied
    to an event. It changes neither the event nor the mapping; what it answers may share
    parts with the event.

    ``path`` says where the mapping stands, for messages. Raises ``SettingsError`` for a bad
    mapping, naming the place in it. With ``parity``, it is the closure that raises, and only
    what Segment raises.
    """
    scope = Scope(path, DIRECTIVES, parity)
    try:
        if parity:
            scope.check(mapping)
    except SettingsError as error:
        return failing(error)
    resolve = scope.compile(mapping)
    return _complete(resolve, scope) if may_be_hollow(mapping, scope) else resolve


def _complete(resolve: Resolver, scope: Scope) -> Resolver:
    def complete(event: Event) -> Any:
        try:
            return as_json(resolve(event))
        except RecursionError:
            raise scope.fault("is nested too deeply") from None

    return complete


def find_faults(mapping: Mapping[str, Any], *, path: str) -> list[str]:
    """Everything that is wrong with the mapping of an action, and not only the first of it.

    What the compiler takes has no fault. Where it refuses, each directive and each option is
    tried by itself, with simple and right ones around it.
    """
    scope = Scope(path, DIRECTIVES)
    try:
        compile_whole(mapping, scope)
    except SettingsError as error:
        faults = Faults()
        _judge(mapping, scope, faults)
        return faults or list(error.args)
    return []


def _judge(mapping: Any, scope: Scope, faults: Faults) -> Any:
    """Note the faults of ``mapping``; answer something without any that may stand in its place."""
    if isinstance(mapping, list):
        return [_judge(item, scope.at(str(index)), faults) for index, item in enumerate(mapping)]
    if not isinstance(mapping, dict):
        return mapping if _compiles(mapping, scope, faults) else ""
    if ROOT in mapping:
        with faults:
            return _judge(with_root(mapping, scope), scope, faults)
        return _SIMPLE
    judged = {key: _judge(value, scope.at(str(key)), faults) for key, value in mapping.items()}
    if has_directive(judged):
        _judge_directive(judged, scope, faults)
        return _SIMPLE
    return judged if _compiles(judged, scope, faults) else {}


def _judge_directive(mapping: dict[str, Any], scope: Scope, faults: Faults) -> None:
    name, *others = (key for key in mapping if key != "_metadata")
    given, good = mapping[name], _GOOD.get(name)
    if others or good is None or not isinstance(given, dict) or has_directive(given):
        _compiles(mapping, scope, faults)
        return
    here = scope.at(name)
    mended = {}
    for option, value in given.items():
        found = Faults()
        if _compiles({name: {**good, option: value}}, scope, found):
            mended[option] = value
        elif option in good:
            mended[option] = good[option]
        # All the others are right: what is wrong with the directive is this option.
        at = here.at(str(option)).path
        faults += [text.replace(f"{here.path}: ", f"{at}: ", 1) for text in found]
    _compiles({name: mended}, scope, faults)


def _compiles(mapping: Any, scope: Scope, faults: Faults) -> bool:
    before = len(faults)
    with faults:
        scope.compile(mapping)
    return len(faults) == before
