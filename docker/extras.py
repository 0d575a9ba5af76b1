"""`python3 docker/extras.py EXTRA … [--without NAME …]`: the requirements of pyproject.toml's extras, a line each."""

import argparse
import re
from pathlib import Path

import tomllib


def requirements(project: Path, extras: list[str], without: list[str]) -> list[str]:
    """Requirements of `extras`, each once, less those of the distributions named in `without`.

    Raises KeyError: there is no such extra.
    """
    found = tomllib.loads(project.read_text("utf-8"))["project"]["optional-dependencies"]
    lines = dict.fromkeys(line for extra in extras for line in found[extra])
    return [line for line in lines if re.split(r"[^\w.-]", line, maxsplit=1)[0] not in without]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extras", nargs="+")
    parser.add_argument("--without", nargs="+", default=[])
    arguments = parser.parse_args()
    print("\n".join(requirements(Path("pyproject.toml"), arguments.extras, arguments.without)))
