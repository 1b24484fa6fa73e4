"""A local User.com: real HTTP, the documented behaviour, no network.

``USERCOM_API_URL`` is the server's address. What is not documented for the real service is
refused. :mod:`.account` has the people, companies and typed attributes, :mod:`.api` the calls and
the source of each rule, :mod:`.server` puts them behind HTTP.
"""

from __future__ import annotations

from streams.dev.usercom.account import StandIn
from streams.dev.usercom.server import create_app, serve

__all__ = ["StandIn", "create_app", "serve"]
