"""Files of numpy arrays (.npz): one array per column, or one per column and part."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fermion.core.errors import DataError, SpecError, Told, did_you_mean
from fermion.data.pictures import PARTS
from fermion.data.reading import Reading, available
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

Named = dict[str, NDArray[Any]]


def read_npz(path: Path, reading: Reading) -> pl.DataFrame:
    """One column per array, whose first axis counts rows: numbers, text, dates (N,), series (N, T) or (N, T, C), pictures (N, H, W[, C]).

    Where names say parts, `train_images` and `test_images` or `x_train` and `x_test`, the column `images` holds the rows of all parts
    and `split` says which is which. `source.arrays` chooses arrays, `source.parts` makes `split` from arrays that list groups.
    Nothing is unpickled.

    Raises:
        DataError: the file is cut off, arrays differ in length, or one holds Python objects.
        SpecError: an array is named that is not there.
    """
    arrays = _loaded(path, reading)
    chosen = reading.source.arrays
    parts = reading.source.parts
    known = {piece for name in arrays for piece in (name, _part_of(name)[1])}
    for name in (*chosen, *(() if parts is None else parts.names)):
        if name not in known:
            raise SpecError(
                "data.source.arrays" if name in chosen else "data.source.parts",
                rule=f"made of the arrays {', '.join(arrays)}",
                given=name,
                remedy=did_you_mean(name, known),
                where=reading.where,
            )
    if parts is not None:
        listed = {part: arrays.pop(array) for array, part in parts.lists.items()}
        frame = _alike({name: array for name, array in arrays.items() if not chosen or name in {*chosen, parts.of}}, path, reading)
        return _divided(frame, arrays[parts.of], listed, reading)
    if not set(chosen) & set(arrays) and len({_part_of(name)[0] for name in arrays} - {""}) > 1:
        return _by_part(arrays, path, reading)
    return reading.gather([_alike({name: arrays[name] for name in chosen or arrays}, path, reading)], reading.named(path))


def _loaded(path: Path, reading: Reading) -> Named:
    name = reading.named(path)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > available():
            remedy = "Write its arrays as several files, or as Parquet, which is read in blocks."
            raise DataError("an .npz file", rule="smaller than memory", given=Told(f"{size:,} bytes"), remedy=remedy, where=name)
        with np.load(path, allow_pickle=False) as file:
            return {array: file[array] for array in file.files}
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError) as failed:
        if "allow_pickle" in str(failed):
            raise DataError(
                "the arrays of an .npz file",
                rule="of numbers, text or dates",
                given=Told("Python objects"),
                remedy="Save them with a type, as in np.array(names, dtype=str): objects are code, and no code is run from data.",
                where=name,
            ) from None
        remedy = "Copy or write it again: it was cut off or is another format."
        raise DataError("an .npz file", rule="whole", given=Told(str(failed)[:120]), remedy=remedy, where=name) from None


def _alike(arrays: Named, path: Path, reading: Reading) -> pl.DataFrame:
    lengths = {name: array.shape[0] if array.ndim else None for name, array in arrays.items()}
    if len(set(lengths.values())) > 1 or None in lengths.values():
        counted = list(lengths.values())
        most = max(counted, key=lambda length: (counted.count(length), length or 0))
        kept = ", ".join(name for name, length in lengths.items() if length == most)
        others = " and ".join(f"`{name}`" for name, length in lengths.items() if length != most)
        raise DataError(
            "the arrays of an .npz file",
            rule="equally long, one entry per row",
            given=Told(", ".join(f"{name} {'a lone value' if length is None else f'{length:,}'}" for name, length in lengths.items())),
            remedy=f"Write {others} again with one entry per row, or, where that is no column and no target, leave it out: "
            f"`source: {{at: {path.name}, arrays: [{kept}]}}`.",
            where=reading.named(path),
        )
    import polars as pl

    frame = Table.of({name: _column(array) for name, array in arrays.items()}).frame
    return frame.with_columns(pl.selectors.float().fill_nan(None)) if frame.width else frame


def _column(array: NDArray[Any]) -> Any:
    """An array as a table takes it: bytes of a fixed length are text, and one number per row is a number."""
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    return array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array


def _part_of(name: str) -> tuple[str, str]:
    """The part that a name says, or "", and the rest of it.

    >>> _part_of("train_images"), _part_of("x_test"), _part_of("images")
    (('train', 'images'), ('test', 'x'), ('', 'images'))
    """
    first, _, rest = name.partition("_")
    if rest and first.lower() in PARTS:
        return PARTS[first.lower()], rest
    begin, _, last = name.rpartition("_")
    return (PARTS[last.lower()], begin) if begin and last.lower() in PARTS else ("", name)


def _by_part(arrays: Named, path: Path, reading: Reading) -> pl.DataFrame:
    import polars as pl

    found: dict[str, Named] = {}
    for name, array in arrays.items():
        part, column = _part_of(name)
        if part and (not reading.source.arrays or column in reading.source.arrays):
            found.setdefault(part, {})[column] = array
    if rest := [name for name in arrays if not _part_of(name)[0]]:
        reading.tell(f"{reading.named(path)}: {', '.join(rest)} left out, for the names of the others say parts")
    frames = [_alike(columns, path, reading).with_columns(split=pl.lit(part)) for part, columns in found.items()]
    return reading.gather([pl.concat(frames, how="diagonal_relaxed")], reading.named(path))


def _divided(frame: pl.DataFrame, groups_N: NDArray[Any], listed: Named, reading: Reading) -> pl.DataFrame:
    """The rows whose group is listed, with `split`."""
    import polars as pl

    split_N = np.full(len(groups_N), "", dtype="<U10")
    for part, groups in listed.items():
        of_part = np.isin(groups_N, groups)
        if (of_part & (split_N != "")).any():
            twice = groups_N[of_part & (split_N != "")][0]
            raise DataError("the groups of data.source.parts", rule="in one part each", given=twice.item(), where=reading.where)
        split_N[of_part] = part
    parts = reading.source.parts
    for group in parts.validation if parts is not None and isinstance(parts.validation, tuple) else ():
        of_group = (groups_N == group) & (split_N == "train")
        if not of_group.any():
            known = ", ".join(str(one) for one in np.unique(groups_N[split_N == "train"]).tolist()[:30])
            raise DataError("data.source.parts.validation", rule=f"made of groups for training ({known})", given=group, where=reading.where)
        split_N[of_group] = "validation"
    divided = frame.with_columns(pl.Series("split", split_N.tolist()))
    if (split_N == "").any():
        reading.tell(f"{int((split_N == '').sum()):,} rows are in none of {', '.join(listed)} and left out")
        divided = divided.filter(pl.col("split") != "")
    return reading.gather([divided], "parts")
