"""What the gateway answers, as Segment's clients react to it.

Measured on the clients: any 2xx but 200 is a failure to RudderStack's, any 3xx a success to
Segment's for Node and browsers; after a 4xx other than 408 and 429 every client drops what it
sent; RudderStack's for Python needs `code` and `message` to understand an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import orjson

from streams.errors import InvalidEvent

SUCCESS: Final = b'{"success": true}'

RETRY_SOON: Final = 1
"""Retry-After when there is no room: it is made within a second."""

RETRY_LATER: Final = 2
"""Retry-After when Kafka does not confirm."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """A request that is not taken. ``code`` is short and stable, ``message`` for a person."""

    def __init__(
        self, status: int, code: str, message: str, *, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after

    def body(self) -> bytes:
        """The answer as JSON."""
        return orjson.dumps({"code": self.code, "message": self.message})

    def headers(self) -> dict[str, str]:
        """What the answer has in its head besides the usual."""
        if self.retry_after is None:
            return {}
        seconds = str(self.retry_after)
        return {"Retry-After": seconds, "X-RateLimit-Reset": seconds}


def batch_stored(count: int, invalid: Mapping[int, InvalidEvent]) -> bytes:
    """The answer to a batch of which ``count`` events are on the topic, and those are not."""
    if not invalid:
        return b'{"success": true, "count": %d}' % count
    rejected = [
        {"index": index, "code": error.reason, "message": str(error)}
        for index, error in invalid.items()
    ]
    return orjson.dumps({"success": True, "count": count, "rejected": rejected})


# -- browsers

CORS: Final[Mapping[str, str]] = {
    "Access-Control-Allow-Origin": "*",
    # Otherwise a page's script cannot see how long to wait.
    "Access-Control-Expose-Headers": "Retry-After, X-RateLimit-Reset",
}
_USUAL: Final = "authorization, content-type, content-encoding, x-retry-count"
_NAMES: Final = re.compile(r"[A-Za-z0-9_-]+(?: *, *[A-Za-z0-9_-]+)*")


def preflight(asked: str | None) -> dict[str, str]:
    """The head of the answer to an OPTIONS request that wants to send the headers ``asked``."""
    allowed = asked if asked and _NAMES.fullmatch(asked) else _USUAL
    return {
        **CORS,
        "Access-Control-Allow-Methods": "POST, OPTIONS",
        # `*` would not allow Authorization.
        "Access-Control-Allow-Headers": allowed,
        "Access-Control-Max-Age": "86400",
        "Vary": "Access-Control-Request-Headers",
    }
