"""`python -m benchmarks NAME …`: measurements, each with its ideal beside it."""

import sys
from collections.abc import Callable, Sequence

from benchmarks import client, lights

BENCHMARKS: dict[str, Callable[[Sequence[str]], int]] = {"client": client.main, "lights": lights.main}


def main() -> int:
    """Run the named benchmark with the rest of the command line."""
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        print(f"usage: python -m benchmarks {'|'.join(BENCHMARKS)} [--json FILE] …", file=sys.stderr)
        return 2
    return BENCHMARKS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
