"""Folders that Hugging Face `datasets` wrote with `save_to_disk`, read without that package.

A data set is a folder with `state.json` (its Arrow files in order), `dataset_info.json` (what columns mean) and the Arrow streams
themselves; a `DatasetDict` is a folder with `dataset_dict.json` and one such folder per split.
See https://huggingface.co/docs/datasets/about_arrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, field

from fermion.core.errors import DataError, Told
from fermion.core.lazy import load
from fermion.data.formats import arrow_blocks
from fermion.data.pictures import PARTS
from fermion.data.reading import Reading

if TYPE_CHECKING:
    import polars as pl

STATE, SPLITS, INFO = "state.json", "dataset_dict.json", "dataset_info.json"


class _File(Struct):
    filename: str


class _State(Struct):
    files: list[_File] = field(name="_data_files", default_factory=list[_File])
    indices: list[_File] | None = field(name="_indices_data_files", default=None)


class _Splits(Struct):
    splits: list[str]


class _Info(Struct):
    features: dict[str, Any] = field(default_factory=dict[str, Any])


def is_saved(folder: Path) -> bool:
    """Whether `datasets` wrote this folder."""
    return (folder / STATE).is_file() or (folder / SPLITS).is_file()


def read_saved(folder: Path, reading: Reading) -> pl.DataFrame:
    """The rows; class numbers become their names, pictures their bytes or paths, and several splits the column `split`.

    Raises:
        DataError: a file of the folder is missing or cannot be read.
    """
    import polars as pl

    try:
        if (folder / SPLITS).is_file():
            splits = msgspec.json.decode((folder / SPLITS).read_bytes(), type=_Splits).splits
            return reading.gather((block for split in splits for block in _split(folder / split, split, reading)), str(folder))
        return reading.gather(_blocks(folder, reading), str(folder))
    except (OSError, msgspec.DecodeError, pl.exceptions.PolarsError, load("pyarrow", extra="train").ArrowException) as failed:
        raise DataError(
            "a folder that `datasets` wrote",
            rule=f"whole: {STATE}, {INFO} and the files that they name",
            given=Told(" ".join(str(failed).split())[:160]),
            remedy="Write it again with save_to_disk.",
            where=reading.named(folder),
        ) from None


def _split(folder: Path, split: str, reading: Reading) -> Iterator[pl.DataFrame]:
    import polars as pl

    for block in _blocks(folder, reading):
        name = PARTS.get(split.lower(), split)
        yield block if "split" in block.columns else block.with_columns(pl.lit(name).alias("split"))


def _blocks(folder: Path, reading: Reading) -> Iterator[pl.DataFrame]:
    state = msgspec.json.decode((folder / STATE).read_bytes(), type=_State)
    if state.indices:
        raise DataError(
            "a folder that `datasets` wrote",
            rule="without an order of its own (indices)",
            given=Told("a data set that was filtered or shuffled in place"),
            remedy="Call flatten_indices() before save_to_disk.",
            where=reading.named(folder),
        )
    features = msgspec.json.decode((folder / INFO).read_bytes(), type=_Info).features if (folder / INFO).is_file() else {}
    for file in state.files:
        for block in arrow_blocks(folder / Path(file.filename).name):
            yield block.with_columns(
                *(column for name in block.columns if (column := _meant(block[name], features.get(name), folder)) is not None)
            )


def _meant(column: pl.Series, feature: Any, folder: Path) -> pl.Series | None:
    import polars as pl

    kind = feature.get("_type") if isinstance(feature, dict) else None
    if kind == "ClassLabel" and feature.get("names") and column.dtype.is_integer():
        names = dict(enumerate(feature["names"]))
        return column.replace_strict(names, default=None, return_dtype=pl.String)  # -1 is no label
    if kind in ("Image", "Audio") and isinstance(column.dtype, pl.Struct):
        rows = [_bytes(value, folder) for value in column.to_list()]
        return pl.Series(column.name, rows, dtype=pl.Binary)
    return None


def _bytes(value: dict[str, Any] | None, folder: Path) -> bytes | None:
    if value is None or (value.get("bytes") is None and value.get("path") is None):
        return None
    return value["bytes"] if value.get("bytes") is not None else (folder / value["path"]).read_bytes()
