"""Encharge, the marketing tool, as Segment's destination "Encharge (Actions)" drives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streams.destinations.base import Conversation, Request, Subscription, Verdict
from streams.destinations.encharge.actions import ACTIONS
from streams.destinations.encharge.api import Api
from streams.destinations.encharge.deletion import deletion
from streams.destinations.encharge.merge import merge
from streams.destinations.encharge.people import people, person
from streams.destinations.encharge.presets import PRESETS
from streams.destinations.encharge.status import classify
from streams.destinations.kind import Kind
from streams.destinations.subscriptions import Subscriptions
from streams.errors import SettingsError
from streams.events import Event
from streams.settings import Settings

__all__ = ["KIND", "PRESETS", "Encharge"]


class Encharge:
    """A :class:`~streams.destinations.base.Destination`.

    ``write_key`` is for the ingest host and defaults to ``api_key``. ``subscriptions`` are
    in the form of Segment's configuration (:mod:`streams.destinations.subscriptions`). Raises
    ``SettingsError`` if a key is empty or a subscription is wrong. With ``parity``, a wrong
    trigger or mapping is no ``SettingsError``: it does what it does in Segment's runtime, event
    by event.
    """

    __slots__ = ("_api", "_name", "_subscriptions")

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
        self._subscriptions = Subscriptions(ACTIONS, self._api, subscriptions, parity=parity)

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
        return self._subscriptions.all

    def candidates(self, kind: Any) -> Sequence[Subscription]:
        """As :attr:`subscriptions`, without those that no event of the type ``kind`` matches."""
        return self._subscriptions.candidates(kind)

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


def _build(settings: Settings, name: str, subscriptions: Sequence[Mapping[str, Any]]) -> Encharge:
    return Encharge(
        api_key=settings.api_key,
        write_key=settings.write_key,
        api_url=settings.encharge_api_url,
        ingest_url=settings.encharge_ingest_url,
        subscriptions=subscriptions,
        name=name,
    )


def _probe(settings: Settings) -> Request:
    """Segment's authentication test: `GET /v1/accounts/info`."""
    url = f"{settings.encharge_api_url}/v1/accounts/info"
    return Request("GET", url, {"X-Encharge-Token": settings.api_key}, None)


KIND = Kind(
    build=_build,
    actions=ACTIONS,
    presets=PRESETS,
    required=("encharge_api_key",),
    url="encharge_api_url",
    probe=_probe,
)
