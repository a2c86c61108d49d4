"""``python -m node_diag``."""

from node_diag.cli import main

if __name__ == "__main__":
    main()
