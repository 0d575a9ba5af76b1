"""`python -m contract`: print the table of a light's numbers as Markdown, for docs/lighting.md."""

from contract.command import run
from contract.light import TABLE, Number


def markdown_row(number: Number) -> str:
    """One line of the table."""
    sent = f"{number.tensor}[{number.position}]" if number.tensor else "in the direction"
    key = f"`{number.key}`" if number.key else ""
    interval = number.interval
    allowed = f"{interval.low} to {interval.high}{', whole' if interval.whole else ''}"
    return f"| `{number.name}` | {sent} | {allowed} | {number.default} | {number.unit} | {key} |"


def main() -> None:
    """Print the table."""
    print("| number | sent as | range | default | unit or meaning | key in lighting.toml |")
    print("|---|---|---|---|---|---|")
    print("\n".join(map(markdown_row, TABLE)))


if __name__ == "__main__":
    run(main)
