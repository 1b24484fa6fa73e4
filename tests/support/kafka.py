"""Apache Kafka for the tests: the real broker, one node or several, on the loopback address.

The jars come from Maven (``pom.xml`` beside this file) and are kept outside the checkout, or from
``KAFKA_HOME``. Each node is broker and controller in one (KRaft). All of it is thrown away at the
end: data, logs and processes, the latter also when the test run itself is killed.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Literal, Self

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from streams.dev.broker import tied_to_parent

POM: Final = Path(__file__).with_name("pom.xml")
START_SECONDS: Final = 60.0
"""How long a cluster may take until every node has registered. Three to ten seconds is usual."""

STOP_SECONDS: Final = 15.0
"""From the request to end (SIGTERM) until the kill."""

INSTALL_HINT: Final = (
    "install a Java 17 runtime and Maven (Debian: openjdk-17-jre-headless maven),"
    " or name a Kafka distribution with KAFKA_HOME"
)

_MAVEN_SECONDS: Final = 600
_JAVA_SECONDS: Final = 60
_LOG_TAIL_BYTES: Final = 4_000
_TOPIC_ALREADY_EXISTS: Final = 36
_NO_CONFIG: Final[Mapping[str, str]] = MappingProxyType({})

# Small and quick to start rather than fast once warm.
_JVM: Final = (
    "-Xms64m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


class KafkaUnavailableError(Exception):
    """Apache Kafka cannot be run on this machine. The text says what is missing."""


class KafkaFailedError(Exception):
    """A node of the cluster did not do what was asked of it in time. The text has its log."""


# -- what Kafka is run with --------------------------------------------------------------------


@dataclass(frozen=True)
class Distribution:
    """A Java runtime and the class path of one Kafka release."""

    java: str
    class_path: str

    def command(self, main_class: str, *arguments: str) -> list[str]:
        return [self.java, *_JVM, "-cp", self.class_path, main_class, *arguments]


def cache_dir() -> Path:
    """Where the jars are kept between runs; named by the version of Kafka, outside the checkout."""
    return cache_base() / f"kafka-{pinned_version(POM, 'kafka.version')}"


def cache_base() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "encharge-streams"


@cache
def find_distribution() -> Distribution:
    """The Kafka to run: that of ``KAFKA_HOME``, else the pinned one from the cache or from Maven.

    The first call on a machine downloads 45 MB.

    Raises:
        KafkaUnavailableError: no Java 17, no Maven, or Maven could not resolve the jars.
    """
    java = find_java()
    home = os.environ.get("KAFKA_HOME")
    if home:
        libs = Path(home) / "libs"
        if not any(libs.glob("kafka_2.13-*.jar")):
            raise KafkaUnavailableError(f"KAFKA_HOME={home} has no libs/kafka_2.13-*.jar")
        return Distribution(java, f"{libs}/*")
    return Distribution(java, f"{fetched(POM, cache_dir())}/*")


def pinned_version(pom: Path, name: str) -> str:
    """The version that a pom gives as the property ``name``."""
    version = ET.parse(pom).findtext(f".//{{*}}properties/{{*}}{name}")
    assert version, f"{pom} names no {name}"
    return version


def find_java() -> str:
    """A Java 17. Raises `KafkaUnavailableError`."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(f"{home}/bin/java" if home else "java")
    if java is None:
        raise KafkaUnavailableError(f"there is no Java: {INSTALL_HINT}")
    answer = subprocess.run(
        [java, "-version"], capture_output=True, text=True, timeout=_JAVA_SECONDS, check=False
    ).stderr
    version = re.search(r'version "(\d+)', answer)
    if version is None or int(version[1]) < 17:
        raise KafkaUnavailableError(f"Kafka 4 needs Java 17, {java} is older: {INSTALL_HINT}")
    return java


def fetched(
    pom: Path,
    folder: Path,
    goal: str = "copy-dependencies",
    finish: Callable[[Path], None] = lambda _: None,
) -> Path:
    """``folder``, filled by Maven unless it already holds what ``pom`` asks for.

    ``finish`` is called with what is there before anybody else sees it.
    """
    wanted = pom.read_bytes()

    def complete() -> bool:
        with suppress(FileNotFoundError):
            return (folder / "pom.xml").read_bytes() == wanted
        return False

    if complete():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailableError(f"there is no Maven to fetch it with: {INSTALL_HINT}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # One run fetches, the others wait for it. The folder appears whole or not at all.
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        _lock_exclusively(lock.fileno(), seconds=_MAVEN_SECONDS)
        if complete():
            return folder
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as work:
            fresh = Path(work) / "fresh"
            fresh.mkdir()
            (fresh / "pom.xml").write_bytes(wanted)
            command = [maven, "--batch-mode", "--quiet", "--no-transfer-progress"]
            command += ["--strict-checksums", f"--file={fresh}/pom.xml"]
            command += [f"dependency:{goal}", f"-DoutputDirectory={fresh}"]
            command += ["-DincludeScope=runtime"]
            try:
                done = subprocess.run(
                    tied_to_parent(command),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=_MAVEN_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise KafkaUnavailableError(f"Maven took over {_MAVEN_SECONDS} s") from error
            if done.returncode:
                said = (done.stdout + done.stderr).strip()[-_LOG_TAIL_BYTES:]
                raise KafkaUnavailableError(f"Maven could not fetch {folder.name}:\n{said}")
            finish(fresh)
            if folder.exists():
                folder.rename(Path(work) / "old")
            fresh.rename(folder)
    return folder


def _lock_exclusively(descriptor: int, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise KafkaUnavailableError("another test run is fetching it for ever") from None
            time.sleep(0.2)
        else:
            return


# -- the cluster -------------------------------------------------------------------------------


@dataclass
class _Node:
    id: int
    port: int
    controller_port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def log(self) -> Path:
        return self.folder / "node.log"

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log_tail(self) -> str:
        text = b""
        with suppress(FileNotFoundError):
            text = self.log.read_bytes()[-_LOG_TAIL_BYTES:]
        return f"node {self.id}'s log ends with:\n{text.decode(errors='replace').strip()}"


class _PortsTakenError(KafkaFailedError):
    """Somebody else took one of the chosen ports before Kafka did."""


class KafkaCluster:
    """One Apache Kafka cluster of ``nodes`` nodes, whose ids count from 1.

    ``config`` adds to the settings of every node or overrides them. Data and logs go into a new
    folder inside ``folder`` (by default the system's for temporary files).

    Use it as an asynchronous context manager, or call `open` and `close`. It belongs to no event
    loop: one loop may open it and another one close it. With three nodes topics have three
    replicas and writes with ``acks=all`` need two of them, so that the loss of any one node must
    go unnoticed.

    Raises:
        KafkaUnavailableError: from the constructor, see `find_distribution`.
    """

    def __init__(
        self,
        *,
        nodes: int = 1,
        config: Mapping[str, str] = _NO_CONFIG,
        folder: Path | None = None,
    ) -> None:
        self._distribution = find_distribution()
        self._count = nodes
        self._config = dict(config)
        self._cluster_id = _new_cluster_id()
        self._nodes: dict[int, _Node] = {}
        self._parent = folder
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def bootstrap(self) -> str:
        """The addresses of all nodes, also of those that are down, for ``bootstrap_servers``."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self._nodes.values())

    @property
    def nodes(self) -> tuple[int, ...]:
        """The ids of all nodes."""
        return tuple(self._nodes)

    def alive(self, node: int) -> bool:
        """Whether the node's process is running; it may not have joined the cluster yet."""
        return self._nodes[node].alive()

    def pid(self, node: int) -> int:
        """The process id of a running node."""
        process = self._nodes[node].process
        assert process is not None, f"node {node} was never started"
        return process.pid

    def log(self, node: int) -> str:
        """What the node has written since it was first started: warnings and errors."""
        return self._nodes[node].log.read_text(errors="replace")

    async def open(self) -> None:
        """Format the storage, start all nodes and wait until the cluster is complete.

        Raises:
            KafkaFailedError: a node ended, or was not there after `START_SECONDS`.
        """
        for attempt in range(3):
            try:
                await self._open()
            except _PortsTakenError:
                await self.close()
                if attempt == 2:
                    raise
            except BaseException:
                await self.close()
                raise
            else:
                return

    async def close(self) -> None:
        """End every node and delete its data. Nothing there is worth an orderly end: it kills."""
        for node in self._nodes.values():
            self._kill(node)
        self._nodes.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def kill(self, node: int) -> None:
        """SIGKILL, as a power cut: no goodbye to the others. At once; the data stays."""
        self._kill(self._nodes[node])

    async def stop(self, node: int) -> None:
        """An orderly shutdown: leadership moves first. Killed after `STOP_SECONDS`."""
        stopped = self._nodes[node]
        if stopped.process is None:
            return
        stopped.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while stopped.alive() and time.monotonic() < deadline:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)
        self._kill(stopped)

    async def start(self, node: int) -> None:
        """Start a stopped or killed node on its old data and ports; waits until it is back.

        Raises:
            KafkaFailedError: it ended, or was not there after `START_SECONDS`.
        """
        if not self.alive(node):
            self._launch(self._nodes[node])
        await self._wait_until_registered(
            expected={n.id for n in self._nodes.values() if n.alive()}
        )

    async def create_topic(self, name: str, partitions: int = 1, **config: str | int) -> None:
        """Create a topic and wait until every partition has a leader.

        Settings are keywords with underscores for dots: ``cleanup_policy="compact"``,
        ``retention_ms=1000``. A topic of that name that exists already is taken as it is.

        Raises:
            KafkaFailedError: the cluster refused, or elected no leaders within 15 s.
        """
        await create_topic(
            self.bootstrap, name, partitions, replicas=min(3, self._count), config=config
        )

    async def leader(self, topic: str, partition: int = 0) -> int:
        """The id of the node that leads a partition now, -1 if there is none.

        Raises:
            TimeoutError: no node could say within 15 s.
        """
        async with asyncio.timeout(15):
            while True:
                leaders = await _leaders(self.bootstrap, topic)
                if partition in leaders:
                    return leaders[partition]
                await asyncio.sleep(0.1)

    # -- inside

    async def _open(self) -> None:
        self._folder = tempfile.TemporaryDirectory(
            dir=self._parent, prefix="streams-kafka-", ignore_cleanup_errors=True
        )
        ports = free_ports(2 * self._count)
        for i in range(1, self._count + 1):
            folder = Path(self._folder.name) / str(i)
            folder.mkdir()
            self._nodes[i] = _Node(i, next(ports), next(ports), folder)
        for node in self._nodes.values():
            text = "".join(f"{k}={v}\n" for k, v in self._settings(node).items())
            node.properties.write_text(text)
        await self._format()
        for node in self._nodes.values():
            self._launch(node)
        await self._wait_until_registered(expected=set(self._nodes))

    def _settings(self, node: _Node) -> dict[str, str]:
        replicas = min(3, self._count)
        in_sync = 2 if replicas == 3 else 1
        voters = ",".join(f"{n.id}@127.0.0.1:{n.controller_port}" for n in self._nodes.values())
        plain, control = f"127.0.0.1:{node.port}", f"127.0.0.1:{node.controller_port}"
        return {
            "node.id": str(node.id),
            "process.roles": "broker,controller",
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{plain},CONTROLLER://{control}",
            "advertised.listeners": f"PLAINTEXT://{plain}",
            "log.dirs": f"{node.folder}/data",
            # Where topics are made by hand, as on most managed clusters, a missing one must show.
            "auto.create.topics.enable": "false",
            "default.replication.factor": str(replicas),
            "min.insync.replicas": str(in_sync),
            "offsets.topic.replication.factor": str(replicas),
            "offsets.topic.num.partitions": str(self._count),
            "transaction.state.log.replication.factor": str(replicas),
            "transaction.state.log.min.isr": str(in_sync),
            "transaction.state.log.num.partitions": "1",
            # A test waits for nothing that production waits for on purpose.
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "500",
            # A dead node is noticed after 3 s (9 by default), a dead controller after 1.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "controller.quorum.election.timeout.ms": "500",
            "controller.quorum.fetch.timeout.ms": "1000",
            "replica.lag.time.max.ms": "3000",
            "replica.fetch.wait.max.ms": "200",
            # Small segments roll, expire and are compacted within the length of a test.
            "log.segment.bytes": str(1 << 20),
            "log.index.size.max.bytes": str(1 << 20),
            "log.retention.check.interval.ms": "1000",
            "log.initial.task.delay.ms": "500",
            "log.segment.delete.delay.ms": "500",
            "log.cleaner.backoff.ms": "1000",
            # The default buffer alone is half of this heap.
            "log.cleaner.dedupe.buffer.size": str(4 << 20),
            "num.network.threads": "2",
            "num.io.threads": "2",
            "background.threads": "2",
        } | self._config

    async def _format(self) -> None:
        """Give every node its identity; side by side, each is a Java start of over a second."""
        arguments = ("format", "--cluster-id", self._cluster_id, "--config")
        main = "kafka.tools.StorageTool"
        for node in self._nodes.values():
            command = self._distribution.command(main, *arguments, str(node.properties))
            self._spawn(node, command)
        deadline = time.monotonic() + _JAVA_SECONDS
        while any(node.alive() for node in self._nodes.values()):
            if time.monotonic() > deadline:
                raise KafkaFailedError("formatting the storage does not end")
            await asyncio.sleep(0.02)
        for node in self._nodes.values():
            assert node.process is not None
            if node.process.returncode:
                raise KafkaFailedError(f"formatting the storage failed; {node.log_tail()}")

    def _launch(self, node: _Node) -> None:
        self._spawn(node, self._distribution.command("kafka.Kafka", str(node.properties)))

    def _spawn(self, node: _Node, command: list[str]) -> None:
        with node.log.open("ab") as log:
            node.process = subprocess.Popen(
                tied_to_parent(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=node.folder,
                start_new_session=True,
            )

    @staticmethod
    def _kill(node: _Node) -> None:
        if node.process is not None:
            if node.process.poll() is None:
                node.process.kill()
            node.process.wait(timeout=10)

    async def _wait_until_registered(self, *, expected: set[int]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not await self._all_answer(expected):
            for node in self._nodes.values():
                if node.id in expected and not node.alive():
                    tail = node.log_tail()
                    taken = "Address already in use" in tail
                    kind = _PortsTakenError if taken else KafkaFailedError
                    raise kind(f"node {node.id} ended; {tail}")
            if time.monotonic() > deadline:
                tails = "\n".join(n.log_tail() for n in self._nodes.values())
                raise KafkaFailedError(f"no cluster of {expected} after {START_SECONDS} s\n{tails}")
            await asyncio.sleep(0.1)

    async def _all_answer(self, expected: set[int]) -> bool:
        """Whether each expected node itself answers and knows all the others."""
        for node in self._nodes.values():
            if node.id not in expected:
                continue
            if not await _listens(node.port):
                return False
            try:
                async with asyncio.timeout(5), _admin(f"127.0.0.1:{node.port}") as admin:
                    seen = await admin.describe_cluster()
            except (KafkaError, OSError, TimeoutError):
                return False
            if seen["cluster_id"] != self._cluster_id:
                raise _PortsTakenError(f"a stranger answers on port {node.port}")
            if not expected <= {broker["node_id"] for broker in seen["brokers"]}:
                return False
        return True


async def create_topic(
    bootstrap: str,
    name: str,
    partitions: int = 1,
    *,
    replicas: int = 1,
    config: Mapping[str, str | int] = _NO_CONFIG,
) -> None:
    """Create a topic on any broker and wait for its leaders; see `KafkaCluster.create_topic`."""
    settings = {key.replace("_", "."): str(value) for key, value in config.items()}
    topic = NewTopic(name, partitions, replicas, topic_configs=settings)
    trouble = "no node answers"
    try:
        async with asyncio.timeout(15):
            while True:
                try:
                    async with _admin(bootstrap) as admin:
                        answer = await admin.create_topics([topic])
                    break
                except KafkaError as error:  # the controller has just moved or died
                    trouble = str(error)
                    await asyncio.sleep(0.1)
            for _, code, text in answer.topic_errors:
                if code not in {0, _TOPIC_ALREADY_EXISTS}:
                    raise KafkaFailedError(f"topic {name!r} was not created: {text} ({code})")
            trouble = "a partition has no leader"
            while True:
                leaders = await _leaders(bootstrap, name)
                if len(leaders) >= partitions and min(leaders.values()) >= 0:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise KafkaFailedError(f"topic {name!r} is not there after 15 s: {trouble}") from error


class _admin:  # noqa: N801 - used as a function
    """An admin client for the length of a block; closed however the block ends."""

    def __init__(self, bootstrap: str) -> None:
        self._client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5000)

    async def __aenter__(self) -> AIOKafkaAdminClient:
        try:
            await self._client.start()
        except BaseException:
            await self._client.close()
            raise
        return self._client

    async def __aexit__(self, *_: object) -> None:
        with suppress(KafkaError, OSError, TimeoutError):
            await self._client.close()


async def _leaders(bootstrap: str, topic: str) -> dict[int, int]:
    """Leaders by partition; empty when the node asked is down or does not know the topic yet."""
    try:
        async with _admin(bootstrap) as admin:
            described: list[dict[str, Any]] = await admin.describe_topics([topic])
    except KafkaError:
        return {}
    return {part["partition"]: part["leader"] for part in described[0]["partitions"]}


async def _listens(port: int) -> bool:
    # Before a client tries: one that finds nobody logs an error for each attempt.
    try:
        async with asyncio.timeout(2):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def _new_cluster_id() -> str:
    """16 random bytes in Kafka's alphabet, not mistakable for an option by a leading dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text


def free_ports(count: int) -> Iterator[int]:
    """Ports that nobody listens on, all different.

    From below the range that the kernel gives to outgoing connections: a node that is down for a
    while must find its port free when it comes back.
    """
    chosen: set[int] = set()
    while len(chosen) < count:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                chosen.add(port)
    return iter(sorted(chosen))


# -- what a test sees --------------------------------------------------------------------------


@dataclass(frozen=True)
class Broker:
    """The broker that a test runs on: Apache Kafka or the embedded one."""

    kind: Literal["embedded", "kafka"]
    bootstrap: str
    """``host:port[,host:port]`` for ``KAFKA_BOOTSTRAP_SERVERS``."""

    session_timeout: float
    """What to set ``broker_session_timeout`` to, in seconds. On the embedded broker a join waits
    half of it, a join to a group that was left just before up to twice as long as it."""

    replicas: int = 1

    async def create_topic(self, name: str, partitions: int = 1, **config: str | int) -> None:
        """See `KafkaCluster.create_topic`; the embedded broker does not obey ``config``."""
        await create_topic(self.bootstrap, name, partitions, replicas=self.replicas, config=config)
