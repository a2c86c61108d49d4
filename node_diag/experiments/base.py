"""What an experiment is: cells to compute, and what is concluded from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from node_diag.cells import FAILED, Cell, Work
from node_diag.outputs.picture import Picture
from node_diag.outputs.table import Table

Agreement = Literal["agrees", "contradicts", "differs", "not comparable"]
"""Of our result with a claim. ``differs``: another number for the same reason, such as less data or
another machine; ``contradicts``: the claim is not true of what was measured."""

Results = Mapping[str, Mapping[str, Any]]
"""What the cells gave, by key. A cell that failed has nothing but ``FAILED``."""


@dataclass(frozen=True)
class Claim:
    """What a source says beside what was measured.

    Attributes:
        what: it is about, in a few words.
        theirs: the source's formula, number or statement.
        ours: ours, with its uncertainty.
        agreement: of the two.
        because: the evidence, or why they cannot be the same.
    """

    what: str
    theirs: str
    ours: str
    agreement: Agreement
    because: str = ""


@dataclass(frozen=True)
class Conclusion:
    """What an experiment shows.

    Attributes:
        summary: a few sentences, the result first.
        claims: of the source, each with our answer.
        pictures, tables: in the order in which they are read.
        notes: what was reduced or left out, and why.
    """

    summary: str
    claims: Sequence[Claim]
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Experiment:
    """A plug-in: one file in ``experiments/cases`` that defines ``EXPERIMENT``.

    Attributes:
        title: of its page.
        source: the document and the place in it.
        question: what is measured and how, in a few sentences.
        cells: what there is to compute; ``measure`` is called with the arguments of each.
        measure: a function of the file's top level; returns plain JSON.
        conclude: from the results of all cells; draws within the style sheet.
        needs: a module that no plain installation brings, and the package it comes from.
    """

    title: str
    source: str
    question: str
    cells: Callable[[], Sequence[Cell]]
    measure: Work
    conclude: Callable[[Results], Conclusion]
    needs: tuple[str, str] | None = None


def failures(results: Results) -> list[str]:
    """A sentence for every cell that failed."""
    return [f"{key}: {found[FAILED]}" for key, found in results.items() if FAILED in found]
