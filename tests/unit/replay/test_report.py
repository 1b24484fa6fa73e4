"""The report adds up, and people are counted in bounded memory."""

from __future__ import annotations

from streams.replay import report as module
from streams.replay.report import CONFIRMED, People, Problem, Report


def test_few_people_are_counted_exactly() -> None:
    people = People()
    for _ in range(3):
        people.update(str(number).encode() for number in range(5_000))
    assert len(people) == 5_000


def test_many_people_are_counted_nearly() -> None:
    people = People()
    for _ in range(2):
        for start in range(0, 300_000, 10_000):
            people.update(b"%d" % number for number in range(start, start + 10_000))
    assert abs(len(people) - 300_000) < 1_500
    assert not people._seen


def test_the_counts_add_up() -> None:
    report = Report(read=100, produced=50)
    report.filtered.update(time=10, type=5)
    report.broken.update({"not-json": 3})
    report.skipped.update({CONFIRMED: 20})
    assert report.left == 12
    data = report.as_object()
    assert data["filtered"] == {"total": 15, "time": 10, "type": 5}
    assert data["read"] == (
        data["produced"]
        + data["filtered"]["total"]
        + data["broken"]["total"]
        + data["skipped"]["total"]
        + data["left"]
    )
    text = "\n".join(report.as_lines())
    for part in ("read      100", "time 10, type 5", "confirmed-before 20"):
        assert part in text


def test_problems_are_kept_up_to_a_number() -> None:
    report = Report()
    problem = Problem("file:1", "not-json", "oops")
    kept = [report.note(problem) for _ in range(module.PROBLEMS_KEPT + 1)]
    assert kept[-2:] == [True, False]
    assert str(problem) == "file:1: oops"
