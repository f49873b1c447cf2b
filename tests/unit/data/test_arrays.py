"""Files of numpy arrays, and tables that hold series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from msgspec import structs

from fermion.columns.sequence import Sequence
from fermion.core.declared import Parts, Source
from fermion.core.errors import DataError, FermionError
from fermion.data.sources import read
from fermion.data.table import Table

X = np.arange(12, dtype=np.int16).reshape(4, 3)


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "a.npz", **arrays)
    return folder


def test_arrays_stay_blocks_of_numpy(tmp_path: Path) -> None:
    pictures = np.zeros((4, 5, 6, 3), dtype=np.uint8)
    table = read(
        "a.npz",
        folder=saved(tmp_path, x=X, two=np.zeros((4, 3, 2)), picture=pictures, y=np.array([b"N", b"V", b"N", b"S"]), z=np.ones((4, 1))),
    )
    assert {name: getattr(table.values(name), "shape", None) for name in table.names} == {
        "x": (4, 3),
        "two": (4, 3, 2),
        "picture": (4, 5, 6, 3),
        "y": None,
        "z": (4,),
    }
    assert table.values("y") == ["N", "V", "N", "S"]
    some: Any = table.take([3, 1]).values("x")
    np.testing.assert_array_equal(some, X[[3, 1]])
    assert some.dtype == np.int16
    assert table.take([0, 1, 2, 3]).fingerprint == table.fingerprint != table.take([1, 0, 2, 3]).fingerprint


def test_a_table_of_arrays_survives_parquet(tmp_path: Path) -> None:
    table = Table.of({"x": X, "ragged": [[1.0], [], None, [2.0, None]], "wide": [[[1, 2]], None, [], [[3, 4], [5, 6]]]})
    table.frame.write_parquet(tmp_path / "a.parquet")
    again = read("a.parquet", folder=tmp_path)
    assert again.fingerprint == table.fingerprint
    for name in table.names:
        fitted = Sequence().fit(table.values(name))
        for one, other in zip(table.encode(fitted, name), again.encode(fitted, name), strict=True):
            np.testing.assert_array_equal(one, other, strict=True)


def test_arrays_of_other_lengths_are_left_out_by_choice(tmp_path: Path) -> None:
    folder = saved(tmp_path, x=X, y=np.arange(4), classes=np.array(["a", "b"]))
    with pytest.raises(
        DataError, match=r"equally long, one entry per row, got x 4, y 4, classes 2\. Write `classes` again .*no target.*arrays: \[x, y\]"
    ):
        read("a.npz", folder=folder)
    assert read(Source(at="a.npz", arrays=("x", "y")), folder=folder).names == ("x", "y")
    with pytest.raises(FermionError, match=r"data\.source\.arrays must be made of the arrays x, y, classes, got 'z'"):
        read(Source(at="a.npz", arrays=("x", "z")), folder=folder)


def test_parts_by_name_become_a_column(tmp_path: Path) -> None:
    folder = saved(tmp_path, x_train=X, y_train=np.arange(4), x_test=X[:2], y_test=np.arange(2), names=np.array(["a"]))
    with pytest.warns(UserWarning, match="names left out, for the names of the others say parts"):
        table = read("a.npz", folder=folder)
    assert table.names == ("x", "y", "split")
    assert table.values("split") == ["train"] * 4 + ["test"] * 2
    assert read(Source(at="a.npz", arrays=("x_train", "y_train")), folder=folder).names == ("x_train", "y_train")


def test_parts_by_lists_of_groups_become_a_column(tmp_path: Path) -> None:
    folder = saved(tmp_path, x=X, patient=np.array([7, 8, 7, 9]), old=np.array([7]), new=np.array([8]))
    source = Source(at="a.npz", arrays=("x",), parts=Parts(of="patient", train="old", test="new"))
    with pytest.warns(UserWarning, match="1 rows are in none of train, test and left out"):
        table = read(source, folder=folder)
    assert table.names == ("x", "patient", "split")
    assert table.values("split") == ["train", "test", "train"]
    chosen = saved(tmp_path, x=X, patient=np.array([7, 8, 7, 9]), old=np.array([7, 9]), new=np.array([8]))
    parts = Parts(of="patient", train="old", test="new", validation=(9,))
    assert read(Source(at="a.npz", arrays=("x",), parts=parts), folder=chosen).values("split") == ["train", "test", "train", "validation"]
    with pytest.raises(DataError, match=r"data\.source\.parts\.validation must be made of groups for training \(7, 9\), got 8"):
        read(structs.replace(source, parts=structs.replace(parts, validation=(8,))), folder=chosen)
    twice = saved(tmp_path, x=X, patient=np.array([7, 8, 7, 9]), old=np.array([7]), new=np.array([8, 7]))
    with pytest.raises(DataError, match=r"the groups of data\.source\.parts must be in one part each, got 7"):
        read(source, folder=twice)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the arrays of an \.npz file must be of numbers, text or dates, got Python objects"):
        read("a.npz", folder=saved(tmp_path, x=np.array([{}], dtype=object)))
    whole = (saved(tmp_path, x=X) / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[:-40])
    with pytest.raises(DataError, match=r"an \.npz file must be whole"):
        read("a.npz", folder=tmp_path)
    with pytest.raises(DataError, match="equally long, one entry per row, got x a lone value"):
        read("a.npz", folder=saved(tmp_path, x=np.float64(1)))


def test_lists_of_numbers_become_series_without_loss() -> None:
    table = Table.of({"x": [[1, 2], [3.5], None, []], "t": [{"times": [1, 2], "values": [[1, 2], None]}, None, None, None]})
    assert table.series("x").to_list() == [[1.0, 2.0], [3.5], None, []]
    values = table.values("x")
    assert [None if value is None else value.tolist() for value in values] == [[1.0, 2.0], [3.5], None, []]  # type: ignore[attr-defined]
    (first, *rest) = table.values("t")
    assert first["times"].tolist() == [1.0, 2.0]  # type: ignore[index]
    np.testing.assert_array_equal(first["values"], [[1.0, 2.0], [np.nan, np.nan]])  # type: ignore[index]
    assert rest == [None] * 3


def test_series_that_polars_read_are_arrays_and_ragged_steps_stay_lists() -> None:
    frame = pl.DataFrame({"x": [[[1, 2], None], None, []], "odd": [[[1], [2, 3]], [], None]})
    values = Table.of(frame).values("x")
    np.testing.assert_array_equal(values[0], [[1, 2], [np.nan, np.nan]])  # type: ignore[arg-type]
    assert values[1] is None
    assert len(values[2]) == 0  # type: ignore[arg-type]
    with pytest.raises(DataError, match="row 0: value must be a series with equally many numbers in every step"):
        Sequence().fit(Table.of(frame).values("odd"))


def test_the_real_heartbeats_are_read_by_patient(real_data: Path) -> None:
    file = real_data / "mitbih_beats/mitbih_beats.npz"
    if not file.is_file():
        pytest.skip("no mitbih_beats")
    table = read(Source(at=str(file), arrays=("X", "y", "rr"), parts=Parts(of="record", train="DS1", test="DS2")), folder=real_data)
    assert table.frame["split"].value_counts(sort=True).rows() == [("train", 50_977), ("test", 49_667)]
    values, mask = Sequence().fit(table.values("X")).encode(table.values("X"))
    assert values.shape == (100_644, 125, 1)
    assert mask.all()
