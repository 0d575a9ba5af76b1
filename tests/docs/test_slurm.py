"""The Slurm scripts of docs/cluster/, run for real; Slurm, Ray and Python are programs that note their calls."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.rig.places import ROOT

FOLDER = ROOT / "docs" / "cluster"
NOTE = """#!/usr/bin/env bash
trap 'echo "${0##*/} stopped" >> "$NOTES"; exit 130' TERM
echo "${0##*/} $*" >> "$NOTES"
"""
UNTIL_STOPPED = "while :; do sleep 0.02; done\n"
RAY = """[[ $RAY_AUTH_MODE == token && ${#RAY_AUTH_TOKEN} == 64 ]] || exit 4
case $2 in
  --address) [[ ! ${UNHEALTHY:-} ]] || echo "why not"; exit ${UNHEALTHY:-0} ;;
  --block) [[ ! ${UNHEALTHY:-} ]] || exit 3 ;;
esac
"""
# The server serves until it is stopped; the client ends by itself, unless time is over, when what it needs has begun.
PYTHON = """if [[ $1 == *run_csv.py ]]; then
  until [[ $(grep -cE "^ray start|-m server" "$NOTES") == "$BEGUN" ]]; do sleep 0.02; done
  cat "$PROMETHEUS_NODES"/* >> "$NOTES" 2> /dev/null
  [[ $TIME_IS_OVER ]] || exit 1
  kill -USR1 "$PPID"
fi
"""
PROGRAMS = {
    "bin/srun": 'while [[ $1 == -* ]]; do shift; done\nexec "$@"\n',  # the command after srun's own options
    "bin/scontrol": '[[ $1 == requeue ]] || printf "%s\\n" n1 n2 n3\n',
    "bin/getent": 'printf "%s STREAM n1\\n" 127.0.1.1 10.0.0.1\n',
    "bin/hostname": "echo 10.0.0.2\n",
    ".venv/bin/ray": RAY + UNTIL_STOPPED,
    ".venv/bin/python": PYTHON + UNTIL_STOPPED,
}
HEAD, START = "10.0.0.1:24567", "ray start --block --object-store-memory=500000000"
RUN = ("--csv", "/shared/a.csv", "--output", "/shared/run")


def submit(script: str, folder: Path, **variables: str) -> tuple["subprocess.CompletedProcess[str]", list[str]]:
    """Run a script as Slurm does, on the nodes n1, n2, n3; its result and the calls that it made."""
    for name, text in PROGRAMS.items():
        program = folder / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(NOTE + text)
        program.chmod(0o755)
    (folder / "nodes").mkdir()
    slurm = {"SLURM_SUBMIT_DIR": str(folder), "SLURM_JOB_ID": "1234567", "SLURM_JOB_NODELIST": "n[1-3]"}
    slurm |= {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8", "SLURM_GPUS_ON_NODE": "8"}
    own = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "NOTES": str(folder / "notes"),
        "TIME_IS_OVER": "",
        "BEGUN": "3",
    }
    environment = {**own, **slurm, "PROMETHEUS_NODES": str(folder / "nodes"), **variables}
    command = ["bash", str(FOLDER / script), *RUN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return done, (folder / "notes").read_text().splitlines()


def calls(notes: list[str], beginning: str) -> list[str]:
    return [note.removeprefix(beginning).strip() for note in notes if note.startswith(beginning)]


def test_every_node_joins_the_first_ones_ray_and_the_run_gets_the_options(tmp_path: Path) -> None:
    done, notes = submit("slurm.sh", tmp_path)
    assert done.returncode == 1, done.stderr  # the client's: some photos failed
    # Steps run beside each other, and note their calls in any order.
    steps = dict(re.findall(r"--nodelist=(\S+) .* (--head|--address)", "\n".join(calls(notes, "srun"))))
    assert steps == {"n1": "--head", "n2": "--address", "n3": "--address"}
    assert sorted(calls(notes, START)) == [
        *[f"--address={HEAD}"] * 2,
        "--head --node-ip-address=10.0.0.1 --port=24567",
    ]
    servers = "--server-options --metrics-host 0.0.0.0 --metrics-port 8002"
    assert calls(notes, "python") == [f"client/run_csv.py --ray {HEAD} {servers} {' '.join(RUN)}"]
    assert notes.index(f"ray health-check --address {HEAD}") < notes.index(f"{START} --address={HEAD}")
    assert calls(notes, "- targets:") == [f'[ "{node}:8002" ]' for node in ("n1", "n2", "n3")]
    assert list((tmp_path / "nodes").iterdir()) == []
    assert notes.count("ray stopped") == 3
    assert calls(notes, "scontrol requeue") == []


def test_when_the_time_is_over_the_run_ends_well_and_is_queued_again(tmp_path: Path) -> None:
    done, notes = submit("slurm.sh", tmp_path, TIME_IS_OVER="yes")
    assert (done.returncode, calls(notes, "scontrol requeue")) == (130, ["1234567"]), done.stderr
    assert notes.index("python stopped") < notes.index("scontrol requeue 1234567")
    assert notes.count("ray stopped") == 3


def test_where_rays_head_does_not_start_nothing_else_does(tmp_path: Path) -> None:
    done, notes = submit("slurm.sh", tmp_path, UNHEALTHY="1")
    assert (done.returncode, done.stderr) == (1, "Ray's head on n1 does not answer: why not\n")
    assert len(calls(notes, "srun")) == 1
    assert calls(notes, "python") == []


def test_a_task_of_an_array_does_its_share_beside_its_own_server(tmp_path: Path) -> None:
    done, notes = submit("slurm-array.sh", tmp_path, BEGUN="1")
    assert done.returncode == 1, done.stderr
    assert calls(notes, "python -m") == ["server --gpus 8 --metrics-host 0.0.0.0"]
    assert calls(notes, "python client/") == [f"run_csv.py --shard 3/8 --wait-for-server 1800 {' '.join(RUN)}"]
    assert notes[-1] == "python stopped"


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.sh")), ids=lambda path: path.name)
def test_slurm_asks_for_what_the_script_needs(script: Path) -> None:
    text = script.read_text()
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", text, re.M))
    assert (asked["gpus-per-node"], asked["open-mode"]) == ("8", "append")
    assert {"exclusive", "requeue"} <= asked.keys()
    # What waits for the signal that comes before the end: the script, or the client in a step.
    assert asked["signal"] == ("B:USR1@180" if "' USR1" in text else "TERM@180")
    assert script.stat().st_mode & 0o111
