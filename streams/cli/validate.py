"""``streams validate``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import typer

from streams import config as config_module
from streams import settings as settings_module
from streams.avro.registry import connected
from streams.avro.schemas import known
from streams.config import Config, Problem
from streams.delivery.sender import HttpSender
from streams.destinations import encharge, registry
from streams.destinations.base import Request
from streams.destinations.registry import Configured
from streams.errors import SettingsError, StreamsError
from streams.faults import Faults
from streams.settings import Settings

HELP = """Check settings, mappings and triggers; everything that is wrong is told at once.

What is wrong in the file has a line FILE:LINE: path: what is wrong; what to do. Exit status 2
if something is wrong, 1 if --online and a destination refuses its key or the schema registry
does not answer.

Example: STREAMS_CONFIG=streams.yaml streams validate --online
"""


def validate(
    online: bool = typer.Option(
        False, "--online", help="Also try the keys at the destinations, and the schema registry."
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
        if online:
            print(f"online      {getattr(each.settings, each.kind.url)} accepts the key")
        if told["objects"] is not None:
            objects = ", ".join(told["objects"]) or "none"
            print(f"objects     {objects}: what Create or Update Object may name")
    if online and settings.registry_url is not None:
        print(f"online      {settings.registry_url} answers as a schema registry")


def _describe(configured: Configured, *, online: bool) -> dict[str, Any]:
    destination = configured.destination
    return {
        "name": destination.name,
        "subscriptions": [{"action": s.action, "name": s.name} for s in destination.subscriptions],
        "objects": asyncio.run(_ask(configured)) if online else None,
    }


def load(*, needs_key: bool = True) -> tuple[Settings, Config]:
    """The settings and the configuration file, as every command that uses both takes them.

    Raises ``SettingsError`` with everything that is wrong with either.
    """
    faults = Faults()
    with faults:
        settings = settings_module.load()
        settings.kafka_client_options()
    path = settings_module.given("STREAMS_CONFIG")
    with faults:
        config, problems = config_module.read(Path(path) if path else None, registry.CHECKS)
        if needs_key:
            faults += registry.missing(config)
        faults += problems
    if faults:
        # What is missing may have been set under another name.
        _warn([_warning(name) for name in settings_module.unknown()])
    faults.raise_any()
    return settings, config


def load_without_key() -> tuple[Settings, Config]:
    """As :func:`load`, for what sends nothing: it needs no keys, and remembers nothing."""
    settings, config = load(needs_key=False)
    # A dry run, so that what a conversation presumes is not kept.
    return settings.with_placeholders().model_copy(update={"streams_dry_run": True}), config


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


async def _ask(configured: Configured) -> list[str] | None:
    """Whether the key is right; of Encharge also Segment's choices, `GET /v1/schemas`."""
    sender = HttpSender(max_connections=1, timeout_seconds=30)
    probe = configured.kind.probe(configured.settings)
    try:
        await _get(sender, configured, probe)
        if configured.kind is not encharge.KIND:
            return None
        url = f"{configured.settings.encharge_api_url}/v1/schemas"
        schemas = await _get(sender, configured, probe._replace(url=url))
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


async def _get(sender: HttpSender, configured: Configured, request: Request) -> bytes:
    answer = await sender.send(request)
    key, url = configured.kind.required[0].upper(), configured.kind.url.upper()
    if answer.status == 0:
        raise StreamsError(f"{url}: {request.url}: {answer.text}")
    if answer.status in (401, 403):
        advice = configured.destination.advice(answer.status)
        raise StreamsError(
            f"{key}: {request.url} refuses the key (status {answer.status}); {advice}"
        )
    if answer.status != 200 or answer.body.lstrip().startswith(b"<"):
        raise SettingsError(f"{url}: {request.url} is not its API ({answer.status})")
    return answer.body
