"""``streams validate``."""

from __future__ import annotations

import asyncio

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
    print(f"destination {destination.name}: {len(destination.subscriptions)} subscriptions")
    for subscription in destination.subscriptions:
        print(f"  {subscription.action:<9} {subscription.name}")
    if online:
        asyncio.run(_try_key(settings))
        print(f"online      {settings.encharge_api_url} accepts the key")


async def _try_key(settings: Settings) -> None:
    """Segment's authentication test of the destination: `GET /v1/accounts/info`."""
    sender = HttpSender(max_connections=1, timeout_seconds=30)
    url = f"{settings.encharge_api_url}/v1/accounts/info"
    try:
        answer = await sender.send(
            Request("GET", url, {"X-Encharge-Token": settings.api_key}, None)
        )
    finally:
        await sender.close()
    if answer.status == 0:
        raise StreamsError(f"ENCHARGE_API_URL: {url}: {answer.text}")
    if answer.status in (401, 403):
        raise StreamsError(f"ENCHARGE_API_KEY: {url} refuses the key (status {answer.status})")
    if answer.status != 200 or answer.body.lstrip().startswith(b"<"):
        raise SettingsError(f"ENCHARGE_API_URL: {url} is not Encharge's API ({answer.status})")
