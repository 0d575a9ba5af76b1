"""Fills the page: everything between its two marks is written from the results, the rest is by hand."""

from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu.plan import SEED, SERVED, TABLES
from benchmarks.gpu.results import Point, Results, Service
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
# What was expected of the service: a measure, its value, why.
OF_SERVICE: tuple[tuple[str, float, str], ...] = tuple(map(tuple, TABLES["predictions"]["service"]))
PAGE = Path(__file__).resolve().parents[1] / "GPU.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
IMAGES, GPUS = 10_000, 8  # of the job that the replaced pipeline is for, and of the machine


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
    for name in dict.fromkeys(point.network for point in results.points):
        facts = results.networks.get(name)
        size = f"{facts.parameters / 1e6:.1f} M parameters, {facts.flops / 1e12:.3g} TFLOP an image." if facts else ""
        parts += [f"### {name}", size, network_table(results, name)]
    parts += ["### The whole service", largest_table(results), *map(service_table, results.services)]
    parts += ["### Predictions", predictions_table(results), "### Beside the replaced pipeline", closing(results)]
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


def closing(results: Results) -> str:
    """What the replaced pipeline says of itself, ours beside it, and what the whole service needs for its job."""

    def seconds(name: str, variant: str, batch: int) -> float | None:
        ms = results.ms(name, variant, batch)
        return None if ms is None else ms / 1e3

    def cell(value: float | None) -> str:
        return "not measured" if value is None else f"{value:.4f}"

    pipelines = ("SAM3 as it ran there", "SAM3 as it is served", "all three networks")
    header = ("batch", "claimed s/image", "claimed memory", *pipelines, "their memory")
    rows, served = [], {name: results.to_serve(name) for name in SERVED.values()}
    for batch, (claimed, memory) in CLAIMS.items():
        each = [seconds(name, variant, batch) for name, variant in served.items()]
        known = [one for one in each if one is not None]
        taken = (
            [results.at(name, variant)[batch].memory_mb or 0.0 for name, variant in served.items()] if all(each) else []
        )
        rows.append(
            (
                str(batch),
                f"{claimed:g}",
                memory,
                cell(seconds("sam3", SEED, batch)),
                cell(each[0]),
                cell(sum(known) if len(known) == len(each) else None),
                f"{sum(taken) / 1e3:.1f} GB" if taken else "-",
            )
        )
    best = results.best
    if best is None:
        return f"{markdown(header, rows)}\n\nThe whole service: not measured."
    speed = best.images_per_second
    return (
        f"{markdown(header, rows)}\n\n"
        f"The whole service ({best.trial}): **{speed:.2f} photos/s**, {1 / speed:.4f} s a photo. "
        f"{IMAGES:,} photos take {IMAGES / speed:.0f} s on one such GPU, and on {GPUS} that do not wait for each other "
        f"{IMAGES / speed / GPUS:.0f} s."
    )


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


def largest_table(results: Results) -> str:
    """The largest batch of each network that is safe beside the others, and what they take together."""
    if not results.largest:
        return "Not measured yet."
    rows = []
    for name, batch in results.largest.items():
        variant = results.to_serve(name)
        memory = results.at(name, variant)[batch].memory_mb or 0.0
        rows.append((name, variant, str(batch), f"{memory / 1e3:.1f} GB"))
    return markdown(("network", "served as", "largest safe batch", "memory"), rows)


def service_table(service: Service) -> str:
    """A run of the whole service against its networks alone."""
    rows = [
        (name, form, f"{service.mean_batch[name]:.1f} of {service.largest[name]}", f"{service.alone_ms[name]:.2f}")
        for name, form in service.forms.items()
    ]
    speed, window = service.images_per_second, service.window or "of the client"
    use = "" if service.utilisation is None else f" GPU utilisation {percent(service.utilisation)}"
    use += "" if service.memory_mb is None else f", memory {service.memory_mb / 1e3:.1f} GB."
    return (
        f"**{service.trial}, window {window}**: {service.photos} photos of 1024² in {service.seconds:.1f} s: "
        f"**{speed:.2f} photos/s**, {speed / service.together:.2f} of what the networks do one after another "
        f"({service.together:.2f}).{use}\n\n"
        + markdown(("network", "served as", "mean batch", "alone, ms/image"), rows)
    )


def predictions_table(results: Results) -> str:
    """Each step with what was expected, what was measured, and how far the prediction was from it."""

    def outcome(expected: float, measured: float | None, unit: str) -> str:
        return "not measured" if measured is None else f"{measured:.3g}{unit}, {measured / expected:.2f} × predicted"

    rows = [
        (one.network, one.variant, str(one.batch), f"{one.ms:g} ms", outcome(one.ms, ms, " ms"), one.why)
        for one in PREDICTIONS
        for ms in [results.ms(one.network, one.variant, one.batch)]
    ]
    found: dict[str, float] = {}
    if (best := results.best) is not None:
        shares = [best.mean_batch[name] / most for name, most in best.largest.items()]
        found = {"photos/s": best.images_per_second, "least full batch": min(shares)}
        found["÷ its networks"] = best.images_per_second / best.together
    rows += [
        ("the service", measure, "-", f"{expected:g}", outcome(expected, found.get(measure), ""), why)
        for measure, expected, why in OF_SERVICE
    ]
    return markdown(("network", "step", "batch", "predicted", "measured", "why"), rows)


def percent(share: float | None) -> str:
    """A share in 0–1 as a percentage."""
    return "-" if share is None else f"{100 * share:.1f} %"
