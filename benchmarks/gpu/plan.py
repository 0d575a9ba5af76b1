"""Which networks are measured in which variants, in what order, and what a dry run left undone of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from benchmarks.gpu.results import Point, Results
from benchmarks.gpu.variants import Variant

Plan: TypeAlias = Sequence[tuple[str, Variant]]


def plan_of(
    order: Sequence[tuple[str, Sequence[str]]],
    variants: Mapping[str, Variant],
    networks: Collection[str],
    names: Collection[str],
) -> Plan:
    """The pairs of `order` whose network and variant are among the chosen; of an empty choice, all are."""
    return [
        (network, variants[name])
        for network, of_network in order
        for name in of_network
        if network in (networks or (network,)) and name in (names or (name,))
    ]


def not_rehearsed(plan: Plan, batches: Sequence[int], results: Results) -> list[str]:
    """A sentence for each planned pair that did not run at all of its batch sizes, or not as the gate wants it.

    What the machine lacks for a variant is no failure of it: such a pair is in `unavailable`.
    """
    sentences = []
    for network, variant in plan:
        points = results.at(network, variant.name)
        faults = [fault(points.get(batch), batch) for batch in variant.batches(batches, tiny=True)]
        if any(faults):
            sentences.append(f"{network}, {variant.name}: {', '.join(filter(None, faults))}")
    return sentences


def fault(point: Point | None, batch: int) -> str:
    """What is wrong with a point of a rehearsal, "" if nothing is."""
    if point is None:
        return f"batch {batch} was not begun"
    if point.unavailable:
        return ""
    if point.finding:
        return f"batch {batch} {point.finding}"
    gate = {True: "", False: f"batch {batch} is refused by the gate", None: f"batch {batch} was not compared"}
    return gate[point.faithful]


def unavailable(plan: Plan, results: Results) -> list[str]:
    """A sentence for each planned pair that needs what this machine lacks."""
    found = []
    for network, variant in plan:
        lacks = [one.finding for one in results.at(network, variant.name).values() if one.unavailable]
        found += [f"{network}, {variant.name}: {lacks[0]}"] if lacks else []
    return found
