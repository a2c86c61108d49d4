"""Errors as people see them: one sentence on stderr, and their own traceback with ``--verbose``."""

from __future__ import annotations

import sys
import traceback

from node_diag.errors import LostEngineError, NodeDiagError, own_frames

BUG = "this is a bug in node-diag; please report it with the lines above"


class Complaints:
    """How errors are told; the options of a command are read here, where errors are printed."""

    def __init__(self) -> None:
        self.verbose = self.exit_zero = False
        self.kept = "nothing was written"
        """What is there after Ctrl-C, or when the work cannot go on."""

    def tell(self, error: NodeDiagError, who: str = "") -> None:
        """One sentence; ``who`` is the problem, where there are several."""
        cause = error.__cause__
        hint = " (-v shows the traceback)" if cause and own_frames(cause) else ""
        prefix = f"{who}: " if who else ""
        kept = f"; {self.kept}" if isinstance(error, LostEngineError) else ""
        sys.stderr.write(f"error: {prefix}{error}{kept}{'' if self.verbose else hint}\n")
        if self.verbose and cause is not None:
            _show_traceback(cause)

    def tell_bug(self) -> None:
        """An exception that nobody expected, being handled."""
        traceback.print_exc()
        sys.stderr.write(f"{BUG}\n")


complaints = Complaints()
"""Those of this process."""


def _show_traceback(error: BaseException) -> None:
    """The traceback of the person's own code, without the frames of node-diag and torch above."""
    frames = traceback.extract_tb(error.__traceback__)
    own = own_frames(error)
    kept = frames[frames.index(own[0]) :] if own else frames
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(kept)]
    sys.stderr.write("".join([*lines, *traceback.format_exception_only(error)]))
