"""Rounds of results as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from bench.result import Result

RATIOS: Final = (
    ("pipeline", "raw", "the pipeline without calls, of the client alone"),
    ("faust", "raw", "stock Faust, of the client alone"),
    ("pipeline", "faust", "the pipeline without calls, of stock Faust"),
    ("pipeline", "quix", "the pipeline without calls, of Quix Streams"),
    ("http", "posts", "the pipeline with calls, of its calls alone"),
)

Rounds = Mapping[str, Sequence[Result]]


def show(console: Console, rounds: Rounds, described: Mapping[str, str]) -> None:
    """Print the rates, and the ratios round by round."""
    rates = Table(box=box.MARKDOWN)
    for title in ("contestant", "events/s", "(min..max)", "of raw", "CPU us/event"):
        rates.add_column(title, justify="left" if title == "contestant" else "right")
    for name, results in rounds.items():
        if results:
            rates.add_row(
                f"{name}: {described[name]}",
                f"{median(_rates(results)):,.0f}",
                f"({min(_rates(results)):,.0f}..{max(_rates(results)):,.0f})",
                _middle(_ratios(rounds, name, "raw")),
                f"{median(result.cpu_micros for result in results):.0f}",
            )
    console.print(rates)
    ratios = Table(box=box.MARKDOWN)
    for title in ("ratio", "by the clock", "(min..max)", "by CPU time"):
        ratios.add_column(title, justify="left" if title == "ratio" else "right")
    for name, base, meaning in RATIOS:
        found = _ratios(rounds, name, base)
        if found:
            ratios.add_row(
                f"{name} / {base}: {meaning}",
                _middle(found),
                f"({min(found):.3f}..{max(found):.3f})",
                _middle(_ratios(rounds, name, base, lambda result: 1 / result.cpu_micros)),
            )
    if ratios.row_count:
        console.print(ratios)


def _rates(results: Iterable[Result]) -> list[float]:
    return [result.rate for result in results]


def _ratios(
    rounds: Rounds,
    name: str,
    base: str,
    speed: Callable[[Result], float] = lambda result: result.rate,
) -> list[float]:
    # Within a round, as what is measured minutes apart has drifted.
    pairs = zip(rounds.get(name, ()), rounds.get(base, ()), strict=False)
    return [speed(one) / speed(other) for one, other in pairs]


def _middle(values: Sequence[float]) -> str:
    return f"{median(values):.3f}" if values else "-"
