"""A password in an address is told to the database and to nobody else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from fermion.core.run import Run
from fermion.practice.pipeline import Pipeline
from fermion.practice.project import Project


def test_a_password_is_in_no_file_that_a_run_leaves(tmp_path: Path) -> None:
    base = tmp_path / "data.db"
    with sqlite3.connect(base) as database:
        database.execute("create table flowers (width real, kind text)")
        database.executemany("insert into flowers values (?, ?)", [(k % 7 + (k % 2) * 10, "ab"[k % 2]) for k in range(200)])
    (tmp_path / "fermion.yaml").write_text(
        f"name: flowers\ndata:\n  source: {{at: 'sqlite:///{base}?password=s3cretword', query: select * from flowers}}\n"
        "  target: kind\nmodel: linear\nchecks: {accept: [predicts-alone]}\n"
    )
    done = Pipeline(Project.load(tmp_path), Run(seed=0)).go()
    assert done.bundle is not None
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path not in (base, tmp_path / "fermion.yaml")]
    assert len(files) > 10
    assert not [path for path in files if b"s3cretword" in path.read_bytes()]


@pytest.mark.parametrize("source", ["postgresql://ann:s3cretword@127.0.0.1:1/shop", "mysql://ann:s3cretword@127.0.0.1:1/shop"])
def test_a_password_is_in_no_message(tmp_path: Path, source: str) -> None:
    (tmp_path / "fermion.yaml").write_text(f"name: shop\ndata:\n  source: {{at: '{source}', query: select 1}}\n  target: kind\n")
    with pytest.raises(Exception, match="127") as raised:
        Pipeline(Project.load(tmp_path), Run(seed=0)).go()
    assert "s3cretword" not in str(raised.value)
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and path.name != "fermion.yaml" and b"s3cretword" in path.read_bytes()
    ]
