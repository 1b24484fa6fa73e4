"""``streams validate``, as a person calls it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.world import KEY, stand_in

WRONG = Path(__file__).parents[1] / "unit/wrong.yaml"
WRONG_LINES = {
    number
    for number, line in enumerate(WRONG.read_text().splitlines(), start=1)
    if number > 1 and "<-" in line
}

# Without what the tests tell each other, which is no setting of the program.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}

pytestmark = pytest.mark.functional


async def validate(*options: str, **environment: str) -> tuple[int, str, str]:
    return await streams("validate", *options, **environment)


async def streams(*arguments: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "streams", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**ENVIRONMENT, **environment},
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
    assert (
        err == f"{file}:2: destinations[0].type: is no destination; it should be one of "
        "encharge, user.com\n"
    )


@pytest.mark.parametrize("command", ["validate", "worker", "explain"])
async def test_every_command_tells_all_that_is_wrong_with_file_and_settings(command: str) -> None:
    file = str(WRONG)
    status, out, err = await streams(
        command, STREAMS_CONFIG=file, STREAMS_PARTITIONS="0", ENCHARGE_APIKEY="k"
    )
    assert (status, out) == (2, "")
    lines = err.splitlines()
    assert "streams: warning: ENCHARGE_APIKEY is no setting and is ignored; did you mean " in err
    assert any(line.startswith("streams: STREAMS_PARTITIONS: ") for line in lines)
    # What is only explained is not sent, so it needs no key.
    assert ("streams: ENCHARGE_API_KEY: is required" in err) is (command != "explain")
    told = {int(line.split(":")[1]) for line in lines if line.startswith(f"{file}:")}
    assert told == WRONG_LINES


async def test_a_misspelt_variable_is_a_warning_and_no_failure() -> None:
    status, out, err = await streams("validate", ENCHARGE_API_KEY="k", STREAMS_SORCE_TOPIC="x")
    assert status == 0
    assert "5 subscriptions" in out
    assert err == (
        "streams: warning: STREAMS_SORCE_TOPIC is no setting and is ignored; "
        "did you mean STREAMS_SOURCE_TOPIC?\n"
    )


async def test_the_result_as_json(tmp_path: Path) -> None:
    status, out, err = await streams("validate", "--json", ENCHARGE_API_KEY="k", STREAMS_X="1")
    found = json.loads(out)
    assert (status, found["valid"], found["errors"]) == (0, True, [])
    assert [warning.split()[0] for warning in found["warnings"]] == ["STREAMS_X"]
    assert found["destinations"][0]["subscriptions"][0] == {"action": "alias", "name": "Alias User"}
    file = tmp_path / "streams.yaml"
    file.write_text("destinations:\n  - type: fax\n  - type: encharge\n")
    status, out, err = await streams("validate", "--json", STREAMS_CONFIG=str(file))
    found = json.loads(out)
    assert (status, found["valid"]) == (2, False)
    key, wrong = found["errors"]
    assert (key["file"], key["line"], key["path"]) == (None, None, "ENCHARGE_API_KEY")
    assert (wrong["file"], wrong["line"], wrong["path"]) == (str(file), 2, "destinations[0].type")
    assert err.count("\n") == 2


async def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    status, _, err = await validate(
        ENCHARGE_API_KEY="k",
        KAFKA_SECURITY_PROTOCOL="SSL",
        KAFKA_SSL_CA=str(tmp_path / "none.pem"),
        STREAMS_CONFIG=str(tmp_path / "none.yaml"),
    )
    assert status == 2
    assert [line.split(":")[1].split(",")[0] for line in err.splitlines()] == [
        " KAFKA_SSL_CA",
        " STREAMS_CONFIG",
    ]


async def test_the_key_is_tried_online() -> None:
    async with stand_in() as encharge:
        good = await validate("--online", ENCHARGE_API_KEY=KEY, ENCHARGE_API_URL=encharge.url)
        bad = await validate("--online", ENCHARGE_API_KEY="bad", ENCHARGE_API_URL=encharge.url)
    assert (good[0], "accepts the key" in good[1]) == (0, True)
    assert "objects     company" in good[1]
    assert (bad[0], "ENCHARGE_API_KEY" in bad[2]) == (1, True)
    away = await validate("--online", ENCHARGE_API_KEY=KEY, ENCHARGE_API_URL=encharge.url)
    assert (away[0], "ENCHARGE_API_URL" in away[2]) == (1, True)
