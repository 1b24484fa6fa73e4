"""User.com (once UserEngage), as Segment's page about its destination describes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streams.destinations.base import Conversation, Request, Subscription, Verdict
from streams.destinations.conversation import Step, Talk
from streams.destinations.kind import Kind
from streams.destinations.subscriptions import Definition, Subscriptions
from streams.destinations.usercom.account import Account, Ignored
from streams.destinations.usercom.actions import ACTIONS
from streams.destinations.usercom.actions.identify_user import Person, update
from streams.destinations.usercom.api import Api, of_person
from streams.destinations.usercom.definitions import Definitions
from streams.destinations.usercom.presets import PRESETS
from streams.destinations.usercom.status import advice, classify
from streams.errors import PayloadError
from streams.events import Event
from streams.settings import Settings

__all__ = ["KIND", "PRESETS", "UserCom"]


class UserCom:
    """A :class:`~streams.destinations.base.Destination`.

    ``file`` keeps the definitions of attributes over a restart; without one they are read again.
    """

    __slots__ = ("_account", "_name", "_subscriptions")

    def __init__(
        self,
        *,
        api_key: str,
        api_url: str,
        subscriptions: Sequence[Definition] = PRESETS,
        name: str = "user.com",
        file: Path | None = None,
    ) -> None:
        """Raises ``SettingsError`` if a subscription is wrong."""
        self._name = name
        self._account = Account(Api(key=api_key, url=api_url), Definitions(file))
        self._subscriptions = Subscriptions(ACTIONS, self._account, subscriptions)

    @property
    def name(self) -> str:
        """Among the destinations that there are."""
        return self._name

    @property
    def integration_names(self) -> frozenset[str]:
        """The names that Segment's page gives."""
        return frozenset({"UserEngage", "User.com"})

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        """In the order in which they fire."""
        return self._subscriptions.all

    def candidates(self, kind: Any) -> Sequence[Subscription]:
        """As :attr:`subscriptions`, without those that no event of the type ``kind`` matches."""
        return self._subscriptions.candidates(kind)

    def delete(self, event: Event) -> Request | Conversation:
        """What erases a person: by userId, else by anonymousId. Nobody there is fine."""
        custom_id = event.get("userId") or event.get("anonymousId")
        if not custom_id:
            raise PayloadError("userId or anonymousId is required to delete a person")
        account, person = self._account, str(custom_id)

        def begin(_: Ignored) -> Talk:
            yield Step(account.api.delete(of_person(person)), frozenset({404}))
            account.forget(person)

        return Conversation(begin)

    def merge(
        self, earlier: Request | Conversation, later: Request | Conversation
    ) -> Conversation | None:
        """Two adjacent updates of a person as one."""
        first, second = getattr(earlier, "about", None), getattr(later, "about", None)
        if isinstance(first, Person) and isinstance(second, Person):
            both = first.then(second)
            return update(self._account, both) if both is not None else None
        return None

    def part(self, request: Request) -> None:
        """There is no call for several people."""

    def bulk(self, parts: Sequence[Any]) -> Request:
        """There is no call for several people."""
        raise NotImplementedError

    def classify(self, status: int, content_type: str, body: bytes) -> Verdict:
        """What an HTTP answer means."""
        return classify(status, content_type, body)

    def advice(self, status: int) -> str:
        """What to do about an answer that means ``MISCONFIGURED``."""
        return advice(status)


def _build(settings: Settings, name: str, subscriptions: Sequence[Definition]) -> UserCom:
    file = settings.streams_data_dir / f"{settings.streams_app_id}-{name}-attributes.json"
    return UserCom(
        api_key=settings.needed("usercom_api_key"),
        api_url=settings.needed("usercom_api_url"),
        subscriptions=subscriptions,
        name=name,
        # Where nothing is called, nothing is learnt.
        file=None if settings.streams_dry_run else file,
    )


def _probe(settings: Settings) -> Request:
    api = Api(key=settings.needed("usercom_api_key"), url=settings.needed("usercom_api_url"))
    return api.get("attributes/")


KIND = Kind(
    build=_build,
    actions=ACTIONS,
    presets=PRESETS,
    required=("usercom_api_key", "usercom_api_url"),
    url="usercom_api_url",
    probe=_probe,
)
