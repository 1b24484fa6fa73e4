"""What the identity table knows about an id: the rows are read, the rules say what they mean."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from streams.engine.changelog import Changelog
from streams.errors import BrokerError, StreamsError
from streams.group import IDENTITIES
from streams.identity.answer import Answer, Login, Place, Selection, Step, answer, device_answer
from streams.routing.intake import ITEM_BITS
from streams.settings import Settings, at_fault
from streams.source.ingest import partition_of
from streams.topics import changelog_topic

Take = Callable[[int, bytes, bytes | None], None]


class Rows(Protocol):
    """The rows of a table, wherever they are kept (:mod:`streams.engine.changelog`)."""

    partitions: int

    async def read(self, partitions: Iterable[int], take: Take) -> None:
        """Give every row of some partitions to ``take``."""


@asynccontextmanager
async def opened(settings: Settings, **options: Any) -> AsyncIterator[Changelog]:
    """The rows as workers write them to Kafka. ``options`` go to :class:`Changelog`.

    Raises ``StreamsError`` when there are none yet, and ``BrokerError``, each naming the
    setting to look at.
    """
    topic = changelog_topic(settings, IDENTITIES)
    try:
        async with Changelog(topic, **options, **settings.kafka_client_options()) as rows:
            if not rows.partitions:
                raise StreamsError(
                    f"STREAMS_APP_ID={settings.streams_app_id}: no worker of this app id has "
                    f"run yet, or this client may not see its topic {topic}"
                )
            yield rows
    except BrokerError as error:
        raise BrokerError(f"{at_fault(settings, str(error))}: {error}") from error


async def look_up(subject: str, rows: Rows) -> Answer:
    """What is known about an id, as a device and as a user."""
    home = partition_of(subject, rows.partitions)
    # Its own partition knows what became it. Told so, most others need to be read once only.
    own = Selection(subject)
    await _select(rows, {home: own})
    user = answer(subject, home, {home: own.rows}).user
    former = [] if user is None else [step.old for step in user.former]
    others = {
        partition: Selection(subject, former=former)
        for partition in range(rows.partitions)
        if partition != home
    }
    await _select(rows, others)
    selections = {home: own, **others}
    return answer(subject, home, {p: selection.rows for p, selection in selections.items()})


async def look_up_device(subject: str, rows: Rows) -> Answer:
    """What is known about an id that is a device's: its own partition knows all of it."""
    home = partition_of(subject, rows.partitions)
    own = Selection(subject, is_device_only=True)
    await _select(rows, {home: own})
    return device_answer(subject, home, own.rows)


async def _select(rows: Rows, selections: dict[int, Selection]) -> None:
    """Read partitions until what is found makes nothing else matter."""

    def take(partition: int, key: bytes, value: bytes | None) -> None:
        try:
            selections[partition].take(key, value)
        except (ValueError, TypeError, IndexError) as error:
            raise StreamsError(
                f"STREAMS_APP_ID: its changelog has a row in partition {partition} that is "
                f"none of this program's: {key!r}"
            ) from error

    unread = list(selections)
    while unread:
        await rows.read(unread, take)
        unread = [p for p in unread if not selections[p].is_complete]
        for partition in unread:
            selections[partition].restart()


# -- for programs


def as_object(subject: str, topic: str, found: Answer) -> dict[str, Any]:
    """The answer as the JSON object of ``streams identity --json``."""
    device, user = found.device, found.user
    return {
        "id": subject,
        "topic": topic,
        "device": device
        and {
            "userId": device.user,
            "email": device.email,
            "login": _login(device.login),
            "aliases": [_step(step) for step in device.aliases],
            "earlier": [_login(login) for login in device.earlier],
        },
        "user": user
        and {
            "userId": user.user,
            "aliases": [_step(step) for step in user.aliases],
            "formerIds": [_step(step) for step in user.former],
            "devices": [_login(login) for login in user.devices],
        },
    }


def _login(login: Login) -> dict[str, Any]:
    return {
        "anonymousId": login.device,
        "userId": login.user,
        "email": login.email,
        **_when(login),
    }


def _step(step: Step) -> dict[str, Any]:
    return {"previousId": step.old, "userId": step.new, **_when(step)}


def _when(taught: Login | Step) -> dict[str, Any]:
    return {
        "messageId": taught.message_id,
        "since": _place(taught.since),
        "until": taught.until and _place(taught.until),
    }


def _place(place: Place) -> dict[str, int]:
    offset, item = divmod(place.position, 1 << ITEM_BITS)
    return {"partition": place.partition, "offset": offset, "item": item}
