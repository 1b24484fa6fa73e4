"""From a parsed template to closures that answer as LiquidJS does."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from liquid.ast import BlockNode, Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.expressions.arguments import KeywordArgument
from liquid.builtin.expressions.filtered import Filter as FilterNode
from liquid.builtin.expressions.logical import (
    BooleanExpression,
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
    LogicalNotExpression,
    LogicalOrExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.path import Path
from liquid.builtin.expressions.primitive import (
    Blank,
    Empty,
    Literal,
    Nil,
    RangeLiteral,
    StringLiteral,
)
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.comment_tag import CommentNode
from liquid.builtin.tags.cycle_tag import CycleNode
from liquid.builtin.tags.decrement_tag import DecrementNode
from liquid.builtin.tags.for_tag import BreakNode, ContinueNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.increment_tag import IncrementNode
from liquid.builtin.tags.liquid_tag import LiquidNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.expression import Expression

from streams.mapping.javascript import number_to_string, whole_characters
from streams.mapping.liquid.filters import FILTERS, TAKE_WORDS, Filter
from streams.mapping.liquid.syntax import parse
from streams.mapping.liquid.values import (
    Drop,
    LiquidError,
    comparison,
    contains,
    equals,
    is_truthy,
    number_of,
    plain,
    property_of,
    text_of,
)

MAX_RANGE: Final = 100_000
"""Ours: longer ranges than that are refused."""


@dataclass(slots=True)
class Frame:
    """One use of a template: what it reads, and what it has set so far."""

    event: dict[str, Any]
    variables: dict[str, Any] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    cycles: dict[str, int] = field(default_factory=dict)
    stopped: bool = False

    def find(self, name: Any) -> Any:
        """A variable, else a counter, else a part of the event."""
        for scope in (self.variables, self.counters, self.event):
            if name in scope:
                return scope
        return {}


_Evaluate: TypeAlias = Callable[[Frame], Any]
_Write: TypeAlias = Callable[[Frame], str]


def compile_liquid(text: str) -> Callable[[Any], str]:
    """A closure from an event to what the template makes of it.

    Raises ``LiquidError`` for a template that cannot be read; the closure raises it where a
    filter fails. What is no object has no variables.
    """
    write = _compile_nodes(parse(text))

    def render(event: Any) -> str:
        try:
            return whole_characters(write(Frame(event if isinstance(event, dict) else {})))
        except RecursionError:
            raise LiquidError("the event is nested too deeply") from None

    return render


# -- tags


def _compile_nodes(nodes: Sequence[Node]) -> _Write:
    writers = [_compile_node(node) for node in nodes if not isinstance(node, CommentNode)]

    def write(frame: Frame) -> str:
        pieces = []
        for writer in writers:
            if frame.stopped:
                break
            pieces.append(writer(frame))
        return "".join(pieces)

    return write if len(writers) != 1 else writers[0]


def _compile_node(node: Node) -> _Write:
    for kind, compile_kind in _NODES.items():
        if isinstance(node, kind):
            return compile_kind(node)
    raise LiquidError(f"the tag {node.token.value} is not known")


def _compile_block(block: BlockNode | None) -> _Write:
    return _compile_nodes(block.nodes if block else [])


def _content(node: ContentNode) -> _Write:
    text = node.text
    return lambda _frame: text


def _output(node: OutputNode) -> _Write:
    value = _compile(node.expression)
    return lambda frame: text_of(value(frame))


def _assign(node: AssignNode) -> _Write:
    name, value = str(node.name), _compile(node.expression)

    def write(frame: Frame) -> str:
        frame.variables[name] = value(frame)
        return ""

    return write


def _capture(node: CaptureNode) -> _Write:
    name, block = str(node.name), _compile_block(node.block)

    def write(frame: Frame) -> str:
        frame.variables[name] = block(frame)
        return ""

    return write


def _branches(node: IfNode | UnlessNode, *, unless: bool) -> _Write:
    first = _compile(node.condition)
    branches = [(_negated(first) if unless else first, _compile_block(node.consequence))]
    for alternative in node.alternatives:
        branches.append((_compile(alternative.expression), _compile_block(alternative.block)))
    default = _compile_block(node.default)

    def write(frame: Frame) -> str:
        for condition, block in branches:
            if is_truthy(condition(frame)):
                return block(frame)
        return default(frame)

    return write


def _count(node: IncrementNode | DecrementNode, *, up: bool) -> _Write:
    name = str(node.name)

    def write(frame: Frame) -> str:
        # LiquidJS counts in the event itself, where later fields would see it. We do not.
        count = frame.counters.get(name, frame.event.get(name))
        if isinstance(count, bool) or not isinstance(count, (int, float)):
            count = 0
        frame.counters[name] = count + 1 if up else count - 1
        return number_to_string(count if up else count - 1)

    return write


def _cycle(node: CycleNode) -> _Write:
    group = _compile(node.group) if node.group else None
    values = [_compile(argument) for argument in node.args]
    names = ",".join(map(str, node.args))

    def write(frame: Frame) -> str:
        key = f"{text_of(group(frame)) if group else ''}:{names}"
        turn = frame.cycles.get(key, 0)
        frame.cycles[key] = (turn + 1) % len(values)
        return text_of(values[turn](frame))

    return write


def _stop(_node: Node) -> _Write:
    def write(frame: Frame) -> str:
        frame.stopped = True
        return ""

    return write


_NODES: Final[dict[type[Node], Callable[[Any], _Write]]] = {
    ContentNode: _content,
    OutputNode: _output,
    AssignNode: _assign,
    CaptureNode: _capture,
    IfNode: lambda node: _branches(node, unless=False),
    UnlessNode: lambda node: _branches(node, unless=True),
    IncrementNode: lambda node: _count(node, up=True),
    DecrementNode: lambda node: _count(node, up=False),
    CycleNode: _cycle,
    LiquidNode: lambda node: _compile_block(node.block),
    BreakNode: _stop,
    ContinueNode: _stop,
}


# -- expressions


def _compile(expression: Expression) -> _Evaluate:
    for kind, compile_kind in _EXPRESSIONS.items():
        if isinstance(expression, kind):
            return compile_kind(expression)
    raise LiquidError(f"{expression} is not known")


def _constant(value: Any) -> _Evaluate:
    return lambda _frame: value


def _negated(value: _Evaluate) -> _Evaluate:
    return lambda frame: not is_truthy(value(frame))


def _filtered(expression: FilteredExpression) -> _Evaluate:
    value = _compile(expression.left)
    for step in expression.filters or ():
        value = _apply(value, step)
    return value


def _apply(value: _Evaluate, step: FilterNode) -> _Evaluate:
    change = FILTERS.get(step.name, _unknown_filter)
    named = {
        argument.name: _compile(argument.value)
        for argument in step.args
        if isinstance(argument, KeywordArgument)
    }
    arguments = [
        _compile(argument.value)
        for argument in step.args
        if not isinstance(argument, KeywordArgument)
    ]
    if named and step.name != "default":
        named = {}
    seen_as = plain if step.name in FILTERS.keys() - TAKE_WORDS else _same

    def evaluate(frame: Frame) -> Any:
        return _call(
            change,
            seen_as(value(frame)),
            [seen_as(argument(frame)) for argument in arguments],
            {name: plain(argument(frame)) for name, argument in named.items()},
        )

    return evaluate


def _call(change: Filter, value: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
    while True:
        try:
            return change(value, *arguments, **named)
        except TypeError:
            # JavaScript ignores arguments that a function does not take.
            if not arguments and not named:
                raise
            arguments, named = arguments[:-1], {}


def _same(value: Any) -> Any:
    return value


def _unknown_filter(value: Any, *_arguments: Any) -> Any:
    return value


def _path(expression: Path) -> _Evaluate:
    keys = [_compile(key) if isinstance(key, Path) else _constant(key) for key in expression.path]
    first, rest = keys[0], keys[1:]

    def evaluate(frame: Frame) -> Any:
        name = _key(first(frame))
        found = property_of(frame.find(name), name)
        for key in rest:
            found = property_of(found, plain(key(frame)))
        return found

    return evaluate


def _key(value: Any) -> str:
    return value if isinstance(value, str) else text_of(value)


_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{0,4})|([0-7]{1,3})|(.)|$)", re.DOTALL)
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _unescape(match: re.Match[str]) -> str:
    hexadecimal, octal, char = match.groups()
    if char is not None:
        return _ESCAPES.get(char, char)
    return chr(int(hexadecimal or "0", 16) if octal is None else int(octal, 8))


def _string(expression: StringLiteral) -> _Evaluate:
    return _constant(_ESCAPE.sub(_unescape, expression.value))


def _range(expression: RangeLiteral) -> _Evaluate:
    start, stop = _compile(expression.start), _compile(expression.stop)

    def evaluate(frame: Frame) -> Any:
        first, last = number_of(start(frame)), number_of(stop(frame))
        if last - first >= MAX_RANGE:
            raise LiquidError("a range is too long")
        values = []
        while first <= last:
            values.append(first)
            first += 1
        return values

    return evaluate


def _equality(expression: EqExpression | NeExpression, *, wanted: bool) -> _Evaluate:
    left, right = _compile(expression.left), _compile(expression.right)
    return lambda frame: equals(left(frame), right(frame)) is wanted


def _order(name: str) -> Callable[[Any], _Evaluate]:
    compare = comparison(name)

    def compile_order(expression: LtExpression) -> _Evaluate:
        sides = (expression.left, expression.right)
        # Nothing is less or more than nil, empty and blank.
        if any(isinstance(side, (Nil, Empty, Blank)) for side in sides):
            return _constant(False)
        left, right = map(_compile, sides)
        return lambda frame: compare(plain(left(frame)), plain(right(frame)))

    return compile_order


def _contains(expression: ContainsExpression) -> _Evaluate:
    left, right = _compile(expression.left), _compile(expression.right)
    return lambda frame: contains(plain(left(frame)), right(frame))


def _both(expression: LogicalAndExpression) -> _Evaluate:
    left, right = _compile(expression.left), _compile(expression.right)

    def evaluate(frame: Frame) -> Any:
        first, second = is_truthy(left(frame)), is_truthy(right(frame))
        return first and second

    return evaluate


def _either(expression: LogicalOrExpression) -> _Evaluate:
    left, right = _compile(expression.left), _compile(expression.right)

    def evaluate(frame: Frame) -> Any:
        first, second = is_truthy(left(frame)), is_truthy(right(frame))
        return first or second

    return evaluate


_EXPRESSIONS: Final[dict[type[Expression], Callable[[Any], _Evaluate]]] = {
    FilteredExpression: _filtered,
    BooleanExpression: lambda expression: _compile(expression.expression),
    Path: _path,
    StringLiteral: _string,
    Literal: lambda expression: _constant(expression.value),
    Nil: lambda _expression: _constant(Drop.NIL),
    Empty: lambda _expression: _constant(Drop.EMPTY),
    Blank: lambda _expression: _constant(Drop.BLANK),
    RangeLiteral: _range,
    EqExpression: lambda expression: _equality(expression, wanted=True),
    NeExpression: lambda expression: _equality(expression, wanted=False),
    LtExpression: _order("<"),
    LeExpression: _order("<="),
    GtExpression: _order(">"),
    GeExpression: _order(">="),
    ContainsExpression: _contains,
    LogicalAndExpression: _both,
    LogicalOrExpression: _either,
    LogicalNotExpression: lambda expression: _negated(_compile(expression.right)),
}
