"""What the commands of this folder share: signals, errors, and a console."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from rich.console import Console

from bench.processes import ContestError
from streams.errors import StreamsError
from tests.support.kafka import KafkaFailedError, KafkaUnavailableError

Run = Callable[[argparse.Namespace, Console], Coroutine[Any, Any, int]]


def execute(run: Run, options: argparse.Namespace) -> int:
    """Run a measurement. Gives the exit status; what went wrong is told on one line."""
    # A new topic's leader may not know of it yet: aiokafka tries again, and says so.
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 120
    try:
        return asyncio.run(_until_signal(run, options, console))
    except (ContestError, KafkaFailedError, KafkaUnavailableError, StreamsError) as error:
        print(f"bench: {error}", file=sys.stderr)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("bench: stopped", file=sys.stderr)
    return 1


async def _until_signal(run: Run, options: argparse.Namespace, console: Console) -> int:
    # SIGTERM as Ctrl-C: by an exception, so that every process started is ended on the way.
    current = asyncio.current_task()
    assert current is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, current.cancel)
    return await run(options, console)
