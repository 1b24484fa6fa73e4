"""The partition of a person is that of Kafka's own partitioner."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from streams.gateway.partition import murmur2, partition_of


@given(st.binary(max_size=80))
def test_the_hash_is_that_of_aiokafka(data: bytes) -> None:
    assert murmur2(data) == reference(data) & 0xFFFFFFFF


@pytest.mark.parametrize(
    # From Kafka's own test, org.apache.kafka.common.utils.UtilsTest.testMurmur2.
    ("text", "signed"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_the_hash_is_that_of_kafka(text: str, signed: int) -> None:
    assert murmur2(text.encode()) == signed & 0xFFFFFFFF


@given(st.text(max_size=50), st.integers(1, 64))
def test_a_key_has_one_partition(key: str, partitions: int) -> None:
    found = partition_of(key.encode(), partitions)
    assert 0 <= found < partitions
    assert partition_of(key.encode(), partitions) == found
