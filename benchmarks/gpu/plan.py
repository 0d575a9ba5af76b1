"""Which networks are measured in which variants, and in what order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

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


def rehearsed_first(plan: Plan) -> Plan:
    """The same plan, those pairs first that bring a network or a variant for the first time: a short rehearsal."""
    networks: set[str] = set()
    variants: set[str] = set()
    new: list[tuple[str, Variant]] = []
    known: list[tuple[str, Variant]] = []
    for network, variant in plan:
        brings_something = network not in networks or variant.name not in variants
        (new if brings_something else known).append((network, variant))
        networks.add(network)
        variants.add(variant.name)
    return [*new, *known]
