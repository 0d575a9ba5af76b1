"""Fills the page: everything between its two marks is written from the results, the rest is by hand."""

from __future__ import annotations

from pathlib import Path

from benchmarks.gpu.errors import CannotMeasureError
from benchmarks.gpu.results import Results
from benchmarks.gpu.tables import network_table, predictions_table, seeds_table, service_table
from benchmarks.gpu.variants import SEED, SERVED

PAGE = Path(__file__).resolve().parents[1] / "GPU.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
TITLES = {SERVED: "SAM3 as it is served", SEED: "SAM3 as the replaced pipeline ran it"}


def write_page(file: Path, results: Results) -> None:
    """Fill `file`, or a copy of this project's page where there is none.

    Raises:
        CannotMeasureError: it lacks the marks.
    """
    text = (file if file.exists() else PAGE).read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise CannotMeasureError(f"{file} has no place for results: it needs the lines {BEGIN} and {END}.")
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
