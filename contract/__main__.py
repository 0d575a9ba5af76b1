"""`python -m contract`: print the table of a light's numbers as Markdown, for docs/lighting.md."""

from contract.command import run
from contract.light import CHANNELS, TABLE, Number

# What holds the numbers that are not sent as they are.
_SENT_IN = {"light_azimuth": "direction", "light_elevation": "direction", "ambient": "irradiance"}


def markdown_row(number: Number) -> str:
    """One line of the table."""
    sent = f"{number.tensor}[{number.position}]" if number.tensor else f"in the {_SENT_IN[number.name]}"
    key = f"`{number.key}`" if number.key else ""
    interval = number.interval
    allowed = f"{interval.low} to {interval.high}{', whole' if interval.whole else ''}"
    return f"| `{number.name}` | {sent} | {allowed} | {number.default} | {number.unit} | {key} |"


def main() -> None:
    """Print the table."""
    print("| number | sent as | range | default | unit or meaning | key in lighting.toml |")
    print("|---|---|---|---|---|---|")
    irradiance = [number for number in TABLE if number.name.startswith("irradiance_")]
    shortened = {first.name: _as_one(first) for first in irradiance[:: len(CHANNELS)]}
    for number in TABLE:
        if number not in irradiance or number.name in shortened:
            print(shortened.get(number.name) or markdown_row(number))


def _as_one(first: Number) -> str:
    """One line for a harmonic's coefficients, of which `first` is red."""
    last = first.position + len(CHANNELS) - 1
    row = markdown_row(first).replace(f"[{first.position}]", f"[{first.position}–{last}]")
    return row.replace(f"_{CHANNELS[0]}`", f"_{'`, `_'.join(CHANNELS)}`")


if __name__ == "__main__":
    run(main)
