"""The gallery in headless Chromium, opened from disk: what a click or a key does."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By

from client.gallery.__main__ import main
from client.gallery.thumbnails import FOLDER
from tests.client.gallery.browser import complaints, find, wait_until
from tests.client.gallery.looks import counts, open_first, opened, press, shown
from tests.rig.finished_runs import FinishedRun, made_light, small_run

EVIL = "\"'><img src=x onerror=document.title='taken'></script><script>document.title='taken'</script>"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the gallery of a small run."""
    run = small_run(tmp_path_factory.mktemp("gallery"))
    main([str(run), "--quiet"])
    return (run / "gallery.html").as_uri()


@pytest.fixture
def page(chromium: Chrome, gallery: str) -> Iterator[Chrome]:
    """The small gallery, freshly opened; it must not complain about anything until the end of the test."""
    opened(chromium, gallery)
    yield chromium
    assert complaints(chromium) == []


def test_it_opens_from_disk_and_shows_every_thumbnail(page: Chrome) -> None:
    assert page.current_url.startswith("file://")
    assert counts(page) == "12 of 12 pictures"
    wait_until(page, "return [...document.querySelectorAll('.cell img')].every((image) => image.naturalWidth)")
    images = page.find_elements(By.CSS_SELECTOR, ".cell img")
    assert len(images) == 12
    assert all("light" in (image.get_attribute("alt") or "") for image in images)


def test_filters_and_the_search_select_pictures_and_the_charts_follow(page: Chrome) -> None:
    assert "12 selected" in (find(page, "#charts svg").get_attribute("aria-label") or "")
    find(page, "#filter-split option[value=val]").click()
    assert shown(page) == ["portrait_5.jpg"] * 2
    assert "2 selected" in (find(page, "#charts svg").get_attribute("aria-label") or "")
    find(page, "#reset").click()
    wait_until(page, "return byId('counts').textContent === '12 of 12 pictures'")
    find(page, "#search").send_keys("window PORTRAIT_1")
    assert shown(page) == ["portrait_1.jpg"]
    find(page, "#search").clear()
    find(page, "#search").send_keys("00004_output_1")
    assert shown(page) == ["portrait_4.jpg"]
    find(page, "#search").send_keys(Keys.ESCAPE)
    find(page, "#score-low").send_keys("0.8")
    assert shown(page) == ["portrait_4.jpg"] * 2 + ["portrait_5.jpg"] * 2
    find(page, "#sort option[value='-score']").click()
    assert shown(page) == ["portrait_5.jpg"] * 2 + ["portrait_4.jpg"] * 2
    find(page, ".names button[title^='key + rim']").click()
    assert shown(page) == ["portrait_5.jpg", "portrait_4.jpg"]
    find(page, "#search").send_keys("nobody has this")
    assert shown(page) == []
    assert find(page, "#empty").text == "No picture is like that. Clear a filter."


def test_the_slider_moves_the_edge_between_before_and_after(page: Chrome) -> None:
    open_first(page)
    stage = find(page, "#stage")
    start = stage.rect["width"] / 2
    divider = ActionChains(page).move_to_element(stage).click_and_hold()
    divider.move_by_offset(round(start / 2), 0).release().perform()
    share = float(find(page, "#slider").get_attribute("value") or 0)
    assert 72 < share < 78
    clip = page.execute_script("return byId('before').style.clipPath")
    assert clip == f"inset(0px {100 - share:g}% 0px 0px)"
    assert (find(page, "#before").get_attribute("src") or "").endswith("/00000_albedo.png")
    assert (find(page, "#after").get_attribute("src") or "").endswith("/00000_output_0.png")
    find(page, "#views button:last-child").click()
    assert (find(page, "#after").get_attribute("src") or "").endswith("/00000_mask.png")
    assert not find(page, "#slider").is_displayed()


def test_the_dial_is_bright_where_the_light_comes_from(page: Chrome) -> None:
    open_first(page)  # its key light stands on the right
    script = """
        const canvas = document.querySelector(".dial canvas"), side = canvas.width;
        const row = canvas.getContext("2d").getImageData(0, side / 2, side, 1).data;
        return [0.7, 0.3].map((share) => row[4 * Math.floor(share * side)]);
    """
    right, left = page.execute_script(script)
    assert right > left + 40
    assert "key, azimuth 0°, elevation 45°" in (find(page, ".dial svg").get_attribute("aria-label") or "")
    assert find(page, ".instruction").text == find(page, "#cell-0 img").get_attribute("alt")


def test_keys_move_open_step_and_close(page: Chrome) -> None:
    press(page, Keys.ARROW_RIGHT)  # the first key gives the grid its focus
    press(page, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_LEFT)
    columns = page.execute_script("return grid.columns")
    assert find(page, "#grid").get_attribute("aria-activedescendant") == f"cell-{columns}"
    press(page, Keys.ENTER)
    wait_until(page, "return byId('detail').open && document.querySelector('#facts .instruction')")
    title = find(page, "#detail-title").text
    press(page, Keys.ARROW_RIGHT)
    assert find(page, "#detail-title").text != title
    press(page, Keys.ESCAPE)
    assert not find(page, "#detail").is_displayed()
    assert page.switch_to.active_element.get_attribute("id") == "grid"
    assert find(page, "#grid").get_attribute("aria-activedescendant") == f"cell-{columns + 1}"
    press(page, "/")
    assert page.switch_to.active_element.get_attribute("id") == "search"
    press(page, "rim", Keys.ESCAPE)
    assert counts(page) == "12 of 12 pictures"


def test_failures_are_a_list_with_their_reasons(page: Chrome) -> None:
    assert find(page, "#show-failures").text == "Failures 2"
    find(page, "#show-failures").click()
    rows = [row.text for row in page.find_elements(By.CSS_SELECTOR, "#failures tbody tr")]
    assert rows[0].startswith("val_images 7 nobody.jpg Nobody found, best score 0.00: lower")
    find(page, "#search").send_keys("lost")
    (row,) = page.find_elements(By.CSS_SELECTOR, "#failures tbody tr")
    assert "there is no file photos/lost.jpg" in row.text


def test_a_narrow_window_needs_no_scrolling_to_the_side(page: Chrome) -> None:
    size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        wait_until(page, "return grid.columns === 2")
        open_first(page)
        assert page.execute_script("return document.documentElement.scrollWidth") == 400
        assert find(page, "#detail").rect["width"] == 400
        assert find(page, "#stage").rect["width"] > 350
    finally:
        page.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", size | {"width": 1280, "height": 900, "mobile": False}
        )


def test_text_of_a_run_is_shown_as_text(chromium: Chrome, tmp_path: Path) -> None:
    run = FinishedRun(tmp_path, columns=("image_path", EVIL))
    run.done((EVIL, EVIL), [made_light().named() | {"instruction": EVIL}])
    run.failed((EVIL, EVIL), EVIL)
    main([str(run.close()), "--quiet"])
    page = opened(chromium, (run.folder / "gallery.html").as_uri())
    assert shown(page) == [EVIL]
    open_first(page)
    assert find(page, ".instruction").text == EVIL
    page.execute_script("byId('detail').close(); byId('show-failures').click()")
    assert EVIL in find(page, "#failures td:last-child").text
    assert page.title == "val_images · relight-triton"
    assert page.execute_script("return document.scripts.length") == 3  # code, index, the details of the photo
    assert complaints(page) == []


def test_a_file_that_is_gone_is_said_where_it_would_be(chromium: Chrome, tmp_path: Path) -> None:
    run = small_run(tmp_path)
    main([str(run), "--quiet"])
    (run / "00000_albedo.png").unlink()
    page = opened(chromium, (run / "gallery.html").as_uri())
    open_first(page)
    wait_until(page, "return !byId('unshown').hidden")
    assert "00000_albedo.png: the file is missing" in find(page, "#unshown").text
    shutil.rmtree(run / FOLDER)
    page.get((run / "gallery.html").as_uri())
    assert "__gallery__ beside this page is missing" in counts(page)
    complaints(page)  # of the missing files, as they should be
