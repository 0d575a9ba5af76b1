"""Headless Chromium, from disk and without a network: how the tests open a page and click on it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

LIMIT_SECONDS = 20.0
_PROGRAMS = {"chromium": "chromium", "chromium-driver": "chromedriver"}  # by their Debian packages
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ),
)


@contextmanager
def browser(profile: Path, width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[webdriver.Chrome]:
    """A browser whose window has this size in CSS pixels, with a new profile in an empty folder."""
    programs = {package: shutil.which(name) for package, name in _PROGRAMS.items()}
    if missing := [package for package, program in programs.items() if program is None]:
        # No wheel brings a browser, and its package needs root: a laptop without one must not fail for it. CI installs
        # it (.ci/run), so there the page is always looked at.
        pytest.skip(f"there is no browser to look at the page with: apt-get install {' '.join(missing)}")
    options = Options()
    options.binary_location = str(programs["chromium"])
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, Service(programs["chromium-driver"]))
    try:
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        yield driver
    finally:
        driver.quit()


def find(driver: webdriver.Chrome, selector: str) -> WebElement:
    """The first element of the page that a CSS selector means."""
    return driver.find_element(By.CSS_SELECTOR, selector)


def wait_until(driver: webdriver.Chrome, script: str) -> None:
    """Wait until a script returns something true."""
    WebDriverWait(driver, LIMIT_SECONDS, 0.02).until(lambda driver: driver.execute_script(script))


def complaints(driver: webdriver.Chrome) -> list[str]:
    """What the page has written to the console since the last call: errors, and what its security policy blocked."""
    entries: list[dict[str, str]] = driver.execute("getLog", {"type": "browser"})["value"]
    return [entry["message"] for entry in entries]
