"""``streams replay``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import uuid
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from streams import settings as settings_module
from streams import topics
from streams.cli.run import run
from streams.cli.validate import load
from streams.destinations import registry
from streams.engine.garbage import collected_by_the_clock
from streams.engine.lag import GroupLag
from streams.engine.producer import BatchProducer
from streams.errors import BrokerError, SettingsError, StreamsError
from streams.replay import checkpoint, sources
from streams.replay.checkpoint import Checkpoint
from streams.replay.filters import Filter
from streams.replay.forecast import Forecast
from streams.replay.lines import Reader
from streams.replay.order import ExternalSort
from streams.replay.pace import Pace
from streams.replay.produce import FORCED_HEADER, HEADER, Gate, LiveFirst, Open, Replay
from streams.replay.report import CONFIRMED, Problem, Report
from streams.replay.scan import Scan, StoppedError
from streams.replay.sources import Listing
from streams.replay.times import micros
from streams.settings import Settings
from streams.source.validate import TYPES
from streams.telemetry import log

MAX_BATCH_BYTES: Final = 900_000
"""Largest batch produced: below the 1 MiB that brokers accept unless told otherwise."""
MAX_WAITING: Final = 10_000

HELP = """Feed historical event logs through the pipeline.

A SOURCE is a file, a folder with all that is in it, - for standard input, or an address such as
s3://bucket/prefix or gs://bucket/prefix (pip install 'encharge-streams[s3]' or '[gcs]'). Known
are Segment's S3 archive, RudderStack's object storage and gateway archive, dumps by kcat -J,
NDJSON, and Avro object container files, each compressed with gzip or not.

Events are put in order of their timestamp over all sources, and produced to STREAMS_SOURCE_TOPIC,
a person's events to one partition, with their own messageId and timestamp and the record header
streams.replay. Workers do the rest. They skip what they delivered within STREAMS_DEDUP_SECONDS,
so that the same range may be replayed twice.

An interrupted replay goes on where Kafka had confirmed when the same command is run again.

Exit status 1 if not everything was produced. A broken line or file is told on standard error as
FILE:LINE: what is wrong, and does not stop the rest, unless --strict.

With --json one object: {"topic", "run", "dryRun", "isComplete", "files", "read", "produced",
"filtered", "broken", "skipped", "left", "people", "first", "last", "problems", "seconds",
"secondsReading", "secondsProducing", "forecast"}; read = produced + filtered + broken + skipped +
left.

Example: streams replay --since 2026-11-01 --until 2026-11-08 --dry-run s3://archive/segment-logs
"""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, checked."""

    names: list[str]
    chosen: Filter
    rate: float | None
    max_waiting: int
    strict: bool
    force: bool
    restart: bool
    yes: bool
    as_json: bool
    checkpoint: Path | None
    temp_dir: Path | None


def replay(
    names: list[str] = typer.Argument(..., metavar="SOURCE...", help="Where the logs are."),
    since: str | None = typer.Option(None, help="Events from this moment on (ISO 8601; UTC)."),
    until: str | None = typer.Option(None, help="Events before this moment."),
    types: list[str] | None = typer.Option(None, "--type", help="Events of this type; repeatable."),
    events: list[str] | None = typer.Option(
        None, "--event", help="Track events so named; repeatable."
    ),
    people: list[str] | None = typer.Option(
        None, "--person", help="Events with this userId, anonymousId or previousId; repeatable."
    ),
    rate: float | None = typer.Option(None, help="At most so many events a second."),
    max_waiting: int = typer.Option(
        MAX_WAITING,
        min=0,
        help="Pause while so many events wait at the workers, as live ones wait behind them; 0: "
        "never.",
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only tell what it would come to."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    force: bool = typer.Option(
        False, "--force", help="Send again what was sent: give every event a new messageId."
    ),
    strict: bool = typer.Option(
        False, "--strict", help="Produce nothing if a line or file is broken."
    ),
    topic: str | None = typer.Option(None, help="Instead of STREAMS_SOURCE_TOPIC."),
    checkpoint_file: Path | None = typer.Option(
        None, "--checkpoint", help="Instead of a file in STREAMS_DATA_DIR; - needs one."
    ),
    restart: bool = typer.Option(False, "--restart", help="Begin anew, whatever was done."),
    temp_dir: Path | None = typer.Option(
        None, help="For putting in order: takes the size of the events, uncompressed."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the report as one JSON object."),
) -> None:
    """See ``HELP``."""
    options = Options(
        names=names,
        chosen=_filter(since, until, types or [], events or [], people or []),
        rate=_rate(rate),
        max_waiting=max_waiting,
        strict=strict,
        force=force,
        restart=restart,
        yes=yes,
        as_json=as_json,
        checkpoint=checkpoint_file,
        temp_dir=temp_dir,
    )
    if temp_dir is not None and not temp_dir.is_dir():
        raise SettingsError(f"--temp-dir {temp_dir}: no such directory")
    listing = sources.find(names)
    if dry_run:
        _dry_run(options, listing, topic)
        return
    overrides = {} if topic is None else {"streams_source_topic": topic}
    settings = settings_module.load(overrides)
    log.configure(settings.streams_log_level, settings.streams_log_format)
    _Command(options, settings, listing).run()


# -- the command line


def _filter(
    since: str | None, until: str | None, types: list[str], events: list[str], people: list[str]
) -> Filter:
    for name in types:
        if name not in TYPES:
            raise typer.BadParameter(
                f"{name} is none of {', '.join(sorted(TYPES))}", param_hint="--type"
            )
    return Filter(
        since=_moment("--since", since),
        until=_moment("--until", until),
        types=frozenset(types),
        events=frozenset(events),
        people=frozenset(people),
    )


def _moment(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return micros(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text} is no ISO 8601 date", param_hint=name) from error


def _rate(rate: float | None) -> float | None:
    if rate is not None and not rate > 0:
        raise typer.BadParameter("must be above 0", param_hint="--rate")
    return rate


# -- looking ahead


def _dry_run(options: Options, listing: Listing, topic: str | None) -> None:
    settings, config = load(needs_key=False)
    topic = _one_topic(settings.streams_source_topic if topic is None else topic)
    settings = settings.with_placeholders().model_copy(update={"streams_dry_run": True})
    forecast = Forecast([each.destination for each in registry.build(settings, config)])
    report = Report(files_skipped=listing.skipped)
    with _Shown() as shown:
        scan = _scan(options, settings, report, take=forecast.take, shown=shown, listing=listing)
        scan.read(listing.files)
    data = {"dryRun": True, "topic": topic, "isComplete": False}
    if options.as_json:
        _print(
            {
                **data,
                "run": None,
                **report.as_object(),
                "forecast": forecast.as_object(options.rate),
            }
        )
        return
    lines = report.as_lines()
    lines.append("")
    lines.append(f"would produce {forecast.events:,} events to {topic}")
    if options.rate is not None:
        lines.append(f"  at {options.rate:g}/s in {_duration(forecast.events / options.rate)}")
    lines.append(f"would make at most {forecast.calls.total():,} calls")
    lines += [f"  {action:<9} {count:,}" for action, count in forecast.calls.most_common()]
    if forecast.without_calls:
        said = ", ".join(f"{name} {count:,}" for name, count in forecast.without_calls.items())
        lines.append(f"and none for {forecast.without_calls.total():,} events ({said})")
    print("\n".join(lines))


def _scan(
    options: Options,
    settings: Settings,
    report: Report,
    *,
    take: Any,
    shown: _Shown,
    listing: Listing,
    **more: Any,
) -> Scan:
    shown.reading(listing.size)
    return Scan(
        Reader(
            max_event_bytes=settings.streams_max_event_bytes,
            forced_run=more.pop("forced_run", None),
        ),
        options.chosen,
        report,
        take,
        strict=options.strict,
        on_problem=shown.problem,
        on_progress=shown.read,
        **more,
    )


# -- doing it


class _Command:
    """The steps of a replay that is not a dry run."""

    def __init__(self, options: Options, settings: Settings, listing: Listing) -> None:
        self._options = options
        self._settings = settings
        self._listing = listing
        self._topic = _one_topic(settings.streams_source_topic)
        self._report = Report(files_skipped=listing.skipped)
        self._path = _checkpoint_path(options, settings, self._topic)
        self._partitions = 0
        self._seconds = {"reading": 0.0, "producing": 0.0}

    def run(self) -> None:
        started = time.monotonic()
        point = self._checkpoint()
        is_complete = False
        with ExitStack() as stack:
            order = stack.enter_context(ExternalSort(self._options.temp_dir))
            shown = stack.enter_context(_Shown())
            is_read = run(lambda stop: self._read(stop, order, point, shown))
            self._seconds["reading"] = time.monotonic() - started
            if is_read:
                self._check(point, order)
                shown.pause()
                if not self._is_wanted():
                    raise StreamsError("nothing was produced")
                begun = time.monotonic()
                is_complete = run(lambda stop: self._produce(stop, order, point, shown))
                self._seconds["producing"] = time.monotonic() - begun
        if is_complete and self._path is not None:
            self._path.unlink(missing_ok=True)
        self._tell(point, is_complete=is_complete)

    def _checkpoint(self) -> Checkpoint:
        found = None
        if self._path is not None and not self._options.restart:
            found = checkpoint.load(self._path)
        return found or Checkpoint(run=uuid.uuid4().hex[:12], topic=self._topic)

    async def _read(
        self, stop: asyncio.Event, order: ExternalSort, point: Checkpoint, shown: _Shown
    ) -> bool:
        """Read everything into order; gives whether that came to its end."""
        await topics.ensure(self._settings, [])
        producer = self._producer()
        await producer.start()
        try:
            self._partitions = await producer.partitions(self._topic)
        finally:
            await producer.stop()

        scan = _scan(
            self._options,
            self._settings,
            self._report,
            take=order.add,
            shown=shown,
            listing=self._listing,
            should_stop=stop.is_set,
            forced_run=point.run if self._options.force else None,
        )
        try:
            async with collected_by_the_clock():
                await asyncio.to_thread(scan.read, self._listing.files)
        except StoppedError:
            return False
        return not stop.is_set()

    def _check(self, point: Checkpoint, order: ExternalSort) -> None:
        """Whether what was done before is the beginning of what is to be done now."""
        digest = order.digest()
        if point.digest and (
            point.digest != digest
            or len(point.confirmed) != self._partitions
            or point.topic != self._topic
        ):
            raise SettingsError(
                f"--checkpoint {self._path}: the sources, or the topic, are not what they were "
                f"when this replay was interrupted; --restart begins anew (workers skip what they "
                f"delivered within STREAMS_DEDUP_SECONDS)"
            )
        point.digest = digest
        point.confirmed = point.confirmed or [0] * self._partitions
        self._report.skipped[CONFIRMED] = sum(point.confirmed)

    def _is_wanted(self) -> bool:
        # Standard input that was the log is closed by now, and cannot answer either.
        can_ask = sources.STDIN not in self._options.names and sys.stdin.isatty()
        if self._options.yes or not (can_ask and sys.stderr.isatty()):
            return True
        left, people = self._report.left, len(self._report.people)
        again = " again, although they may have been sent already," if self._options.force else ""
        print(
            f"{left:,} events of {people:,} people go to topic {self._topic} on "
            f"{self._settings.kafka_bootstrap_servers}{again} and from there to Encharge, which "
            "subscribes new people who have an email at once.",
            file=sys.stderr,
        )
        return typer.confirm("Replay them?", err=True)

    async def _produce(
        self, stop: asyncio.Event, order: ExternalSort, point: Checkpoint, shown: _Shown
    ) -> bool:
        headers = [(HEADER, point.run.encode())]
        if self._options.force:
            headers.append((FORCED_HEADER, b"true"))
        shown.producing(self._report.left)
        async with AsyncExitStack() as stack:
            producer = self._producer()
            await producer.start()
            stack.push_async_callback(self._end, producer, stop)
            doing = Replay(
                producer=producer,
                topic=self._topic,
                confirmed=point.confirmed,
                headers=headers,
                pace=Pace(self._options.rate, time.monotonic),
                gate=await self._gate(stack, producer, shown),
                stop=stop,
                save=lambda: self._save(point),
                on_progress=shown.produced,
                drain_seconds=self._settings.streams_drain_seconds,
            )
            try:
                async with collected_by_the_clock():
                    return await doing.run(order.blocks())
            except BrokerError as error:
                print(f"streams: {error}", file=sys.stderr)
                return False
            finally:
                self._report.produced = doing.produced

    def _save(self, point: Checkpoint) -> None:
        if self._path is not None:
            point.save(self._path)

    async def _end(self, producer: BatchProducer, stop: asyncio.Event) -> None:
        # What is buffered is sent first, for which a broker that is away would be waited for.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5 if stop.is_set() else 60):
                await producer.stop()

    def _producer(self) -> BatchProducer:
        return BatchProducer(
            max_batch_bytes=MAX_BATCH_BYTES, **self._settings.kafka_client_options()
        )

    async def _gate(self, stack: AsyncExitStack, producer: BatchProducer, shown: _Shown) -> Gate:
        """Live traffic goes first, where it can be seen."""
        # The embedded broker cannot tell a group's offsets.
        if not self._options.max_waiting or not producer.is_idempotent:
            return Open()
        app_id = self._settings.streams_app_id
        try:
            lag = await stack.enter_async_context(
                GroupLag(app_id, **self._settings.kafka_client_options())
            )
            await lag.look(self._topic)
        except BrokerError as error:
            shown.say(f"what waits at the workers is not watched: {error}")
            return Open()

        def on_wait(waiting: int | None) -> None:
            shown.waiting(waiting, app_id, self._options.max_waiting)

        return LiveFirst(
            lag,
            source_topic=self._topic,
            stage_topic=self._settings.stage_topic,
            max_waiting=self._options.max_waiting,
            on_wait=on_wait,
        )

    def _tell(self, point: Checkpoint, *, is_complete: bool) -> None:
        seconds = sum(self._seconds.values())
        data = {
            "topic": self._topic,
            "run": point.run,
            "dryRun": False,
            "isComplete": is_complete,
            **self._report.as_object(),
            "seconds": round(seconds, 3),
            "secondsReading": round(self._seconds["reading"], 3),
            "secondsProducing": round(self._seconds["producing"], 3),
            "forecast": None,
        }
        if self._options.as_json:
            _print(data)
        else:
            lines = self._report.as_lines()
            produced = self._report.produced
            lines.append(f"{'took':<9} {_duration(seconds)}, {produced / seconds:,.0f} events/s")
            lines.append(f"{'replay':<9} {point.run}, to topic {self._topic}")
            print("\n".join(lines), flush=True)
        if not is_complete:
            # Without a file there is nothing to go on from.
            how = "; run the same command again to go on" if self._path and point.digest else ""
            raise StreamsError(f"interrupted, {self._report.left:,} events are left{how}")


def _one_topic(setting: str) -> str:
    name = setting.strip()
    if name.startswith("^") or "," in name or not name:
        raise SettingsError(
            f"STREAMS_SOURCE_TOPIC={setting}: names several topics; say which one with --topic"
        )
    return name


def _checkpoint_path(options: Options, settings: Settings, topic: str) -> Path | None:
    if options.checkpoint is not None:
        return options.checkpoint
    if sources.STDIN in options.names:
        # The next standard input is another one.
        return None
    described = [
        *(name if "://" in name else str(Path(name).resolve()) for name in options.names),
        settings.kafka_bootstrap_servers,
        topic,
        repr(
            (
                options.chosen.since,
                options.chosen.until,
                sorted(options.chosen.types),
                sorted(options.chosen.events),
                sorted(options.chosen.people),
                options.force,
            )
        ),
    ]
    return checkpoint.default_path(settings.streams_data_dir, described)


# -- what is shown


class _Shown(contextlib.AbstractContextManager["_Shown"]):
    """Progress on a terminal; problems in any case."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._started = 0.0
        self._done = 0
        self._is_waiting = False

    def __exit__(self, *_: object) -> None:
        self.pause()

    def pause(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        """A line of its own."""
        self._console.print(f"streams: {text}", markup=False)

    def problem(self, problem: Problem) -> None:
        """A broken line or file."""
        text = str(problem)
        shown = text if text.isprintable() else text.encode("unicode_escape").decode()
        self._console.print(shown, markup=False)

    def reading(self, size: int | None) -> None:
        """Reading begins."""
        self._begin("reading", size, DownloadColumn())

    def read(self, size: int, events: int) -> None:
        """How far reading is."""
        if self._bar is not None:
            self._bar.update(self._task, completed=size, rate=f"{events:,} events")

    def producing(self, events: int) -> None:
        """Producing begins."""
        self._begin("producing", events, TextColumn("{task.completed:,.0f} of {task.total:,.0f}"))

    def produced(self, events: int) -> None:
        """So many more events are confirmed."""
        self._done += events
        if self._bar is not None:
            rate = self._done / max(time.monotonic() - self._started, 1e-3)
            self._bar.update(self._task, completed=self._done, rate=f"{rate:,.0f}/s")

    def waiting(self, waiting: int | None, app_id: str, limit: int) -> None:
        """The workers have enough to do; None: no more."""
        if self._bar is not None:
            held = f"waits for workers ({waiting:,} events)" if waiting is not None else "producing"
            self._bar.update(self._task, description=held)
        elif waiting is not None and not self._is_waiting:
            self.say(
                f"{waiting:,} events wait for the workers of STREAMS_APP_ID={app_id}; the replay "
                f"goes on whenever fewer than {limit:,} do (--max-waiting)"
            )
            # Once: on a terminal the bar shows it.
            self._is_waiting = True

    def _begin(self, what: str, total: int | None, amount: Any) -> None:
        self.pause()
        self._started, self._done = time.monotonic(), 0
        if not self._console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            amount,
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(what, total=total, rate="")
        self._bar.start()


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, _ = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def _print(data: dict[str, Any]) -> None:
    print(orjson.dumps(data).decode(), flush=True)
