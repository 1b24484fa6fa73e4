"""The destinations that there are: one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from streams.config import Config, DestinationConfig
from streams.destinations.base import Destination
from streams.destinations.encharge import PRESETS, Encharge
from streams.destinations.encharge.actions import ACTIONS
from streams.destinations.encharge.subscriptions import check_subscription
from streams.mapping import default_mapping
from streams.settings import Settings, of_destination

Definition = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of destination.

    ``build`` makes an instance; ``check(subscription, path)`` raises ``SettingsError`` with
    everything that is wrong with a subscription, each with ``path`` before what is at fault.
    """

    build: Callable[[Settings, DestinationConfig], Destination]
    check: Callable[[Definition, str], None]


@dataclass(frozen=True, slots=True)
class Configured:
    """A destination, and the settings that hold for it."""

    destination: Destination
    settings: Settings


def build(settings: Settings, config: Config) -> list[Configured]:
    """The configured destinations. Raises ``SettingsError``."""
    found = []
    for each in config.destinations:
        own = of_destination(settings, each.settings)
        found.append(Configured(KINDS[each.type].build(own, each), own))
    return found


def _build_encharge(settings: Settings, config: DestinationConfig) -> Destination:
    subscriptions = config.subscriptions
    return Encharge(
        api_key=settings.api_key,
        write_key=settings.write_key,
        api_url=settings.encharge_api_url,
        ingest_url=settings.encharge_ingest_url,
        subscriptions=PRESETS if subscriptions is None else [_complete(s) for s in subscriptions],
        name=config.name,
    )


def _check_encharge(subscription: Definition, path: str) -> None:
    check_subscription(_complete(subscription), path)


def _complete(subscription: Definition) -> Definition:
    """A subscription without a mapping has its action's default one."""
    action = ACTIONS.get(str(subscription.get("partnerAction")))
    if "mapping" in subscription or action is None:
        return {"mapping": {}, **subscription}
    return {**subscription, "mapping": default_mapping(action.fields)}


KINDS: Final[Mapping[str, Kind]] = {
    "encharge": Kind(_build_encharge, _check_encharge),
}
CHECKS: Final = {name: kind.check for name, kind in KINDS.items()}
"""As :func:`streams.config.load` wants to know them."""
