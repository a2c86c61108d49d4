"""The report in a real browser: every page of conftest.REPORTS, most of them of real runs."""

from __future__ import annotations

import base64
import re

import pytest

pytestmark = pytest.mark.browser
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])

A4 = 673, 1001
"""Pixels (1/96 inch) of the printed part of an A4 page: 210 x 297 mm less margins of 16 mm."""


@SCHEMES
@pytest.mark.parametrize("width", [360, 480, 800, 1200, 1600])
@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "open"])
def test_no_horizontal_scroll(page, scheme, width, is_open):
    page.media(scheme)
    page.resize(width)
    page.open_details(is_open)
    assert page.run("return window.innerWidth") == width
    assert page.run("return document.documentElement.scrollWidth") <= width
    assert page.too_wide() == []
    assert page.unseen() == []


def test_no_errors_and_nothing_fetched(page):
    page.browser.get_log("browser")
    page.browser.get_log("performance")
    page.browser.refresh()
    page.open_details()
    assert page.browser.get_log("browser") == []
    assert page.requests() == [page.browser.current_url]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
def test_axe_finds_no_violation(page, scheme, width):
    """With everything open: what is hidden is not looked at."""
    page.media(scheme)
    page.resize(width)
    page.open_details()
    assert page.axe() == []


@SCHEMES
def test_text_stands_out_from_its_background(page, scheme):
    """WCAG AA asks for a contrast of 4.5 for text; the two schemes have to differ."""
    page.media(scheme)
    page.open_details()
    assert page.low_contrast() == []
    back = page.run("return getComputedStyle(document.body).backgroundColor")
    is_light = sum(map(int, re.findall(r"\d+", back)[:3])) > 3 * 128
    assert is_light == (scheme == "light")


def test_figures_are_drawn_and_described_and_have_their_numbers(page):
    figures = page.run(
        "return [...document.querySelectorAll('figure')].map(f => { const s = f.querySelector('svg');"
        "const box = s.getBoundingClientRect(); return {width: box.width, height: box.height,"
        "label: s.getAttribute('aria-label'), role: s.getAttribute('role'),"
        "rows: f.querySelectorAll('details table tbody tr').length}})"
    )
    assert len(figures) >= 5
    for figure in figures:
        assert figure["width"] > 200
        assert figure["height"] > 80
        assert figure["role"] == "img"
        assert len(figure["label"]) > 20
        assert figure["rows"] >= 1


FOCUSABLE = """
return [...document.querySelectorAll('a[href], summary, [tabindex="0"]')]
  .filter(e => e.checkVisibility()).map((e, i) => { e.dataset.stop = i; return i; }).length
"""
FOCUSED = """
const e = document.activeElement, s = getComputedStyle(e), b = e.getBoundingClientRect();
return {stop: Number(e.dataset?.stop ?? -1), html: e.outerHTML.slice(0, 80),
  outline: s.outlineStyle === 'none' ? 0 : parseFloat(s.outlineWidth),
  outlined: s.outlineColor !== getComputedStyle(document.body).backgroundColor,
  seen: b.width > 0 && b.bottom > 0 && b.top < innerHeight && b.right > 0 && b.left < innerWidth}
"""


def press(page, key):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(page.browser).send_keys(key).perform()


def test_tab_goes_through_everything_in_the_order_of_the_page(page):
    from selenium.webdriver.common.keys import Keys

    expected = page.run(FOCUSABLE)
    assert expected > 20
    for stop in range(expected):
        press(page, Keys.TAB)
        found = page.run(FOCUSED)
        assert found["stop"] == stop, found
        assert found["outline"] >= 2, found
        assert found["outlined"], found
        assert found["seen"], found


def test_the_skip_link_comes_first_and_leads_to_what_to_do(page):
    from selenium.webdriver.common.keys import Keys

    press(page, Keys.TAB)
    assert page.run("return document.activeElement.className") == "skip"
    press(page, Keys.ENTER)
    top = page.run("return document.querySelector('#findings').getBoundingClientRect().top")
    assert -1 <= top <= 100
    # The next stop is behind the navigation, not in it.
    press(page, Keys.TAB)
    assert page.run("return document.activeElement.closest('nav') === null")


def test_the_numbers_of_every_figure_are_reached_by_keyboard(page):
    from selenium.webdriver.common.keys import Keys

    for i in range(page.run("return document.querySelectorAll('figure').length")):
        page.run(
            "document.querySelectorAll('figure')[arguments[0]].querySelector('summary').focus()", i
        )
        press(page, Keys.ENTER)
        press(page, Keys.TAB)
        inside = (
            "const e = document.activeElement; return e.closest('figure details') !== null"
            " && e.querySelector('table') !== null && e.checkVisibility()"
        )
        assert page.run(inside)


def test_everything_that_scrolls_can_be_reached_by_keyboard(page):
    page.resize(360)
    page.open_details()
    unreachable = page.run(
        "return [...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1"
        " && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX) && e.tabIndex < 0"
        " && e.clientWidth > 0).map(e => e.outerHTML.slice(0, 80))"
    )
    assert unreachable == []


@SCHEMES
def test_print_hides_nothing_and_clips_nothing(page, scheme):
    """On paper it is black on white, whatever the screen is; the columns of a table all fit."""
    page.media(scheme, "print")
    page.resize(A4[0])
    assert page.unseen() == []
    assert page.too_wide() == []
    assert page.low_contrast() == []
    clipped = page.run(
        "return [...document.querySelectorAll('.scroll, pre')].filter(e => !e.closest('details')"
        " && e.scrollWidth > e.clientWidth + 1).map(e => [e.scrollWidth, e.textContent.slice(0, 60)])"
    )
    if "hostile" not in page.browser.current_url:  # names of 80 letters in every column do not fit
        assert clipped == []
    assert (
        page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    )


def test_pages_break_between_figures_and_rows(page):
    """What may not be broken fits on a page: otherwise it is broken all the same."""
    page.media(medium="print")
    page.resize(A4[0])
    found = page.run(
        "return [...document.querySelectorAll('figure, tr')].filter(e => e.checkVisibility())"
        ".map(e => [getComputedStyle(e).breakInside, e.getBoundingClientRect().height])"
    )
    assert {inside for inside, _ in found} == {"avoid"}
    assert max(height for _, height in found) <= A4[1]


def test_it_prints(page):
    page.media()
    data = page.cdp("Page.printToPDF", printBackground=False, preferCSSPageSize=True)["data"]
    content = base64.b64decode(data)
    assert content.startswith(b"%PDF-")
    pages = max(map(int, re.findall(rb"/Count (\d+)", content)))
    assert 3 <= pages <= 40


@pytest.mark.parametrize("report_html", ["hostile"], indirect=True)
def test_hostile_texts_do_nothing(browser, page):
    from selenium.common.exceptions import NoAlertPresentException

    with pytest.raises(NoAlertPresentException):
        browser.switch_to.alert.dismiss()
    assert (
        page.run("return document.querySelectorAll('script, img, iframe, object, style').length")
        == 1
    )
    text = page.run("return document.body.textContent")
    assert "<script>alert(1)</script>" in text
    assert "{{7*7}}" in text
    # Escapes in the place of characters that turn a line around or move the cursor.
    assert not set(text) & {"\u202e", "\u2066", "\x00", "\x1b", "\x07", "\u200d"}
    assert "\\u202e" in text
