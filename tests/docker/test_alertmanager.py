"""Alerts go where .env says: the settings that are written for Alertmanager, and one alert on its way."""

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from server.embedded import claim_ports
from tests.rig.places import ROOT
from tests.rig.prometheus import LIMIT_SECONDS, find_program

START = ROOT / "docker" / "alertmanager" / "start.sh"
MAIL = {"ALERT_EMAIL": "me@example.org", "ALERT_SMTP": "mail.example.org:587"}
WEBHOOK = {"ALERT_WEBHOOK": 'https://example.org/hook?it\'s="quoted"'}
LOGIN = {"ALERT_SMTP_FROM": "gpu@example.org", "ALERT_SMTP_USER": "gpu", "ALERT_SMTP_PASSWORD": "a'b\\c: #"}


def started(folder: Path, environment: dict[str, str], *options: str) -> "subprocess.Popen[str]":
    """The container's command, with its paths in `folder`; it waits no time for further alerts."""
    text = START.read_text()
    for before, after in (("/tmp/", f"{folder}/"), ("=/alertmanager", f"={folder}/data"), ("_wait: 10s", "_wait: 0s")):
        assert text.count(before) == 1
        text = text.replace(before, after)
    (folder / "start.sh").write_text(text)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", **environment}
    return subprocess.Popen(["sh", folder / "start.sh", *options], env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("environment", [{}, WEBHOOK, MAIL, {**WEBHOOK, **MAIL, **LOGIN}], ids=len)
def test_alertmanagers_own_tool_accepts_the_settings(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "alertmanager").symlink_to("/bin/true")
    assert started(tmp_path, environment).wait() == 0
    settings = tmp_path / "alertmanager.yml"
    tool = find_program("prometheus-alertmanager").with_name("amtool")
    done = subprocess.run([tool, "check-config", settings], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (receiver,) = YAML(typ="safe").load(settings)["receivers"]
    sent = {**receiver.pop("webhook_configs", [{}])[0], **receiver.pop("email_configs", [{}])[0]}
    assert receiver == {"name": "operator"}
    names = {"url": "ALERT_WEBHOOK", "to": "ALERT_EMAIL", "smarthost": "ALERT_SMTP"}
    names |= {"from": "ALERT_SMTP_FROM", "auth_username": "ALERT_SMTP_USER", "auth_password": "ALERT_SMTP_PASSWORD"}
    expected = {name: environment[variable] for name, variable in names.items() if variable in environment}
    if "to" in expected:
        expected.setdefault("from", expected["to"])
    assert sent == expected


def test_mail_without_a_server_that_takes_it_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with started(tmp_path, {"ALERT_EMAIL": "me@example.org"}) as process:
        assert "ALERT_EMAIL needs ALERT_SMTP, the host:port that takes mail" in process.communicate()[1]
    assert process.returncode != 0


@contextmanager
def inbox() -> Iterator[tuple[str, list[str]]]:
    """A URL, and what was posted to it."""
    posted: list[str] = []

    class Inbox(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Inbox) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", posted
        server.shutdown()


def test_an_alert_reaches_the_webhook(tmp_path: Path) -> None:
    (tmp_path / "alertmanager").symlink_to(find_program("prometheus-alertmanager"))
    address = f"127.0.0.1:{claim_ports('127.0.0.1', 0, 0, 0)[0]}"
    alert = json.dumps([{"labels": {"alertname": "RelightDown", "severity": "page"}}]).encode()
    with inbox() as (url, posted):
        process = started(tmp_path, {"ALERT_WEBHOOK": url}, f"--web.listen-address={address}")
        deadline, request = time.monotonic() + LIMIT_SECONDS, urllib.request.Request(f"http://{address}/api/v2/alerts")
        request.add_header("Content-Type", "application/json")
        try:
            while not posted and time.monotonic() < deadline:
                with suppress(urllib.error.URLError):  # it is starting
                    urllib.request.urlopen(request, alert).close()
                time.sleep(0.1)
        finally:
            process.terminate()
            process.communicate()
    assert json.loads(posted[0])["alerts"][0]["labels"]["alertname"] == "RelightDown"
