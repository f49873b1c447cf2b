"""Death in hospital (SUPPORT2) by the default blend: ROC AUC of five stratified folds, without what leaks.

    FERMION_DATA=/path/to/data python benchmarks/quality/support2.py [--seeds 3] [--seconds 120] [--model tabm]

Left out is what is known only afterwards or is another model's estimate: what the checks stop at (`d.time`, `sfdm2`), what they warn of,
and the rest of the list of the data's own README (`benchmarks/data/leaks.py` says which of them are found unprompted).
"""

from __future__ import annotations

import os
from pathlib import Path

from folds import measure, options

from fermion.core.spec import read
from fermion.data import sources

LEAKY = [
    "d.time", "sfdm2", "surv2m", "surv6m", "prg2m", "prg6m", "avtisst", "dnr",
    "death", "slos", "hday", "charges", "totcst", "totmcst", "aps", "sps", "dnrday",
]  # fmt: skip


def main() -> None:
    said = options(__doc__ or "", __file__)
    source = Path(os.environ.get("FERMION_DATA", "data")) / "support2" / "support2.csv.gz"
    table = sources.read(str(source), folder=Path.cwd())
    columns = {name: {"missing": "accept"} for name in table.names if name not in (*LEAKY, "hospdead")}  # some gaps are in one fold only
    data = {"source": str(source), "target": "hospdead", "ignore": LEAKY, "columns": columns}
    spec = read({"name": "support2", "data": data, "split": {"by": "stratified", "folds": 5}})
    measure("support2", table, spec, "1", said)


if __name__ == "__main__":
    main()
