"""A server that hangs is started again by its health check."""

import signal
from pathlib import Path

import pytest

from docker.health import RETRIES, count_unanswered, fault
from server.http_api import RefusedError
from tests.rig.runs import wait_for
from tests.rig.supervisor import supervised_server

WAIT_SECONDS = 60.0  # for what takes under 10 on an idle machine


def test_a_server_that_hangs_is_started_again_after_the_third_check(plain_repository: Path, tmp_path: Path) -> None:
    with supervised_server(tmp_path, plain_repository) as server:
        wait_for(server.is_up, WAIT_SECONDS)
        server.kill("triton_python_backend_stub", "decode_0_0", signal.SIGSTOP)
        with pytest.raises(RefusedError, match=r"no answer to /v2/models/relight/infer within 1 s"):
            fault(server.http_url, tmp_path, tmp_path, timeout=1.0)
        ended = [
            count_unanswered(unanswered, tmp_path / "count", server.process.pid)
            for unanswered in (True, True, False, *[True] * RETRIES)
        ]
        assert ended == [False] * (2 + RETRIES) + [True]
        wait_for(lambda: server.lives() == 2, WAIT_SECONDS)
        assert "No such file" in str(fault(server.http_url, tmp_path, tmp_path, timeout=WAIT_SECONDS))
