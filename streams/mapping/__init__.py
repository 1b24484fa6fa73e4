"""Segment's mapping kit, compiled: from an event to the payload of an action.

A mapping is JSON in which objects like ``{"@path": "$.userId"}`` (directives) stand for parts
of the event. It is compiled once, to closures, and applied to every event.
"""

from streams.mapping.compiler import compile_mapping
from streams.mapping.javascript import UNDEFINED
from streams.mapping.payload import Field, compile_payload, default_mapping

__all__ = ["UNDEFINED", "Field", "compile_mapping", "compile_payload", "default_mapping"]
