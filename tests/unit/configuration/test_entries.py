"""The problems that a configuration lists."""

from pathlib import Path

import pytest

from node_diag.config_file import stem
from node_diag.config_sources import configured_problems, resolve
from node_diag.errors import UsageError


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "pyproject.toml"
        path.write_text(f"[tool.node-diag]\n{text}\n")
        return path

    return write


def test_an_entry_is_a_name_or_a_table(toml):
    file = toml(
        'problems = ["linear", {problem = "a/mine.py:make", name = "loose", set = {mu = 2}, rtol = 1e-3}]'
    )
    first, second = configured_problems({}, file)
    assert (first.name, first.spec, first.is_named, dict(first.options)) == (
        "linear",
        "linear",
        False,
        {},
    )
    assert (second.name, second.spec, second.is_named) == ("loose", "a/mine.py:make", True)
    assert (dict(second.overrides), dict(second.options)) == ({"mu": 2}, {"rtol": 1e-3})


def test_yaml_lists_them_too(tmp_path):
    file = tmp_path / "node-diag.yaml"
    file.write_text("problems:\n  - linear\n  - problem: spiral\n    max-grad-error: aca=1e-3\n")
    found = configured_problems({}, file)
    assert [entry.name for entry in found] == ["linear", "spiral"]
    assert resolve({}, {}, file, found[1]).config.max_grad_error == ["aca=1e-3"]


def test_flags_over_environment_over_entry_over_file(toml):
    file = toml('rtol = 1e-2\natol = 1e-2\nseed = 2\ngates = []\nproblems = [{problem = "linear", '
                'rtol = 1e-3, atol = 1e-3, max_steps = 3, gates = ["aca.nfe_forward<=9"]}]')  # fmt: skip
    (entry,) = configured_problems({}, file)
    found = resolve(
        {"rtol": 1e-5}, {"NODE_DIAG_RTOL": "1e-4", "NODE_DIAG_ATOL": "1e-4"}, file, entry
    )
    config = found.config
    assert (config.rtol, config.atol, config.max_steps, config.seed) == (1e-5, 1e-4, 3, 2)
    assert config.gates == ["aca.nfe_forward<=9"]
    assert found.sources["max_steps"] == "pyproject.toml: problems: linear: max_steps"
    assert found.sources["rtol"] == "flag --rtol"
    assert found.sources["atol"] == "environment NODE_DIAG_ATOL"


def test_the_environment_names_problems(toml):
    found = configured_problems(
        {"NODE_DIAG_PROBLEMS": "linear, spiral"}, toml('problems = ["vanderpol"]')
    )
    assert [entry.name for entry in found] == ["linear", "spiral"]
    assert resolve({}, {"NODE_DIAG_PROBLEMS": "linear"}, None).sources == {}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"linear"', "must be a list"),
        ("[3]", "neither a problem nor a table"),
        ('[{name = "x"}]', r"problems\[0\] in pyproject.toml has no 'problem'"),
        ('["linear", {problem = "linear", rtoll = 1}]', "unknown key 'rtoll' in problems.1. .*did you mean 'rtol'"),
        ('[{problem = "linear", report_dir = "x"}]', "unknown key 'report_dir'"),
        ('[{problem = "linear", set = 3}]', "'set' .* must hold names and values"),
        ('[{problem = "linear", name = "../x"}]', "cannot be a folder's"),
        ('[{problem = "linear", name = "index.html"}]', "cannot be a folder's"),
        ('["linear", {problem = "linear", rtol = 1}]', "two problems called 'linear'; give one of them another name"),
        ('["linear", {problem = "x.py", name = "Linear"}]', "two problems called"),  # on some disks
    ],
)  # fmt: skip
def test_a_wrong_list_is_one_sentence(toml, value, said):
    with pytest.raises(UsageError, match=said):
        configured_problems({}, toml(f"problems = {value}"))


def test_a_misspelt_key_is_suggested(toml):
    with pytest.raises(UsageError, match=r"unknown key 'problem' .*did you mean 'problems'"):
        resolve({}, {}, toml('problem = ["linear"]'))


@pytest.mark.parametrize(
    ("spec", "name"),
    [("linear", "linear"), ("a/b.py", "b"), ("a/b.py:make", "b"), ("pkg.mod:make", "pkg.mod"), ("C:\\x.py", "C:\\x")],
)  # fmt: skip
def test_a_problem_is_called_by_its_file(spec, name):
    assert stem(spec) == name or "\\" in spec


@pytest.mark.parametrize("name", ["timeout", "max_slowdown"])
@pytest.mark.parametrize("value", [0, -1, "nan", "inf"])
def test_limits_are_positive_numbers(name, value):
    with pytest.raises(UsageError, match="positive number"):
        resolve({name: value}, {}, None)
