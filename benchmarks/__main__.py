"""`python -m benchmarks NAME …`: measurements, each with its ideal beside it."""

import sys
from importlib import import_module

# Imported only when named: each needs packages that a machine for another may lack.
BENCHMARKS = {
    "client": "benchmarks.client",
    "gpu": "benchmarks.gpu.command",
    "host": "benchmarks.host.command",
    "lights": "benchmarks.lights",
    "peers": "benchmarks.peers.command",
    "simulate": "benchmarks.simulate",
    "sweep": "benchmarks.sweep.command",
}


def main() -> int:
    """Run the named benchmark with the rest of the command line."""
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        print(f"usage: python -m benchmarks {'|'.join(BENCHMARKS)} [--json FILE] …", file=sys.stderr)
        return 2
    try:
        code: int = import_module(BENCHMARKS[sys.argv[1]]).main(sys.argv[2:])
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
