"""``streams validate``."""

from __future__ import annotations

import asyncio

import orjson
import typer

from streams import config as config_module
from streams import settings as settings_module
from streams.delivery.sender import HttpSender
from streams.destinations import registry
from streams.destinations.base import Request
from streams.errors import SettingsError, StreamsError
from streams.settings import Settings

HELP = """Check settings, mappings and triggers; everything that is wrong is told at once.

Exit status 2 if something is wrong, 1 if --online and Encharge refuses the key.

Example: STREAMS_CONFIG=streams.yaml streams validate --online
"""


def validate(
    online: bool = typer.Option(False, "--online", help="Also try the API key at Encharge."),
) -> None:
    """See ``HELP``."""
    settings = settings_module.load()
    config = config_module.load(settings.streams_config, registry.check)
    destination = registry.build(settings, config)
    print(f"settings    {len(settings.model_fields_set)} set, valid")
    for name in settings_module.unknown():
        print(f"unknown     {name} is no setting; it is ignored")
    print(f"destination {destination.name}: {len(destination.subscriptions)} subscriptions")
    for subscription in destination.subscriptions:
        print(f"  {subscription.action:<9} {subscription.name}")
    if online:
        types = asyncio.run(_ask(settings))
        print(f"online      {settings.encharge_api_url} accepts the key")
        print(f"objects     {', '.join(types) or 'none'}: what Create or Update Object may name")


async def _ask(settings: Settings) -> list[str]:
    """Segment's authentication test and choices: `GET /v1/accounts/info`, `GET /v1/schemas`."""
    sender = HttpSender(max_connections=1, timeout_seconds=30)
    try:
        await _get(sender, settings, "/v1/accounts/info")
        schemas = await _get(sender, settings, "/v1/schemas")
    finally:
        await sender.close()
    return object_types(schemas)


def object_types(schemas: bytes) -> list[str]:
    """The names of an account's object schemas; `person` is not one that can be upserted."""
    try:
        listed = orjson.loads(schemas)
    except orjson.JSONDecodeError:
        return []
    if isinstance(listed, dict):
        listed = next((value for value in listed.values() if isinstance(value, list)), [])
    names = [entry.get("name") for entry in listed if isinstance(entry, dict)]
    return sorted(name for name in names if isinstance(name, str) and name != "person")


async def _get(sender: HttpSender, settings: Settings, path: str) -> bytes:
    url = f"{settings.encharge_api_url}{path}"
    answer = await sender.send(Request("GET", url, {"X-Encharge-Token": settings.api_key}, None))
    if answer.status == 0:
        raise StreamsError(f"ENCHARGE_API_URL: {url}: {answer.text}")
    if answer.status in (401, 403):
        raise StreamsError(f"ENCHARGE_API_KEY: {url} refuses the key (status {answer.status})")
    if answer.status != 200 or answer.body.lstrip().startswith(b"<"):
        raise SettingsError(f"ENCHARGE_API_URL: {url} is not Encharge's API ({answer.status})")
    return answer.body
