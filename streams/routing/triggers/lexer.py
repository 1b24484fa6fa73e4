"""From the text of a trigger to tokens, as `@segment/fql-ts` reads it.

The reader is a state machine with a few habits that show, and that are kept: a keyword or an
operator counts only with a blank, a comma or a closing bracket behind it (``x <=5`` is ``x``,
``<``, ``=``, ``5``), a closing quote without one opens another string, and where the text ends
in the middle of a keyword the rest of it is lost.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class Kind(Enum):
    """What a token is."""

    IDENT = "ident"
    DOT = "dot"
    OPERATOR = "operator"
    CONDITIONAL = "conditional"
    STRING = "string"
    NUMBER = "number"
    NULL = "null"
    OPEN = "parenleft"
    CLOSE = "parenright"
    OTHER = "other"
    END = "eos"


class Token(NamedTuple):
    """``value`` is the text; a string keeps its quotes. ``at`` counts characters from 1."""

    kind: Kind
    value: str
    at: int = 0


class UnreadableError(ValueError):
    """The text is no trigger, because of what stands at its character ``at``.

    That is the last one of ``faults``.
    """

    def __init__(self, at: int, text: str) -> None:
        super().__init__(text)
        self.faults = [f"character {at}: {text}"]


END: Final = Token(Kind.END, "eos")

_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGITS: Final = frozenset("0123456789")
_IN_IDENT: Final = _LETTERS | _DIGITS | frozenset("_-\\")
_STARTS_IDENT: Final = _LETTERS | frozenset("_\\")
_BLANKS: Final = frozenset(" \t\n")
_NOTHING: Final = ""
"""What is read where the text has ended."""
_TERMINATORS: Final = _BLANKS | frozenset(",])") | {_NOTHING}
_AFTER_IDENT: Final = _TERMINATORS | frozenset(".(=!")
_SINGLE: Final = {
    "=": Kind.OPERATOR,
    ".": Kind.DOT,
    "(": Kind.OPEN,
    ")": Kind.CLOSE,
    "[": Kind.OTHER,
    "]": Kind.OTHER,
    ",": Kind.OTHER,
}
_MEANT: Final = {"&": "and", "|": "or", "\u201c": '"', "\u201d": '"', "\u201e": '"', ";": "and"}
_KEYWORDS: Final = {
    "and": Kind.CONDITIONAL,
    "or": Kind.CONDITIONAL,
    "null": Kind.NULL,
}


def tokenise(text: str) -> list[Token]:
    """The tokens of ``text``, :data:`END` last. Raises ``UnreadableError``."""
    return _Lexer(text).tokens()


class _Lexer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def tokens(self) -> list[Token]:
        tokens = []
        while char := self._next():
            if char not in _BLANKS:
                at = self._position
                tokens.append(self._token(char)._replace(at=at))
        return [*tokens, END._replace(at=self._position + 1)]

    def _token(self, char: str) -> Token:
        if char in _SINGLE:
            return Token(_SINGLE[char], char)
        if char in "!<>":
            return self._not() if char == "!" else self._less_or_more(char)
        if char in _STARTS_IDENT:
            return self._keyword(char) or self._ident(char)
        if char in _DIGITS or char in "+-":
            return self._number(char)
        if char in "\"'":
            return self._string(char)
        meant = f"write {_MEANT[char]}" if char in _MEANT else "put texts in double quotes"
        raise UnreadableError(self._position, f"{char} means nothing here; {meant}")

    def _less_or_more(self, char: str) -> Token:
        return Token(Kind.OPERATOR, char + ("=" if self._accept("=") else ""))

    def _not(self) -> Token:
        following = self._peek()
        if following == "(" or following in _LETTERS:
            return Token(Kind.OPERATOR, "!")
        if self._accept("="):
            return Token(Kind.OPERATOR, "!=")
        raise UnreadableError(
            self._position,
            '! should be followed by contains() or match(), or by = and a blank; write != "..."',
        )

    def _keyword(self, char: str) -> Token | None:
        for word, kind in _KEYWORDS.items():
            if word[0] == char and self._accept(word[1:]):
                return Token(kind, word)
        return None

    def _ident(self, char: str) -> Token:
        name = ""
        while True:
            if char == "\\":
                char = self._next()
                if not char:
                    raise UnreadableError(
                        self._position, "the trigger ends after a backslash; leave it out"
                    )
            name += char
            if self._peek() not in _IN_IDENT:
                break
            char = self._next()
        if self._peek() not in _AFTER_IDENT:
            raise UnreadableError(
                self._position + 1,
                f"{self._peek()} may not follow {name}; put a blank between them",
            )
        return Token(Kind.IDENT, name)

    def _number(self, number: str) -> Token:
        following = self._peek()
        points = 0
        while following == "." or following in _DIGITS:
            number += self._next()
            if following == ".":
                points += 1
                if points > 1 or self._peek() in _TERMINATORS:
                    raise UnreadableError(
                        self._position, f"{number} is no number; write one such as 9.5, or a text"
                    )
            following = self._peek()
        return Token(Kind.NUMBER, number)

    def _string(self, quote: str) -> Token:
        text, at = "", self._position
        while self._peek() != quote:
            char = self._next()
            if not char:
                raise UnreadableError(at, f"{quote}{text} has no end; write {quote} behind it")
            text += char
        self._accept(quote)
        return Token(Kind.STRING, f"{quote}{text}{quote}")

    def _accept(self, wanted: str) -> bool:
        """Goes past ``wanted`` if it is next and ends there; else stays, but see above."""
        read = ""
        for _ in wanted:
            char = self._next()
            if not char:
                return False
            read += char
            if char in _TERMINATORS:
                break
        if read == wanted and self._peek() in _TERMINATORS:
            return True
        self._position -= len(read)
        return False

    def _next(self) -> str:
        char = self._text[self._position : self._position + 1]
        self._position += len(char)
        return char

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]
