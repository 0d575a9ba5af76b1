"""`make docker-test`: builds both images on stand-in bases, runs the compose file without and with its GPU service.

The GPU service runs without GPUs, and open to other machines: with TLS and an API key. Grafana is left out, because
there is no stand-in for its image.
"""

import csv
import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.docker.bases import PYTHON_IMAGE, make_bases
from tests.docker.engine import Engine, EngineError, check_tools, own_engine, run
from tests.docker.stack import PROJECT, Stack, expect, timed, up, wait
from tests.rig.places import ROOT
from tests.rig.prometheus import dashboard_queries

BUILD = ROOT / "build" / "docker-test"
NAME = "relight.test"  # what the TLS certificate says
KILL_DECODE = """
import os, pathlib
for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    if b"stub\\0/models/decode/" in file.read_bytes():
        os.kill(int(file.parent.name), 9)
"""
EXTENSIONS = f"subjectAltName=DNS:{NAME},DNS:localhost"


def main() -> int:
    """Run every step; return 0, or 1 when one fails."""
    try:
        check_tools()
        BUILD.mkdir(parents=True, exist_ok=True)
        with own_engine(BUILD / "dockerd.log") as engine:
            with timed("stand-in bases"):
                make_bases(engine, ROOT, BUILD)
            try_failing_service(Stack(engine, failing_services(), "cpu", "triton-cpu", {}))
            without_gpu = Stack(engine, ROOT / "docker-compose.yml", "cpu", "triton-cpu", {})
            with timed("docker compose build, profile cpu"):
                without_gpu.compose("build", "export", "triton-cpu")
            try_profile_cpu(without_gpu)
            opened = Stack(engine, less_gpus(), "gpu", "triton", {"GPUS": "0", **operator_files()})
            with timed("docker compose build, profile gpu"):
                opened.compose("build", "triton")
            try_profile_gpu(opened)
            check_nothing_left(engine)
    except EngineError as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    print("Everything was taken down: engine, images, containers, volumes, networks and firewall rules.")
    return 0


def try_failing_service(stack: Stack) -> None:
    """A service that fails ends the wait, and its own last lines are told."""
    said = ""
    with timed("docker compose up, one service fails"):
        try:
            with up(stack):
                pass
        except EngineError as error:
            said = str(error)
        expect("the failed service is named", said.startswith("The service verify failed."))
        expect("its last lines are told", "verify says why" in said)
        expect("those of others are not", "prometheus says" not in said)


def try_profile_cpu(stack: Stack) -> None:
    """The service as anyone starts it on a laptop."""
    with timed("docker compose --profile cpu up, until healthy"), up(stack):
        expect("verify has passed", stack.inspect("verify", ".State.ExitCode") == "0")
        expect("Triton is not root", stack.compose("exec", "-T", stack.triton, "id", "-u").strip() == "1000")
        expect("its root is read-only", stack.inspect(stack.triton, ".HostConfig.ReadonlyRootfs") == "true")
        print(run_csv("samples/samples.csv", "cpu", "--url", "127.0.0.1:8001"))
        check_metrics()
        restart_amid_a_run(stack)
        kill_decode(stack)
        expect("a second export is skipped", "is built already" in stack.compose("run", "--rm", "export"))


def try_profile_gpu(stack: Stack) -> None:
    """The production service less its GPUs, opened to others."""
    refusal = replace(stack, settings={**stack.settings, "RELIGHT_SECRETS": "secrets"})
    try:
        said = refusal.compose("run", "--rm", "--no-deps", stack.triton)
    except EngineError as error:
        said = str(error)
    expect("it does not open without TLS and a key", "needs TLS and an API key" in said)
    stack.compose("down", "--volumes")
    secrets = Path(stack.settings["RELIGHT_SECRETS"])
    access = ["--url", "localhost:8001", "--tls", "--ca", str(secrets / "ca.pem")]
    key = f"triton-grpc-protocol-api-key:{(secrets / 'api-key').read_text()}"
    with timed("docker compose up less GPUs, opened with TLS and an API key, until healthy"), up(stack):
        expect("verify has passed", stack.inspect("verify", ".State.ExitCode") == "0")
        print(run_csv("samples/samples.csv", "gpu", *access, "--header", key))
        check_metrics()
        refused = subprocess.run(client("samples/samples.csv", "refused", *access), cwd=ROOT, check=False)
        expect("the client without the key is refused", refused.returncode != 0)
        admin = ["python3", "-m", "docker.upgrade"]
        expect("an upgrade goes through", "Serves segment 1" in stack.compose("exec", "-T", stack.triton, *admin))


def restart_amid_a_run(stack: Stack) -> None:
    """Restart Triton while photos stream through it: the client waits, and every row is done."""
    table = "samples/lights.csv"
    output = BUILD / "out" / "restarted"
    command = client(table, "restarted", "--url", "127.0.0.1:8001", "--files", "output", "--wait-for-server", "300")
    with subprocess.Popen(command, cwd=ROOT) as running:
        wait("the run has begun", lambda: any(output.rglob("*output*")) or running.poll() is not None)
        expect("the run is still going on", running.poll() is None)
        started = time.monotonic()
        stack.compose("restart", "--timeout=45", stack.triton)
        print(f"  Triton was stopped under load and started again within {time.monotonic() - started:.0f} s")
    expect("the run ends well", running.returncode == 0)
    with (output / "lights.csv").open() as file:
        rows = list(csv.DictReader(file))
    expect("every row is done", bool(rows) and all(row["output_image_path"] and not row["error"] for row in rows))


def kill_decode(stack: Stack) -> None:
    """Kill decode's processes: Triton is started again within the container, which stays the same one."""
    before = stack.inspect(stack.triton, ".State.StartedAt")
    stack.compose("exec", "-T", stack.triton, "python3", "-c", KILL_DECODE)
    sentence = "A process of model `decode` has died (killed by somebody)"
    wait("the death is told", lambda: sentence in stack.compose("logs", stack.triton))
    print(run_csv("samples/samples.csv", "revived", "--url", "127.0.0.1:8001", "--wait-for-server", "300"))
    expect("it is the same container", stack.inspect(stack.triton, ".State.StartedAt") == before)


def check_metrics() -> None:
    """Prometheus has scraped Triton, and answers every query of the dashboard."""
    wait("Prometheus sees the photos", lambda: ask('nv_inference_request_success{model="relight"} >= 3') != [])
    for query in dashboard_queries():
        ask(query)
    expect("no alert is firing", ask('ALERTS{alertstate="firing"}') == [])


def ask(query: str) -> list[object]:
    """Prometheus' answer to a query."""
    url = f"http://127.0.0.1:9090/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return list(json.load(response)["data"]["result"])
    except OSError as error:
        if "HTTP Error 4" in str(error):
            raise EngineError(f"Prometheus refuses {query}: {error}") from error
        return []  # it is starting


def run_csv(table: str, name: str, *options: str) -> str:
    """Run the client from outside over a table. Raises EngineError when a row fails."""
    return run(client(table, name, *options), cwd=ROOT)


def client(table: str, name: str, *options: str) -> list[str]:
    """The client's command line; it starts again."""
    output = str(BUILD / "out" / name)
    return [sys.executable, "client/run_csv.py", "--csv", table, "--output", output, "--restart", *options]


def failing_services() -> Path:
    """A compose file whose services only write a line; one of them fails."""
    services = {}
    for name in ("export", "triton-cpu", "verify", "prometheus"):
        line = f"echo {name} says why; {'false' if name == 'verify' else 'sleep 1000'}"
        services[name] = {"image": PYTHON_IMAGE, "profiles": ["cpu"], "init": True, "command": ["sh", "-c", line]}
    return write_yaml(BUILD / "failing.yml", {"services": services})


def less_gpus() -> Path:
    """docker-compose.yml without what is for GPUs: their reservation, and limits that not every machine can raise."""
    content = YAML().load((ROOT / "docker-compose.yml").read_text())
    del content["services"]["triton"]["deploy"]
    del content["services"]["triton"]["ulimits"]
    return write_yaml(BUILD / "docker-compose.yml", content)


def write_yaml(file: Path, content: Any) -> Path:
    """Write a file for Compose; return it."""
    with file.open("w") as stream:
        YAML().dump(content, stream)
    return file


def operator_files() -> dict[str, str]:
    """Settings that open the service to other machines, with a folder of a certificate, its authority and keys."""
    folder = BUILD / "secrets"
    folder.mkdir(exist_ok=True)
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    pair = ["-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.pem")]
    run([*new, "-subj", "/CN=docker-test authority", *pair])
    issuer = ["-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key"), "-addext", EXTENSIONS]
    pair = ["-keyout", str(folder / "server.key"), "-out", str(folder / "server.pem")]
    run([*new, "-subj", f"/CN={NAME}", *issuer, *pair])
    for name in ("api-key", "admin-key"):
        (folder / name).write_text(run(["openssl", "rand", "-hex", "32"]).strip())
    for file in folder.iterdir():
        os.chown(file, 1000, 1000)
    return {"RELIGHT_SECRETS": str(folder), "RELIGHT_HOSTNAME": NAME, "RELIGHT_BIND": "0.0.0.0"}


def check_nothing_left(engine: Engine) -> None:
    """No container, volume or network of ours is left."""
    for kind in (["ps", "--all", "--quiet"], ["volume", "ls", "--quiet"]):
        expect(f"docker {kind[0]} is empty", engine.docker(*kind).strip() == "")
    expect("no network is left", PROJECT not in engine.docker("network", "ls"))


if __name__ == "__main__":
    sys.exit(main())
