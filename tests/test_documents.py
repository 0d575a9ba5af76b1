"""The documents name only what exists: links, modules, files, make targets, options, and the numbers of a light."""

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from client import run_csv
from client.run.options import command_parser
from docs.pictures import DEFAULTS, STRIPS
from export.networks.people.selfie import PROMPTS
from export.networks.presets import PRESETS
from tests.rig.places import ROOT

DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/*.md")})
FOLDERS = "benchmarks|client|contract|docker|docs|export|model_repository|samples|server|tests"
LINK = re.compile(r"\]\(([^)\s]+)\)")
MODULE = re.compile(r"\bpython3? -m ([\w.]+)")
FILE = re.compile(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./*-]*\.(?:py|toml|md|csv|yml|pbtxt|jpg)\b")
TARGET = re.compile(r"(?:`|^)make ([a-z][a-z-]*)", re.MULTILINE)
COMMAND = re.compile(r"client/run_csv\.py (--[^#\n]+)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def module_exists(name: str) -> bool:
    """Whether `python -m NAME` runs: a module of ours, a package of ours with a `__main__`, or an installed one."""
    path = ROOT.joinpath(*name.split("."))
    if (ROOT / name.partition(".")[0]).is_dir():
        return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
    return find_spec(name.partition(".")[0]) is not None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_only_what_exists(document: Path) -> None:
    text = document.read_text()
    for link in LINK.findall(text):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = document.parent / path if path else document
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link
    assert [name for name in MODULE.findall(text) if not module_exists(name)] == []
    assert [name for name in FILE.findall(text) if not any(ROOT.glob(name))] == []
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(TARGET.findall(text)) <= set(targets)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 900


def test_the_pictures_are_small() -> None:
    assert (ROOT / "docs" / "contact_sheet.jpg").stat().st_size <= 250_000
    pictures = list((ROOT / "docs").glob("*/*.jpg"))
    assert [picture.name for picture in pictures if picture.stat().st_size > 60_000] == []


def test_the_lighting_page_has_a_picture_of_every_distribution() -> None:
    shown = {group.title.partition(",")[0] for groups in STRIPS.values() for group in groups}
    assert DEFAULTS.keys() - shown == {"pattern.probability", "environment.probability"}  # these draw nothing else
    on_page = re.findall(r"\(lighting/(\w+)\.jpg\)", (ROOT / "docs" / "lighting.md").read_text())
    assert sorted(on_page) == sorted([*STRIPS, "maps", "instructions"])


def test_the_page_of_networks_names_every_network_and_prompt() -> None:
    text = (ROOT / "docs" / "networks.md").read_text()
    networks = {choice.label for preset in PRESETS.values() for choice in preset.values()}
    assert [name for name in (*PRESETS, *networks, *PROMPTS) if f"`{name}`" not in text] == []


def test_the_examples_of_the_command_can_be_given() -> None:
    texts = [document.read_text() for document in DOCUMENTS] + [run_csv.__doc__ or ""]
    examples = [example for text in texts for example in COMMAND.findall(text)]
    assert len(examples) >= 3
    for example in examples:
        command_parser("").parse_args(shlex.split(example))


def test_the_usage_names_every_option_of_the_command_and_no_other() -> None:
    options = set(command_parser("").format_help().replace("--help", "").split())
    known = {word for text in options for word in OPTION.findall(text)}
    assert set(OPTION.findall((ROOT / "docs" / "usage.md").read_text())) - {"--help"} == known


def test_the_page_of_clusters_has_the_figures_that_its_command_prints() -> None:
    text = (ROOT / "docs" / "cluster.md").read_text()
    (program,) = re.findall(r"<<'END'\n(.*?)\nEND", text, re.DOTALL)
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert f"|\n{printed.stdout}\n" in text


def test_the_lighting_page_has_the_contracts_own_table() -> None:
    table = subprocess.run([sys.executable, "-m", "contract"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert table.stdout in (ROOT / "docs" / "lighting.md").read_text()
