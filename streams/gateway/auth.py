"""Whose request it is: write keys and the names of their sources."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from typing import Final

from streams.gateway.answers import Refusal

OPEN: Final = "open"
"""The source of requests with an unknown key, or none, when the gateway is open to all."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class WriteKeys:
    """The accepted keys. Comparing takes the same time whichever key is right, or none."""

    def __init__(self, setting: str | None, *, is_open: bool = False) -> None:
        """``setting`` is ``key`` or ``key:source-name``, comma-separated.

        Raises ``ValueError``, whose text holds no key.
        """
        self.is_open = is_open
        self._sources: list[tuple[bytes, str]] = []
        for number, key, name in _entries(setting):
            digest = _digest(key.encode())
            if any(digest == known for known, _ in self._sources):
                raise ValueError(f"entry {number} has the key of an earlier one")
            # Stable when the list changes, and no way back to the key.
            source = name or f"key-{digest.hex()[:8]}"
            if not _NAME.fullmatch(source):
                raise ValueError(
                    f"entry {number}: a source name has 1 to 64 letters, digits, '.', '_' or '-'"
                )
            self._sources.append((digest, source))

    @property
    def names(self) -> list[str]:
        """The sources, each once."""
        return list(dict.fromkeys(name for _, name in self._sources))

    def source_of(self, key: bytes | None) -> str:
        """The name of the key's source. Raises ``Refusal`` (401) for a key that is none."""
        found = ""
        given = _digest(key or b"")
        for digest, name in self._sources:
            if hmac.compare_digest(digest, given):
                found = name
        if found:
            return found
        if self.is_open:
            return OPEN
        if not self._sources:
            raise Refusal(401, "no-write-keys", "This gateway has no write keys and is not open.")
        if key is None:
            raise Refusal(
                401,
                "no-write-key",
                "Send the write key as the user name of Basic authorization, or as writeKey.",
            )
        raise Refusal(401, "unknown-write-key", "The write key is not known here.")


def first_key(setting: str | None) -> str:
    """The first key of the setting; empty if there is none. Raises ``ValueError``."""
    return next((key for _, key, _ in _entries(setting)), "")


def _entries(setting: str | None) -> Iterator[tuple[int, str, str]]:
    """Number, key and name, which may be empty, of each entry of the setting."""
    for number, part in enumerate((setting or "").split(","), 1):
        if not part.strip():
            continue
        key, _, name = (text.strip() for text in part.partition(":"))
        if not key:
            raise ValueError(f"entry {number} has no key before the colon")
        yield number, key, name


def basic_user(authorization: str | None) -> bytes | None:
    """The user name of a Basic ``Authorization`` header: the write key. None if there is none.

    The password is expected to be empty and not looked at. Raises ``Refusal`` (401).
    """
    if not authorization:
        return None
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        # A Bearer token comes with the key in the body.
        return None
    try:
        user = base64.b64decode(credentials.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(401, "bad-authorization", "The Basic credentials are not Base64.") from None
    return user.partition(b":")[0] or None


def _digest(key: bytes) -> bytes:
    # Of one length whatever the key's: hmac.compare_digest tells lengths apart.
    return hashlib.sha256(key).digest()
