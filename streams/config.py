"""``STREAMS_CONFIG``: destinations, subscriptions and mappings, written by a person.

The form is described by ``schemas/config/v1.json``, which editors can complete from. Whatever
is wrong is reported at once, each with its path and line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from streams.errors import SettingsError

PRESETS: Final = "presets"
"""A destination's ``subscriptions`` may be this word instead of a list."""

Place = tuple[str | int, ...]

_NAMES: Final[Mapping[type[Any], str]] = {dict: "an object", list: "a list", str: "a text"}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in the file. ``line`` counts from 1."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.path}: {self.text}"


@dataclass(frozen=True, slots=True)
class DestinationConfig:
    """One destination instance. ``subscriptions`` None: the presets of its type."""

    name: str
    type: str
    subscriptions: Sequence[Mapping[str, Any]] | None


@dataclass(frozen=True, slots=True)
class Config:
    """What the file says."""

    destinations: Sequence[DestinationConfig]


DEFAULT: Final = Config((DestinationConfig("encharge", "encharge", None),))
"""Without a file: Encharge with its presets."""

TYPES: Final = frozenset({"encharge"})
"""Destinations that there are."""

Compile = Callable[[Mapping[str, Any], str], object]
"""Compiles one subscription in Segment's form; raises ``SettingsError`` that names its path."""


def load(path: Path | None, check: Callable[[str, Mapping[str, Any], str], None]) -> Config:
    """Read a configuration file; without one, :data:`DEFAULT`.

    ``check(type, subscription, path)`` compiles a subscription and raises ``SettingsError``
    when it is wrong. Raises ``SettingsError`` with all problems, a line each.
    """
    if path is None:
        return DEFAULT
    try:
        text = path.read_text()
    except OSError as error:
        raise SettingsError(f"STREAMS_CONFIG: cannot read {path}: {error.strerror}") from error
    config, problems = parse(text, check)
    if problems:
        raise SettingsError(
            f"STREAMS_CONFIG={path}: {len(problems)} wrong: "
            + "; ".join(str(problem) for problem in problems)
        )
    return config


def parse(
    text: str, check: Callable[[str, Mapping[str, Any], str], None]
) -> tuple[Config, list[Problem]]:
    """The configuration in a YAML text, and everything that is wrong with it."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return DEFAULT, [Problem("file", line, f"not YAML: {error.problem}")]
    reader = _Reader(_lines(node) if node is not None else {}, check)
    return reader.config(document), sorted(reader.problems, key=lambda problem: problem.line)


@dataclass(slots=True)
class _Reader:
    lines: Mapping[Place, int]
    check: Callable[[str, Mapping[str, Any], str], None]
    problems: list[Problem] = field(default_factory=list)

    def config(self, document: Any) -> Config:
        if not self._is(document, dict, ()):
            return DEFAULT
        self._known_keys(document, {"destinations"}, ())
        listed = document.get("destinations")
        if listed is None:
            self._wrong(("destinations",), "is missing")
            return DEFAULT
        if not self._is(listed, list, ("destinations",)):
            return DEFAULT
        if not listed:
            self._wrong(("destinations",), "names no destination")
        found = [
            self._destination(entry, ("destinations", index)) for index, entry in enumerate(listed)
        ]
        names = [entry.name for entry in found if entry]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._wrong(("destinations",), f"two destinations are named {name}")
        return Config([entry for entry in found if entry])

    def _destination(self, entry: Any, place: Place) -> DestinationConfig | None:
        if not self._is(entry, dict, place):
            return None
        self._known_keys(entry, {"type", "name", "subscriptions"}, place)
        kind = entry.get("type")
        if kind not in TYPES:
            self._wrong((*place, "type"), f"should be one of {', '.join(sorted(TYPES))}")
            return None
        name = entry.get("name", kind)
        self._is(name, str, (*place, "name"))
        subscriptions = entry.get("subscriptions", PRESETS)
        if subscriptions == PRESETS:
            return DestinationConfig(str(name), kind, None)
        here = (*place, "subscriptions")
        if not self._is(subscriptions, list, here):
            return None
        return DestinationConfig(
            str(name),
            kind,
            [
                found
                for index, item in enumerate(subscriptions)
                if (found := self._subscription(kind, item, (*here, index))) is not None
            ],
        )

    def _subscription(self, kind: str, item: Any, place: Place) -> dict[str, Any] | None:
        if not self._is(item, dict, place):
            return None
        self._known_keys(item, {"action", "name", "enabled", "trigger", "mapping"}, place)
        missing = [key for key in ("action", "trigger") if key not in item]
        for key in missing:
            self._wrong(place, f"{key} is missing")
        if missing:
            return None
        names = {"action": "partnerAction", "trigger": "subscribe"}
        subscription = {names.get(key, key): value for key, value in item.items()}
        try:
            self.check(kind, subscription, _path(place))
        except SettingsError as error:
            self._explain(str(error), place)
        return subscription

    # -- problems

    def _explain(self, text: str, place: Place) -> None:
        """Note a compiler's error, which begins with the path of what is at fault."""
        path, _, why = text.partition(": ")
        path = path.replace("partnerAction", "action").replace("subscribe", "trigger")
        best = max(
            (known for known in self.lines if path.startswith(_path(known)) and known),
            key=len,
            default=place,
        )
        self.problems.append(Problem(path, self.lines.get(best, 1), why or text))

    def _known_keys(self, mapping: Mapping[Any, Any], known: set[str], place: Place) -> None:
        for key in mapping:
            if key not in known:
                self._wrong((*place, key), f"unknown; known are {', '.join(sorted(known))}")

    def _is(self, value: Any, wanted: type[Any], place: Place) -> bool:
        if isinstance(value, wanted):
            return True
        self._wrong(place, f"should be {_NAMES[wanted]}")
        return False

    def _wrong(self, place: Place, text: str) -> None:
        line = next(
            (
                self.lines[place[:end]]
                for end in range(len(place), -1, -1)
                if place[:end] in self.lines
            ),
            1,
        )
        self.problems.append(Problem(_path(place) or "file", line, text))


def _path(place: Place) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _lines(node: yaml.Node) -> dict[Place, int]:
    return dict(_walk(node, ()))


def _walk(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    yield place, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, key.value)
            yield from _walk(value, inner)
            # A key's own line: its value may begin further down.
            yield inner, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*place, index))
