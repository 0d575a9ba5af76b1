"""`python -m server.trace FILE`: print where a traced request spent its time, model by model, from Triton's trace file.

A server that was started with `--trace FILE` traces once it is asked to over HTTP:
`curl -d '{"trace_level":["TIMESTAMPS"],"trace_count":"1"}' http://127.0.0.1:8000/v2/trace/setting` traces the next
request. Triton then writes FILE.0, for the next one FILE.1, and so on.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from contract.command import run


def trace_flags(file: Path) -> tuple[str, ...]:
    """Triton's flags for traces into `file`, one file for each request, none until it is asked for."""
    into = (f"--trace-config=triton,file={file}", "--trace-config=triton,log-frequency=1")
    return (*into, "--trace-config=rate=1", "--trace-config=level=OFF")


def summarize(events: list[dict[str, Any]]) -> list[str]:
    """Lines for the models of the requests in a trace, in the order in which they began, in milliseconds.

    A request waits for others to batch with or for a free instance; computing includes copying tensors.
    """
    models: dict[int, str] = {}
    moments: dict[int, dict[str, int]] = {}
    for event in events:
        if "model_name" in event:
            models[event["id"]] = event["model_name"]
        for stamp in event.get("timestamps", ()):
            moments.setdefault(event["id"], {})[stamp["name"]] = stamp["ns"]
    begun = {number: moments[number]["REQUEST_START"] for number in models}
    lines = ["model        begins ms   waits ms   computes ms   takes ms"]
    for number in sorted(models, key=lambda one: (begun[one], one)):
        at = moments[number]
        starts = at.get("COMPUTE_START", at["QUEUE_START"])  # the ensemble itself neither waits nor computes
        spans = (
            (min(begun.values()), begun[number]),
            (at["QUEUE_START"], starts),
            (starts, at.get("COMPUTE_END", starts)),
            (begun[number], at["REQUEST_END"]),
        )
        start, wait, compute, whole = ((end - beginning) / 1e6 for beginning, end in spans)
        lines.append(f"{models[number]:<12} {start:9.1f} {wait:10.1f} {compute:13.1f} {whole:10.1f}")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0, or 1 when there is no such trace."""
    parser = argparse.ArgumentParser(
        prog="python -m server.trace", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="read this trace file, such as trace.json.0")
    file = parser.parse_args(argv).file
    try:
        print("\n".join(summarize(json.loads(file.read_text("utf-8")))))
    except OSError as error:
        print(f"{file} cannot be read ({error.strerror}): is tracing on, and has a request ended?", file=sys.stderr)
        return 1
    except (ValueError, KeyError) as error:
        print(f"{file} is not a trace that Triton has finished writing ({error!r}).", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    run(main)
