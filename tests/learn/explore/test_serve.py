"""The page of sliders in a real browser."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from learn.explore.observation import Observation
from learn.explore.serve import HOST, make_server
from learn.explore.settings import ExploreSettings
from learn.explore.view import Explorer
from lensphys.ground.errors import InputError

ROOT = Path(__file__).parents[3]
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-quic",
)  # fmt: skip
#: Seconds until a page that has not followed never will.
PATIENCE = 60.0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The page of the command, in a process of its own."""
    command = [sys.executable, "cli.py", "explore", "--set", "open_browser=false", "--size", "32"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = ""
        for line in process.stdout:
            if line.startswith("http"):
                break
        yield line.split()[0]
        process.terminate()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    if BROWSER is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(service=Service(DRIVER), options=options)
    driver.get("about:blank")
    driver.get_log("performance")  # what the browser asked for of its own
    yield driver
    driver.quit()


def wait(browser: Any, script: str) -> Any:
    """The result of a script, once it is one."""
    end = time.monotonic() + PATIENCE
    while not (found := browser.execute_script(script)):
        assert time.monotonic() < end, script
        time.sleep(0.05)
    return found


def shot(browser: Any, path: Path, width: int, height: int) -> np.ndarray:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(1.0)
    browser.save_screenshot(str(path))
    return np.array(Image.open(path).convert("RGB")).astype(int)


def test_a_slider_moves_the_pictures_in_a_browser(
    address: str, browser: Any, tmp_path: Path
) -> None:
    browser.get(address)
    wait(browser, "return window.Bokeh && Bokeh.documents[0]?.is_idle")
    before = shot(browser, tmp_path / "a.png", 1400, 900)
    browser.execute_script(
        "const page = Bokeh.documents[0]; window.told = false;"
        "page.get_model_by_name('message').properties.text.change.connect(() => told = true);"
        "page.get_model_by_name('theta_E').value = 0.4;"
    )
    wait(browser, "return window.told")
    after = shot(browser, tmp_path / "b.png", 1400, 900)
    pictures = abs(after - before)[60:, 360:].sum(2) > 30
    assert pictures.mean() > 0.01, "the pictures are others"
    slider = browser.find_element("css selector", ".sliders")
    assert slider.is_displayed()
    # On a phone everything is in one column, and nothing is wider than the page.
    shot(browser, tmp_path / "phone.png", 390, 844)
    width = "return [document.documentElement.scrollWidth, window.innerWidth]"
    inner, outer = browser.execute_script(width)
    assert inner <= outer
    severe = [
        entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
    ]
    assert severe == []
    asked = re.findall(r'"url":"(https?://[^"]+)"', str(browser.get_log("performance")))
    assert asked
    elsewhere = [url for url in asked if not url.startswith(address)]
    assert elsewhere == []


def test_the_server_listens_on_this_machine_alone() -> None:
    observation = Observation("a lens", (24, 24), 0.1)
    settings = ExploreSettings(
        size=24, pixel_scale=None, hdu=None, index=0, z_lens=0.5, z_source=1.0, port=0,
        open_browser=False, seed=0,
    )  # fmt: skip
    server = make_server(Explorer(observation, settings), 0)
    try:
        assert server.address == HOST == "127.0.0.1"
        assert server.port
        with pytest.raises(InputError, match=f"port {server.port} cannot be opened: .* --port"):
            make_server(Explorer(observation, settings), server.port)
    finally:
        server.stop()
        server.unlisten()
