"""Promises about photos with URLs: slow ones delay no other row and not the end, and proxies are used and named."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.errors import PassingError
from client.input.photos import read_image
from tests.rig.runs import Server, relight, running, small_table, told, tree, wait_for
from tests.rig.sites import Site, serving

HANGING = 60  # more than there are downloads at once and workers


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A web server with one photo, a.png."""
    small_table(tmp_path, "a.png")
    with serving(tmp_path) as site:
        yield site


def slow_table(folder: Path, site: Site, count: int) -> Path:
    """A table with `count` photos whose site hangs, before one on the disk."""
    table = folder / "slow.csv"
    table.write_text("".join(f"{name}\n" for name in ("image_path", *[f"{site.url}/hanging/a.png"] * count, "a.png")))
    return table


def test_the_rest_of_the_table_goes_on_while_urls_hang(server: Server, site: Site, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with running(server.grpc_url, slow_table(tmp_path, site, HANGING), output, "--files", "mask") as process:
        wait_for((output / "slow" / f"{HANGING:05d}_metadata.json").exists, 60)
        assert len(list(output.rglob("*_metadata.json"))) == 1
        assert process.poll() is None


def test_ctrl_c_does_not_wait_for_a_download_that_hangs(server: Server, site: Site, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with running(server.grpc_url, slow_table(tmp_path, site, HANGING), output, "--files", "mask") as process:
        assert site.asked.wait(60)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130  # the site still hangs
    assert "Traceback" not in told(output)
    site.free.set()
    assert relight(server, tmp_path / "slow.csv", output, "--files", "mask", "--limit", "2") == 0, "it resumes"
    masks = [content for name, content in tree(output).items() if name.endswith("_mask.png")]
    assert masks[0] == masks[1]


@pytest.mark.parametrize("kind", ["hanging", "dripping"])
def test_a_photo_that_does_not_come_in_time_fails_its_row_for_now(site: Site, kind: str) -> None:
    sentence = r"a\.png cannot be read \(not all of it came within 0\.5 s; raise --timeout"
    with pytest.raises(PassingError, match=sentence):
        read_image(f"{site.url}/{kind}/a.png", "", timeout=0.5)


def test_a_proxy_of_the_environment_is_used_and_named_where_it_fails(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path) as proxy:  # it refuses to be one
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//user:secret@"))
        with pytest.raises(PassingError, match=r"HTTP 403 .* the proxy of http_proxy \(127\.0\.0\.1:\d+\)") as refused:
            read_image(f"{site.url}/a.png", "")
        assert "secret" not in str(refused.value)
        assert not site.asked.is_set()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert read_image(f"{site.url}/a.png", "") == (tmp_path / "a.png").read_bytes()
    monkeypatch.setenv("http_proxy", proxy.url)  # nobody is there any more
    monkeypatch.delenv("no_proxy")
    monkeypatch.setattr("client.input.remote._BACK_OFF_SECONDS", 0.01)
    with pytest.raises(PassingError, match=r"the proxy of http_proxy"):
        read_image(f"{site.url}/a.png", "")
