"""A Docker engine for as long as a `with` block lasts; the machine is then as it was before."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
NEEDED = ("dockerd", "docker", "iptables-save", "iptables-restore", "debootstrap", "openssl", "ip")
TABLES = {  # of the firewall, that Docker writes to
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}
INSTALL = "apt-get install --no-install-recommends docker.io docker-compose iptables iproute2 debootstrap openssl"


class EngineError(Exception):
    """The engine, or a command given to it, failed; the message says why."""


@dataclass(frozen=True)
class Engine:
    """A running engine, and the environment in which `docker` speaks to it."""

    environment: dict[str, str]

    def docker(self, *arguments: str, **options: object) -> str:
        """Run `docker …`; return what it prints. Raises EngineError."""
        return run(["docker", *arguments], env=self.environment, **options)


def run(command: list[str], **options: object) -> str:
    """Run a command; return what it prints, errors included. Raises EngineError."""
    defaults = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, **{**defaults, **options})  # type: ignore[call-overload]
    if done.returncode != 0:
        raise EngineError(f"`{' '.join(command[:6])} …` ended with {done.returncode}:\n{(done.stdout or '')[-4000:]}")
    return str(done.stdout or "")


def check_tools() -> None:
    """Raise EngineError unless everything needed is here."""
    if os.geteuid() != 0:
        raise EngineError("A Docker engine needs root: sudo make docker-test.")
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if missing or compose_command() is None:
        raise EngineError(f"Missing: {', '.join(missing) or 'docker compose'}. On Debian: {INSTALL}")


def compose_command() -> list[str] | None:
    """The newest Compose on this machine, None without one."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


@contextmanager
def own_engine(log: Path) -> Iterator[Engine]:
    """Start dockerd beside any engine that the machine may have, and remove everything of it afterwards.

    It has no default bridge: builds have no network, and Compose makes its own networks.

    Raises:
        EngineError: it does not start.
    """
    rules, forwarding, links = firewall(), FORWARDING.read_text(), interfaces()
    data = Path(tempfile.mkdtemp(prefix="relight-docker-", dir="/var/lib"))
    socket = f"unix://{data}/docker.sock"
    command = ["dockerd", f"--data-root={data}/data", f"--exec-root={data}/run", f"--pidfile={data}/pid"]
    command += [f"--host={socket}", "--storage-driver=overlay2", "--bridge=none"]
    environment = {**os.environ, "DOCKER_HOST": socket, "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}
    engine = Engine(environment)
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        wait_until_it_answers(engine, process, log)
        yield engine
    finally:
        process.terminate()
        process.wait()
        for mount in reversed([line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]):
            if mount.startswith(str(data)):
                subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(data)
        for link in interfaces() - links:
            run(["ip", "link", "delete", link])
        run(["iptables-restore"], input=rules)
        FORWARDING.write_text(forwarding)


def firewall() -> str:
    """The firewall's rules, of unused tables too, so that restoring them removes what was added since."""
    rules = run(["iptables-save"])
    empty = "".join(
        f"*{table}\n" + "".join(f":{chain} ACCEPT\n" for chain in chains) + "COMMIT\n"
        for table, chains in TABLES.items()
        if f"*{table}\n" not in rules
    )
    return rules + empty


def interfaces() -> set[str]:
    """The machine's network interfaces."""
    return {path.name for path in Path("/sys/class/net").iterdir()}


def wait_until_it_answers(engine: Engine, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return once `docker info` works. Raises EngineError."""
    for _ in range(300):
        if process.poll() is not None:
            raise EngineError(f"dockerd ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            engine.docker("info")
            return
        except EngineError:
            time.sleep(0.2)
    raise EngineError(f"dockerd does not answer: {log}")
