"""``streams dlq``: what is in the dead letters, and sending it through again."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, TypeVar

import orjson
import typer

from streams import settings as settings_module
from streams.cli.output import Line, Progress, aligned, is_text, put_out, shown
from streams.dead_letters.archive import (
    Archive,
    Plan,
    by_reason,
    missing,
    opened,
    plan,
    redrive_all,
)
from streams.dead_letters.letter import Letter, LetterId, as_object, value_object
from streams.dead_letters.reasons import STAGES
from streams.dead_letters.selection import Collected, Selection, Sum, moment, summary
from streams.engine.reader import TopicReader
from streams.errors import StreamsError
from streams.moments import iso_ms
from streams.telemetry import log

app = typer.Typer(
    help="Dead letters: events that could not be delivered. docs/dead-letters.md says more.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

TEXT_CHARACTERS: Final = 160
"""Of the explanation, in a list."""
LISTED: Final = 20
"""Letters that a question shows before it says how many more there are."""

Result = TypeVar("Result")

REASON = typer.Option(None, metavar="REASON", help="Only this reason; may be repeated.")
ACTION = typer.Option(
    None, metavar="ACTION", help="Only this action (identify, track, ...); may be repeated."
)
STAGE = typer.Option(
    None, metavar="STAGE", help=f"Only this stage: {', '.join(STAGES)}; may be repeated."
)
PERSON = typer.Option(None, metavar="ID", help="Only this userId or anonymousId; may be repeated.")
SINCE = typer.Option(
    None, metavar="TIME", help="Buried then or later: 2026-11-02T09:00 (UTC), or 2h for an age."
)
UNTIL = typer.Option(None, metavar="TIME", help="Buried before then.")
REDRIVEN = typer.Option(
    None, "--redriven/--not-redriven", help="Only those that were redriven, or were not."
)
JSON = typer.Option(False, "--json", help="JSON, an object on each line.")


@app.command("ls")
def ls(
    *,
    reason: list[str] = REASON,
    action: list[str] = ACTION,
    person: list[str] = PERSON,
    stage: list[str] = STAGE,
    since: str = SINCE,
    until: str = UNTIL,
    redriven: bool = REDRIVEN,
    limit: int = typer.Option(None, min=1, metavar="N", help="Only the newest N."),
    by_reason: bool = typer.Option(False, "--summary", help="How many there are of each reason."),
    as_json: bool = JSON,
) -> None:
    """List dead letters, newest last.

    A line has the letter's id (partition@offset of the dead-letter topic), when it was
    buried, stage, action, reason, the destination's status, attempts, person, whether it was
    redriven, and the explanation. Reads KAFKA_BOOTSTRAP_SERVERS and STREAMS_DLQ_TOPIC, up to
    where it ends now; workers may run or not. Ids of people are shown in full.

    Example: streams dlq ls --reason rejected --since 2h
    """
    selection = _selection(
        reason=reason,
        action=action,
        person=person,
        stage=stage,
        since=since,
        until=until,
        redriven=redriven,
    )
    letters = _ask(lambda archive, _: archive.collect(selection)).in_order()
    letters = letters[-limit:] if limit else letters
    if by_reason:
        sums = summary(letters)
        _put_rows((_sum_object(s) for s in sums) if as_json else map(_sum_line, sums), as_json)
    else:
        _put_rows((as_object(x) for x in letters) if as_json else map(_line, letters), as_json)
    if not letters:
        print("no dead letters", file=sys.stderr)


@app.command("show")
def show(
    letter: str = typer.Argument(..., metavar="ID", help="Its id, as `ls` shows it."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object."),
    only_value: bool = typer.Option(False, "--value", help="Only the original bytes, as they are."),
) -> None:
    """Show one dead letter: where it came from, what was wrong, and the original bytes.

    With --json one object; "value" is the original text, or null if it is no UTF-8; then
    "valueBase64" has it.

    Example: streams dlq show 3@1207
    Example: streams dlq show 3@1207 --value | streams explain
    """
    ids = _ids([letter])
    found = _ask(lambda archive, _: archive.collect(Selection(ids=ids), values=True))
    [one] = _all_of(ids, found)
    if only_value:
        sys.stdout.buffer.write(one.value or b"")
        sys.stdout.buffer.flush()
    elif as_json:
        put_out(orjson.dumps(as_object(one) | value_object(one)).decode())
    else:
        put_out("\n".join(as_lines(one)))


@app.command("redrive")
def redrive(
    *,
    letters: list[str] = typer.Argument(None, metavar="[ID]...", help="Ids, as `ls` shows them."),
    reason: list[str] = REASON,
    action: list[str] = ACTION,
    person: list[str] = PERSON,
    stage: list[str] = STAGE,
    since: str = SINCE,
    until: str = UNTIL,
    again: bool = typer.Option(False, "--again", help="Also those that were redriven before."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only tell what would be redriven."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    as_json: bool = typer.Option(False, "--json", help="Tell the outcome as one JSON object."),
) -> None:
    """Send dead letters through again: all, those that ids name, or those that filters take.

    The original bytes go to the partition of the source topic that they came from, behind
    what is there now. The messageId stays: what was delivered meanwhile is not sent again.
    Letters that were redriven before are left out unless --again is given. Those that were
    truncated cannot be redriven; then the exit status is 1.

    Example: streams dlq redrive --reason rejected --since 2h --dry-run
    """
    ids = _ids(letters or [])
    selection = _selection(
        reason=reason,
        action=action,
        person=person,
        stage=stage,
        since=since,
        until=until,
        ids=ids,
    )
    if not (yes or dry_run or sys.stdin.isatty()):
        raise typer.BadParameter("without a terminal to ask on, it is needed", param_hint="--yes")

    async def prepare(archive: Archive, reader: TopicReader) -> Plan:
        collected = await archive.collect(selection)
        chosen = _all_of(ids, collected)
        topics = {letter.origin.topic for letter in chosen}
        return plan(chosen, await reader.partitions_of(topics), again=again)

    prepared = _ask(prepare)
    for letter, why in prepared.refused:
        print(f"{letter.id} cannot be redriven: {shown(why)}", file=sys.stderr)
    if not as_json and (dry_run or not yes):
        _tell_plan(prepared, whole=dry_run)
    done, refused = 0, prepared.refused
    if prepared.letters and not dry_run and (yes or _is_confirmed(prepared)):
        done, late = _ask(lambda archive, _: _redrive(archive, prepared.letters))
        for letter, why in late:
            print(f"{letter.id} cannot be redriven: {shown(why)}", file=sys.stderr)
        refused = [*refused, *late]
    if as_json:
        outcome = {
            "redriven": done,
            "wouldBeRedriven": [str(x.id) for x in prepared.letters] if dry_run else None,
            "redrivenBefore": len(prepared.before),
            "refused": by_reason(refused),
        }
        put_out(orjson.dumps(outcome).decode())
    elif not dry_run:
        put_out(f"redriven: {done}" + _left_out(prepared))
    if refused:
        reasons = ", ".join(f"{count} {word}" for word, count in by_reason(refused).most_common())
        raise StreamsError(f"{len(refused)} dead letters cannot be redriven: {reasons}")


# -- what is asked for


def _selection(
    *,
    reason: list[str] | None,
    action: list[str] | None,
    person: list[str] | None,
    stage: list[str] | None,
    since: str | None,
    until: str | None,
    redriven: bool | None = None,
    ids: Sequence[LetterId] = (),
) -> Selection:
    for name, values in (("--person", person), ("--reason", reason), ("--action", action)):
        if not all(map(is_text, values or ())):
            raise typer.BadParameter("is not UTF-8", param_hint=name)
    if set(stage or ()) - set(STAGES):
        raise typer.BadParameter(f"is one of {', '.join(STAGES)}", param_hint="--stage")
    return Selection(
        reasons=frozenset(reason or ()),
        actions=frozenset(action or ()),
        stages=frozenset(stage or ()),
        people=frozenset(person or ()),
        since=_moment("--since", since),
        until=_moment("--until", until),
        ids=frozenset(ids),
        is_redriven=redriven,
    )


def _moment(name: str, text: str | None) -> int | None:
    try:
        return None if text is None else moment(text, time.time())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=name) from None


def _ids(texts: Iterable[str]) -> list[LetterId]:
    found = []
    for text in texts:
        parsed = LetterId.parse(text)
        if parsed is None:
            raise typer.BadParameter(
                f"{shown(text)!r} is not partition@offset, such as 3@1207", param_hint="ID"
            )
        found.append(parsed)
    return found


def _all_of(ids: Sequence[LetterId], collected: Collected) -> list[Letter]:
    letters = collected.in_order()
    if ids and (none := missing(ids, letters)):
        raise StreamsError(
            f"no dead letter {', '.join(map(str, none))}, or the filters leave it out: see "
            "`streams dlq ls`"
        )
    return letters


# -- Kafka


def _ask(question: Callable[[Archive, TopicReader], Coroutine[Any, Any, Result]]) -> Result:
    settings = settings_module.load()

    async def ask() -> Result:
        with Progress(settings.dlq_topic) as progress:
            async with opened(settings, on_progress=progress.tell) as reader:
                return await question(Archive(reader), reader)

    return asyncio.run(ask())


async def _redrive(
    archive: Archive, letters: Sequence[Letter]
) -> tuple[int, list[tuple[Letter, str]]]:
    settings = settings_module.load()
    log.configure("error", settings.streams_log_format)
    return await redrive_all(archive, settings, letters)


# -- a question


def _tell_plan(prepared: Plan, *, whole: bool) -> None:
    listed = prepared.letters if whole else prepared.letters[:LISTED]
    lines = aligned([_line(letter) for letter in listed])
    if len(listed) < len(prepared.letters):
        lines.append(f"  and {len(prepared.letters) - len(listed)} more")
    topics = ", ".join(sorted({shown(x.origin.topic) for x in prepared.letters})) or "nowhere"
    lines.append(f"to redrive: {len(prepared.letters)}, to {topics}" + _left_out(prepared))
    put_out("\n".join(lines))


def _left_out(prepared: Plan) -> str:
    return f" (left out: {len(prepared.before)} redriven before)" if prepared.before else ""


def _is_confirmed(prepared: Plan) -> bool:
    return typer.confirm(f"Send {len(prepared.letters)} events through again?", err=True)


# -- for programs


def _sum_object(found: Sum) -> dict[str, Any]:
    return {
        "reason": found.reason,
        "letters": found.letters,
        "redriven": found.redriven,
        "stages": found.stages,
        "actions": found.actions,
        "first": iso_ms(found.first_ms),
        "last": iso_ms(found.last_ms),
    }


# -- for people


def _put_rows(rows: Iterable[Any], as_json: bool) -> None:
    if as_json:
        lines = [orjson.dumps(row).decode() for row in rows]
    else:
        lines = [line.removeprefix("  ") for line in aligned(list(rows))]
    if lines:
        put_out("\n".join(lines))


def _line(letter: Letter) -> Line:
    text = shown(letter.text)
    return (
        str(letter.id),
        iso_ms(letter.buried_ms),
        shown(letter.stage),
        shown(letter.action),
        shown(letter.reason),
        str(letter.status or ""),
        f"x{letter.attempts}" if letter.attempts else "",
        shown(letter.people[0])[:60] if letter.people else "",
        _tried(letter),
        text if len(text) <= TEXT_CHARACTERS else f"{text[:TEXT_CHARACTERS]}...",
    )


def _tried(letter: Letter) -> str:
    told = [f"try {letter.tries + 1}"] if letter.tries else []
    if letter.redriven_ms:
        told.append("redriven")
    return ", ".join(told)


def _sum_line(found: Sum) -> Line:
    return (
        str(found.letters),
        shown(found.reason),
        ", ".join(f"{shown(stage)} {n}" for stage, n in found.stages.items()),
        ", ".join(f"{shown(action)} {n}" for action, n in found.actions.items()),
        f"{iso_ms(found.first_ms)} to {iso_ms(found.last_ms)}",
        f"{found.redriven} redriven" if found.redriven else "",
    )


def as_lines(letter: Letter) -> list[str]:
    """A letter with its value, as aligned text."""
    origin = f"{shown(letter.origin.topic)}[{letter.origin.partition}]@{letter.origin.offset}"
    rows: list[Line] = [
        ("buried", iso_ms(letter.buried_ms)),
        ("came from", f"{origin}, produced {iso_ms(letter.produced_ms)}"),
        ("stage", shown(letter.stage)),
        ("action", shown(letter.action)),
        ("reason", shown(letter.reason)),
        ("text", shown(letter.text)),
        ("status", str(letter.status or "")),
        ("attempts", str(letter.attempts or "")),
        ("answer", shown(letter.excerpt)),
        ("person", shown(", ".join(letter.people))),
        ("destination", shown(letter.destination)),
        ("userId then", shown(letter.user or "")),
        ("redrive of", f"{letter.redrive_of}, try {letter.tries + 1}" if letter.tries else ""),
        ("redriven", ", ".join(map(iso_ms, letter.redriven_ms))),
        ("cannot be redriven", letter.why_not() or ""),
    ]
    value = letter.value
    return [
        f"dead letter {letter.id}",
        *aligned([row for row in rows if row[1]]),
        "",
        f"original value, {letter.size} bytes"
        + (f" of {letter.truncated_from}" if letter.truncated_from else ""),
        *([] if value is None else _value_lines(value)),
    ]


def _value_lines(value: bytes) -> list[str]:
    """Bytes from a topic, which may be anything, so that they cannot steer a terminal."""
    try:
        return [shown(line) for line in value.decode().split("\n")]
    except UnicodeDecodeError:
        return [repr(value)[2:-1]]
