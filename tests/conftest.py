"""Fixtures and rules for every test.

Brokers: ``broker`` runs a test twice, on the embedded broker and on Apache Kafka; ``kafka`` is
Apache Kafka alone, one for the whole run; ``kafka_cluster`` makes clusters of its own to break.

Where Apache Kafka cannot run, the tests marked ``kafka`` are skipped and the end of the run says
so in red. They fail instead where ``CI`` is set or ``STREAMS_REQUIRE_KAFKA=1``.

Under pytest-xdist a test marked ``serial`` runs while no other test does.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from streams.dev.broker import embedded_broker
from tests.support.kafka import (
    INSTALL_HINT,
    Broker,
    KafkaCluster,
    KafkaUnavailableError,
    find_distribution,
)
from tests.support.registry import apicurio, find_registry

ClusterFactory = Callable[..., Coroutine[Any, Any, KafkaCluster]]

_NEEDS_KAFKA: Final = ("needs", "apache-kafka")


# -- brokers -----------------------------------------------------------------------------------


@pytest.fixture
def unique() -> str:
    """A short word that no other test gets, for topics, groups and app ids on a shared broker."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
async def embedded() -> AsyncIterator[Broker]:
    """An embedded broker for this test alone."""
    async with embedded_broker() as bootstrap:
        yield Broker("embedded", bootstrap, session_timeout=1.0)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Apache Kafka, shared by all tests of the run: name topics and groups with ``unique``.

    ``KAFKA_BOOTSTRAP_SERVERS`` if it is set, else one node that starts here in about five seconds.
    """
    named = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if named:
        yield Broker("kafka", named, session_timeout=6.0)
        return
    _require(find_distribution)
    cluster = KafkaCluster(folder=tmp_path_factory.mktemp("kafka"))
    asyncio.run(cluster.open())
    try:
        yield Broker("kafka", cluster.bootstrap, session_timeout=6.0)
    finally:
        asyncio.run(cluster.close())


@pytest.fixture
async def kafka_cluster(tmp_path: Path) -> AsyncIterator[ClusterFactory]:
    """``await kafka_cluster(nodes=3, config={})`` gives a fresh Apache Kafka cluster to break.

    Three nodes take about ten seconds to start and 450 MB. They are gone after the test.
    """
    _require(find_distribution)
    async with AsyncExitStack() as stack:

        async def make(*, nodes: int = 3, config: Mapping[str, str] | None = None) -> KafkaCluster:
            cluster = KafkaCluster(nodes=nodes, config=config or {}, folder=tmp_path)
            return await stack.enter_async_context(cluster)

        yield make


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real schema registry, shared by all tests of the run."""
    _require(find_registry)
    with apicurio(tmp_path_factory.mktemp("registry")) as url:
        yield url


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """The test runs once on the embedded broker and once on Apache Kafka."""
    found: Broker = request.getfixturevalue(request.param)
    return found


def _require(find: Callable[[], Any]) -> None:
    """Skip or fail the test unless Apache Kafka, or what belongs to it, can be started here."""
    # tests/run.py has tried already, with more time than a test has.
    reason = os.environ.get("STREAMS_KAFKA_UNAVAILABLE")
    if not reason:
        try:
            find()
        except KafkaUnavailableError as error:
            reason = str(error)
        else:
            return
    if _kafka_is_required():
        pytest.fail(f"Apache Kafka is required here: {reason}", pytrace=False)
    pytest.skip(f"Apache Kafka cannot run here: {reason}")


def _kafka_is_required() -> bool:
    def on(name: str) -> bool:
        return os.environ.get(name, "").lower() not in {"", "0", "false", "no"}

    return on("CI") or on("STREAMS_REQUIRE_KAFKA")


# -- what is told at the end -------------------------------------------------------------------


class _Tally:
    """Counts the tests that need Apache Kafka, says so, and fails the run where it must."""

    def __init__(self) -> None:
        self.passed = 0
        self.skipped: list[str] = []
        self.figures: list[str] = []
        self.none = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            told = [f"{k} {v}" for k, v in report.user_properties if (k, v) != _NEEDS_KAFKA]
            if told:
                self.figures.append(f"{report.nodeid.rpartition('::')[2]}: {', '.join(told)}")
        if _NEEDS_KAFKA not in map(tuple, report.user_properties):
            return
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(report.nodeid)
        elif report.passed and report.when == "call":
            self.passed += 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        # tests/run.py says when all tests were asked for; then some must have seen Kafka.
        self.none = bool(os.environ.get("STREAMS_TEST_WHOLE")) and not self.passed
        untested = self.none or bool(self.skipped)
        if untested and _kafka_is_required() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest's own: below all that it lists
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
        yield
        write = terminalreporter.write_line
        for figures in self.figures:
            write(figures)
        if self.passed:
            write(f"Apache Kafka: {self.passed} tests passed on it", green=True)
        elif self.none:
            write("NOT TESTED ON APACHE KAFKA: no test has passed on it", **_RED)
        if self.skipped:
            write(f"NOT TESTED ON APACHE KAFKA: {len(self.skipped)} tests were skipped", **_RED)
            for nodeid in self.skipped:
                write(f"  {nodeid}", red=True)
            write(f"To run them, {INSTALL_HINT}.", **_RED)
        # The checks that tests/run.py made before: what failed must not scroll out of sight.
        for line in os.environ.get("STREAMS_TEST_NOTE", "").splitlines():
            write(line, **(_RED if "FAILED" in line else {"green": True}))


_RED: Final = {"red": True, "bold": True}


# -- order -------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "serial: needs the machine for itself")
    # By default a SIGTERM ends pytest on the spot, and the fixtures' brokers a little later. Not
    # SIGINT, which a shell's background jobs ignore.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(_Turns(Path(config.workerinput["turns"])))
    else:
        config.pluginmanager.register(_Tally())
        config.pluginmanager.register(_MakesTurns())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & {"kafka", "kafka_cluster", "registry"}:
            item.add_marker(pytest.mark.kafka)
        if "kafka_cluster" in fixtures:
            # Three brokers fill the machine, and elections are a matter of time.
            item.add_marker(pytest.mark.serial)
        if item.get_closest_marker("kafka"):
            item.user_properties.append(_NEEDS_KAFKA)
            # One worker runs them all, so that one Kafka does for the whole run.
            item.add_marker(pytest.mark.xdist_group("kafka"))
        elif item.get_closest_marker("serial"):
            item.add_marker(pytest.mark.xdist_group("serial"))


class _MakesTurns:
    """In the process that deals out the tests: the folder with the locks of `_Turns`."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="streams-tests-")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["turns"] = self._folder.name

    def pytest_unconfigure(self) -> None:
        self._folder.cleanup()


class _Turns:
    """Between the processes of one run: many ordinary tests at a time, or one ``serial`` one."""

    def __init__(self, folder: Path) -> None:
        self._turnstile = (folder / "turnstile").open("w")
        self._lock = (folder / "lock").open("w")

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # outside of the test's own time limit
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        alone = item.get_closest_marker("serial") is not None
        # Whoever waits for the lock stands in the turnstile, so nobody else can overtake for ever.
        # Each wait is bounded by the time limit of the tests that are running.
        fcntl.flock(self._turnstile, fcntl.LOCK_EX)
        fcntl.flock(self._lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._turnstile, fcntl.LOCK_UN)
        try:
            return (yield)
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def pytest_unconfigure(self) -> None:
        self._turnstile.close()
        self._lock.close()
