"""Exports the networks into the model repository unless they are there, and verifies what was written."""

import os
import shlex
from pathlib import Path

from contract.command import run
from contract.names import NETWORKS
from contract.versions import REPORT, newest_version
from docker.places import MODELS
from export.__main__ import main as export
from export.files.repository import lay_out

DONE = "exported-with"  # what the networks in the repository were exported with


def is_built(repository: Path, wanted: str) -> bool:
    """Whether every network is there, exported with the options `wanted`."""
    record = repository / DONE
    return (
        record.exists()
        and record.read_text("utf-8") == wanted
        and all(newest_version(repository / name, REPORT) for name in NETWORKS)
    )


def export_once(wanted: str, repository: Path = MODELS) -> int:
    """Export into `repository` with the options `wanted`, unless it holds that; return an exit code."""
    # Always: a newer image brings newer configs and Python models, whatever networks are there.
    lay_out(repository)
    if is_built(repository, wanted):
        print(f"{repository} is built already (python -m export {wanted}).")
        return 0
    (repository / DONE).unlink(missing_ok=True)
    target = ["--repository", str(repository)]
    code = export([*shlex.split(wanted), *target]) or export(["verify", str(repository)])
    if code == 0:
        (repository / DONE).write_text(wanted, "utf-8")
    return code


def main() -> int:
    """Export as RELIGHT_EXPORT says."""
    return export_once(os.environ.get("RELIGHT_EXPORT") or "--preset portrait")


if __name__ == "__main__":
    run(main)
