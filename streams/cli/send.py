"""``streams send``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from streams import settings as settings_module
from streams.cli.output import utf8
from streams.errors import SettingsError, StreamsError

if TYPE_CHECKING:
    from streams.client import Client

HELP = """Send an event, or a file of events, to a gateway or anything like Segment's Tracking API.

Each type has its own --help. Exit status 1 if the gateway does not store it.

Example: streams send track "Order Completed" --user-id u-1 --revenue 19.99 --currency EUR
"""

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None)


def _text(*names: str, help: str) -> Any:
    return typer.Option(*names, callback=utf8, help=help)


To = Annotated[
    str | None,
    _text("--to", help="URL of the gateway. Default: this machine, STREAMS_GATEWAY_PORT."),
]
WriteKey = Annotated[
    str | None,
    _text(help="Default: the first of STREAMS_WRITE_KEYS."),
]
UserId = Annotated[str | None, _text(help="Who: your id of a user.")]
AnonymousId = Annotated[
    str | None, _text(help="Who: the id of a device. Made, if there is no id at all.")
]
Traits = Annotated[str | None, typer.Option(help="JSON object.")]
Properties = Annotated[str | None, typer.Option(help="JSON object.")]
Context = Annotated[str | None, typer.Option(help="JSON object.")]
Integrations = Annotated[str | None, typer.Option(help="JSON object.")]
Timestamp = Annotated[str | None, _text(help="When it happened, as ISO 8601. Default: now.")]
MessageId = Annotated[str | None, _text(help="Default: a new one.")]
Tries = Annotated[int, typer.Option(min=1, help="How often to try if the gateway is busy or away.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as one JSON object.")]
Category = Annotated[str | None, _text(help="Of the page or screen.")]


@app.command()
def identify(
    user_id: UserId = None,
    anonymous_id: AnonymousId = None,
    traits: Traits = None,
    context: Context = None,
    integrations: Integrations = None,
    timestamp: Timestamp = None,
    message_id: MessageId = None,
    to: To = None,
    write_key: WriteKey = None,
    tries: Tries = 3,
    as_json: AsJson = False,
) -> None:
    """Say who someone is.

    Example: streams send identify --user-id u-1 --traits '{"email": "ada@example.com"}'
    """
    fields = _fields(traits=traits, context=context, integrations=integrations)
    _send(
        lambda client: client.identify(
            user_id=user_id,
            anonymous_id=anonymous_id,
            timestamp=timestamp,
            message_id=message_id,
            **fields,
        ),
        to,
        write_key,
        tries,
        as_json=as_json,
    )


@app.command()
def track(
    event: str = typer.Argument(..., callback=utf8, help="Name of the event."),
    user_id: UserId = None,
    anonymous_id: AnonymousId = None,
    properties: Properties = None,
    revenue: float | None = typer.Option(None, help="What it earned."),
    currency: str | None = typer.Option(None, help="ISO 4217; USD where there is a revenue."),
    value: float | None = typer.Option(None, help="What it is worth, in no currency."),
    context: Context = None,
    integrations: Integrations = None,
    timestamp: Timestamp = None,
    message_id: MessageId = None,
    to: To = None,
    write_key: WriteKey = None,
    tries: Tries = 3,
    as_json: AsJson = False,
) -> None:
    """Say what someone did.

    Example: streams send track "Order Completed" --user-id u-1 --revenue 19.99 --currency EUR
    """
    fields = _fields(properties=properties, context=context, integrations=integrations)
    _send(
        lambda client: client.track(
            event,
            user_id=user_id,
            anonymous_id=anonymous_id,
            revenue=revenue,
            currency=currency,
            value=value,
            timestamp=timestamp,
            message_id=message_id,
            **fields,
        ),
        to,
        write_key,
        tries,
        as_json=as_json,
    )


def _view(kind: str) -> Callable[..., None]:
    def view(
        name: str | None = typer.Argument(None, callback=utf8, help=f"Name of the {kind}."),
        category: Category = None,
        user_id: UserId = None,
        anonymous_id: AnonymousId = None,
        properties: Properties = None,
        context: Context = None,
        integrations: Integrations = None,
        timestamp: Timestamp = None,
        message_id: MessageId = None,
        to: To = None,
        write_key: WriteKey = None,
        tries: Tries = 3,
        as_json: AsJson = False,
    ) -> None:
        fields = _fields(properties=properties, context=context, integrations=integrations)
        _send(
            lambda client: getattr(client, kind)(
                name,
                category=category,
                user_id=user_id,
                anonymous_id=anonymous_id,
                timestamp=timestamp,
                message_id=message_id,
                **fields,
            ),
            to,
            write_key,
            tries,
            as_json=as_json,
        )

    return view


for _kind in ("page", "screen"):
    app.command(
        _kind,
        help=f"Say which {_kind} someone saw.\n\n"
        f"Example: streams send {_kind} Pricing --anonymous-id a-1",
    )(_view(_kind))


@app.command()
def group(
    group_id: str = typer.Argument(..., callback=utf8, help="Id of the group."),
    user_id: UserId = None,
    anonymous_id: AnonymousId = None,
    traits: Traits = None,
    context: Context = None,
    integrations: Integrations = None,
    timestamp: Timestamp = None,
    message_id: MessageId = None,
    to: To = None,
    write_key: WriteKey = None,
    tries: Tries = 3,
    as_json: AsJson = False,
) -> None:
    """Say to which group someone belongs. The traits are the group's.

    Example: streams send group acme --user-id u-1 --traits '{"plan": "pro"}'
    """
    fields = _fields(traits=traits, context=context, integrations=integrations)
    _send(
        lambda client: client.group(
            group_id,
            user_id=user_id,
            anonymous_id=anonymous_id,
            timestamp=timestamp,
            message_id=message_id,
            **fields,
        ),
        to,
        write_key,
        tries,
        as_json=as_json,
    )


@app.command()
def alias(
    user_id: str = typer.Argument(..., callback=utf8, help="The id to keep."),
    previous_id: str = typer.Argument(..., callback=utf8, help="The id used so far."),
    context: Context = None,
    integrations: Integrations = None,
    timestamp: Timestamp = None,
    message_id: MessageId = None,
    to: To = None,
    write_key: WriteKey = None,
    tries: Tries = 3,
    as_json: AsJson = False,
) -> None:
    """Say that PREVIOUS_ID is USER_ID from now on.

    Example: streams send alias u-1 a-1
    """
    fields = _fields(context=context, integrations=integrations)
    _send(
        lambda client: client.alias(
            user_id, previous_id, timestamp=timestamp, message_id=message_id, **fields
        ),
        to,
        write_key,
        tries,
        as_json=as_json,
    )


@app.command()
def batch(
    file: Path = typer.Argument(
        ..., help="Events as NDJSON, as a JSON array, or as the body of a batch; - is the input."
    ),
    context: Context = None,
    to: To = None,
    write_key: WriteKey = None,
    tries: Tries = 3,
    as_json: AsJson = False,
) -> None:
    """Send the events of a file, in order. Each needs a "type".

    Example: streams send batch events.ndjson
    """
    fields = _fields(context=context)
    events, shared = _events(file)
    if shared is not None:
        fields["context"] = {**shared, **(fields.get("context") or {})}
    _send(
        lambda client: client.batch(events, **fields),
        to,
        write_key,
        tries,
        as_json=as_json,
    )


def _send(
    call: Callable[[Client], dict[str, Any]],
    to: str | None,
    write_key: str | None,
    tries: int,
    *,
    as_json: bool,
) -> None:
    from streams.client import Client
    from streams.gateway.auth import first_key

    settings = settings_module.load()
    host = to or f"http://127.0.0.1:{settings.streams_gateway_port}"
    if write_key is None:
        keys = settings.streams_write_keys
        write_key = first_key(None if keys is None else keys.get_secret_value())
    with Client(write_key, host=host, max_tries=tries) as client:
        try:
            answer = call(client)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    if as_json:
        print(orjson.dumps(answer).decode())
    else:
        told = [f"{name} {value}" for name, value in answer.items() if _is_told(name, value)]
        print("stored", *told, sep="  ")
    rejected = answer.get("rejected", [])
    for fault in rejected:
        print(f"streams: event {fault['index'] + 1}: {fault['message']}", file=sys.stderr)
    if rejected:
        raise StreamsError(f"{len(rejected)} events are not valid; they are in the dead letters")


def _is_told(name: str, value: Any) -> bool:
    return name not in ("success", "rejected") and value is not None


def _fields(**given: str | None) -> dict[str, Any]:
    """The options that are JSON objects."""
    found: dict[str, Any] = {}
    for name, text in given.items():
        if text is None:
            continue
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise typer.BadParameter(f"is not JSON: {error}", param_hint=f"--{name}") from error
        if not isinstance(value, dict):
            raise typer.BadParameter("must be a JSON object", param_hint=f"--{name}")
        found[name] = value
    return found


def _events(file: Path) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The events of a file, and the context that they share."""
    events, context = _read(file)
    for number, event in enumerate(events, 1):
        if not isinstance(event, dict):
            raise SettingsError(f"{file}: event {number} is not a JSON object")
    if not events:
        raise SettingsError(f"{file}: holds no events")
    return events, context


def _read(file: Path) -> tuple[list[Any], dict[str, Any] | None]:
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error
    try:
        whole = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return list(_lines(file, raw)), None
    if isinstance(whole, list):
        return whole, None
    if isinstance(whole, dict) and isinstance(whole.get("batch"), list):
        context = whole.get("context")
        return whole["batch"], context if isinstance(context, dict) else None
    return [whole], None


def _lines(file: Path, raw: bytes) -> Iterator[Any]:
    for number, line in enumerate(raw.splitlines(), 1):
        if line.strip():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise SettingsError(f"{file}:{number}: is not JSON: {error}") from error
