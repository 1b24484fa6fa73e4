"""Segment's HTTP Tracking API in front of the source topic (docs/gateway.md).

Rules without a network: :mod:`answers`, :mod:`auth`, :mod:`parse`, :mod:`stamp`,
:mod:`partition`, :mod:`room`. :mod:`outbox` knows Kafka, :mod:`server` HTTP, :mod:`run` both.
"""
