"""The services of one profile of the compose file, started, watched and taken down; and how a step is told."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.docker.engine import Engine, EngineError, compose_command, run
from tests.rig.places import ROOT

PROJECT = "relight-docker-test"
WAIT_SECONDS = 300.0  # for what takes under 60 on an idle machine
LAST_LINES = 30  # of a failed service's log


@dataclass(frozen=True)
class Stack:
    """The services of one profile.

    Attributes:
        file: the compose file.
        triton: which of its services is Triton.
        settings: environment variables of Compose.
    """

    engine: Engine
    file: Path
    profile: str
    triton: str
    settings: dict[str, str]

    @property
    def services(self) -> list[str]:
        """Those that are run."""
        return ["export", self.triton, "verify", "prometheus"]

    def compose(self, *arguments: str) -> str:
        """Run Compose; return what it prints. Raises EngineError."""
        command = [*(compose_command() or []), f"--project-name={PROJECT}", f"--project-directory={ROOT}"]
        command += [f"--file={self.file}", f"--profile={self.profile}", *arguments]
        return run(command, env={**self.engine.environment, **self.settings}, cwd=ROOT)

    def inspect(self, service: str, what: str) -> str:
        """A value of a service's newest container, e.g. .State.ExitCode."""
        container = self.compose("ps", "-q", service).split()[-1]
        return self.engine.docker("inspect", f"--format={{{{{what}}}}}", container).strip()

    def states(self) -> dict[str, str]:
        """What Docker says of each service's newest container, e.g. "Up 3 minutes (healthy)" or "Exited (1) …"."""
        form = '{{.Label "com.docker.compose.service"}}\t{{.Status}}'
        ours = f"label=com.docker.compose.project={PROJECT}"
        lines = self.engine.docker("ps", "--all", "--filter", ours, "--format", form).splitlines()
        return dict(line.split("\t") for line in reversed(lines))  # the newest comes first

    def failed(self) -> str:
        """A service that ended with an error, or was found unhealthy; empty where there is none."""
        states = self.states().items()
        return next((name for name, state in states if re.search(r"Exited \([^0]|\(unhealthy\)", state)), "")

    def healthy(self) -> bool:
        """Whether Triton is healthy. Raises EngineError as soon as a service has failed."""
        if service := self.failed():
            raise EngineError(f"The service {service} failed.")
        return "(healthy)" in self.states().get(self.triton, "")

    def last_lines(self) -> str:
        """The end of the failed service's log; of Triton's where none has failed."""
        service = self.failed() or self.triton
        log = self.compose("logs", "--no-color", f"--tail={LAST_LINES}", service)
        return f"The last lines of {service}:\n{log}"


@contextmanager
def up(stack: Stack) -> Iterator[None]:
    """Start the services and wait until Triton is healthy; take everything down afterwards, volumes too.

    Raises:
        EngineError: a service fails, or the block does; with the last lines of what failed.
    """
    try:
        stack.compose("up", "--detach", "--no-build", *stack.services)
        wait(f"{stack.triton} is healthy", stack.healthy)
        yield
    except EngineError as error:
        raise EngineError(f"{error}\n{stack.last_lines()}") from error
    finally:
        stack.compose("down", "--volumes", "--timeout=45")


def wait(what: str, condition: Callable[[], bool]) -> None:
    """Poll until a condition holds. Raises EngineError."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise EngineError(f"Waited {WAIT_SECONDS:g} s, and still not so: {what}.")
        time.sleep(0.5)
    print(f"  {what}", flush=True)


def expect(what: str, holds: bool) -> None:
    """Say that something holds. Raises EngineError where it does not."""
    if not holds:
        raise EngineError(f"Not so: {what}.")
    print(f"  {what}")


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say what is done in the block, and how long it took."""
    started = time.monotonic()
    print(f"{what} …", flush=True)
    yield
    print(f"  {time.monotonic() - started:.0f} s", flush=True)
