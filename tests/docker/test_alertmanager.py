"""Alerts go where .env says: the settings that are written for Alertmanager."""

import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.rig.places import ROOT
from tests.rig.prometheus import find_program

START = ROOT / "docker" / "alertmanager" / "start.sh"
MAIL = {"ALERT_EMAIL": "me@example.org", "ALERT_SMTP": "mail.example.org:587"}
WEBHOOK = {"ALERT_WEBHOOK": 'https://example.org/hook?it\'s="quoted"'}
LOGIN = {"ALERT_SMTP_FROM": "gpu@example.org", "ALERT_SMTP_USER": "gpu", "ALERT_SMTP_PASSWORD": "a'b\\c: #"}


def settings(folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run the container's command, which writes `folder`/alertmanager.yml here; Alertmanager itself is replaced."""
    (folder / "alertmanager").symlink_to("/bin/true")
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "TMPDIR": str(folder), **environment}
    return subprocess.run(["sh", START], env=environment, stderr=subprocess.PIPE, text=True, check=False)


@pytest.mark.parametrize("environment", [{}, WEBHOOK, MAIL, {**WEBHOOK, **MAIL, **LOGIN}], ids=len)
def test_alertmanagers_own_tool_accepts_the_settings(environment: dict[str, str], tmp_path: Path) -> None:
    assert settings(tmp_path, environment).returncode == 0
    written = tmp_path / "alertmanager.yml"
    tool = find_program("prometheus-alertmanager").with_name("amtool")
    done = subprocess.run([tool, "check-config", written], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (receiver,) = YAML(typ="safe").load(written)["receivers"]
    sent = {**receiver.pop("webhook_configs", [{}])[0], **receiver.pop("email_configs", [{}])[0]}
    assert receiver == {"name": "operator"}
    names = {"url": "ALERT_WEBHOOK", "to": "ALERT_EMAIL", "smarthost": "ALERT_SMTP"}
    names |= {"from": "ALERT_SMTP_FROM", "auth_username": "ALERT_SMTP_USER", "auth_password": "ALERT_SMTP_PASSWORD"}
    expected = {name: environment[variable] for name, variable in names.items() if variable in environment}
    if "to" in expected:
        expected.setdefault("from", expected["to"])
    assert sent == expected


def test_mail_without_a_server_that_takes_it_is_refused_with_the_remedy(tmp_path: Path) -> None:
    done = settings(tmp_path, {"ALERT_EMAIL": "me@example.org"})
    assert done.returncode != 0
    assert "ALERT_SMTP: is missing: the host:port that takes mail for ALERT_EMAIL" in done.stderr
