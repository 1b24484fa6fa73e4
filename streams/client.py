"""A small client of Segment's HTTP Tracking API, such as `streams gateway` serves::

    with Client("write-key", host="http://127.0.0.1:8088") as segment:
        segment.identify(user_id="u-1", traits={"email": "ada@example.com"})
        segment.track("Order Completed", user_id="u-1", revenue=19.99, currency="EUR")

A call returns when the event is stored, and raises ``GatewayError`` when it is not. Calls that
may succeed later are tried again under the same messageId. The answers are those of AACFlow's
six Segment tools; revenue, currency and value those of Make's Segment module.
"""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Final

import httpx
import orjson

from streams import __version__
from streams.errors import StreamsError
from streams.moments import iso

MAX_BATCH_EVENTS: Final = 500
MAX_BATCH_BYTES: Final = 475_000
"""A longer batch is sent in parts. The API allows 2,500 events and 500 KB."""

MAX_WAIT_SECONDS: Final = 300.0
FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 60.0

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_COMMERCE: Final = ("revenue", "currency", "value")

Fields = Mapping[str, Any]


class GatewayError(StreamsError):
    """An event was not stored. ``status`` 0: there was no answer; ``code`` is the answer's."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{message} ({code}{f', {status}' if status else ''})")
        self.status = status
        self.code = code
        self.message = message


class Client:
    """Sends one event at a time, or a batch. Not for use by several threads at once."""

    def __init__(
        self,
        write_key: str,
        *,
        host: str = "http://127.0.0.1:8088",
        timeout_seconds: float = 15.0,
        max_tries: int = 10,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """``host`` is where ``/v1/track`` is; ``sleep`` and ``transport`` are for tests."""
        self._http = httpx.Client(
            base_url=host.rstrip("/"),
            auth=(write_key, "") if write_key else None,
            timeout=timeout_seconds,
            headers={"user-agent": f"encharge-streams/{__version__}"},
            transport=transport,
            # A redirect would lead the write key elsewhere.
            follow_redirects=False,
        )
        self._max_tries = max_tries
        self._sleep = sleep

    # -- the calls

    def identify(
        self,
        *,
        user_id: str | None = None,
        anonymous_id: str | None = None,
        traits: Fields | None = None,
        context: Fields | None = None,
        timestamp: str | datetime | None = None,
        integrations: Fields | None = None,
        message_id: str | None = None,
    ) -> dict[str, Any]:
        """Say who someone is. Gives success, userId, anonymousId.

        Without an id, here and below, an anonymousId is made.
        """
        event = _event(user_id, anonymous_id, context, timestamp, integrations, message_id)
        event["traits"] = dict(traits or {})
        return self._call("identify", event, "userId", "anonymousId")

    def track(
        self,
        event: str,
        *,
        user_id: str | None = None,
        anonymous_id: str | None = None,
        properties: Fields | None = None,
        revenue: float | Decimal | None = None,
        currency: str | None = None,
        value: float | Decimal | None = None,
        context: Fields | None = None,
        timestamp: str | datetime | None = None,
        integrations: Fields | None = None,
        message_id: str | None = None,
    ) -> dict[str, Any]:
        """Say what someone did. Gives success, event, userId, anonymousId.

        ``currency`` is an ISO 4217 code; dollars where there is a revenue and no currency.
        """
        if not event:
            raise ValueError("event: a name is required")
        made = _event(user_id, anonymous_id, context, timestamp, integrations, message_id)
        made["event"] = event
        made["properties"] = {
            **(properties or {}),
            **_commerce(properties or {}, revenue, currency, value),
        }
        return self._call("track", made, "event", "userId", "anonymousId")

    def page(
        self,
        name: str | None = None,
        *,
        category: str | None = None,
        user_id: str | None = None,
        anonymous_id: str | None = None,
        properties: Fields | None = None,
        context: Fields | None = None,
        timestamp: str | datetime | None = None,
        integrations: Fields | None = None,
        message_id: str | None = None,
    ) -> dict[str, Any]:
        """Say which page someone saw. Gives success, name, userId, anonymousId."""
        event = _event(user_id, anonymous_id, context, timestamp, integrations, message_id)
        return self._view("page", event, name, category, properties)

    def screen(
        self,
        name: str | None = None,
        *,
        category: str | None = None,
        user_id: str | None = None,
        anonymous_id: str | None = None,
        properties: Fields | None = None,
        context: Fields | None = None,
        timestamp: str | datetime | None = None,
        integrations: Fields | None = None,
        message_id: str | None = None,
    ) -> dict[str, Any]:
        """Say which screen of an app someone saw. Gives success, name, userId, anonymousId."""
        event = _event(user_id, anonymous_id, context, timestamp, integrations, message_id)
        return self._view("screen", event, name, category, properties)

    def group(
        self,
        group_id: str,
        *,
        user_id: str | None = None,
        anonymous_id: str | None = None,
        traits: Fields | None = None,
        context: Fields | None = None,
        timestamp: str | datetime | None = None,
        integrations: Fields | None = None,
        message_id: str | None = None,
    ) -> dict[str, Any]:
        """Say to which group someone belongs. Gives success, groupId, userId, anonymousId.

        The traits are the group's.
        """
        if not group_id:
            raise ValueError("group_id: is required")
        event = _event(user_id, anonymous_id, context, timestamp, integrations, message_id)
        event["groupId"] = group_id
        event["traits"] = dict(traits or {})
        return self._call("group", event, "groupId", "userId", "anonymousId")

    def alias(
        self,
        user_id: str,
        previous_id: str,
        *,
        context: Fields | None = None,
        timestamp: str | datetime | None = None,
        integrations: Fields | None = None,
        message_id: str | None = None,
    ) -> dict[str, Any]:
        """Say that ``previous_id`` is ``user_id`` from now on. Gives success and both."""
        if not user_id or not previous_id:
            raise ValueError("user_id, previous_id: both are required")
        event = _event(user_id, None, context, timestamp, integrations, message_id)
        event["previousId"] = previous_id
        return self._call("alias", event, "userId", "previousId")

    def batch(self, events: Iterable[Fields], *, context: Fields | None = None) -> dict[str, Any]:
        """Send events that have a ``type``, in order. Gives success and count.

        ``context`` is of all of them. ``rejected`` says which are not valid, if any, by their
        place in ``events``, with ``code`` and ``message``. Long ones are sent in parts: the error
        of one says how many were stored before it.
        """
        count, first = 0, 0
        rejected: list[dict[str, Any]] = []
        for part in _parts(events):
            body = {"batch": part, **_given(context=context)}
            try:
                answer = self._post("batch", body)
            except GatewayError as error:
                if not first:
                    raise
                told = f"{error.message} Before that, {count} of {first} events were stored."
                raise GatewayError(error.status, error.code, told) from error
            count += answer.get("count", len(part))
            for fault in answer.get("rejected", ()):
                rejected.append({**fault, "index": first + fault["index"]})
            first += len(part)
        return {"success": True, "count": count, **({"rejected": rejected} if rejected else {})}

    # -- sending

    def _view(
        self,
        kind: str,
        event: dict[str, Any],
        name: str | None,
        category: str | None,
        properties: Fields | None,
    ) -> dict[str, Any]:
        event |= _given(name=name, category=category)
        event["properties"] = dict(properties or {})
        return self._call(kind, event, "name", "userId", "anonymousId")

    def _call(self, kind: str, event: dict[str, Any], *told: str) -> dict[str, Any]:
        self._post(kind, event)
        return {"success": True, **{name: event.get(name) for name in told}}

    def _post(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        waited = FIRST_WAIT_SECONDS
        for attempt in range(1, self._max_tries + 1):
            try:
                return self._post_once(kind, body)
            except _AgainError as again:
                if attempt == self._max_tries:
                    raise again.error from again.error.__cause__
                wait = again.wait
                if wait is None:
                    wait = waited * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
                    waited = min(2 * waited, LONGEST_WAIT_SECONDS)
                self._sleep(min(wait, MAX_WAIT_SECONDS))
        raise AssertionError("max_tries is less than 1")

    def _post_once(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        content = _json({**body, "sentAt": iso(datetime.now(UTC))})
        try:
            answer = self._http.post(
                f"/v1/{kind}", content=content, headers={"content-type": "application/json"}
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            text = f"{self._http.base_url}: {str(error) or type(error).__name__}"
            failure = GatewayError(0, "no-answer", text)
            failure.__cause__ = error
            raise _AgainError(failure) from error
        try:
            data = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            data = None
        if answer.status_code == 200 and isinstance(data, dict):
            return data
        data = data if isinstance(data, dict) else {}
        refused = GatewayError(
            answer.status_code,
            str(data.get("code", "no-code")),
            str(data.get("message", f"{self._http.base_url} is no Tracking API")),
        )
        if answer.status_code in (408, 429) or answer.status_code >= 500:
            after = answer.headers.get("retry-after", "")
            raise _AgainError(refused, float(after) if after.isdigit() else None)
        raise refused

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


class _AgainError(Exception):
    """A failure that another try may mend, after ``wait`` seconds if the answer says so."""

    def __init__(self, error: GatewayError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


def _event(  # noqa: PLR0917 - all of them at every call
    user_id: str | None,
    anonymous_id: str | None,
    context: Fields | None,
    timestamp: str | datetime | None,
    integrations: Fields | None,
    message_id: str | None,
) -> dict[str, Any]:
    if not user_id and not anonymous_id:
        anonymous_id = str(uuid.uuid4())
    if isinstance(timestamp, datetime):
        timestamp = iso(timestamp)
    return {
        **_given(userId=user_id, anonymousId=anonymous_id, integrations=integrations),
        "messageId": message_id or _message_id(),
        # Now, not when a later try gets through.
        "timestamp": timestamp or iso(datetime.now(UTC)),
        "context": {
            "library": {"name": "encharge-streams", "version": __version__},
            **(context or {}),
        },
    }


def _commerce(
    properties: Fields,
    revenue: float | Decimal | None,
    currency: str | None,
    value: float | Decimal | None,
) -> dict[str, Any]:
    typed = _given(revenue=revenue, currency=currency, value=value)
    for name in _COMMERCE:
        if name in typed and name in properties:
            raise ValueError(f"{name}: is given twice, by itself and in properties")
    if currency is not None and not _CURRENCY.fullmatch(currency):
        raise ValueError(f"currency: {currency!r} is not an ISO 4217 code such as USD")
    if revenue is not None and currency is None and "currency" not in properties:
        typed["currency"] = "USD"
    return typed


def _parts(events: Iterable[Fields]) -> Iterator[Sequence[Fields]]:
    part: list[Fields] = []
    size = 0
    for given in events:
        # Made here and once: sent again, it is known again.
        event = given if given.get("messageId") else {**given, "messageId": _message_id()}
        length = len(_json(event)) + 1
        if part and (len(part) == MAX_BATCH_EVENTS or size + length > MAX_BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(event)
        size += length
    if part:
        yield part


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _message_id() -> str:
    return f"streams-{uuid.uuid4()}"


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=_number)


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
