"""Data sets of Kaggle and OpenML, through their own clients."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

from msgspec import structs

from fermion.core.errors import DataError, SpecError, Told
from fermion.core.lazy import load
from fermion.data.reading import Reading, digest_of
from fermion.data.table import Table

NO_KEY = (
    "Set KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY, or save ~/.kaggle/access_token or ~/.kaggle/kaggle.json: "
    "kaggle.com, Settings, API, Generate New Token."
)


def kaggle(at: str, reading: Reading) -> tuple[Path, Reading]:
    """The archive of a Kaggle data set, or one of its files, fetched once; and the reading for it.

    Args:
        at: `kaggle://owner/dataset` or `kaggle://owner/dataset/file.csv`.

    Raises:
        SpecError: another form of address.
        DataError: no credential (what to set is said), or Kaggle does not give it.
    """
    form = re.fullmatch(r"kaggle://([\w.-]+)/([\w.-]+)(?:/(.+))?", at)
    if not form or ".." in at:
        raise SpecError("data.source", rule="kaggle://owner/dataset or kaggle://owner/dataset/file", given=at, where=reading.where)
    owner, name, file = form.groups()
    room = reading.room() / f"kaggle-{digest_of(at)}"
    if not _only(room):
        fresh = room.with_name(f"{room.name}.part")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        client = _kaggle_client(at, reading)
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # the client prints where it downloads from
                if file:
                    client.dataset_download_file(f"{owner}/{name}", file, path=str(fresh), quiet=True)
                else:
                    client.dataset_download_files(f"{owner}/{name}", path=str(fresh), quiet=True)
        except (OSError, ValueError) as failed:  # requests' errors are OSErrors
            shutil.rmtree(fresh, ignore_errors=True)
            raise DataError(
                "data.source",
                rule="a data set that Kaggle gives",
                given=Told(f"{at}: {_told(failed)}"),
                remedy="Check its name on the page of the data set, and that you accepted its terms there.",
                where=reading.where,
            ) from None
        came = _only(fresh)
        if file and came is not None and came.name != Path(file).name and came.suffix != ".zip":
            came.rename(fresh / Path(file).name)  # the client calls it by the last piece of where it was sent to
        fresh.rename(room)
    path = _only(room)
    if path is None:
        raise DataError("data.source", rule="a data set that Kaggle gives", given=Told(f"{at}: nothing came"), where=reading.where)
    return path, structs.replace(reading, known_as=(path, at))


def _only(room: Path) -> Path | None:
    files = sorted(file for file in room.iterdir() if not file.name.endswith(".kaggle-partial")) if room.is_dir() else []
    return files[0] if files else None


def _kaggle_client(at: str, reading: Reading) -> Any:
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # it prints a long help
            client = load("kaggle.api.kaggle_api_extended", extra="data").KaggleApi()
            client.authenticate()
    except (SystemExit, OSError, ValueError) as failed:
        given = Told(f"{at} without a credential" if isinstance(failed, SystemExit) else f"{at}: {_told(failed)}")
        raise DataError("data.source", rule="on Kaggle with a credential", given=given, remedy=NO_KEY, where=reading.where) from None
    return client


def openml(at: str, reading: Reading) -> Table:
    """A data set of OpenML by its number.

    Raises:
        SpecError: another form of address.
        DataError: OpenML does not give it.
    """
    form = re.fullmatch(r"openml://(?:d/)?(\d+)", at)
    if not form:
        raise SpecError(
            "data.source",
            rule="openml:// and the number of a data set, as in openml://61",
            given=at,
            remedy="The number is in the address of its page: openml.org/d/61.",
            where=reading.where,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own, about its future versions and its cache
        client: Any = load("openml", extra="data")
        before = client.config._root_cache_directory
        try:
            client.config.set_root_cache_directory(str(reading.room() / "openml"))
            found = client.datasets.get_dataset(
                int(form[1]), download_data=True, download_qualities=False, download_features_meta_data=True
            )
            frame = found.get_data(dataset_format="dataframe")[0]
        except (OSError, ValueError, client.exceptions.PyOpenMLError) as failed:
            raise DataError(
                "data.source",
                rule="a data set that OpenML gives",
                given=Told(f"{at}: {_told(failed)}"),
                remedy="Check its number; for one that is not public: openml configure apikey.",
                where=reading.where,
            ) from None
        finally:
            client.config.set_root_cache_directory(str(before))
    return Table(reading.gather([Table.of(frame).frame], at))


def _told(failed: BaseException) -> str:
    return " ".join(str(failed).split())[:160] or type(failed).__name__
