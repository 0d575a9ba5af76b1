"""`python -m benchmarks NAME …`: measurements, each with its ideal beside it."""

import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module

from benchmarks.rig.report import BenchmarkError
from contract.command import run
from server.installation import ServerError

# Imported only when named: each needs packages that a machine for another may lack.
BENCHMARKS = {name: f"benchmarks.path.{name}" for name in ("client", "cluster", "host", "lights")}
BENCHMARKS |= {name: f"benchmarks.{name}.command" for name in ("gpu", "peers", "simulate", "sweep")}


def main(arguments: Sequence[str]) -> int:
    """Run the named benchmark with the rest of the command line; 1 with a sentence where nothing can be measured."""
    if not arguments or arguments[0] not in BENCHMARKS:
        print(f"usage: python -m benchmarks {'|'.join(BENCHMARKS)} [--json FILE] …", file=sys.stderr)
        return 2
    try:
        code: int = import_module(BENCHMARKS[arguments[0]]).main(arguments[1:])
    except (BenchmarkError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    run(partial(main, sys.argv[1:]))
