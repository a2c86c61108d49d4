"""Copies what `node-diag reproduce` wrote into the documentation: `python -m tests.experiments FROM TO`."""

import json
import shutil
import sys
from pathlib import Path


def main(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    lines = [
        "# Published experiments, run again",
        "",
        "`make experiments` runs them all and writes these pages; `node-diag reproduce NAME` runs one.",
        "",
        "| experiment | agrees | contradicted | other numbers | result |",
        "|:--|--:|--:|--:|:--|",
    ]
    for record in sorted(source.glob("*/result.json")):
        name = record.parent.name
        (target / name).mkdir(parents=True)
        shutil.copy(record.parent / "report.md", target / name / "README.md")
        if (record.parent / "figures").exists():
            shutil.copytree(record.parent / "figures", target / name / "figures")
        found = json.loads(record.read_text())
        words = [claim["agreement"] for claim in found["claims"]]
        counts = [str(words.count(w)) for w in ("agrees", "contradicts", "differs")]
        lines.append(f"| [{name}]({name}/README.md) | {' | '.join(counts)} | {found['summary']} |")
    (target / "README.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
