"""Segment events from Kafka to marketing automation.

The way of an event, by folder: :mod:`streams.source` decodes and validates it,
:mod:`streams.identity` finds out who it belongs to, :mod:`streams.routing` picks the
per-action streams, :mod:`streams.destinations` maps it to requests,
:mod:`streams.batching` puts a window of them into per-person lanes and
:mod:`streams.delivery` sends them. :mod:`streams.dead_letters` keeps what could not be
delivered. :mod:`streams.pipeline` shows the whole on one page.
"""

__version__ = "0.1.0"
