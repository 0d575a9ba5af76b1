"""What the tests do with a gallery in a browser: open it, read what it shows, click and press keys."""

from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.client.gallery.browser import find, wait_until


def opened(driver: Chrome, address: str) -> Chrome:
    """The page, once its first grid is there."""
    driver.get(address)
    wait_until(driver, "return document.documentElement.dataset.ready")
    return driver


def open_first(driver: Chrome) -> None:
    """Click on the first picture, and wait for its details."""
    find(driver, "#cell-0").click()
    wait_until(driver, "return document.querySelector('#facts .instruction') && byId('after').complete")


def shown(driver: Chrome) -> list[str]:
    """The names below the cells, in the order of the grid."""
    cells = driver.find_elements(By.CSS_SELECTOR, ".cell")
    return [cell.find_element(By.CSS_SELECTOR, ".name").text for cell in sorted(cells, key=_place)]


def counts(driver: Chrome) -> str:
    """How many pictures are selected, as the page says it."""
    return find(driver, "#counts").text


def press(driver: Chrome, *keys: str) -> None:
    """Press keys where the focus is."""
    ActionChains(driver).send_keys(*keys).perform()


def _place(cell: WebElement) -> int:
    return int(cell.get_attribute("aria-posinset") or 0)
