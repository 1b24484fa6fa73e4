"""A schema registry: Confluent's HTTP API, which Apicurio and Karapace speak too.

docs.confluent.io, "Schema Registry API Reference".
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import msgspec
import orjson
import structlog

from streams.avro.reader import AVRO, Written
from streams.delivery.retry import delay
from streams.delivery.sender import Answer, HttpSender, Sender
from streams.destinations.base import Request
from streams.errors import RegistryError, SettingsError
from streams.settings import Settings

log = structlog.get_logger(__name__)

CONTENT_TYPE: Final = "application/vnd.schemaregistry.v1+json"

NOT_FOUND: Final = frozenset({40401, 40402, 40403})
"""Error codes: no such subject, version, schema. Another 404 says that this is no registry."""

MAX_SCHEMA_BYTES: Final = 8 << 20
MAX_ID: Final = 2**31 - 1
CONNECTIONS: Final = 8


class _Reference(msgspec.Struct):
    subject: str
    version: int


class _Found(msgspec.Struct):
    schema: str
    schemaType: str = AVRO  # noqa: N815 - as it is spelled there
    references: list[_Reference] = []


class Registry:
    """A client of one registry. It remembers nothing."""

    def __init__(self, url: str, sender: Sender, login: tuple[str, str] | None = None) -> None:
        """``url`` without a slash at its end, ``login`` a user and a password."""
        self._url = url
        self._sender = sender
        self._headers = {"Accept": f"{CONTENT_TYPE}, application/json"}
        if login is not None:
            token = base64.b64encode(":".join(login).encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"

    async def schema(self, id: int) -> Written | None:
        """The schema of an id; None if the registry has none. Waits until it answers."""
        if id > MAX_ID:
            return None
        return await self._schema(f"/schemas/ids/{id}")

    async def _schema(self, path: str) -> Written | None:
        found = await self._get_patiently(path)
        if found is None:
            return None
        references: dict[str, None] = {}
        for reference in found.references:
            subject = quote(reference.subject, safe="")
            inner = await self._schema(f"/subjects/{subject}/versions/{reference.version}")
            if inner is None:
                return None
            references |= dict.fromkeys((*inner.references, inner.text))
        return Written(found.schemaType, found.schema, tuple(references))

    async def _get_patiently(self, path: str) -> _Found | None:
        attempt = 0
        while True:
            answer = await self._send("GET", path)
            try:
                return msgspec.convert(_object(answer), _Found)
            except LookupError:
                return None
            except ValueError as error:
                attempt += 1
                seconds = delay(attempt, answer.headers)
                log.warning(
                    "SCHEMA_REGISTRY_URL: the schema registry does not answer; what needs it waits",
                    url=self._url + path,
                    why=str(error),
                    next_in=round(seconds, 1),
                )
                await asyncio.sleep(seconds)

    async def register(self, subject: str, schema: str) -> int:
        """The id of a schema under a subject, where it is registered unless it was.

        Raises ``SettingsError`` when the subject's compatibility rule forbids it,
        ``RegistryError`` when the registry does not answer as one.
        """
        path = f"/subjects/{quote(subject, safe='')}/versions"
        answer = await self._send("POST", path, {"schema": schema})
        if answer.status in (409, 422):
            raise SettingsError(
                f"STREAMS_PUBLISH_FORMAT: the registry refuses the schema of {subject} "
                f"({answer.status}): {_message(answer)}"
            )
        try:
            return int(_object(answer)["id"])
        except (LookupError, ValueError) as error:
            raise self._failed(path, error) from error

    async def check(self) -> None:
        """Ask for something. Raises ``RegistryError`` when no registry answers."""
        path = "/subjects"
        answer = await self._send("GET", path)
        # The list may be longer than what is read of an answer.
        if answer.status != 200 or not answer.body.lstrip().startswith(b"["):
            raise self._failed(path, _complaint(answer))

    async def _send(self, method: str, path: str, body: Any = None) -> Answer:
        headers = self._headers if body is None else {**self._headers, "Content-Type": CONTENT_TYPE}
        return await self._sender.send(Request(method, self._url + path, headers, body))

    def _failed(self, path: str, why: object) -> RegistryError:
        return RegistryError(f"SCHEMA_REGISTRY_URL: {self._url}{path}: {why}")


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Registry | None]:
    """The registry that the settings name, if they name one. Nothing is sent yet."""
    url = settings.registry_url
    if url is None:
        yield None
        return
    sender = HttpSender(
        max_connections=CONNECTIONS,
        timeout_seconds=settings.streams_request_timeout_seconds,
        max_answer_bytes=MAX_SCHEMA_BYTES,
    )
    try:
        yield Registry(url, sender, settings.registry_login)
    finally:
        await sender.close()


def _object(answer: Answer) -> Mapping[str, Any]:
    """The object of an answer. Raises ``LookupError`` if there is none, else ``ValueError``."""
    body = _body(answer)
    if answer.status == 404 and body.get("error_code") in NOT_FOUND:
        raise LookupError(body.get("message", "not found"))
    if answer.status != 200 or not body:
        raise _complaint(answer)
    return body


def _complaint(answer: Answer) -> ValueError:
    if answer.status == 0:
        return ValueError(answer.text)
    if answer.status in (401, 403):
        return ValueError(
            f"it refuses us (status {answer.status}): see SCHEMA_REGISTRY_USERNAME and "
            "SCHEMA_REGISTRY_PASSWORD"
        )
    return ValueError(f"status {answer.status}, {_message(answer)}")


def _message(answer: Answer) -> str:
    return str(_body(answer).get("message") or "not what a schema registry answers")[:300]


def _body(answer: Answer) -> dict[str, Any]:
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}
