"""The largest batch of each network that fits on a chip beside the others."""

from collections.abc import Mapping

RESERVE = 0.15  # of the chip's memory: for recombine, which sees photos of any size, and what fragments leave unused


def largest_batches(memory: Mapping[str, Mapping[int, float]], total: float) -> dict[str, int]:
    """The largest measured batch of each network such that all of them fit together.

    While they do not fit, the network that takes the most memory and has a smaller batch gets that one.

    Args:
        memory: by network and batch size, in the unit of `total`.
        total: memory of the chip.

    Returns: by network; empty where not even the smallest batches fit.
    """
    chosen = {name: max(sizes) for name, sizes in memory.items()}
    while sum(memory[name][batch] for name, batch in chosen.items()) > total * (1.0 - RESERVE):
        larger = [name for name, batch in chosen.items() if batch > min(memory[name])]
        if not larger:
            return {}
        most = max(larger, key=lambda name: memory[name][chosen[name]])
        chosen[most] = max(batch for batch in memory[most] if batch < chosen[most])
    return chosen
