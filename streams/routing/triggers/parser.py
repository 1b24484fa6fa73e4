"""From tokens to conditions, as `parse-fql.ts` of `@segment/destination-subscriptions` reads them.

It passes over whatever it does not expect, so that nearly every text means something. The
parser here notes what it has passed over: for us that is a mistake.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from streams.faults import closest
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
_EXAMPLE: Final = 'write a name, an operator and a value, such as type = "track"'
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
    try:
        root = parser.parse()
    except UnreadableError as error:
        error.faults[:0] = parser.faults
        raise
    if root is None:
        told = parser.faults[0].partition(": ")[2] if parser.faults else _EXAMPLE
        raise UnreadableError(1, f"there is no condition in it; {told}")
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
            start = joined.pop()
            token = start._replace(value=f"{start.value}.{tokens.pop().value}")
        joined.append(token)
    return joined


@dataclass(slots=True)
class _Parser:
    """``tokens`` are used up from the left. A group within brackets has a parser of its own."""

    tokens: list[Token]
    faults: list[str]
    nodes: list[Node] = field(default_factory=list)
    operators: list[str] = field(default_factory=list)
    passed_over: list[Token] = field(default_factory=list)
    position: int = 0

    def parse(self) -> Node:
        while (token := self._shift()) is not None and token.kind is not Kind.END:
            before = len(self.passed_over)
            self._take(token)
            if len(self.passed_over) == before:
                self._note_passed_over()
        self._note_passed_over()
        if len(self.nodes) == 1:
            return self.nodes[0]
        if not self.nodes:
            return None
        return Group(self.operators[-1] if self.operators else "and", tuple(self.nodes))

    def _take(self, token: Token) -> None:
        if token.kind is Kind.CONDITIONAL:
            if self.operators and token.value not in self.operators:
                self._fault(
                    token,
                    f"{token.value} after {self.operators[-1]}, and the last one counts for all of "
                    "them; write brackets around those that belong together",
                )
            self.operators.append(token.value)
        elif token.kind is Kind.OPEN:
            self._take_group(token)
        elif token.value == "!" and token.kind is Kind.OPERATOR:
            self._take_negation(token)
        elif token.kind is Kind.IDENT:
            self._take_ident(token)
        elif token.kind is not Kind.CLOSE:
            self.passed_over.append(token)

    def _take_ident(self, token: Token) -> None:
        name = token.value
        if name in _FUNCTIONS:
            self._take_function(token, negated=False)
            return
        part = name.split(".", 1)[0]
        if part not in (*_PLAIN, *_OBJECTS) and part not in _INHERITED:
            self.passed_over.append(token)
            return
        operator, value = self._shift(), self._shift()
        if operator is None or value is None:
            raise UnreadableError(token.at, f'{name} has no value; write {name} = "..."')
        if part in _INHERITED:
            self.passed_over += (token, operator, value)
            return
        self._note_comparison(name, operator, value)
        self.nodes.append(_comparison(part, name, operator, value))

    def _note_comparison(self, name: str, operator: Token, value: Token) -> None:
        if operator.kind is not Kind.OPERATOR or operator.value == "!":
            self._fault(
                operator,
                f"{_shown(operator)} after {name} is no operator; write = != < <= > or >=",
            )
        is_word = value.kind is Kind.IDENT and value.value in ("true", "false")
        if not (is_word or value.kind in (Kind.STRING, Kind.NUMBER, Kind.NULL)):
            meant = value.value if value.kind is Kind.IDENT else "..."
            self._fault(
                value,
                f"{_shown(value)} after {name} {operator.value} is no value; "
                f'write a text in double quotes ("{meant}"), a number, true, false or null',
            )
        if value.value.startswith("'"):
            self._fault(
                value,
                f"{value.value} keeps its quotes, which are part of the text if they are single; "
                f'write "{value.value[1:-1]}"',
            )

    def _take_negation(self, token: Token) -> None:
        following = self._peek()
        if following is None:
            raise UnreadableError(token.at, "! stands at the end; leave it out")
        if following.kind is Kind.IDENT and following.value in _FUNCTIONS:
            self._shift()
            self._take_function(following, negated=True)
        else:
            self._fault(
                token, "! is passed over, it negates contains() and match() only; write != instead"
            )

    def _take_group(self, bracket: Token) -> None:
        inner = []
        while True:
            token = self._shift()
            if token is None:
                raise UnreadableError(bracket.at, "a bracket is not closed; write ) behind it")
            if token.kind is Kind.CLOSE:
                break
            inner.append(token)
        node = _Parser([*inner, END._replace(at=token.at)], self.faults).parse()
        if node is None:
            self._fault(bracket, "there is no condition in brackets; leave them out")
        self.nodes.append(node)

    def _take_function(self, token: Token, *, negated: bool) -> None:
        function = token.value
        form = f'write {function}(event, "...")'
        self._shift()
        name = self._shift()
        if name is None:
            raise UnreadableError(token.at, f"{function}() has no first argument; {form}")
        self._shift()
        value = self._shift()
        if value is None:
            raise UnreadableError(token.at, f"{function}() has no second argument; {form}")
        self._shift()
        if name.kind is not Kind.IDENT or value.kind is not Kind.STRING or value.value[0] == "'":
            self._fault(
                token,
                f"{function}() takes a name and a text in double quotes, "
                f"not {_shown(name)} and {_shown(value)}; {form}",
            )
        operator, text = _function(function, value)
        self._add_function(name, f"not_{operator}" if negated else operator, text)

    def _add_function(self, token: Token, operator: str, text: str) -> None:
        name = token.value
        if name in _PLAIN and name != "type":
            self.nodes.append(Condition(name, "", operator, text))
            return
        for part in _OBJECTS:
            # "propertiesx" passes for a property called "propertiesx".
            if name.startswith(part):
                self.nodes.append(Condition(part, _name_in(part, name), operator, text))
                return
        self._fault(
            token,
            f"{_shown(token)} is nothing that contains() and match() can look at; "
            f"write {', '.join((*_PLAIN[1:], *(f'{part}.*' for part in _OBJECTS)))}",
        )

    def _fault(self, token: Token, text: str) -> None:
        self.faults.append(f"character {token.at}: {text}")

    def _note_passed_over(self) -> None:
        """One fault for what is passed over in a row: most likely it was to be one condition."""
        if not self.passed_over:
            return
        first, *rest = self.passed_over
        self.passed_over = []
        text = f"{first.value} is passed over"
        if rest:
            text += f", and {' '.join(token.value for token in rest)} after it"
        name, dot, path = first.value.partition(".")
        guess = closest(name, (*_PLAIN, *_OBJECTS, *_FUNCTIONS))
        if first.kind is Kind.IDENT and guess:
            self._fault(first, f"{text}; did you mean {guess}{dot}{path}?")
        else:
            self._fault(first, f"{text}; {_EXAMPLE}")

    def _shift(self) -> Token | None:
        token = self._peek()
        self.position += 1
        return token

    def _peek(self) -> Token | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None


def _shown(token: Token) -> str:
    return "the end" if token.kind is Kind.END else token.value


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
