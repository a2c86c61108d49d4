"""Which file configures, and what is said where that is not clear."""

import pytest

from node_diag.config_file import find_file, read_file
from node_diag.errors import UsageError


def test_two_files_in_one_folder_are_refused(tmp_path):
    """Or the gates of one of them would be dropped without a word."""
    (tmp_path / "node-diag.yaml").write_text("rtol: 1.0e-6\n")
    (tmp_path / "pyproject.toml").write_text("[tool.other]\nname = 'node-diag'\n")
    assert find_file(tmp_path) == tmp_path / "node-diag.yaml"
    (tmp_path / "pyproject.toml").write_text("[tool.node-diag]\nmax_grad_error = ['aca=1e-9']\n")
    with pytest.raises(UsageError, match="keep one of them, or name one with --config"):
        find_file(tmp_path)
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "node-diag.yaml").write_text("rtol: 1.0e-6\n")
    assert find_file(inner) == inner / "node-diag.yaml"  # the nearest one alone counts


def test_a_file_that_is_no_yaml_is_one_sentence(tmp_path):
    path = tmp_path / "node-diag.yaml"
    path.write_text("gates: [aca.grad_error<=1e-3\nrtol: 1e-5\n")
    with pytest.raises(UsageError, match=r"node-diag\.yaml is not valid: ") as refused:
        read_file(path)
    assert "\n" not in str(refused.value)
    assert "line 2" in str(refused.value)


def test_a_key_that_is_given_twice_is_told(tmp_path):
    path = tmp_path / "node-diag.yaml"
    path.write_text("problems:\n  - {problem: linear, rtol: 1.0e-3}\nrtol: 1.0e-5\nrtol: 1.0e-4\n")
    with pytest.raises(UsageError, match=r"'rtol' is given twice.* line 4"):
        read_file(path)


def test_what_is_merged_from_an_anchor_is_not_given_twice(tmp_path):
    path = tmp_path / "node-diag.yaml"
    path.write_text("a: &a {x: 0}\nouter:\n  inner: &b\n    <<: *a\n    x: 1\nc:\n  <<: *b\n")
    assert read_file(path) == {"a": {"x": 0}, "outer": {"inner": {"x": 1}}, "c": {"x": 1}}


def test_both_ways_to_write_a_key_are_not_both_taken(tmp_path):
    path = tmp_path / "node-diag.yaml"
    path.write_text("max-steps: 100\nmax_steps: 200\n")
    with pytest.raises(UsageError, match="has both 'max_steps' and 'max-steps'"):
        read_file(path)
