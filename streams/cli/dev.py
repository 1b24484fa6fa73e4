"""``streams dev``: everything needed for trying out, on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import typer

from streams.cli.run import run

app = typer.Typer(
    help="Embedded broker, stand-ins, and everything at once, for trying out and tests.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def broker(
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(9092, help="Port to listen on; 0 chooses a free one."),
) -> None:
    """Run an embedded Kafka-compatible broker, for trying out.

    It keeps everything in memory and lacks much of Kafka: tables cannot be recovered from
    it for sure, and a group's restart takes up to twice its session timeout.

    Example: streams dev broker --port 9092
    """
    from streams.dev import broker as embedded

    def ready(address: str) -> None:
        print(f"export KAFKA_BOOTSTRAP_SERVERS={address}", flush=True)

    run(lambda stop: _until(stop, embedded.serve(host, port, ready=ready)))


@app.command()
def encharge(
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(8090, help="Port to listen on; 0 chooses a free one."),
    key: list[str] = typer.Option(None, help="API key to accept; may be repeated. Default: any."),
) -> None:
    """Run a local stand-in for Encharge's API.

    Example: streams dev encharge --port 8090
    """
    from streams.dev import encharge as stand_in

    keys = frozenset(key) if key else None

    def ready(url: str) -> None:
        print(f"export ENCHARGE_API_URL={url} ENCHARGE_INGEST_URL={url}/v1", flush=True)
        print(f"# what arrived: {url}/_stand-in/ and {url}/_stand-in/people", flush=True)

    run(lambda stop: _until(stop, stand_in.serve(host, port, keys=keys, ready=ready)))


@app.command()
def usercom(
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(8091, help="Port to listen on; 0 chooses a free one."),
    key: list[str] = typer.Option(None, help="API key to accept; may be repeated. Default: any."),
) -> None:
    """Run a local stand-in for User.com's API.

    Example: streams dev usercom --port 8091
    """
    from streams.dev import usercom as stand_in

    keys = frozenset(key) if key else None

    def ready(url: str) -> None:
        print(f"export USERCOM_API_URL={url}", flush=True)
        print(f"# what arrived: {url}/_stand-in/ and {url}/_stand-in/attributes", flush=True)

    run(lambda stop: _until(stop, stand_in.serve(host, port, keys=keys, ready=ready)))


@app.command()
def up(
    exit_at_end: bool = typer.Option(
        False, "--exit", help="Stop at the end (as without a terminal)."
    ),
) -> None:
    """Run everything at once on a sample log: broker, Encharge stand-in and a worker.

    Example: streams dev up --exit
    """
    from streams.dev import up as demo

    run(lambda stop: demo.run(stop, exit_at_end=exit_at_end))


async def _until(stop: asyncio.Event, service: Coroutine[Any, Any, None]) -> None:
    """Run a service until it ends or ``stop`` is set."""
    task = asyncio.ensure_future(service)
    waiting = asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if stop.is_set():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    else:
        await task
