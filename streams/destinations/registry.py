"""The destinations that there are: one line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from streams import settings as settings_module
from streams.config import Config, DestinationConfig
from streams.destinations import encharge, usercom
from streams.destinations.base import Destination
from streams.destinations.kind import Kind
from streams.destinations.subscriptions import Definition, check_subscription, complete
from streams.settings import Settings, of_destination


@dataclass(frozen=True, slots=True)
class Configured:
    """A destination, and the settings that hold for it."""

    kind: Kind
    destination: Destination
    settings: Settings


def build(settings: Settings, config: Config) -> list[Configured]:
    """The configured destinations. Raises ``SettingsError``."""
    found = []
    for each in config.destinations:
        kind, own = KINDS[each.type], of_destination(settings, each.settings)
        destination = kind.build(own, each.name, _subscriptions(kind, each))
        found.append(Configured(kind, destination, own))
    return found


def _subscriptions(kind: Kind, config: DestinationConfig) -> Sequence[Definition]:
    if config.subscriptions is None:
        return kind.presets
    return [complete(kind.actions, given) for given in config.subscriptions]


def check(kind: str, subscription: Definition, path: str) -> None:
    """Raise ``SettingsError`` if a subscription of a destination of this kind is wrong."""
    actions = KINDS[kind].actions
    check_subscription(actions, complete(actions, subscription), path)


def missing(config: Config) -> list[str]:
    """What the configured destinations need and nobody has set, for a person, each once."""
    needed = [
        settings_module.is_required(name)
        for each in config.destinations
        for name in KINDS[each.type].required
        if name.upper() not in each.settings and not settings_module.given(name.upper())
    ]
    return list(dict.fromkeys(needed))


KINDS: Final[Mapping[str, Kind]] = {
    "encharge": encharge.KIND,
    "user.com": usercom.KIND,
}
CHECKS: Final = {name: partial(check, name) for name in KINDS}
"""As :func:`streams.config.load` wants to know them."""
