"""What options are called outside of the command line."""

import pytest

from node_diag.config_sources import resolve
from node_diag.errors import UsageError


def test_the_names_of_the_flags_are_understood(tmp_path):
    file = tmp_path / "node-diag.yaml"
    file.write_text("method: aca,adjoint\ngate: aca.nfe<=100\n")
    found = resolve({}, {}, file)
    assert found.config.methods == ["aca", "adjoint"]
    assert found.config.gates == ["aca.nfe<=100"]
    assert found.sources["methods"] == "node-diag.yaml: methods"
    assert resolve({}, {"NODE_DIAG_METHOD": "direct"}, file).config.methods == ["direct"]


def test_other_names_are_not(tmp_path):
    file = tmp_path / "node-diag.yaml"
    file.write_text("methodes: aca\n")
    with pytest.raises(UsageError, match=r"unknown key 'methodes'.*did you mean 'methods'"):
        resolve({}, {}, file)
