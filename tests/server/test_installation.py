"""What `python -m server` says where its wheel cannot be used."""

import sys

import pytest

from server.installation import ServerError, find_installation


def test_a_python_that_the_wheel_does_not_work_with_is_told_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.installation.NEWER_PYTHON", sys.version_info[:2])
    with pytest.raises(ServerError, match=r"NumPy < 2.*with Python 3\.10, 3\.11 or 3\.12, or .*docker compose"):
        find_installation()
