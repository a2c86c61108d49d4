"""The report in a real browser: headless Chromium, driven by its own driver."""

import json
import os
import shutil

import pytest

from node_diag.outputs.base import render
from tests.stubs import stock_report

pytestmark = pytest.mark.browser
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        if os.environ.get("CI"):
            pytest.fail("CI has to have chromium and chromedriver")
        pytest.skip("needs chromium and chromedriver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as found:
        yield found


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(render(stock_report(), ["html"])["report.html"])
    browser.get(path.as_uri())
    return browser


def media(browser, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def resize(browser, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1200, 1600])
def test_no_horizontal_scroll(page, scheme, width):
    media(page, scheme)
    resize(page, width)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    assert page.execute_script("return window.innerWidth") == width


def test_no_errors_and_nothing_fetched(page):
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = [
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    ]
    fetched = [url for url in sent if not url.startswith(("data:", "chrome:", "about:"))]
    assert fetched == [page.current_url]


def luminance(color):
    parts = [float(x) for x in color[color.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(page, scheme):
    """WCAG AA asks for a contrast of 4.5 for text; the two schemes have to differ."""
    media(page, scheme)
    text, back = page.execute_script(
        "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    )
    bright, dark = sorted((luminance(text), luminance(back)), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 4.5
    assert (luminance(back) > luminance(text)) == (scheme == "light")


def test_figures_are_drawn_and_described(page):
    figures = page.execute_script(
        "return [...document.querySelectorAll('figure svg')].map(s => ["
        "s.getBoundingClientRect().width, s.getBoundingClientRect().height,"
        "s.getAttribute('aria-label') || s.querySelector('title')?.textContent || ''])"
    )
    assert len(figures) >= 5
    for width, height, label in figures:
        assert width > 200
        assert height > 80
        assert len(label) > 20


def test_everything_that_scrolls_can_be_reached_by_keyboard(page):
    resize(page, 360)
    unreachable = page.execute_script(
        "return [...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1"
        " && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX) && e.tabIndex < 0"
        " && e.clientWidth > 0).map(e => e.outerHTML.slice(0, 80))"
    )
    assert unreachable == []
