"""Snapshots: content-addressed, with lineage, restored as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fermion.core.errors import StoreError, UsageError
from fermion.core.store import Folder
from fermion.data import snapshots
from fermion.data.changes import compare, lines
from fermion.data.table import Table


@pytest.fixture
def store(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "store")


def table(**more: object) -> Table:
    return Table.of({"id": ["a", "b", "c"], "x": [1.5, None, 3.0], "n": [1, 2, 3], **more})


class TestTaking:
    def test_the_same_rows_are_the_same_snapshot(self, store: Folder) -> None:
        first, new = snapshots.take(table(), store, "demo", source="a.csv", plan={"target": "x"})
        again, newer = snapshots.take(table(), store, "demo", source="a.csv", plan={"target": "x"})
        assert (again, new, newer) == (first, True, False)

    def test_another_plan_is_another_snapshot_of_the_same_blobs(self, store: Folder) -> None:
        first, _ = snapshots.take(table(), store, "demo", source="a.csv")
        other, new = snapshots.take(table(), store, "demo", source="a.csv", plan={"clean": "exact"})
        one, two = (snapshots.load(store, identity) for identity in (first, other))
        assert new
        assert two.parents == (first,)
        assert [part.blob for part in one.columns] == [part.blob for part in two.columns]

    def test_a_new_column_costs_one_blob(self, store: Folder) -> None:
        first, _ = snapshots.take(table(), store, "demo", source="a.csv")
        other, _ = snapshots.take(table(y=[0, 1, 0]), store, "demo", source="a.csv")
        blobs = [{part.blob for part in snapshots.load(store, identity).columns} for identity in (first, other)]
        assert len(blobs[1] - blobs[0]) == 1

    def test_the_log_runs_from_new_to_old(self, store: Folder) -> None:
        ids = [snapshots.take(table(y=[k, k, k]), store, "demo", source="a.csv")[0] for k in range(3)]
        assert [identity for identity, _ in snapshots.log(store, "demo")] == ids[::-1]
        assert snapshots.log(store, "other") == []

    def test_names(self, store: Folder) -> None:
        first, _ = snapshots.take(table(), store, "demo", source="a.csv")
        snapshots.take(table(y=[1, 2, 3]), store, "demo", source="a.csv")
        snapshots.name_it(store, "demo", "before", first)
        assert snapshots.find(store, "demo", "before") == snapshots.find(store, "demo", first[:8]) == first
        with pytest.raises(UsageError, match="`last`, a tag, or enough of an id"):
            snapshots.find(store, "demo", "befor")
        with pytest.raises(UsageError, match="fermion data snapshot"):
            snapshots.find(store, "nothing", "last")


class TestRestoring:
    def test_every_type_comes_back(self, store: Folder) -> None:
        import datetime as dt

        whole = table(
            when=[dt.datetime(2026, 1, 1), None, dt.datetime(2026, 1, 3)],
            flag=[True, None, False],
            picture=np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4),
            raw=[b"\x00", b"", None],
        )
        identity, _ = snapshots.take(whole, store, "demo", source="memory")
        back = snapshots.restore(store, identity)
        assert back.fingerprint == whole.fingerprint
        assert back.frame.equals(whole.frame, null_equal=True)

    def test_files_come_back_under_their_digests(self, store: Folder, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / f"{name}.png").write_bytes(name.encode())
        paths = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
        whole = Table(pl.DataFrame({"image": paths}), paths=["image"])
        identity, _ = snapshots.take(whole, store, "demo", source="folder")
        for path in paths:
            Path(path).unlink()
        back = snapshots.restore(store, identity, files=tmp_path / "back")
        assert [Path(path).read_bytes() for path in back.series("image")] == [b"a", b"b"]
        assert back.fingerprint == snapshots.load(store, identity).fingerprint

    def test_a_damaged_blob_is_told(self, store: Folder) -> None:
        identity, _ = snapshots.take(table(), store, "demo", source="a.csv")
        blob = next(path for path in store.root.rglob("*") if path.name.endswith(snapshots.load(store, identity).columns[0].blob[2:]))
        blob.chmod(0o644)
        blob.write_bytes(b"other")
        with pytest.raises(StoreError):
            snapshots.restore(store, identity)


class TestChanges:
    def test_rows_matched_by_a_key(self) -> None:
        old = table()
        new = Table.of({"id": ["b", "c", "d"], "x": [2.0, 3.0, 4.0], "y": [1, 1, 1]})
        found = compare(old, new)
        assert (found.key, found.added, found.removed, found.changed) == ("id", 1, 1, 1)
        assert (found.added_columns, found.removed_columns) == (("y",), ("n",))
        x = next(one for one in found.columns if one.name == "x")
        assert x.rows == 1
        assert x.examples == ({"key": "b", "one": None, "other": 2.0},)
        assert found.added_rows[0]["id"] == "d"
        assert found.removed_rows[0]["id"] == "a"

    def test_rows_without_a_key_count_repeats(self) -> None:
        found = compare(Table.of({"x": [1, 1, 2]}), Table.of({"x": [1, 2, 3]}))
        assert (found.key, found.added, found.removed, found.changed) == (None, 1, 1, None)

    def test_distributions_that_moved_say_so(self) -> None:
        rng = np.random.default_rng(0)
        old = Table.of({"a": rng.normal(size=2000), "b": rng.normal(size=2000), "c": ["x", "y"] * 1000})
        new = Table.of({"a": rng.normal(size=2000) + 1, "b": rng.normal(size=2000), "c": ["x", "x", "x", "y"] * 500})
        moved = {one.name: one.moved for one in compare(old, new).columns}
        assert moved["a"] > 0.5
        assert moved["b"] < 0.1
        assert moved["c"] == pytest.approx(0.25)
        assert any("!" in line and line.startswith("a") for line in lines(compare(old, new)))

    def test_equal_tables_have_no_change(self) -> None:
        found = compare(table(), table())
        assert (found.added, found.removed, found.changed) == (0, 0, 0)
        assert all(one.same and one.moved == 0 for one in found.columns)

    def test_private_values_are_not_shown(self) -> None:
        old, new = Table.of({"id": [1, 2], "pay": [111.5, 222.5]}), Table.of({"id": [1, 3], "pay": [333.5, 444.5]})
        text = repr(compare(old, new, private=["pay"])) + "\n".join(lines(compare(old, new, private=["pay"])))
        assert not [value for value in ("111.5", "222.5", "333.5", "444.5") if value in text]

    def test_a_type_that_changed_is_told(self) -> None:
        (change,) = compare(Table.of({"x": [1, 2]}), Table.of({"x": ["1", "2"]})).columns
        assert change.types == ("Int64", "String")
        assert not change.same
