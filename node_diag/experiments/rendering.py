"""Pages, Markdown, pictures and tables of finished experiments."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node_diag import __version__
from node_diag.experiments.base import Claim, Conclusion, Experiment, failures
from node_diag.outputs.formats.html import environment
from node_diag.outputs.formats.md import as_markdown, escaped
from node_diag.outputs.table import LONGEST, Table, thinned

PAGE = "report.html"
_KINDS = {
    "agrees": "confirmed",
    "contradicts": "contradicted by what was measured",
    "differs": "with another number here for a stated reason",
    "not comparable": "not comparable",
}
_CLAIMS = ("what", "source says", "measured here", "verdict")


@dataclass(frozen=True)
class Finished:
    """An experiment with its results and what they show."""

    name: str
    experiment: Experiment
    conclusion: Conclusion
    results: Mapping[str, Mapping[str, Any]]

    @property
    def failed(self) -> list[str]:
        """A sentence for every cell that failed."""
        return failures(self.results)


def files(done: Finished) -> dict[str, bytes]:
    """The folder of one experiment: page, Markdown, record, pictures, tables."""
    found = done.conclusion
    return {
        PAGE: _page([done], done.experiment.title),
        "report.md": markdown(done).encode(),
        "result.json": (json.dumps(_record(done), indent=1) + "\n").encode(),
        **{path: content for p in found.pictures for path, content in p.files().items()},
        **{f"tables/{name}.csv": table.csv() for name, table in _numbered(found.tables).items()},
    }


def overview(all_done: Sequence[Finished]) -> dict[str, bytes]:
    """All experiments on one page."""
    return {PAGE: _page(all_done, "The experiments, run again")}


def lines(all_done: Sequence[Finished]) -> list[str]:
    """One line for each claim, for a terminal."""
    found: list[str] = []
    for done in all_done:
        found += ["", f"{done.name}: {done.experiment.title}", f"  {done.conclusion.summary}"]
        found += [
            f"  {c.agreement}: {c.what}: source {c.theirs}; here {c.ours}"
            for c in done.conclusion.claims
        ]
        found += [f"  failed: {sentence}" for sentence in done.failed]
    return found[1:]


def _page(all_done: Sequence[Finished], title: str) -> bytes:
    claims = [c for done in all_done for c in done.conclusion.claims]
    parts = [
        {
            "name": done.name,
            "experiment": done.experiment,
            "conclusion": done.conclusion,
            "claims": _claims(done.conclusion.claims),
            "figures": [p.for_page(done.name) for p in done.conclusion.pictures],
            "tables": [thinned(t, LONGEST) for t in done.conclusion.tables],
            "failed": done.failed,
        }
        for done in all_done
    ]
    contradicted = any(c.agreement == "contradicts" for c in claims)
    context = {
        "title": title,
        "parts": parts,
        "tally": _tally(claims),
        "contradicted": contradicted,
        "version": __version__,
    }
    return environment().get_template("experiments.html").render(context).encode()


def _tally(claims: Sequence[Claim]) -> str:
    """What became of the claims, in a sentence."""
    counts = Counter(c.agreement for c in claims)
    told = [f"{counts[kind]} {words}" for kind, words in _KINDS.items() if counts[kind]]
    return (
        f"{len(claims)} claim{'' if len(claims) == 1 else 's'} of the sources: {', '.join(told)}."
    )


def _claims(claims: Sequence[Claim]) -> Table:
    rows = [(c.what, c.theirs, c.ours, c.agreement, c.because) for c in claims]
    columns = (*_CLAIMS, "evidence")
    return Table("What the source says, and what was measured", columns, rows, _words(columns))


def _words(columns: Sequence[str]) -> frozenset[int]:
    return frozenset(range(len(columns)))


def markdown(done: Finished) -> str:
    """A page of the documentation, which lies in one folder with the experiment's pictures."""
    found, experiment = done.conclusion, done.experiment
    parts = [
        f"# {escaped(experiment.title)}",
        f"Source: {escaped(experiment.source)}. Run it: `node-diag reproduce {done.name}`.",
        escaped(experiment.question),
        f"**{escaped(found.summary)}**",
        as_markdown(_claims(found.claims)),
    ]
    for picture in found.pictures:
        alt = escaped(picture.description)
        parts += [f"## {escaped(picture.title)}", f"![{alt}](figures/{picture.name}.png)", alt]
    parts += [
        f"## {escaped(t.caption)}\n\n{as_markdown(thinned(t, LONGEST))}" for t in found.tables
    ]
    notes = [*found.notes, *(f"Failed: {sentence}" for sentence in done.failed)]
    parts += [f"- {escaped(note)}" for note in notes]
    return "\n\n".join(parts) + "\n"


def _numbered(tables: Sequence[Table]) -> dict[str, Table]:
    return {re.sub(r"\W+", "_", t.caption.lower()).strip("_")[:60]: t for t in tables}


def _record(done: Finished) -> dict[str, Any]:
    return {
        "experiment": done.name,
        "version": __version__,
        "source": done.experiment.source,
        "summary": done.conclusion.summary,
        "claims": [vars(claim) for claim in done.conclusion.claims],
        "notes": list(done.conclusion.notes),
        "results": done.results,
    }
