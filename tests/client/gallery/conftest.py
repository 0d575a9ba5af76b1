"""One browser for all tests of the gallery."""

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome

from tests.client.gallery.browser import browser


@pytest.fixture(scope="package")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A window of 1280 × 900."""
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver
