"""The Markdown tables of the results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.gpu.predictions import CLAIMED_MEMORY, CLAIMS, PREDICTIONS
from benchmarks.gpu.results import Point, Results

IMAGES = 10_000


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; | in a cell would end it."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def seeds_table(results: Results, network: str, variant: str) -> str:
    """The table of the replaced pipeline for one network, its claims for the whole pipeline beside it."""
    hours = f"hours for {IMAGES:,}"
    header = ("batch", "GPU memory", "share of peak", "s/image", hours, "claimed s/image", "claimed memory")
    points = results.at(network, variant)
    rows = []
    for batch in sorted({*points, *CLAIMS}):
        claimed = (f"{CLAIMS[batch]:g}", CLAIMED_MEMORY[batch]) if batch in CLAIMS else ("-", "-")
        rows.append((str(batch), *seeds_row(results, points.get(batch)), *claimed))
    return table(header, rows)


def seeds_row(results: Results, point: Point | None) -> tuple[str, str, str, str]:
    """Memory, share, seconds per image and hours of one point."""
    if point is None or point.ms_per_image is None or point.memory_mb is None:
        return (point.finding if point else "not measured", "-", "-", "-")
    seconds = point.ms_per_image / 1e3
    hours = seconds * IMAGES / 3600
    return f"{point.memory_mb / 1e3:.1f} GB", percent(results.share(point)), f"{seconds:.4f}", f"{hours:.3f}"


def network_table(results: Results, network: str) -> str:
    """A network's variants: time, images per second, share of the peak and memory at each batch, and the parity."""
    header = ("variant", "batch", "ms/image", "images/s", "share of peak", "memory", "against fp32", "gate")
    points = sorted((one for one in results.points if one.network == network), key=lambda one: one.batch)
    variants = dict.fromkeys(one.variant for one in results.points if one.network == network)
    return table(header, (network_row(results, one) for name in variants for one in points if one.variant == name))


def network_row(results: Results, point: Point) -> tuple[str, ...]:
    """A point in the columns of `network_table`."""
    if point.ms_per_image is None or point.memory_mb is None:
        return (point.variant, str(point.batch), point.finding, "-", "-", "-", "-", "-")
    gate = {True: "keeps it", False: "**refuses it**", None: "not compared"}[point.faithful]
    return (
        point.variant,
        str(point.batch),
        f"{point.ms_per_image:.3f}",
        f"{1e3 / point.ms_per_image:.1f}",
        percent(results.share(point)),
        f"{point.memory_mb / 1e3:.1f} GB",
        parity(point),
        gate,
    )


def parity(point: Point) -> str:
    """A point's headline measures in words."""
    chosen = {name: value for name, value in point.parity.items() if "largest" not in name} or point.parity
    return ", ".join(f"{name} {value:.4g}" for name, value in chosen.items()) or "-"


def predictions_table(results: Results) -> str:
    """Each step with what was expected and what came of it."""
    rows = [
        (one.network, one.variant, str(one.batch), f"{one.ms:g} ms", one.outcome(results), one.why)
        for one in PREDICTIONS
    ]
    return table(("network", "step", "batch", "predicted", "measured", "why"), rows)


def service_table(results: Results) -> str:
    """The whole service against its networks alone."""
    service = results.service
    if service is None:
        return "Not measured yet."
    rows = [(name, f"{service.mean_batch[name]:.1f}", f"{service.alone_ms[name]:.2f}") for name in service.alone_ms]
    slowest, together = max(service.alone_ms.values()), sum(service.alone_ms.values())
    ideal, shared = 1e3 / slowest, 1e3 / together
    speed = service.images_per_second
    use = "" if service.utilisation is None else f" GPU utilisation {percent(service.utilisation)}"
    use += "" if service.memory_mb is None else f", memory {service.memory_mb / 1e3:.1f} GB."
    return (
        table(("network", "mean batch in the service", "alone, ms/image"), rows)
        + f"\n\n{service.photos} photos of 1024² in {service.seconds:.1f} s: **{speed:.2f} images/s**, "
        + f"{speed / ideal:.2f} of what the slowest network does alone ({ideal:.2f}), {speed / shared:.2f} of what the "
        + f"networks do one after another on one GPU ({shared:.2f}).{use}"
    )


def percent(share: float | None) -> str:
    """A share in 0–1 as a percentage."""
    return "-" if share is None else f"{100 * share:.1f} %"
