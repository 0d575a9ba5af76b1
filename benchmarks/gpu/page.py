"""Fills the page: everything between its two marks is written from the results, the rest is by hand."""

from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu.plan import SEED, SERVED, TABLES
from benchmarks.gpu.results import Point, Results
from benchmarks.rig.report import BenchmarkError, markdown

IDEAL_MS, TARGET_MS, STRETCH_MS = (TABLES["sam3"][name] for name in ("ideal", "target", "stretch"))
CLAIMS: dict[int, tuple[float, str]] = {int(batch): tuple(claim) for batch, claim in TABLES["claims"].items()}


class Prediction(NamedTuple):
    """One step: a variant at a batch size, the milliseconds per image that it should take, and why."""

    network: str
    variant: str
    batch: int
    ms: float
    why: str


PREDICTIONS = tuple(Prediction(*step) for step in TABLES["predictions"]["steps"])
PAGE = Path(__file__).resolve().parents[1] / "GPU.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
TITLES = {SERVED: "SAM3 as it is served", SEED: "SAM3 as the replaced pipeline ran it"}
IMAGES = 10_000


def write_page(file: Path, results: Results) -> None:
    """Fill `file`, or a copy of this project's page where there is none. Raises BenchmarkError: it lacks the marks."""
    text = (file if file.exists() else PAGE).read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchmarkError(f"{file} has no place for results: it needs the lines {BEGIN} and {END}.")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{before}{BEGIN}\n\n{filled(results)}\n\n{END}{after}", encoding="utf-8")


def filled(results: Results) -> str:
    """What stands between the marks."""
    parts = [heading(results)]
    for variant, title in TITLES.items():
        parts += [f"### {title}", seeds_table(results, "sam3", variant)]
    for name in dict.fromkeys(point.network for point in results.points):
        facts = results.networks.get(name)
        size = f"{facts.parameters / 1e6:.1f} M parameters, {facts.flops / 1e12:.3g} TFLOP an image." if facts else ""
        parts += [f"### {name}", size, network_table(results, name)]
    parts += ["### The whole service", service_table(results), "### Predictions", predictions_table(results)]
    return "\n\n".join(part for part in parts if part)


def heading(results: Results) -> str:
    """Where and by which command the numbers came about."""
    chip = results.chip
    if chip is None:
        return "**Not measured yet: no GPU was at hand.**"
    commands = "\n".join(f"    {command}" for command in results.commands)
    rehearsed = "**A dry run: tiny networks on a CPU. No number here says anything about a GPU.**\n\n"
    return (
        f"{rehearsed if results.dry_run else ''}{chip.name}; {results.machine}. Measured ceilings: "
        f"{chip.fp16:.3g} TFLOP/s in fp16, {chip.bf16:.3g} in bf16, copy {chip.copy:.4g} GB/s.\n\n{commands}"
    )


def seeds_table(results: Results, network: str, variant: str) -> str:
    """The table of the replaced pipeline for one network, its claims for the whole pipeline beside it."""

    def cells(point: Point | None) -> tuple[str, str, str, str]:
        if point is None or point.ms_per_image is None or point.memory_mb is None:
            return (point.finding if point else "not measured", "-", "-", "-")
        seconds = point.ms_per_image / 1e3
        hours = f"{seconds * IMAGES / 3600:.3f}"
        return f"{point.memory_mb / 1e3:.1f} GB", percent(results.share(point)), f"{seconds:.4f}", hours

    hours = f"hours for {IMAGES:,}"
    header = ("batch", "GPU memory", "share of peak", "s/image", hours, "claimed s/image", "claimed memory")
    points, rows = results.at(network, variant), []
    for batch in sorted({*points, *CLAIMS}):
        claimed = CLAIMS.get(batch, ("-", "-"))
        rows.append((str(batch), *cells(points.get(batch)), *map(str, claimed)))
    return markdown(header, rows)


def network_table(results: Results, network: str) -> str:
    """A network's variants: time, images per second, share of the peak and memory at each batch, and the parity."""
    gates = {True: "keeps it", False: "**refuses it**", None: "not compared"}

    def cells(point: Point) -> tuple[str, ...]:
        if point.ms_per_image is None or point.memory_mb is None:
            return (point.variant, str(point.batch), point.finding, "-", "-", "-", "-", "-")
        chosen = {name: value for name, value in point.parity.items() if "largest" not in name} or point.parity
        return (
            point.variant,
            str(point.batch),
            f"{point.ms_per_image:.3f}",
            f"{1e3 / point.ms_per_image:.1f}",
            percent(results.share(point)),
            f"{point.memory_mb / 1e3:.1f} GB",
            ", ".join(f"{name} {value:.4g}" for name, value in chosen.items()) or "-",
            gates[point.faithful],
        )

    header = ("variant", "batch", "ms/image", "images/s", "share of peak", "memory", "against fp32", "gate")
    variants = dict.fromkeys(one.variant for one in results.points if one.network == network)
    return markdown(header, [cells(one) for name in variants for _, one in sorted(results.at(network, name).items())])


def predictions_table(results: Results) -> str:
    """Each step with what was expected, what was measured, and how far the prediction was from it."""

    def outcome(one: Prediction) -> str:
        ms = results.ms(one.network, one.variant, one.batch)
        return "not measured" if ms is None else f"{ms:.3g} ms, {ms / one.ms:.2f} × predicted"

    rows = [(one.network, one.variant, str(one.batch), f"{one.ms:g} ms", outcome(one), one.why) for one in PREDICTIONS]
    return markdown(("network", "step", "batch", "predicted", "measured", "why"), rows)


def service_table(results: Results) -> str:
    """The whole service against its networks alone."""
    service = results.service
    if service is None:
        return "Not measured yet."
    rows = [(name, f"{service.mean_batch[name]:.1f}", f"{service.alone_ms[name]:.2f}") for name in service.alone_ms]
    ideal, shared = 1e3 / max(service.alone_ms.values()), 1e3 / sum(service.alone_ms.values())
    speed = service.images_per_second
    use = "" if service.utilisation is None else f" GPU utilisation {percent(service.utilisation)}"
    use += "" if service.memory_mb is None else f", memory {service.memory_mb / 1e3:.1f} GB."
    return (
        markdown(("network", "mean batch in the service", "alone, ms/image"), rows)
        + f"\n\n{service.photos} photos of 1024² in {service.seconds:.1f} s: **{speed:.2f} images/s**, "
        + f"{speed / ideal:.2f} of what the slowest network does alone ({ideal:.2f}), {speed / shared:.2f} of what the "
        + f"networks do one after another on one GPU ({shared:.2f}).{use}"
    )


def percent(share: float | None) -> str:
    """A share in 0–1 as a percentage."""
    return "-" if share is None else f"{100 * share:.1f} %"
