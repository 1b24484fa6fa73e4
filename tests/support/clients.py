"""Real client libraries, in a process of their own: ``python -m tests.support.clients NAME ...``.

``NAME URL KEY COUNT RATE`` has the library send COUNT events, about RATE a second, and flush. One
line of JSON at the end: the messageIds that were handed to the library, by person in order, and
the errors that it reported.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PEOPLE = 7
NODE = Path(__file__).with_name("node")


@dataclass(frozen=True, slots=True)
class Sent:
    """What a library did."""

    ids: list[str]
    errors: list[str]


async def run_python(name: str, url: str, key: str, count: int, rate: float = 1000.0) -> Sent:
    """Have a Python library send; returns when it is done."""
    command = [sys.executable, "-m", __name__, name, url, key, str(count), str(rate)]
    return await run(command)


async def run_node(name: str, url: str, key: str, count: int, rate: float = 1000.0) -> Sent:
    """Have a library of Node's send; returns when it is done."""
    node = shutil.which("node")
    assert node is not None
    folder = await asyncio.to_thread(node_libraries)
    script = [node, str(NODE / "send.mjs"), name, url, key, str(count), str(rate)]
    return await run(script, cwd=folder)


def node_is_missing() -> str:
    """Why Node's libraries cannot run here; empty if they can."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    return f"there is no {' and no '.join(missing)} here" if missing else ""


def needs(missing: str) -> None:
    """Skip a test where a program is ``missing``; fail it there under CI, which installs them."""
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)


def node_libraries() -> Path:
    """The folder where the locked libraries are installed, outside of the checkout."""
    lock = (NODE / "package-lock.json").read_bytes()
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "encharge-streams"
    folder = base / f"node-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not folder.exists():
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base) as work:
            fresh = Path(work) / "fresh"
            fresh.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(NODE / name, fresh)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            subprocess.run(command, cwd=fresh, check=True, capture_output=True, timeout=120)
            with suppress(OSError):  # another run was quicker
                fresh.rename(folder)
    return folder


async def run(command: list[str], **options: Any) -> Sent:
    """Run a program that ends with the line described above."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, **options
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), 150)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()[-4000:]
    return Sent(**json.loads(out.decode().strip().splitlines()[-1]))


def _library(name: str, url: str, key: str, errors: list[str]) -> Any:
    def on_error(error: Any, items: Any) -> None:
        errors.append(f"{len(items)} events: {error}")

    options: dict[str, Any] = {"on_error": on_error, "upload_interval": 0.1}
    if name.startswith("segment"):
        from segment.analytics.client import Client
    else:
        from rudderstack.analytics.client import Client
    return Client(key, host=url, gzip=name.endswith("gzip"), **options)


def main(name: str, url: str, key: str, count: str, rate: str) -> None:
    ids: list[str] = []
    errors: list[str] = []
    client = _library(name, url, key, errors)
    for number in range(int(count)):
        message_id = f"{name}-{number}"
        ids.append(message_id)
        person = f"{name}-person-{number % PEOPLE}"
        if number % 3:
            client.track(person, "Clicked", {"n": number}, message_id=message_id)
        else:
            client.identify(person, {"n": number}, message_id=message_id)
        time.sleep(1 / float(rate))
    client.flush()
    client.join()
    print(json.dumps({"ids": ids, "errors": errors}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
