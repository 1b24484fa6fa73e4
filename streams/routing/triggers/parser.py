"""From tokens to conditions, as `parse-fql.ts` of `@segment/destination-subscriptions` reads them.

It passes over whatever it does not expect, so that nearly every text means something. The
parser here notes what it has passed over: for us that is a mistake.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from streams.mapping.javascript import number_to_string, to_number
from streams.routing.triggers.lexer import END, Kind, Token, UnreadableError, tokenise

Value: TypeAlias = str | float | bool


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison. ``part`` is a key of the event, ``name`` a path in it ("" for itself)."""

    part: str
    name: str
    operator: str
    value: Value = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined by one word. None among them: brackets around nothing."""

    operator: str
    children: tuple[Node, ...]


Node: TypeAlias = Condition | Group | None


@dataclass(slots=True)
class Parsed:
    """A trigger, and what is odd about it."""

    root: Group
    faults: list[str]


_PLAIN: Final = ("type", "event", "name", "userId")
_OBJECTS: Final = ("properties", "traits", "context")
_FUNCTIONS: Final = ("contains", "match")
_INHERITED: Final = frozenset(
    {
        *("constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable"),
        *("toLocaleString", "toString", "valueOf", "__proto__", "__defineGetter__"),
        *("__defineSetter__", "__lookupGetter__", "__lookupSetter__"),
    }
)
"""What every JavaScript object has: names that take an operator and a value, and mean nothing."""


def parse(text: str) -> Parsed:
    """The conditions of ``text``. Raises ``UnreadableError`` where Segment's parser fails."""
    parser = _Parser(_join_paths(tokenise(text)), [])
    root = parser.parse()
    if root is None:
        raise UnreadableError("there is no condition in it")
    return Parsed(root if isinstance(root, Group) else Group("and", (root,)), parser.faults)


def _join_paths(tokens: list[Token]) -> list[Token]:
    """``properties``, ``.`` and ``plan`` as one identifier."""
    joined: list[Token] = []
    tokens = tokens[::-1]
    while tokens:
        token = tokens.pop()
        if (
            token.kind is Kind.DOT
            and joined
            and joined[-1].kind is Kind.IDENT
            and tokens
            and tokens[-1].kind is Kind.IDENT
        ):
            token = Token(Kind.IDENT, f"{joined.pop().value}.{tokens.pop().value}")
        joined.append(token)
    return joined


@dataclass(slots=True)
class _Parser:
    """``tokens`` are used up from the left. A group within brackets has a parser of its own."""

    tokens: list[Token]
    faults: list[str]
    nodes: list[Node] = field(default_factory=list)
    operators: list[str] = field(default_factory=list)
    position: int = 0

    def parse(self) -> Node:
        while (token := self._shift()) is not None and token.kind is not Kind.END:
            self._take(token)
        if len(set(self.operators)) > 1:
            self.faults.append("and, or: the last one counts for all of them; use brackets")
        if len(self.nodes) == 1:
            return self.nodes[0]
        if not self.nodes:
            self.faults.append("there is no condition in brackets")
            return None
        return Group(self.operators[-1] if self.operators else "and", tuple(self.nodes))

    def _take(self, token: Token) -> None:
        if token.kind is Kind.CONDITIONAL:
            self.operators.append(token.value)
        elif token.kind is Kind.OPEN:
            self._take_group()
        elif token.value == "!" and token.kind is Kind.OPERATOR:
            self._take_negation()
        elif token.kind is Kind.IDENT:
            self._take_ident(token.value)
        elif token.kind is not Kind.CLOSE:
            self.faults.append(f"{token.value} is passed over")

    def _take_ident(self, name: str) -> None:
        if name in _FUNCTIONS:
            self._take_function(name, negated=False)
            return
        part = name.split(".", 1)[0]
        if part not in (*_PLAIN, *_OBJECTS) and part not in _INHERITED:
            self.faults.append(f"{name} is passed over")
            return
        operator, value = self._shift(), self._shift()
        if operator is None or value is None:
            raise UnreadableError(f"{name} has no value to compare with")
        if part in _INHERITED:
            self.faults.append(f"{name} is passed over")
            return
        self._note_comparison(name, operator, value)
        self.nodes.append(_comparison(part, name, operator, value))

    def _note_comparison(self, name: str, operator: Token, value: Token) -> None:
        if operator.kind is not Kind.OPERATOR or operator.value == "!":
            self.faults.append(f"{name} is compared by {operator.value}")
        is_word = value.kind is Kind.IDENT and value.value in ("true", "false")
        if not (is_word or value.kind in (Kind.STRING, Kind.NUMBER, Kind.NULL)):
            self.faults.append(f"{name} is compared with {value.value}")
        if value.value.startswith("'"):
            self.faults.append(f"{value.value} keeps its quotes; use double ones")

    def _take_negation(self) -> None:
        following = self._peek()
        if following is None:
            raise UnreadableError("! stands at the end")
        if following.kind is Kind.IDENT and following.value in _FUNCTIONS:
            self._shift()
            self._take_function(following.value, negated=True)
        else:
            self.faults.append("! is passed over: it negates contains() and match() only")

    def _take_group(self) -> None:
        inner = []
        while True:
            token = self._shift()
            if token is None:
                raise UnreadableError("a bracket is not closed")
            if token.kind is Kind.CLOSE:
                break
            inner.append(token)
        self.nodes.append(_Parser([*inner, END], self.faults).parse())

    def _take_function(self, function: str, *, negated: bool) -> None:
        self._shift()
        name = self._shift()
        if name is None:
            raise UnreadableError(f"{function}() has no first argument")
        self._shift()
        value = self._shift()
        if value is None:
            raise UnreadableError(f"{function}() has no second argument")
        self._shift()
        if name.kind is not Kind.IDENT or value.kind is not Kind.STRING or value.value[0] == "'":
            self.faults.append(f'{function}() takes a name and a text: {function}(event, "...")')
        operator, text = _function(function, value)
        self._add_function(name.value, f"not_{operator}" if negated else operator, text)

    def _add_function(self, name: str, operator: str, text: str) -> None:
        if name in _PLAIN and name != "type":
            self.nodes.append(Condition(name, "", operator, text))
            return
        for part in _OBJECTS:
            # "propertiesx" passes for a property called "propertiesx".
            if name.startswith(part):
                self.nodes.append(Condition(part, _name_in(part, name), operator, text))
                return
        self.faults.append(f"{name} is nothing that contains() and match() can look at")

    def _shift(self) -> Token | None:
        token = self._peek()
        self.position += 1
        return token

    def _peek(self) -> Token | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None


def _name_in(part: str, path: str) -> str:
    return path.removeprefix(f"{part}.")


def _function(function: str, token: Token) -> tuple[str, str]:
    """What ``contains`` and ``match`` look for. Only one star counts: the first or last sign."""
    text = _as_text(_value(token))
    if function == "contains":
        return "contains", text
    if token.value.endswith('*"'):
        return "starts_with", text[:-1]
    return "ends_with", text[1:]


def _comparison(part: str, name: str, operator: Token, token: Token) -> Condition:
    value = _value(token)
    if part in ("type", "event"):
        return Condition(part, "", operator.value, _as_text(value))
    path = "" if part in _PLAIN else _name_in(part, name)
    special = _special(part, operator.value, token)
    if special == "number":
        return Condition(part, path, f"number {operator.value}", value)
    if special:
        return Condition(part, path, special)
    return Condition(part, path, operator.value, _as_text(value) if part in _PLAIN else value)


def _special(part: str, operator: str, token: Token) -> str | None:
    """The comparisons with something other than text, where there are such."""
    if operator not in ("=", "!="):
        return None
    if token.value == "null":
        return "not_exists" if operator == "=" else "exists"
    if operator == "=" and token.value in ("true", "false") and part != "name":
        return f"is_{token.value}"
    return "number" if token.kind is Kind.NUMBER and part in _OBJECTS else None


def _value(token: Token) -> Value:
    if token.kind is Kind.STRING:
        return token.value.removeprefix('"').removesuffix('"')
    if token.kind is Kind.NUMBER:
        return to_number(token.value)
    if token.kind is Kind.IDENT and token.value in ("true", "false"):
        return token.value == "true"
    return token.value


def _as_text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else number_to_string(value)
