"""What a Dask worker does with a cell."""

import pytest

from node_diag import __version__
from node_diag.cluster import _in_turn
from node_diag.errors import LostEngineError


def test_a_worker_that_came_later_with_another_version_ends_it():
    with pytest.raises(LostEngineError, match=rf"has node-diag {__version__}, this is 0.0.9"):
        _in_turn("0.0.9", "study", dict)
