"""Encharge, the marketing tool, as Segment's destination "Encharge (Actions)" drives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streams.destinations.base import Conversation, Request, Subscription, Verdict
from streams.destinations.encharge.api import Api
from streams.destinations.encharge.deletion import deletion
from streams.destinations.encharge.merge import merge
from streams.destinations.encharge.people import people, person
from streams.destinations.encharge.presets import PRESETS
from streams.destinations.encharge.status import classify
from streams.destinations.encharge.subscriptions import compile_subscriptions
from streams.errors import SettingsError
from streams.events import Event
from streams.routing.triggers import event_types

__all__ = ["PRESETS", "Encharge"]


class Encharge:
    """A :class:`~streams.destinations.base.Destination`.

    ``write_key`` is for the ingest host and defaults to ``api_key``. ``subscriptions`` are
    in the form of Segment's configuration (:mod:`.subscriptions`). Raises ``SettingsError``
    if a key is empty or a subscription is wrong. With ``parity``, a wrong trigger or mapping
    is no ``SettingsError``: it does what it does in Segment's runtime, event by event.
    """

    __slots__ = ("_api", "_by_type", "_name", "_of_any_type", "_subscriptions")

    def __init__(
        self,
        *,
        api_key: str,
        write_key: str | None = None,
        api_url: str = "https://api.encharge.io",
        ingest_url: str = "https://ingest.encharge.io/v1",
        subscriptions: Sequence[Mapping[str, Any]] = PRESETS,
        name: str = "encharge",
        parity: bool = False,
    ) -> None:
        if not api_key:
            raise SettingsError("Encharge: the API key is empty")
        self._name = name
        self._api = Api(
            api_key=api_key,
            write_key=write_key or api_key,
            api_url=api_url,
            ingest_url=ingest_url,
        )
        self._subscriptions = compile_subscriptions(self._api, subscriptions, parity=parity)
        # In Segment's runtime, a trigger can fail: nobody may pass over it.
        limits = [None] * len(self._subscriptions) if parity else _types(subscriptions)
        kinds = frozenset[str]().union(*(limit for limit in limits if limit is not None))
        self._by_type = {kind: self._about(limits, kind) for kind in kinds}
        self._of_any_type = self._about(limits, None)

    def _about(
        self, limits: Sequence[frozenset[str] | None], kind: str | None
    ) -> tuple[Subscription, ...]:
        pairs = zip(self._subscriptions, limits, strict=True)
        return tuple(s for s, limit in pairs if limit is None or kind in limit)

    @property
    def name(self) -> str:
        """Among the destinations that there are."""
        return self._name

    @property
    def integration_names(self) -> frozenset[str]:
        """Segment's two names for the destination, and the bare one for convenience."""
        return frozenset({"Encharge (Actions)", "Encharge Cloud (Actions)", "Encharge"})

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        """In the order in which they fire."""
        return self._subscriptions

    def candidates(self, kind: Any) -> Sequence[Subscription]:
        """As :attr:`subscriptions`, without those that no event of the type ``kind`` matches."""
        if type(kind) is not str:
            return self._of_any_type
        return self._by_type.get(kind, self._of_any_type)

    def delete(self, event: Event) -> Request:
        """The request that erases a person. Raises ``PayloadError`` without an id."""
        return deletion(self._api, event)

    def merge(
        self, earlier: Request | Conversation, later: Request | Conversation
    ) -> Request | None:
        """The one request that leaves a person as these two would, or None."""
        if isinstance(earlier, Request) and isinstance(later, Request):
            return merge(earlier, later)
        return None

    def part(self, request: Request) -> Any:
        """The person that an identify leaves behind, as the people API has it, or None."""
        return person(request)

    def bulk(self, parts: Sequence[Any]) -> Request:
        """One call of the people API for several people."""
        return people(self._api, parts)

    def classify(self, status: int, content_type: str, body: bytes) -> Verdict:
        """What an HTTP answer means."""
        return classify(status, content_type, body)

    def advice(self, status: int) -> str:  # noqa: ARG002 - the same for all
        """What to do about an answer that means ``MISCONFIGURED``."""
        return "check its keys: ENCHARGE_API_KEY and ENCHARGE_WRITE_KEY"


def _types(definitions: Sequence[Mapping[str, Any]]) -> list[frozenset[str] | None]:
    return [event_types(given["subscribe"]) for given in definitions if given.get("enabled", True)]
