"""Real client libraries, in a process of their own: ``python -m tests.support.clients NAME ...``.

``NAME URL KEY COUNT RATE`` has the library send COUNT events, about RATE a second, and flush. One
line of JSON at the end: the messageIds that were handed to the library, by person in order, and
the errors that it reported.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

PEOPLE = 7


@dataclass(frozen=True, slots=True)
class Sent:
    """What a library did."""

    ids: list[str]
    errors: list[str]


async def run_python(name: str, url: str, key: str, count: int, rate: float = 1000.0) -> Sent:
    """Have a Python library send; returns when it is done."""
    command = [sys.executable, "-m", __name__, name, url, key, str(count), str(rate)]
    return await run(command)


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
