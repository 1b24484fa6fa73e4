"""The refusals of the stand-in."""

from __future__ import annotations

#: Error code of Encharge's REST API for a key it does not know (w6w package README, 2026-10).
BAD_KEY = 10082


class Refusal(Exception):  # noqa: N818 - an answer, not a failure of the stand-in
    """The request is answered with an error.

    ``status`` is the HTTP status, ``code`` the REST API's ``errorCode`` where one is known. How
    the text is wrapped depends on the API that was called, see :func:`.api.error_body`.
    """

    def __init__(self, status: int, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.code = code
