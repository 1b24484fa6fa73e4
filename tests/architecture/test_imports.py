"""What may import what, and who may read the environment (docs/architecture.md).

`lint-imports` holds the same rules between the modules of this program (pyproject.toml). Here is
what it cannot see: the environment, the tests, and what comes along with a library.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import streams

ROOT = Path(streams.__file__).parent

PURE = (
    "streams.avro.codec",
    "streams.avro.event",
    "streams.avro.reader",
    "streams.avro.schemas",
    "streams.avro.wire",
    "streams.batching",
    "streams.dead_letters.breaker",
    "streams.dead_letters.letter",
    "streams.dead_letters.reasons",
    "streams.dead_letters.redrive",
    "streams.dead_letters.selection",
    "streams.destinations",
    "streams.delivery.retry",
    "streams.engine.acks",
    "streams.engine.packed",
    "streams.gateway.answers",
    "streams.gateway.auth",
    "streams.gateway.parse",
    "streams.gateway.partition",
    "streams.gateway.room",
    "streams.gateway.stamp",
    "streams.identity",
    "streams.mapping",
    "streams.replay.checkpoint",
    "streams.replay.filters",
    "streams.replay.forecast",
    "streams.replay.formats",
    "streams.replay.lines",
    "streams.replay.order",
    "streams.replay.pace",
    "streams.replay.report",
    "streams.replay.scan",
    "streams.replay.sources",
    "streams.replay.times",
    "streams.routing.triggers",
    "streams.source.decode",
    "streams.source.envelopes",
    "streams.source.head",
    "streams.source.integrations",
    "streams.source.normalise",
    "streams.source.unpack",
    "streams.source.validate",
)
"""Domain rules: they can be understood, tested and used without Kafka or a network."""

NOT_PURE = ("faust", "mode", "aiokafka", "httpx", "aiohttp")

# library: the modules and packages that may import it
ALLOWED = {
    "faust": ("streams.engine", "streams.agents", "streams.app", "streams.group"),
    "mode": ("streams.engine",),
    "aiokafka": ("streams.engine", "streams.topics", "streams.dev"),
    "httpx": ("streams.delivery.sender", "streams.delivery.http1", "streams.client", "streams.dev"),
    "httptools": ("streams.delivery.http1",),
    "aiohttp": ("streams.web", "streams.gateway", "streams.dev"),
    "streams.dev": ("streams.dev", "streams.cli"),
    "tests": (),
}
READS_THE_ENVIRONMENT = ("streams.settings", "streams.dev")
"""`streams.dev` builds the environment of the processes that it starts."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(("streams", *path.relative_to(ROOT).with_suffix("").parts))
        yield name.removesuffix(".__init__"), ast.parse(path.read_text(), str(path))


def inside(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def imports(tree: ast.Module) -> Iterator[str]:
    """Everything that is imported, at the top or within a function, as dotted names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_there_is_something_to_look_at() -> None:
    found = dict(modules())
    assert "streams" in found
    assert "streams.engine.consumer" in found
    assert "faust.types" in set(imports(found["streams.group"]))


@pytest.mark.parametrize("library", ALLOWED)
def test_a_library_is_known_only_where_it_belongs(library: str) -> None:
    offenders = {
        name
        for name, tree in modules()
        if not inside(name, ALLOWED[library])
        and any(inside(imported, (library,)) for imported in imports(tree))
    }
    assert offenders == set(), f"these must not import {library}"


def environment_readers(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}:
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (a.name for a in node.names if a.name in {"environ", "environb", "getenv"})


def test_only_the_settings_read_the_environment() -> None:
    offenders = {
        name
        for name, tree in modules()
        if not inside(name, READS_THE_ENVIRONMENT) and any(environment_readers(tree))
    }
    assert offenders == set()


@pytest.mark.parametrize(
    "code",
    ["os.environ['X']", "os.getenv('X')", "from os import environ", "import os as o; o.environ"],
)
def test_a_reader_of_the_environment_is_recognised(code: str) -> None:
    assert list(environment_readers(ast.parse(code)))


def test_domain_rules_bring_neither_kafka_nor_http_along() -> None:
    """Imported in a fresh interpreter: libraries have imports of their own."""
    code = f"""
import importlib, pkgutil, sys
for name in {PURE!r}:
    module = importlib.import_module(name)
    for inner in pkgutil.walk_packages(getattr(module, "__path__", ()), name + "."):
        importlib.import_module(inner.name)
print(*sorted(name for name in {NOT_PURE!r} if name in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_the_rules_of_lint_imports_are_about_the_same_modules() -> None:
    import tomllib

    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    pure = next(c for c in contracts if "Domain rules" in c["name"])
    assert set(PURE) <= set(pure["source_modules"])
