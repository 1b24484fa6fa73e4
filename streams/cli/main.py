"""The commands and their options. What they do is elsewhere."""

from __future__ import annotations

import typer

from streams.cli import dev, dlq, explain, gateway, identity, replay, send, validate, worker

app = typer.Typer(
    name="streams",
    help="Segment events from Kafka to Encharge: in order per person, nothing lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("worker", help=worker.HELP, epilog=worker.settings_help())(worker.worker)
app.command("gateway", help=gateway.HELP)(gateway.gateway)
app.command("explain", help=explain.HELP)(explain.explain)
app.command("validate", help=validate.HELP)(validate.validate)
app.command("identity", help=identity.HELP)(identity.identity)
app.add_typer(send.app, name="send")
app.add_typer(dlq.app, name="dlq")
app.command("replay", help=replay.HELP)(replay.replay)
app.add_typer(dev.app, name="dev")
