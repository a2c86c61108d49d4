"""What is imported for what: redrawing must not wait for what it does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from node_diag.registry import OUTPUTS
from tests.stubs import failed_method, stock_report
from tests.unit.outputs.hostile import hostile_report

ROOT = Path(__file__).parents[3]
HEAVY = {"torch", "scipy", "matplotlib", "jinja2", "rich"}
NEEDS = {"html": {"matplotlib", "jinja2"}, "png": {"matplotlib"}}


def imported_by(statement: str) -> set[str]:
    """Heavy modules that a fresh interpreter has after a statement."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return HEAVY & set(done.stdout.split())


@pytest.mark.parametrize("name", OUTPUTS.names())
def test_a_format_imports_only_what_it_needs(name):
    statement = f"from node_diag.registry import OUTPUTS; OUTPUTS.load({name!r})"
    assert imported_by(statement) == NEEDS.get(name, set())


def test_the_terminal_needs_rich_only():
    assert imported_by("import node_diag.outputs.terminal") == {"rich"}


def test_preparing_a_folder_needs_nothing():
    assert imported_by("import node_diag.outputs.base") == set()


def test_no_figure_starts_pyplot():
    statement = "import node_diag.outputs.drawing, node_diag.outputs.formats.png"
    code = f"import sys\n{statement}\nprint('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", OUTPUTS.names())
def test_every_format_has_a_line_for_listings(name):
    line = OUTPUTS.descriptions()[name]
    assert 20 < len(line) < 90


@pytest.mark.parametrize("make", [stock_report, hostile_report], ids=["stock", "hostile"])
@pytest.mark.parametrize("name", OUTPUTS.names())
def test_every_format_gives_files(name, make):
    files = OUTPUTS.load(name).render(make())
    assert files
    assert all(isinstance(content, bytes) and content for content in files.values())


@pytest.mark.parametrize("name", OUTPUTS.names())
def test_every_format_survives_a_run_without_results(name):
    OUTPUTS.load(name).render(stock_report(methods=[failed_method()], findings=[], gates=[]))
