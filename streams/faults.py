"""Telling everything that is wrong at once, and what may have been meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from streams.errors import SettingsError


class Faults(list[Any]):
    """What has been found wrong so far, in the form of ``SettingsError``'s arguments.

    ``with faults:`` goes on after a ``SettingsError`` in the block, and keeps what it says.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> bool:
        if not isinstance(error, SettingsError):
            return False
        self.extend(error.args)
        return True

    def raise_any(self) -> None:
        """Raise one ``SettingsError`` with everything, if there is anything."""
        if self:
            raise SettingsError(*self)


def closest(word: Any, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The one of ``known`` that ``word`` is most likely a misspelling of."""
    names = {name.lower(): name for name in known}
    found = get_close_matches(str(word).lower(), names, n=1, cutoff=cutoff)
    return names[found[0]] if found else None


def suggestion(word: Any, known: Iterable[str]) -> str:
    """What to write instead of ``word``, as the end of a message."""
    known = list(known)
    guess = closest(word, known)
    return f"did you mean {guess}?" if guess else f"known are {', '.join(known)}"
