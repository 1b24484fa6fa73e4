"""An environment of its own for Quix Streams, whose dependencies are not this project's."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

from bench.processes import ContestError

VERSION: Final = "3.28.1"
INSTALL_SECONDS: Final = 300.0


async def interpreter() -> str:
    """A Python that has Quix Streams, made once under ``.cache`` (it is installed from PyPI)."""
    folder = Path(".cache") / f"quix-{VERSION}"
    python = folder / "bin" / "python"
    marker = folder / "ready"
    if not marker.exists():
        await _run(sys.executable, "-m", "venv", "--clear", str(folder))
        await _run(
            str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            f"quixstreams=={VERSION}", "orjson",
        )  # fmt: skip
        marker.touch()
    return str(python.absolute())


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), INSTALL_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise ContestError(f"Quix Streams is not installed after {INSTALL_SECONDS:g} s") from None
    if process.returncode:
        raise ContestError(f"Quix Streams cannot be installed:\n{output.decode()[-2000:]}")
