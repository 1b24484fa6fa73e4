"""The grammar: python-liquid's parser, with the tags that LiquidJS has at Segment.

Only the parser is used. What a template means is in :mod:`.compiler`, because python-liquid
answers as Ruby's Liquid does, and Segment runs LiquidJS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

from liquid import Environment
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, parse_identifier, tokenize
from liquid.builtin.expressions.filtered import Filter
from liquid.builtin.expressions.logical import parse_boolean_primitive
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.assign_tag import AssignNode, AssignTag
from liquid.builtin.tags.echo_tag import EchoTag
from liquid.exceptions import LiquidError as ParserError
from liquid.exceptions import LiquidSyntaxError
from liquid.expression import Expression
from liquid.parser import get_parser
from liquid.stream import TokenStream
from liquid.tag import Tag
from liquid.token import (
    TOKEN_ASSIGN,
    TOKEN_DOT,
    TOKEN_EOF,
    TOKEN_EXPRESSION,
    TOKEN_OUTPUT,
    TOKEN_PIPE,
    TOKEN_TAG,
    TOKEN_WORD,
    Token,
)

from streams.mapping.liquid.values import LiquidError

DISABLED_TAGS: Final = ("case", "for", "include", "layout", "render", "tablerow")
"""Segment's list (`packages/core/src/mapping-kit/liquid-directive.ts`)."""

_UNKNOWN_TAGS: Final = ("doc", "ifchanged")
"""What python-liquid has and LiquidJS has not."""


class _AnyFilter(dict[str, Callable[..., Any]]):
    """LiquidJS does not mind filters that it does not know."""

    def __missing__(self, name: str) -> Callable[..., Any]:
        return _no_filter


def _no_filter(value: Any) -> Any:
    return value


_NO_KEYWORDS: Final = frozenset(
    {
        *("as", "cols", "continue", "else", "for", "if", "in", "limit", "offset", "required"),
        *("reversed", "with"),
    }
)
"""Words that mean something to python-liquid in places where LiquidJS expects a name."""
_KEYWORDS: Final = _NO_KEYWORDS | {
    *("and", "blank", "contains", "empty", "false", "nil", "not", "null", "or", "true")
}


def _tokens_of(expression: Token) -> Iterator[Token]:
    """The tokens of an expression. To LiquidJS, what stands behind a dot is always a name."""
    after_dot = False
    for token in tokenize(expression.value, expression):
        is_name = token.kind in (_KEYWORDS if after_dot else _NO_KEYWORDS)
        yield token._replace(kind=TOKEN_WORD) if is_name else token
        after_dot = token.kind == TOKEN_DOT


class _Stream(TokenStream):
    def into_inner(self, *, tag: Token | None = None, eat: bool = True) -> TokenStream:
        token = self.current
        if token.kind != TOKEN_EXPRESSION:
            return super().into_inner(tag=tag, eat=eat)
        if eat:
            next(self)
        return TokenStream(_tokens_of(token))


def _parse_value(env: Environment, tokens: TokenStream) -> FilteredExpression:
    """A value and its filters. In LiquidJS, the value may be a comparison."""
    left: Expression = parse_boolean_primitive(env, tokens)
    filters = Filter.parse(env, tokens, delim=(TOKEN_PIPE,))
    tokens.eat(TOKEN_EOF)
    return FilteredExpression(left.token, left, filters)


class _Output(Output):
    def parse(self, stream: TokenStream) -> OutputNode:
        token = stream.eat(TOKEN_OUTPUT)
        inner = stream.expect(TOKEN_EXPRESSION)
        tokens = TokenStream(_tokens_of(inner))
        return self.node_class(token, _parse_value(self.env, tokens))


class _Echo(EchoTag):
    def parse(self, stream: TokenStream) -> Node:
        token = stream.eat(TOKEN_TAG)
        tokens = stream.into_inner(tag=token, eat=False)
        return self.node_class(token, _parse_value(self.env, tokens))


class _Assign(AssignTag):
    def parse(self, stream: TokenStream) -> AssignNode:
        token = stream.eat(TOKEN_TAG)
        tokens = stream.into_inner(tag=token, eat=False)
        name = parse_identifier(self.env, tokens, allow_trailing_question_mark=False)
        tokens.eat(TOKEN_ASSIGN)
        return self.node_class(token, name=name, expression=_parse_value(self.env, tokens))


def _disabled(tag: str) -> type[Tag]:
    class Disabled(Tag):
        name = tag

        def parse(self, stream: TokenStream) -> NoReturn:
            raise LiquidSyntaxError(f"the tag {tag} is disabled", token=stream.current)

    return Disabled


class _Environment(Environment):
    logical_not_operator = True
    shorthand_indexes = True

    def _parse(self, source: str) -> list[Node]:
        return get_parser(self).parse(_Stream(self.tokenizer()(source)))


def _environment() -> Environment:
    env = _Environment()
    env.filters = _AnyFilter()
    for name in _UNKNOWN_TAGS:
        del env.tags[name]
    tags: list[type[Tag]] = [_Output, _Echo, _Assign, *map(_disabled, DISABLED_TAGS)]
    for tag in tags:
        env.add_tag(tag)
    return env


_ENVIRONMENT: Final = _environment()


def parse(text: str) -> list[Node]:
    """The nodes of a template. Raises ``LiquidError``."""
    try:
        return _ENVIRONMENT.from_string(text).nodes
    except ParserError as error:
        raise LiquidError(str(error).splitlines()[0]) from None
    except RecursionError:
        raise LiquidError("the template is nested too deeply") from None
