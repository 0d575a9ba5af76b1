"""A death is noticed within seconds and named with its cause; Triton starts again on its ports, but not for ever."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from contract.decoding import MOST_DEATHS, Fatal, Note, count_death, forget_processes
from server.installation import ServerError
from server.probe import answers_inference
from server.watch import MOST_FRUITLESS, Death, exit_code, keep_serving
from tests.rig.runs import wait_for
from tests.rig.supervisor import supervised_server

WAIT_SECONDS = 60.0  # for what takes under 10 on an idle machine


def test_a_dead_process_is_named_with_its_cause_and_triton_starts_again_on_the_same_ports(
    plain_repository: Path, tmp_path: Path
) -> None:
    with supervised_server(tmp_path, plain_repository) as server:
        wait_for(server.is_up, WAIT_SECONDS)
        before = server.processes("", "")
        server.kill("triton_python_backend_stub", "/segment", signal.SIGSEGV)
        sentence = "A process of model `segment` has died (SIGSEGV). Triton is started again."
        wait_for(lambda: sentence in server.said, WAIT_SECONDS)
        wait_for(server.is_up, WAIT_SECONDS)
        assert answers_inference(server.http_url, WAIT_SECONDS)
        assert not [pid for pid in before if psutil.pid_exists(pid)], "nothing is left of the former one"


def test_a_server_that_never_served_is_not_started_again() -> None:
    for death in (Death("It failed.", ready=False, steady=False), ServerError("It failed.")):
        with pytest.raises(ServerError, match=r"^It failed\.$"):
            keep_serving(deaths(death), pytest.fail)


def test_a_server_that_keeps_dying_at_once_is_given_up() -> None:
    fruitless, useful = (Death("It died.", ready=True, steady=steady) for steady in (False, True))
    said: list[str] = []
    with pytest.raises(ServerError, match=r"It died\. It is not started again: it ended 5 times"):
        keep_serving(deaths(fruitless, useful, *[fruitless] * MOST_FRUITLESS), said.append)
    assert said == ["It died. Triton is started again."] * (MOST_FRUITLESS + 1)


def deaths(*one_by_one: Death | ServerError):  # type: ignore[no-untyped-def]
    left = iter(one_by_one)

    def live() -> Death:
        death = next(left)
        if isinstance(death, ServerError):
            raise death
        return death

    return live


def test_how_a_process_ended_is_read_before_anybody_has_waited_for_it() -> None:
    for command, code in (("kill -SEGV $$", -signal.SIGSEGV), ("exit 3", 3)):
        process = subprocess.Popen(["sh", "-c", command])
        wait_for(lambda process=process: exit_code(process.pid) is not None, WAIT_SECONDS)  # type: ignore[misc]
        assert exit_code(process.pid) == code
        process.wait()
        assert exit_code(process.pid) is None
    assert exit_code(os.getpid()) is None


def test_a_photo_is_refused_after_two_processes_died_over_it_and_no_other(tmp_path: Path) -> None:
    for deaths in range(1, MOST_DEATHS + 1):
        note = Note(tmp_path)
        assert note.begin(b"good")
        note.end()
        assert note.begin(b"fatal")  # and here the process dies
        assert count_death(tmp_path, os.getpid()) == Fatal(size=5, deaths=deaths)
        forget_processes(tmp_path)
        assert count_death(tmp_path, os.getpid()) is None, "a process of another model has no note"
    note = Note(tmp_path)
    assert count_death(tmp_path, os.getpid()) is None, "it was reading nothing"
    assert [note.begin(b"fatal"), note.begin(b"good")] == [False, True]
