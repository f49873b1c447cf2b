from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pytest

from fermion.core.errors import DataError
from fermion.data.sources import read

FEATURES: dict[str, Any] = {
    "image": {"_type": "Image"},
    "label": {"names": ["cat", "dog"], "_type": "ClassLabel"},
    "text": {"dtype": "string", "_type": "Value"},
}


def save(folder: Path, **state: Any) -> None:
    """What `datasets.Dataset.save_to_disk` leaves: two Arrow streams and two descriptions."""
    folder.mkdir(parents=True)
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("image", image), ("label", pa.int64()), ("text", pa.string())])
    (folder / "1.png").write_bytes(b"from a file")
    pictures = [{"bytes": b"inside", "path": None}, {"bytes": None, "path": "1.png"}, None]
    for number, rows in enumerate((slice(0, 2), slice(2, 3))):
        columns = [pa.array(pictures[rows], image), pa.array([1, 0, -1][rows]), pa.array(["a", "b", None][rows])]
        with pyarrow.ipc.new_stream(folder / f"data-0000{number}-of-00002.arrow", schema) as stream:
            stream.write_table(pa.table(columns, schema=schema))
    files = [{"filename": f"data-0000{number}-of-00002.arrow"} for number in range(2)]
    (folder / "state.json").write_text(json.dumps({"_data_files": files, "_fingerprint": "f", "_split": None} | state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES, "version": None}))


def test_classes_have_names_and_pictures_are_bytes(tmp_path: Path) -> None:
    save(tmp_path / "saved")
    table = read("saved", folder=tmp_path)
    assert table.preview() == [
        {"image": b"inside", "label": "dog", "text": "a"},
        {"image": b"from a file", "label": "cat", "text": "b"},
        {"image": None, "label": None, "text": None},
    ]
    assert table.frame.schema["image"] == pl.Binary


def test_splits(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/dataset_dict.json").write_text('{"splits": ["train", "dev"]}')
    for split in ("train", "dev"):
        save(tmp_path / "saved" / split)
    assert read("saved", folder=tmp_path).values("split") == ["train"] * 3 + ["validation"] * 3


def test_broken_and_reordered(tmp_path: Path) -> None:
    save(tmp_path / "mixed", _indices_data_files=[{"filename": "indices.arrow"}])
    with pytest.raises(DataError, match="flatten_indices"):
        read("mixed", folder=tmp_path)
    save(tmp_path / "cut")
    (tmp_path / "cut/data-00000-of-00002.arrow").write_bytes(b"\xff\xff\xff\xff")
    with pytest.raises(DataError, match=r"must be whole: state.json, dataset_info.json and the files"):
        read("cut", folder=tmp_path)
    (tmp_path / "cut/state.json").write_text("{")
    with pytest.raises(DataError, match="Write it again with save_to_disk"):
        read("cut", folder=tmp_path)
