"""``streams identity``."""

from __future__ import annotations

import asyncio

import orjson
import typer

from streams import settings as settings_module
from streams.cli.output import Line, Progress, aligned, is_text, put_out, shown
from streams.errors import StreamsError
from streams.group import IDENTITIES
from streams.identity.answer import Answer, Device, Login, Place, Step, User
from streams.lookup import as_object, look_up, look_up_device, opened
from streams.routing.intake import ITEM_BITS
from streams.settings import Settings
from streams.topics import changelog_topic

HELP = """Tell what the tables know about a userId or anonymousId, and which events taught it.

For a device: who is logged in there, after aliases, and who was. For a user: the id that stands
for it now, the ids that became it, and the devices where it is logged in, or was. "by" is the
messageId of the event that taught it, "since" and "until" are its place in <app id>-events.

It reads the changelog topic that workers write, from the beginning: they may run or not, here or
elsewhere. KAFKA_* and STREAMS_APP_ID must be theirs. What workers have not read yet is not known.
Emails are shown in full.

With --json one object: {"id", "topic", "device", "user"}. "device" is null or {"userId", "email",
"login", "aliases", "earlier"}, "user" is null or {"userId", "aliases", "formerIds", "devices"}.
"login", "earlier" and "devices" hold {"anonymousId", "userId", "email", "messageId", "since",
"until"}, with the userId of then; "aliases" and "formerIds" hold {"previousId", "userId",
"messageId", "since", "until"}. "since" and "until" are {"partition", "offset", "item"}: a place
in "topic", and the event's number in the record there. "until" is null for what holds now.

Exit status 1 if nothing is known of the id.

Example: KAFKA_BOOTSTRAP_SERVERS=kafka:9092 streams identity user-001
"""


def identity(
    subject: str = typer.Argument(..., metavar="ID", help="A userId or anonymousId."),
    device: bool = typer.Option(
        False, "--device", help="It is an anonymousId: read its partition only, which is faster."
    ),
    as_json: bool = typer.Option(False, "--json", help="One JSON object."),
) -> None:
    """See ``HELP``."""
    if not subject or not is_text(subject):
        raise typer.BadParameter("an id is text and not empty", param_hint="ID")
    settings = settings_module.load()
    found = asyncio.run(_ask(settings, subject, is_device_only=device))
    if found.device is None and found.user is None:
        what = f"device {shown(subject)}" if device else shown(subject)
        raise StreamsError(f"nothing is known of {what} (STREAMS_APP_ID={settings.streams_app_id})")
    if as_json:
        out = orjson.dumps(as_object(subject, settings.stage_topic, found)).decode()
    else:
        out = "\n".join(as_lines(subject, settings.stage_topic, found))
    put_out(out)


async def _ask(settings: Settings, subject: str, *, is_device_only: bool) -> Answer:
    with Progress(changelog_topic(settings, IDENTITIES)) as progress:
        async with opened(settings, on_progress=progress.tell) as rows:
            return await (look_up_device if is_device_only else look_up)(subject, rows)


# -- for people


def as_lines(subject: str, topic: str, found: Answer) -> list[str]:
    """The answer as aligned text."""
    sections: list[tuple[str, list[Line]]] = []
    if found.device is not None:
        sections.append((f"device {shown(subject)}", list(_device_lines(found.device))))
    if found.user is not None:
        sections.append((f"user {shown(subject)}", list(_user_lines(subject, found.user))))
    lines: list[str] = []
    for title, rows in sections:
        lines += [title, *aligned(rows), ""]
    return [*lines, f"[partition]@offset are places in {topic}."]


def _device_lines(device: Device) -> list[Line]:
    return [
        (
            "logged in",
            shown(device.user or "nobody"),
            _email(device.login),
            *_taught(device.login),
        ),
        *(("alias", _arrow(step), "", *_taught(step)) for step in device.aliases),
        *(
            ("earlier", shown(login.user or "nobody"), _email(login), *_taught(login))
            for login in reversed(device.earlier)
        ),
    ]


def _user_lines(subject: str, user: User) -> list[Line]:
    lines: list[Line] = []
    if user.user != subject:
        lines.append(("now", shown(user.user)))
    lines += [("alias", _arrow(step), "", *_taught(step)) for step in user.aliases]
    lines += [
        ("was" if step.until is None else "once was", _arrow(step), "", *_taught(step))
        for step in user.former
    ]
    lines += [
        (
            "device" if login.until is None else "earlier",
            shown(login.device),
            _email(login),
            *_taught(login),
        )
        for login in user.devices
    ]
    return lines or [("now", shown(user.user))]


def _arrow(step: Step) -> str:
    return f"{shown(step.old)} -> {shown(step.new)}"


def _email(login: Login) -> str:
    return "" if login.email is None else shown(login.email)


def _taught(taught: Login | Step) -> Line:
    until = "" if taught.until is None else f"until {_at(taught.until)}"
    by = "" if taught.message_id is None else f"by {shown(taught.message_id)}"
    return by, f"since {_at(taught.since)}", until


def _at(place: Place) -> str:
    return f"[{place.partition}]@{place.position >> ITEM_BITS}"
