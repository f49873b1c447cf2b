"""Death in hospital (SUPPORT2) by the default blend: ROC AUC of five stratified folds, without what leaks.

    FERMION_DATA=/path/to/data python benchmarks/quality/support2.py [--seeds 1] [--seconds 120]

Left out is what is known only afterwards or is another model's estimate: what the checks stop at (`d.time`, `sfdm2`), what they warn of,
and the rest of the list of the data's own README (`benchmarks/data/leaks.py` says which of them are found unprompted).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from folds import measure

from fermion.core.spec import read
from fermion.data import sources

LEAKY = [
    "d.time", "sfdm2", "surv2m", "surv6m", "prg2m", "prg6m", "avtisst", "dnr",
    "death", "slos", "hday", "charges", "totcst", "totmcst", "aps", "sps", "dnrday",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--out", default=str(Path(__file__).with_suffix(".json")))
    options = parser.parse_args()
    source = Path(os.environ.get("FERMION_DATA", "data")) / "support2" / "support2.csv.gz"
    table = sources.read(str(source), folder=Path.cwd())
    columns = {name: {"missing": "accept"} for name in table.names if name not in (*LEAKY, "hospdead")}  # some gaps are in one fold only
    data = {"source": str(source), "target": "hospdead", "ignore": LEAKY, "columns": columns}
    spec = read({"name": "support2", "data": data, "split": {"by": "stratified", "folds": 5}})
    measure("support2", table, spec, "1", seeds=options.seeds, seconds=options.seconds, out=Path(options.out))


if __name__ == "__main__":
    main()
