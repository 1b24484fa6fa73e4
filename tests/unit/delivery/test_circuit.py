"""When a destination is not to be called but for a probe."""

from __future__ import annotations

from streams.delivery.circuit import BASE_SECONDS, CAP_SECONDS, Circuit, State


def failing(circuit: Circuit, people: int, now: float = 0.0) -> Circuit:
    for person in range(people):
        circuit.failed(person, now, now)
    return circuit


def test_failures_of_so_many_people_in_a_row_open_it() -> None:
    circuit = failing(Circuit(3), 2)
    assert circuit.state is State.CLOSED
    circuit.failed("one more", 0, 0)
    assert circuit.state is State.OUTAGE


def test_one_person_s_failures_say_nothing_about_the_destination() -> None:
    circuit = Circuit(3)
    for attempt in range(1000):
        circuit.failed("the same", attempt, attempt)
        circuit.failed("another", attempt, attempt)
    assert not circuit.is_open


def test_any_answer_between_them_begins_the_count_anew() -> None:
    circuit = failing(Circuit(3), 2)
    circuit.answered(0, 0, is_final=False)
    assert not failing(circuit, 2).is_open


def test_one_refusal_is_enough() -> None:
    circuit = Circuit(3)
    circuit.refused(0, 0)
    assert circuit.state is State.REFUSED


def test_probes_go_one_at_a_time_less_and_less_often_but_often_enough() -> None:
    circuit = failing(Circuit(1, draw=lambda: 1.0), 1)
    assert not circuit.may_probe(BASE_SECONDS - 0.001)
    now, waits = 0.0, []
    for _ in range(20):
        waits.append(circuit.probe_at - now)
        now = circuit.probe_at
        assert circuit.may_probe(now)
        circuit.probe()
        assert not circuit.may_probe(now + 1000), "one is under way"
        circuit.failed("probe", now, now)
    assert waits[:4] == [BASE_SECONDS * factor for factor in (1, 2, 4, 8)]
    assert set(waits[4:]) == {CAP_SECONDS}


def test_probes_of_many_workers_do_not_go_at_the_same_time() -> None:
    waits = {failing(Circuit(1), 1).probe_at for _ in range(50)}
    assert len(waits) > 40
    assert all(BASE_SECONDS / 2 <= wait <= BASE_SECONDS for wait in waits)


def test_an_answer_to_the_probe_closes_it() -> None:
    circuit = failing(Circuit(1), 1)
    circuit.probe()
    circuit.answered(5, 5, is_final=True)
    assert not circuit.is_open
    assert not circuit.may_probe(100)


def test_what_was_under_way_when_it_opened_delays_no_probe() -> None:
    circuit = failing(Circuit(1), 1, now=10)
    planned = circuit.probe_at
    for late in range(50):
        circuit.failed(late, 9, 12)
    assert circuit.probe_at == planned


def test_any_answer_ends_an_outage_but_only_one_to_an_event_begun_since_ends_a_refusal() -> None:
    outage = failing(Circuit(1), 1, now=10)
    outage.answered(9, 12, is_final=False)
    assert not outage.is_open
    refused = Circuit(1)
    refused.refused(10, 10)
    refused.answered(9, 12, is_final=True)
    refused.answered(13, 13, is_final=False)
    refused.failed("x", 14, 14)
    assert refused.state is State.REFUSED
    refused.answered(15, 15, is_final=True)
    assert not refused.is_open


def test_a_refusal_of_the_probe_of_an_outage_is_a_refusal() -> None:
    circuit = failing(Circuit(1), 1)
    circuit.probe()
    circuit.refused(5, 5)
    assert circuit.state is State.REFUSED
    assert circuit.may_probe(circuit.probe_at)


def test_a_probe_that_is_not_called_leaves_the_way_to_another() -> None:
    circuit = failing(Circuit(1), 1)
    now = circuit.probe_at
    circuit.probe()
    circuit.unused()
    assert circuit.may_probe(now)
