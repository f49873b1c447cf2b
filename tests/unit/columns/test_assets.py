from __future__ import annotations

import pickle

import pytest
from msgspec import Struct

from fermion.columns import assets
from fermion.columns.assets import Asset, assets_of, forget, keep
from fermion.core.errors import BundleError, DataError


def test_equal_files_are_one_and_others_of_the_same_name_are_not() -> None:
    one, same, other = keep("words.txt", b"a b"), keep("words.txt", b"a b"), keep("words.txt", b"c")
    assert one == same
    assert one.path != other.path
    assert one.path.startswith("assets/words-")
    assert (one.read(), other.read()) == (b"a b", b"c")


def test_what_was_forgotten_is_told_and_a_pickle_brings_it_back() -> None:
    asset = keep("words.txt", b"to be forgotten")
    carried = pickle.dumps(asset)
    forget(asset)
    with pytest.raises(BundleError, match=r"the asset words-\w+\.txt must be in memory before its column is used, .*Open the bundle"):
        asset.read()
    assert pickle.loads(carried).read() == asset.read() == b"to be forgotten"


def test_columns_within_columns_are_looked_into() -> None:
    class Inner(Struct):
        files: tuple[Asset, ...]
        table: dict[str, Asset]

    class Outer(Struct):
        column: Inner
        levels: tuple[str, ...] = ("a",)

    made = [keep(f"{name}.bin", name.encode()) for name in "abc"]
    assert list(assets_of(Outer(column=Inner(files=(made[0], made[1]), table={"x": made[2]})))) == made


def test_a_huge_asset_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "LARGEST", 3)
    with pytest.raises(DataError, match=r"the asset words\.txt must be at most 3 bytes, got 4 bytes"):
        keep("words.txt", b"abcd")
