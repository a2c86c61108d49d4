"""The installed command, as the end-to-end tests run it."""

from tests.e2e.conftest import node_diag, warm

__all__ = ["node_diag", "warm"]
