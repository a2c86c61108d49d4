"""What the documents say is what happens: their files and commands, as they are written."""

import inspect
import re
import shlex
from pathlib import Path

import pytest

from node_diag.commands.check import check
from node_diag.config import CheckConfig, flag_of
from node_diag.config_sources import FLAGS_ONLY

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--repeat", "1", "--report", "json", "-q")


def blocks(document, language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / document).read_text(), re.M | re.S)
    return [text for kind, text in found if kind == language]


def commands(document):
    """Lines of the blocks without a language that run a check of the reader's own model."""
    lines = [line for block in blocks(document, "") for line in block.splitlines()]
    return [
        shlex.split(line, comments=True)[1:]
        for line in lines
        if line.startswith("node-diag check mymodel.py")
    ]


@pytest.fixture
def files(tmp_path):
    """The files of the documents, by the name in their first line."""
    for document in ("README.md", "docs/own_method.md"):
        for block in blocks(document, "python"):
            if named := re.match(r"# (\w+\.py)\n", block):
                (tmp_path / named[1]).write_text(block)
    return {path.name for path in tmp_path.iterdir()}


COMMANDS = commands("README.md")
assert all(command in COMMANDS for command in commands("docs/own_method.md"))


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_the_commands_run_as_they_are_written(node_diag, files, arguments):
    assert files == {"mymodel.py", "mymethod.py"}
    done = node_diag(*arguments, *QUICK)
    assert done.returncode == 0, done.stderr
    assert "Nothing wrong was found" in done.stdout


def test_the_example_of_a_method_gives_the_gradient_of_the_built_in_one(node_diag, files, tmp_path):
    gates = ("--gate", "mymethod.grad_error_discrete<=1e-8", "--max-grad-error", "mymethod=1e-4")
    done = node_diag("check", "mymodel.py", "-m", "mymethod.py:METHOD,mymethod.py", *QUICK)
    assert done.returncode == 0, done.stderr
    # The same graph differentiated: the same numbers; the discrete truth is known to 1e-9.
    gated = node_diag("check", "mymodel.py", "-m", "mymethod.py", *gates, *QUICK)
    assert gated.returncode == 0, gated.stdout + gated.stderr


def test_the_readme_says_which_options_are_configured():
    (section,) = re.findall(r"## Configuration\n(.*?)\n```", (ROOT / "README.md").read_text(), re.S)
    named = set(re.findall(r"`(--[a-z-]+)`", section)) - {"--set"}
    assert named == {flag_of(name) for name in FLAGS_ONLY}
    parameters = {name.rstrip("_") for name in inspect.signature(check).parameters}
    singular = {flag_of(name)[2:].replace("-", "_") for name in CheckConfig.model_fields}
    assert parameters == singular | set(FLAGS_ONLY) | {"problem", "set"}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("force: true", "'force' in node-diag.yaml is a flag only; pass --force to the command"),
        ("output-format: json", "is a flag only; pass --output-format to the command"),
        ("set: {k: 1}", "'set' in node-diag.yaml is of no problem; put it into an entry"),
    ],
)
def test_a_key_that_is_not_configured_is_told_where_it_goes(node_diag, tmp_path, key, said):
    (tmp_path / "node-diag.yaml").write_text(key)
    done = node_diag("check", "linear", "-q")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
