"""A command of this program in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from streams.dev.broker import tied_to_parent

OURS = ("STREAMS_", "ENCHARGE_", "USERCOM_")


class Command:
    """``streams NAME`` with settings of its own only; ends with the tests at the latest."""

    def __init__(self, name: str, log: Path, settings: Mapping[str, str]) -> None:
        self._name = name
        self._log_path = log
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(OURS)},
            "STREAMS_LOG_FORMAT": "json",
            **settings,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def _launch(self) -> int:
        """Start the process; gives where in the log it begins to write."""
        position = self._log_path.stat().st_size if self._log_path.exists() else 0
        with self._log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *tied_to_parent([sys.executable, "-m", "streams", self._name]),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return position

    def log(self) -> str:
        return self._log_path.read_text()

    def logged_since(self, position: int) -> str:
        return self._log_path.read_bytes()[position:].decode()

    def has_ended(self) -> bool:
        return self._process is not None and self._process.returncode is not None

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self, within: float = 60) -> int:
        """Wait until the process ends; gives its exit status."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), within)

    async def _end(self, number: signal.Signals) -> int:
        if not self.has_ended():
            self.send_signal(number)
        return await self.ended()
