"""A local Encharge: real HTTP, the documented behaviour, no network.

Both hosts are one server here: the Ingest API answers at ``POST /v1`` and the REST API under
``/v1/...``, so ``ENCHARGE_API_URL`` is the server's address and ``ENCHARGE_INGEST_URL`` that
address with ``/v1``. What is not documented for the real service is refused.

* :mod:`.api` answers the requests of Encharge's two APIs and names the source of each rule.
* :mod:`.people` keeps the people, finds and merges them.
* :mod:`.account` keeps the person fields, the object schemas and the objects.
* :mod:`.control` is what a test or a person reads and sets, under ``/_stand-in/``.
* :mod:`.server` puts them behind HTTP.
* :mod:`streams.dev.standin` has what all stand-ins share, such as the request log and faults.
"""

from __future__ import annotations

from streams.dev.encharge.server import create_app, serve
from streams.dev.encharge.state import StandIn

__all__ = ["StandIn", "create_app", "serve"]
