"""Headless Chromium, driven by its own driver, and the reports it is shown."""

from __future__ import annotations

import os
import shutil

import pytest

from node_diag.config_sources import resolve
from node_diag.loader import load
from node_diag.outputs.base import render
from node_diag.pipeline import Request, run_check
from tests.browser.page import Page
from tests.stubs import stock_report
from tests.unit.outputs.hostile import hostile_report

FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
]  # fmt: skip

BLOWS_UP = '''
"""Forward it comes to rest; backward in time it is infinite after a while."""
import torch
from torch import nn
from node_diag import Problem


class Decay(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))

    def forward(self, t, y):
        return -self.rate * y**3


def problem():
    z0 = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)
    return Problem(Decay(), z0, (0.0, 40.0), lambda zs: (zs**2).sum())
'''
"""A module whose adjoint ends without a gradient."""


def checked(spec, overrides, **flags):
    config = resolve({"repeat": 1, **flags}, {}, None).config
    return run_check(Request(load(spec, overrides), config, spec, overrides))


def failing(folder):
    path = folder / "blows_up.py"
    path.write_text(BLOWS_UP)
    report = checked(str(path), {}, rtol=1e-2)
    assert report.method("adjoint").status == "failed"
    return report


REPORTS = {
    "stock": lambda _: stock_report(),
    "vanderpol": lambda _: checked("vanderpol", {}, rtol=1e-5),
    "spiral": lambda _: checked("spiral", {"hidden": 6, "batch": 2, "n_obs": 2}),
    "failing": failing,
    "hostile": lambda _: hostile_report(),
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Until the module's end: a browser that nobody looks at still takes a seventh of a core."""
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
        found.set_script_timeout(120)
        yield found


@pytest.fixture(scope="module", params=REPORTS)
def report_html(request, browser, tmp_path_factory):
    """The page of a report: the browser comes first, since without one nothing need be run."""
    folder = tmp_path_factory.mktemp(request.param)
    path = folder / "report.html"
    path.write_bytes(render(REPORTS[request.param](folder), ["html"])["report.html"])
    return path


@pytest.fixture
def page(browser, report_html):
    """The page, freshly set to a light screen 1200 wide, and loaded if it was not."""
    found = Page(browser)
    found.show(report_html)
    return found
