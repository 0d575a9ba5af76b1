"""Promises about killed processes: whichever is killed, and when, every row is there once and complete at the end."""

import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from client.output.plan import PACKED
from tests.rig.places import SAMPLES
from tests.rig.runs import lines, recorded, relight, running, small_table, told, tree, wait_for
from tests.rig.supervisor import Supervised, supervised_server

WAIT_SECONDS = 60.0  # what is waited for takes under 10 on an idle machine
# One call at a time is a batch of one, whose bytes do not depend on other requests.
OPTIONS = ("--files", "mask", "--quiet", "--window", "1", "--wait-for-server", str(WAIT_SECONDS))


# What a bug in a decoder does, for a photo that is all red; and one in an encoder, for a green one.
FATAL = {
    "decode": """
import os
_photo = TritonPythonModel._photo


def fatal_red(self, *given):
    photo = _photo(self, *given)
    if (photo.pixels == (255, 0, 0)).all():
        os._exit(3)
    return photo


TritonPythonModel._photo = fatal_red
""",
    "encode": """
import os
_files = TritonPythonModel._files


def fatal_green(self, arrays):
    if (arrays["ORIGINAL"] == (0, 255, 0)).all():
        os._exit(4)
    return _files(self, arrays)


TritonPythonModel._files = fatal_green
""",
}


@pytest.fixture(scope="module")
def supervised(plain_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """A server that a test may kill, also with a photo that is all red or all green; it starts again."""
    folder = tmp_path_factory.mktemp("supervised")
    (folder / "models").mkdir()
    for model in plain_repository.iterdir():
        copy = folder / "models" / model.name
        if model.name in FATAL:
            shutil.copytree(model, copy, ignore=shutil.ignore_patterns("__pycache__"))
            with (copy / "1" / "model.py").open("a") as file:
                file.write(FATAL[model.name])
        else:
            copy.symlink_to(model)
    with supervised_server(folder, folder / "models") as server:
        wait_for(server.is_up, WAIT_SECONDS)
        yield server


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small photos, each followed by twelve rows without one."""
    folder = tmp_path_factory.mktemp("photos")
    photo = Image.open(SAMPLES / "astronaut.png").convert("RGB")
    rows = []
    for number in range(6):
        photo.crop((90 + number, 0, 350 + number, 256)).resize((96, 96)).save(folder / f"{number}.png")
        rows += [f"{number}.png", *(f"missing {number} {k}.png" for k in range(12))]
    path = folder / "photos.csv"
    path.write_text("".join(f"{row}\n" for row in ("image_path", *rows)))
    return path


@pytest.fixture(scope="module")
def undisturbed(supervised: Supervised, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of one run from beginning to end."""
    output = tmp_path_factory.mktemp("undisturbed")
    finish(supervised, table, output)
    return output


def restart(server: Supervised, program: str = "tritonserver", argument: str = "") -> None:
    """Kill the server, or some of its processes, and wait until it is ready again."""
    lives = server.lives()
    server.kill(program, argument)
    wait_for(lambda: server.lives() > lives, WAIT_SECONDS)


def finish(server: Supervised, table: Path, output: Path, *options: str) -> None:
    """The command once more, to its end."""
    with running(server.grpc_url, table, output, *OPTIONS, *options) as client:
        client.wait(WAIT_SECONDS)
    assert client.returncode == 1, told(output)


def assert_equal_to(output: Path, undisturbed: Path) -> None:
    """Every row is there once, in the journal and among the files, as if nothing had happened."""
    assert set(Counter(recorded(output)).values()) == {1}
    assert tree(output) == tree(undisturbed)


def test_a_client_killed_at_eight_moments_does_every_row_once(
    supervised: Supervised, table: Path, undisturbed: Path, tmp_path: Path
) -> None:
    moments = random.Random(5)
    for _ in range(8):
        goal = len(recorded(tmp_path)) + moments.randrange(6)
        with running(supervised.grpc_url, table, tmp_path, *OPTIONS) as client:
            wait_for(lambda goal=goal: len(recorded(tmp_path)) >= goal or client.poll() is not None, WAIT_SECONDS)  # type: ignore[misc]
    finish(supervised, table, tmp_path)
    assert_equal_to(tmp_path, undisturbed)


@pytest.mark.parametrize("dataset", PACKED)
def test_a_killed_client_packs_the_same_bytes(
    supervised: Supervised, table: Path, tmp_path: Path, dataset: str
) -> None:
    options, killed, straight = (
        ("--dataset", dataset, "--rows-per-tar", "20"),
        tmp_path / "killed",
        tmp_path / "straight",
    )
    for goal in (1, 45):
        with running(supervised.grpc_url, table, killed, *OPTIONS, *options):
            wait_for(lambda goal=goal: len(recorded(killed)) >= goal, WAIT_SECONDS)  # type: ignore[misc]
    for output in (killed, straight):
        finish(supervised, table, output, *options)
    assert_equal_to(killed, straight)


def test_a_server_killed_at_three_moments_costs_no_row(
    supervised: Supervised, table: Path, undisturbed: Path, tmp_path: Path
) -> None:
    with running(supervised.grpc_url, table, tmp_path, *OPTIONS) as client:
        for goal in sorted(random.Random(7).sample(range(1, 70), 3)):
            wait_for(lambda goal=goal: len(recorded(tmp_path)) >= goal, WAIT_SECONDS)  # type: ignore[misc]
            restart(supervised)
        client.wait(WAIT_SECONDS)
    assert client.returncode == 1, told(tmp_path)
    assert "Traceback" not in told(tmp_path)
    assert "Triton ended by itself (killed by somebody). Triton is started again." in supervised.said
    assert_equal_to(tmp_path, undisturbed)


def test_a_dead_process_of_a_model_costs_no_row(
    supervised: Supervised, table: Path, undisturbed: Path, tmp_path: Path
) -> None:
    before = supervised.said
    with running(supervised.grpc_url, table, tmp_path, *OPTIONS) as client:
        wait_for(lambda: len(recorded(tmp_path)) >= 25, WAIT_SECONDS)
        restart(supervised, "triton_python_backend_stub", "/decode/")
        client.wait(WAIT_SECONDS)
    assert client.returncode == 1, told(tmp_path)
    assert "A process of model `decode` has died (killed by somebody)." in supervised.said.removeprefix(before)
    assert_equal_to(tmp_path, undisturbed)


def test_a_photo_that_ends_a_process_each_time_fails_alone(supervised: Supervised, tmp_path: Path) -> None:
    names = [f"{letter}.png" for letter in "abcdef"]
    table = small_table(tmp_path, *names)
    for name, color in (("c.png", (255, 0, 0)), ("e.png", (0, 255, 0))):
        Image.new("RGB", (64, 64), color).save(tmp_path / name)
    before, size = supervised.said, f"{(tmp_path / 'c.png').stat().st_size:,} bytes"
    waiting = ("--files", "mask", "--quiet", "--wait-for-server", str(WAIT_SECONDS))
    with running(supervised.grpc_url, table, tmp_path / "out", *waiting) as client:
        client.wait(2 * WAIT_SECONDS)
    assert client.returncode == 1, told(tmp_path / "out")
    said = supervised.said.removeprefix(before)
    assert said.count("model `decode` has died (exit code 3)") == 2
    assert said.index(f"while it read a photo of {size}.") < said.index(f"over a photo of {size} again: that photo is")
    rows = lines(tmp_path / "out" / "small.csv")
    assert [row["image_path"] for row in rows] == names
    errors = {name: row["error"] for name, row in zip(names, rows, strict=True) if row["error"]}
    assert errors.keys() == {"c.png", "e.png"}, errors
    assert errors["c.png"].startswith("This photo ends the decoder: ")
    assert errors["e.png"].startswith(
        "with this photo 3 times, the last time alone, a Python process of the server has d"
    )
    assert "row 3 (c.png): This photo ends the decoder" in told(tmp_path / "out")
    assert sorted(recorded(tmp_path / "out")) == list(range(6))


def test_an_impatient_second_ctrl_c_costs_neither_the_server_nor_a_row(
    supervised: Supervised, table: Path, undisturbed: Path, tmp_path: Path
) -> None:
    crashes = supervised.said.count("Triton ended by itself")
    with running(supervised.grpc_url, table, tmp_path, *OPTIONS) as client:
        wait_for(lambda: len(recorded(tmp_path)) > 0, WAIT_SECONDS)
        client.send_signal(signal.SIGINT)
        wait_for(lambda: "Ctrl-C again drops them" in told(tmp_path), WAIT_SECONDS)
        client.send_signal(signal.SIGINT)
        client.wait(WAIT_SECONDS)
    assert client.returncode == 130, told(tmp_path)
    assert "Traceback" not in told(tmp_path)
    finish(supervised, table, tmp_path)
    assert_equal_to(tmp_path, undisturbed)
    assert supervised.said.count("Triton ended by itself") == crashes


def test_two_runs_into_one_folder_are_refused_until_the_first_is_gone(
    supervised: Supervised, table: Path, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(supervised.grpc_url, table, tmp_path, *OPTIONS) as client:
        wait_for(lambda: len(recorded(tmp_path)) > 0, WAIT_SECONDS)
        client.send_signal(signal.SIGSTOP)  # alive, but not running
        assert relight(supervised, table, tmp_path, *OPTIONS) == 2
        assert relight(supervised, table, tmp_path, *OPTIONS, "--shard", "2/5") == 2
        assert "another run is writing into" in capsys.readouterr().err
    finish(supervised, table, tmp_path)
    assert_equal_to(tmp_path, undisturbed)
