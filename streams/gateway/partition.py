"""The partition of a person: that of Kafka's own partitioner in Java.

Producers in Java, and kafkajs, put a key into the partition ``murmur2(key) % partitions``. The
gateway does the same, so that a person's events share a partition of the source topic also
when other producers write them under the same key.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
_SEED: Final = 0x9747B28C


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """As `org.apache.kafka.clients.producer.internals.BuiltInPartitioner` does it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """The 32-bit hash of `org.apache.kafka.common.utils.Utils.murmur2`, unsigned."""
    length = len(data)
    h = _SEED ^ length
    words = length // 4
    for k in struct.unpack_from(f"<{words}I", data):
        k = k * _M & _MASK  # noqa: PLW2901
        h = (h * _M ^ (k ^ k >> 24) * _M) & _MASK
    rest = data[words * 4 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15
