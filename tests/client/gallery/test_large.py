"""A gallery of 10,000 pictures: how large its files are, and how few elements its page has."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

from client.gallery.page import PHOTOS_PER_PART, write_page
from client.gallery.runs import read_runs
from client.gallery.thumbnails import FOLDER, SHOWN, thumbnail_of
from tests.client.gallery.browser import complaints, find, wait_until
from tests.client.gallery.looks import counts, open_first, opened, press, shown
from tests.rig.finished_runs import large_run, parsed

PHOTOS, PICTURES = 2_500, 10_000


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gallery.html of that many pictures, whose thumbnails are one file."""
    output = tmp_path_factory.mktemp("large")
    run = large_run(output, PHOTOS)
    runs = read_runs(run)
    Image.new("RGB", (8, 8), "seagreen").save(output / "one.webp")
    (run / FOLDER / "thumbnails").mkdir(parents=True)
    for picture in runs.pictures:
        (run / thumbnail_of(picture.file)).hardlink_to(output / "one.webp")
    return write_page(run, runs, [SHOWN] * PICTURES)


def test_the_page_is_small_and_its_details_wait_in_parts(page: Path) -> None:
    data = page.parent / FOLDER
    parts = list(data.glob("part_*.js"))
    assert len(parts) == PHOTOS / PHOTOS_PER_PART
    assert page.stat().st_size < 60_000
    assert (data / "index.js").stat().st_size < 2_500_000  # all that is read before the first picture is seen
    assert max(part.stat().st_size for part in parts) < 400_000
    assert parsed(data / "index.js")["pictures"]["file"][-1] == "02499_output_3.png"


def test_the_grid_has_few_elements_wherever_it_is(
    chromium: Chrome, page: Path, record_property: Callable[[str, object], None]
) -> None:
    opened(chromium, page.as_uri())
    first = chromium.execute_script("return Number(document.documentElement.dataset.ready)")
    record_property("first_grid_ms", first)
    print(f"first grid of 10,000 pictures after {first} ms")  # shown by `pytest -s`
    assert counts(chromium) == "10,000 of 10,000 pictures"
    assert len(chromium.find_elements(By.CSS_SELECTOR, ".cell")) < 100
    chromium.execute_script("scrollTo(0, 1e9)")
    wait_until(chromium, "return document.getElementById('cell-9999')")
    assert len(chromium.find_elements(By.CSS_SELECTOR, ".cell")) < 100
    assert find(chromium, "#cell-9999").is_displayed()
    press(chromium, Keys.HOME)
    chromium.execute_script("scrollTo(0, 1e9)")
    find(chromium, "#search").send_keys("portrait_01234")
    assert shown(chromium) == ["portrait_01234.jpg"] * 4
    assert complaints(chromium) == []
    open_first(chromium)
    assert "a caption of photo 1234" in find(chromium, "#facts").text
