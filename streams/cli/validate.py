"""``streams validate``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import typer
from pydantic import SecretStr

from streams import config as config_module
from streams import settings as settings_module
from streams.avro.registry import connected
from streams.avro.schemas import known
from streams.config import Config, Problem
from streams.delivery.sender import HttpSender
from streams.destinations import registry
from streams.destinations.base import Request
from streams.destinations.registry import Configured
from streams.errors import SettingsError, StreamsError
from streams.faults import Faults
from streams.settings import Settings

NO_KEY: Final = "<ENCHARGE_API_KEY>"

HELP = """Check settings, mappings and triggers; everything that is wrong is told at once.

What is wrong in the file has a line FILE:LINE: path: what is wrong; what to do. Exit status 2
if something is wrong, 1 if --online and Encharge refuses the key or the schema registry does
not answer.

Example: STREAMS_CONFIG=streams.yaml streams validate --online
"""


def validate(
    online: bool = typer.Option(
        False, "--online", help="Also try the API key, and the schema registry."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the result as one JSON object."),
) -> None:
    """See ``HELP``."""
    warnings = [_warning(name) for name in settings_module.unknown()]
    try:
        settings, config = load()
        destinations = registry.build(settings, config)
        known(settings.streams_avro_schemas)
        found = [_describe(each, online=online) for each in destinations]
        if online:
            asyncio.run(_check_registry(settings))
    except StreamsError as error:
        if as_json:
            _print_json(errors=[_as_data(fault) for fault in error.args], warnings=warnings)
        raise
    _warn(warnings)
    if as_json:
        _print_json(errors=[], warnings=warnings, destinations=found)
        return
    print(f"settings    {len(settings.model_fields_set)} set, valid")
    for each, told in zip(destinations, found, strict=True):
        print(f"destination {told['name']}: {len(told['subscriptions'])} subscriptions")
        for subscription in told["subscriptions"]:
            print(f"  {subscription['action']:<9} {subscription['name']}")
        if told["objects"] is not None:
            objects = ", ".join(told["objects"]) or "none"
            print(f"online      {each.settings.encharge_api_url} accepts the key")
            print(f"objects     {objects}: what Create or Update Object may name")
    if online and settings.registry_url is not None:
        print(f"online      {settings.registry_url} answers as a schema registry")


def _describe(configured: Configured, *, online: bool) -> dict[str, Any]:
    destination = configured.destination
    return {
        "name": destination.name,
        "subscriptions": [{"action": s.action, "name": s.name} for s in destination.subscriptions],
        "objects": asyncio.run(_ask(configured.settings)) if online else None,
    }


def load(*, needs_key: bool = True) -> tuple[Settings, Config]:
    """The settings and the configuration file, as every command that uses both takes them.

    Raises ``SettingsError`` with everything that is wrong with either.
    """
    faults = Faults()
    with faults:
        settings = settings_module.load()
        settings.kafka_client_options()
    if needs_key and not settings_module.given("ENCHARGE_API_KEY"):
        faults.append(settings_module.NEEDS_KEY)
    path = settings_module.given("STREAMS_CONFIG")
    with faults:
        config = config_module.load(Path(path) if path else None, registry.CHECKS)
    if faults:
        # What is missing may have been set under another name.
        _warn([_warning(name) for name in settings_module.unknown()])
    faults.raise_any()
    return settings, config


def load_without_key() -> tuple[Settings, Config]:
    """As :func:`load`, for commands that send nothing: a key that is not set is made up."""
    settings, config = load(needs_key=False)
    if settings.encharge_api_key is None:
        settings = settings.model_copy(update={"encharge_api_key": SecretStr(NO_KEY)})
    return settings, config


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"streams: warning: {warning}", file=sys.stderr)


def _warning(name: str) -> str:
    meant = settings_module.meant_by(name)
    return f"{name} is no setting and is ignored" + (f"; did you mean {meant}?" if meant else "")


def _as_data(fault: Any) -> dict[str, Any]:
    if isinstance(fault, Problem):
        return {"file": fault.file, "line": fault.line, "path": fault.path, "text": fault.text}
    path, _, text = str(fault).partition(": ")
    return {"file": None, "line": None, "path": path, "text": text}


def _print_json(*, errors: Sequence[Any], **data: Any) -> None:
    text = orjson.dumps({"valid": not errors, "errors": errors, **data})
    print(text.decode())


async def _check_registry(settings: Settings) -> None:
    async with connected(settings) as schema_registry:
        if schema_registry is not None:
            await schema_registry.check()


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
