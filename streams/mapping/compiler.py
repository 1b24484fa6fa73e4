"""The compiler's front door."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streams.errors import SettingsError
from streams.events import Event
from streams.mapping.directives import DIRECTIVES
from streams.mapping.paths import Resolver
from streams.mapping.scope import Scope, failing
from streams.mapping.values import as_json
from streams.mapping.whole import may_be_hollow


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
