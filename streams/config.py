"""``STREAMS_CONFIG``: destinations, subscriptions and mappings, written by a person.

The form is described by ``schemas/config/v1.json``, which editors can complete from. Whatever
is wrong is reported at once, each with its path and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.composer import ComposerError

from streams import settings
from streams.errors import SettingsError
from streams.faults import closest, suggestion
from streams.settings import PER_DESTINATION, expand

PRESETS: Final = "presets"
"""A destination's ``subscriptions`` may be this word instead of a list."""

MAX_SUBSCRIPTIONS: Final = 50
"""Segment's limit for one destination."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,60}")
"""It becomes part of the names of topics and of a consumer group."""

Place = tuple[str | int, ...]

Check = Callable[[Mapping[str, Any], str], None]
"""``check(subscription, path)`` looks at a subscription in Segment's form.

It raises ``SettingsError`` with everything that is wrong, each beginning with ``path``.
"""

Checks = Mapping[str, Check]
"""The types of destination that there are, and how a subscription of each is checked."""

_NAMES: Final[Mapping[type[Any], str]] = {dict: "an object", list: "a list", str: "a text"}

_SEGMENT: Final[Mapping[str, str]] = {"action": "partnerAction", "trigger": "subscribe"}
"""Segment's names for what has a simpler one in the file."""

_HINTS: Final[Mapping[str, str]] = {
    "found character '\\t'": "indent with blanks, not with a tab",
    "found character '@'": 'put names that begin with @ in double quotes: "@path"',
    "found character '%'": "put a text that begins with % in double quotes",
    "found undefined alias": "define it with & further up, or put a text with * in quotes",
    "mapping values are not allowed": "put a text with a colon in quotes, and check the indent",
    "could not find expected ':'": "write a colon and a blank behind the key",
    "found unhashable key": 'put a text that begins with {{ in quotes: "{{event}}"',
    "could not determine a constructor": "leave the ! out, or put the text in quotes",
    "but found another document": "write everything under the first ---",
}
"""What to do about what YAML's reader says."""


class _Loader(yaml.SafeLoader):
    """YAML without dates: JSON has none, so what looks like one is a text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the name and form are PyYAML's
        first: [rule for rule in rules if rule[0] != "tag:yaml.org,2002:timestamp"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in the file. ``line`` counts from 1; the file as a whole has no path."""

    file: str
    line: int
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.path}{': ' if self.path else ''}{self.text}"


@dataclass(frozen=True, slots=True)
class DestinationConfig:
    """One destination instance. ``subscriptions`` None: the presets of its type."""

    name: str
    type: str
    subscriptions: Sequence[Mapping[str, Any]] | None
    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings that are different for it from the environment's, by variable's name."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the file says."""

    destinations: Sequence[DestinationConfig]


DEFAULT: Final = Config((DestinationConfig("encharge", "encharge", None),))
"""Without a file: Encharge with its presets."""


def load(path: Path | None, checks: Checks) -> Config:
    """Read a configuration file; without one, :data:`DEFAULT`.

    Raises ``SettingsError`` with a :class:`Problem` for everything that is wrong.
    """
    config, problems = read(path, checks)
    if problems:
        raise SettingsError(*problems)
    return config


def read(path: Path | None, checks: Checks) -> tuple[Config, list[Problem]]:
    """As :func:`load`, with what is right in the file beside what is wrong.

    Raises ``SettingsError`` when it cannot be read at all.
    """
    if path is None:
        return DEFAULT, []
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"STREAMS_CONFIG: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            Problem(str(path), line, "", "is not UTF-8; save it as that")
        ) from error
    return parse(text, checks, str(path))


def parse(text: str, checks: Checks, file: str = "STREAMS_CONFIG") -> tuple[Config, list[Problem]]:
    """The configuration in a YAML text, and everything that is wrong with it."""
    reader = _Reader(file, checks)
    try:
        config = reader.config(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reader.note(line, "", f"not YAML: there is a character {error.character:#x}; remove it")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.note(mark.line + 1 if mark else 1, "", _not_yaml(error))
    except RecursionError:
        reader.note(1, "", "is nested too deeply; write fewer brackets in brackets")
    else:
        return config, sorted(reader.problems, key=lambda problem: problem.line)
    return DEFAULT, reader.problems


def _not_yaml(error: yaml.MarkedYAMLError) -> str:
    said = error.problem or error.context or "it cannot be read"
    hint = next((hint for begin, hint in _HINTS.items() if said.startswith(begin)), None)
    return (
        f"not YAML: {said}; {hint or 'check brackets, quotes and indent on this line and before'}"
    )


@dataclass(slots=True)
class _Reader:
    file: str
    checks: Checks
    root: yaml.Node | None = None
    problems: list[Problem] = field(default_factory=list)

    def config(self, text: str) -> Config:
        loader = _Loader(text)
        try:
            self.root = loader.get_single_node()
            if self.root is None:
                self.note(1, "", "is empty; write destinations: and a list under it")
                return DEFAULT
            self._look_for_duplicates(self.root, (), set(), ())
            document = loader.construct_document(self.root)
        finally:
            loader.dispose()
        return self._config(document)

    def _look_for_duplicates(
        self, node: yaml.Node, place: Place, seen: set[int], above: tuple[yaml.Node, ...]
    ) -> None:
        if node in above:
            raise ComposerError(None, None, "an alias refers to what it stands in", node.start_mark)
        if id(node) in seen:
            return
        seen.add(id(node))
        above = (*above, node)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._look_for_duplicates(item, (*place, index), seen, above)
        elif isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in node.value:
                here = (*place, str(key.value))
                self._look_for_duplicates(value, here, seen, above)
                if isinstance(key, yaml.ScalarNode):
                    line, name = key.start_mark.line + 1, (key.tag, key.value)
                    if name in lines:
                        self.note(line, _path(here), f"is on line {lines[name]} already; keep one")
                    lines[name] = line

    def _config(self, document: Any) -> Config:
        if not self._is(document, dict, ()):
            return DEFAULT
        document = self._known_keys(document, ("destinations",), ())
        here: Place = ("destinations",)
        if "destinations" not in document:
            self._wrong(here, "is missing; write destinations: and a list under it")
            return DEFAULT
        listed = document["destinations"]
        if not self._is(listed, list, here):
            return DEFAULT
        if not listed:
            self._wrong(here, "names no destination; write - type: encharge")
        found = [self._destination(entry, (*here, index)) for index, entry in enumerate(listed)]
        names: set[str] = set()
        for index, entry in enumerate(found):
            if entry and entry.name in names:
                self._wrong(
                    (*here, index, "name"),
                    f"two destinations are named {entry.name}; give each another name",
                )
            names |= {entry.name} if entry else set()
        return Config([entry for entry in found if entry])

    def _destination(self, entry: Any, place: Place) -> DestinationConfig | None:
        if not self._is(entry, dict, place):
            return None
        entry = self._known_keys(entry, ("type", "name", "settings", "subscriptions"), place)
        kind = entry.get("type")
        is_known = isinstance(kind, str) and kind in self.checks
        if not is_known:
            told = "is missing" if kind is None else "is no destination"
            listed = ", ".join(sorted(self.checks))
            self._wrong((*place, "type"), f"{told}; it should be one of {listed}")
        name = entry.get("name", kind)
        if "name" in entry and self._is(name, str, (*place, "name")) and not _NAME.fullmatch(name):
            self._wrong((*place, "name"), "should be 1 to 60 letters, digits, dots, dashes or _")
        subscriptions = entry.get("subscriptions", PRESETS)
        here = (*place, "subscriptions")
        if subscriptions == PRESETS:
            subscriptions = None
        elif not isinstance(subscriptions, list):
            self._wrong(here, f"should be a list, or the word {PRESETS}")
            return None
        else:
            if len(subscriptions) > MAX_SUBSCRIPTIONS:
                self._wrong(
                    here,
                    f"at most {MAX_SUBSCRIPTIONS} are possible, not {len(subscriptions)}; "
                    "remove some or join their triggers with or",
                )
            # Where the type is misspelt, what is under it is checked for the default one.
            checked = kind if is_known else DEFAULT.destinations[0].type
            read = [
                self._subscription(checked, item, (*here, index))
                for index, item in enumerate(subscriptions)
            ]
            subscriptions = [item for item in read if item is not None]
        own = self._settings(entry.get("settings", {}), (*place, "settings"))
        return DestinationConfig(str(name), str(kind), subscriptions, own) if is_known else None

    def _settings(self, given: Any, place: Place) -> dict[str, str]:
        if not self._is(given, dict, place):
            return {}
        found: dict[str, str] = {}
        for name, value in given.items():
            here = (*place, str(name))
            if name not in PER_DESTINATION:
                self._wrong(here, _not_its_own(str(name)))
            elif isinstance(value, dict | list) or value is None:
                self._wrong(here, "should be a text, a number, or true or false")
            else:
                # YAML's true is the variable's.
                text = str(value).lower() if isinstance(value, bool) else str(value)
                try:
                    found[name] = expand(text)
                    settings.of_destination(settings.DEFAULTS, {name: found[name]})
                except SettingsError as error:
                    for fault in error.args:
                        self._wrong(here, str(fault).removeprefix(f"{name}: "))
        return found

    def _subscription(self, kind: str, item: Any, place: Place) -> dict[str, Any] | None:
        if not self._is(item, dict, place):
            return None
        known = ("action", "name", "enabled", "trigger", "mapping")
        item = self._known_keys(item, known, place)
        subscription = {_SEGMENT.get(key, key): item[key] for key in known if key in item}
        try:
            self.checks[kind](subscription, _path(place))
        except SettingsError as error:
            for text in error.args:
                self._explain(str(text), place)
        return subscription

    # -- problems

    def note(self, line: int, path: str, text: str) -> None:
        self.problems.append(Problem(self.file, line, path, text))

    def _explain(self, text: str, place: Place) -> None:
        """Note what a check says about the subscription at ``place``."""
        rest = text.removeprefix(_path(place))
        for ours, segments in _SEGMENT.items():
            if rest.startswith((f".{segments}:", f".{segments}.")):
                rest = rest.replace(segments, ours, 1)
        line, node = self._find(place)
        path = _path(place)
        while step := _next_step(node, rest):
            key, key_node, node = step
            line, path, rest = key_node.start_mark.line + 1, path + key, rest[len(key) :]
        end, _, why = rest.partition(": ")
        self.note(line, path + end, why)

    def _known_keys(
        self, mapping: Mapping[Any, Any], known: tuple[str, ...], place: Place
    ) -> dict[Any, Any]:
        """``mapping`` with the keys that it should have.

        A misspelt one is taken for what it should be, so that what is under it is looked at.
        """
        result = {key: value for key, value in mapping.items() if key in known}
        for key, value in mapping.items():
            if key in known:
                continue
            self._wrong((*place, str(key)), f"unknown key; {suggestion(key, known)}")
            guess = closest(key, known)
            if guess and guess not in result:
                result[guess] = value
                self._rename(place, str(key), guess)
        return result

    def _rename(self, place: Place, key: str, new: str) -> None:
        _, node = self._find(place)
        for name, key_node, _ in _children(node):
            if name == key:
                key_node.value = new

    def _is(self, value: Any, wanted: type[Any], place: Place) -> bool:
        if isinstance(value, wanted):
            return True
        self._wrong(place, f"should be {_NAMES[wanted]}")
        return False

    def _wrong(self, place: Place, text: str) -> None:
        self.note(self._find(place)[0], _path(place), text)

    def _find(self, place: Place) -> tuple[int, yaml.Node | None]:
        """The line of what stands there, or of what it should stand in, and what does."""
        node, line = self.root, self.root.start_mark.line + 1 if self.root else 1
        for part in place:
            found = next(((k, v) for key, k, v in _children(node) if key == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        return line, node


def _children(node: yaml.Node | None) -> list[tuple[str | int, yaml.Node, yaml.Node]]:
    """The key, the node that says where it begins, and the value of all that is in ``node``."""
    if isinstance(node, yaml.MappingNode):
        # Of keys that are there twice, such as by a merge (<<), the last one counts.
        return [(str(key.value), key, value) for key, value in reversed(node.value)]
    if isinstance(node, yaml.SequenceNode):
        return [(index, item, item) for index, item in enumerate(node.value)]
    return []


def _not_its_own(name: str) -> str:
    if name.lower() in settings.Settings.model_fields:
        return "is the same for all destinations; set it in the environment"
    return f"is no setting; {suggestion(name, sorted(PER_DESTINATION))}"


def _next_step(node: yaml.Node | None, path: str) -> tuple[str, yaml.Node, yaml.Node] | None:
    """The child of ``node`` that ``path`` leads to, and the piece of ``path`` that names it."""
    steps = [(f".{key}", begin, value) for key, begin, value in _children(node)]
    fitting = [step for step in steps if path.startswith((f"{step[0]}.", f"{step[0]}: "))]
    # Names may have dots in them: the longest one that fits is meant.
    return max(fitting, key=lambda step: len(step[0]), default=None)


def _path(place: Place) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
