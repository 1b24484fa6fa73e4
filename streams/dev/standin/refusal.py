"""The refusals of a stand-in."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):  # noqa: N818 - an answer, not a failure of the stand-in
    """The request is answered with an error.

    ``status`` is the HTTP status, ``code`` the API's own where one is known.
    """

    def __init__(self, status: int, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.code = code


def number(query: Mapping[str, str], name: str, default: int) -> int:
    """A whole number from 0 in a query.

    Raises:
        Refusal: 400 for anything else.
    """
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise Refusal(400, f"{name} must be a whole number")
    return int(text)
