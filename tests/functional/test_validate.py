"""``streams validate``, as a person calls it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.support.world import KEY, stand_in

pytestmark = pytest.mark.functional


async def validate(*options: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "streams", "validate", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_what_is_valid() -> None:
    status, out, err = await validate(ENCHARGE_API_KEY="k")
    assert (status, err) == (0, "")
    assert "destination encharge: 5 subscriptions" in out


async def test_a_wrong_file_is_told_on_one_line(tmp_path: Path) -> None:
    file = tmp_path / "streams.yaml"
    file.write_text("destinations:\n  - type: fax\n")
    status, _, err = await validate(ENCHARGE_API_KEY="k", STREAMS_CONFIG=str(file))
    assert status == 2
    assert err.count("\n") == 1
    assert "line 2: destinations[0].type: should be one of encharge" in err


async def test_the_key_is_tried_online() -> None:
    async with stand_in() as encharge:
        good = await validate("--online", ENCHARGE_API_KEY=KEY, ENCHARGE_API_URL=encharge.url)
        bad = await validate("--online", ENCHARGE_API_KEY="bad", ENCHARGE_API_URL=encharge.url)
    assert (good[0], "accepts the key" in good[1]) == (0, True)
    assert "objects     company" in good[1]
    assert (bad[0], "ENCHARGE_API_KEY" in bad[2]) == (1, True)
    away = await validate("--online", ENCHARGE_API_KEY=KEY, ENCHARGE_API_URL=encharge.url)
    assert (away[0], "ENCHARGE_API_URL" in away[2]) == (1, True)
