"""``streams dev``: what it prints can be pasted, and is what other programs read."""

from __future__ import annotations

import asyncio
import sys

import pytest

from streams.dev.broker import tied_to_parent

pytestmark = pytest.mark.functional


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("broker", ["KAFKA_BOOTSTRAP_SERVERS"]),
        ("encharge", ["ENCHARGE_API_URL", "ENCHARGE_INGEST_URL"]),
    ],
)
async def test_it_prints_what_to_export_and_stops_when_told(command: str, names: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *tied_to_parent([sys.executable, "-m", "streams", "dev", command, "--port", "0"]),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    finally:
        process.terminate()
        status = await asyncio.wait_for(process.wait(), 30)
    export, *variables = line.split()
    assert export == "export"
    assert [variable.split("=")[0] for variable in variables] == names
    assert status == 0
