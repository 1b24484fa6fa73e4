"""Which offsets may be committed: in order, up to the first unfinished chunk."""

from __future__ import annotations

from dataclasses import dataclass

from streams.engine.acks import AckQueue


@dataclass  # with equality by value: the queue must not be misled by it
class Piece:
    next_offset: int
    finished: bool = False


def filled(*offsets: int) -> tuple[AckQueue[Piece], list[Piece]]:
    queue: AckQueue[Piece] = AckQueue()
    pieces = [Piece(offset) for offset in offsets]
    for piece in pieces:
        queue.add(piece)
    return queue, pieces


def test_nothing_is_committable_before_the_first_chunk_is_finished() -> None:
    queue, pieces = filled(10, 20)
    assert queue.committable() is None
    pieces[1].finished = True
    assert queue.committable() is None


def test_what_finished_out_of_order_waits_for_what_is_in_front_of_it() -> None:
    queue, pieces = filled(10, 20, 30)
    pieces[0].finished = pieces[2].finished = True
    assert queue.committable() == 10
    pieces[1].finished = True
    assert queue.committable() == 30


def test_the_offset_stays_committable_when_nothing_new_is_finished() -> None:
    queue, pieces = filled(10)
    pieces[0].finished = True
    assert [queue.committable(), queue.committable()] == [10, 10]


def test_finished_chunks_are_let_go() -> None:
    queue, pieces = filled(10, 20, 30)
    pieces[0].finished = True
    queue.committable()
    assert len(queue) == 2
    assert list(queue) == pieces[1:]


def test_a_chunk_is_known_by_identity() -> None:
    queue, [piece] = filled(10)
    assert queue.holds(piece)
    assert not queue.holds(Piece(10))


def test_a_chunk_from_before_a_rebalance_moves_nothing() -> None:
    queue, [old] = filled(10)
    queue.clear()
    again = Piece(10)
    queue.add(again)
    old.finished = True
    assert not queue.holds(old)
    assert queue.committable() is None


def test_a_cleared_queue_has_forgotten_what_was_committable() -> None:
    queue, [piece] = filled(10)
    piece.finished = True
    assert queue.committable() == 10
    queue.clear()
    assert queue.committable() is None
    assert len(queue) == 0
