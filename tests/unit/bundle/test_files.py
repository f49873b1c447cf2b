from __future__ import annotations

import os
import shutil
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fermion.bundle import bundle as bundles
from fermion.bundle.bundle import Bundle
from fermion.bundle.verify import verify
from fermion.core.errors import BundleError
from fermion.testing.bundles import altered, failed


@pytest.fixture
def zipped(bundle: Bundle, tmp_path: Path) -> Path:
    return bundle.save_zip(tmp_path / "bundle.zip")


def rezipped(bundle: Bundle, target: Path, **more: bytes) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for name in ["manifest.json", *bundle.manifest.files]:
            archive.write(bundle.path / name, name)
        for name, data in more.items():
            archive.writestr(name, data)
    return target


def test_what_is_no_bundle(told: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "")
    for name, words in (
        ("nothing", "a bundle must be an existing folder or zip"),
        ("empty", "a bundle must be a folder or zip with manifest.json"),
        ("text.zip", "a bundle must be a folder or a whole zip"),
        ("other.zip", "a bundle must be a folder or zip with manifest.json"),
        ("x" * 300, "a bundle must be readable"),
    ):
        with told(words, name):
            bundles.open(tmp_path / name)


@pytest.mark.parametrize("name", ["golden.json", "profile.json", "graphs/model.onnx"])
def test_a_flipped_byte_a_cut_and_a_loss_are_told(told: Any, bundle: Bundle, tmp_path: Path, name: str) -> None:
    data = (bundle.path / name).read_bytes()
    for given, words in (
        (bytes([data[0] ^ 1]) + data[1:], "got other bytes of the same size"),
        (data[:-1], f"the {len(data)} bytes whose digest the manifest holds, got {len(data) - 1} bytes"),
        (None, "must be in the bundle, got no such file"),
    ):
        with told(f"the file {name}", words, "Copy the bundle again", str(tmp_path)):
            bundles.open(altered(bundle, tmp_path / "altered", name, given)).read(name)


def test_a_file_that_the_manifest_does_not_name(told: Any, bundle: Bundle) -> None:
    for name in ("../x", "/etc/passwd", "nothing", "manifest.json"):
        with told("a file of the bundle must be named in its manifest", name):
            bundle.read(name)


@pytest.mark.parametrize("name", ["manifest.json", "golden.json", "graphs"])
def test_a_link_out_of_the_folder(told: Any, bundle: Bundle, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside" / name
    outside.parent.mkdir()
    (bundle.path / name).rename(outside)
    (bundle.path / name).symlink_to(outside)
    with told("a file of a bundle must be inside it", "a link that leaves the folder", "Put the file itself"):
        opened = bundles.open(bundle.path)
        for inside in opened.manifest.files:
            opened.read(inside)


def test_links_within_and_to_the_folder_are_fine(bundle: Bundle, tmp_path: Path, rows: Any) -> None:
    (bundle.path / "golden.json").rename(bundle.path / "same")
    (bundle.path / "golden.json").symlink_to("same")
    (tmp_path / "champion").symlink_to(bundle.path)
    opened = bundles.open(tmp_path / "champion")
    assert len(opened.golden()) == 4
    assert opened.runtime().predict(rows) == bundle.runtime().predict(rows)
    assert [check.detail for check in failed(verify(bundle.path))] == [
        "the files of a bundle must be those of its manifest, got same. Move others beside it, or write the bundle again."
    ]


def test_a_pipe_is_no_file(told: Any, bundle: Bundle) -> None:
    (bundle.path / "golden.json").unlink()
    os.mkfifo(bundle.path / "golden.json")
    with told("the file golden.json must be in the bundle, got no such file"):
        bundle.golden()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(told: Any, bundle: Bundle) -> None:
    (bundle.path / "golden.json").chmod(0)
    with told("the file golden.json must be readable, got Permission denied"):
        bundle.golden()


def test_a_zip_that_leaves_the_folder_is_never_unpacked(bundle: Bundle, tmp_path: Path, rows: Any) -> None:
    path = rezipped(bundle, tmp_path / "evil.zip", **{"../evil": b"x", "/etc/evil": b"x", "a\\..\\evil": b"x"})
    assert bundles.open(path).runtime().predict(rows) == bundle.runtime().predict(rows)
    assert not (tmp_path.parent / "evil").exists()
    (check,) = failed(verify(path))
    assert "../evil" in check.detail


def test_every_cut_of_a_zip(bundle: Bundle, zipped: Path, tmp_path: Path, told: Any) -> None:
    data = zipped.read_bytes()
    for cut in range(0, len(data), 97):
        (tmp_path / "cut.zip").write_bytes(data[:cut])
        with told("a bundle must be a folder or a whole zip", "Copy the bundle again"):
            bundles.open(tmp_path / "cut.zip")


def test_flipped_bytes_of_a_zip_never_go_unnoticed(bundle: Bundle, zipped: Path, tmp_path: Path, rows: Any) -> None:
    """Flips that only change a date or an attribute are harmless; all others are BundleErrors, whatever zlib says."""
    data, caught = zipped.read_bytes(), 0
    want = bundle.runtime().predict(rows)
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(data), 300).tolist():
        (tmp_path / "flipped.zip").write_bytes(data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :])
        try:
            opened = bundles.open(tmp_path / "flipped.zip")
            assert opened.id == bundle.id
            contents = {name: opened.read(name) for name in opened.manifest.files}
        except BundleError as told:
            caught += bool(told.remedy)
        else:
            assert contents == {name: bundle.read(name) for name in bundle.manifest.files}
    assert caught > 200
    assert bundles.open(zipped).runtime().predict(rows) == want


def test_two_entries_of_one_name(told: Any, bundle: Bundle, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = rezipped(bundle, tmp_path / "twice.zip", **{"golden.json": b"{}"})
    with told("a zip must be made of entries with different names, got 'golden.json'", str(path)):
        bundles.open(path)


def test_a_bomb(told: Any, bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(bundle.path / "manifest.json", "manifest.json")
        archive.writestr("golden.json", bytes(50_000_000))
    with told("an entry of a zip must be at most 200 times its compressed size", "that unfold to 50000000", "golden.json"):
        bundles.open(path)


def test_an_entry_that_unfolds_to_more_than_it_says(told: Any, bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ["manifest.json", *bundle.manifest.files]:
            data = (bundle.path / name).read_bytes()
            archive.writestr(name, data + bytes(30_000_000) if name == "golden.json" else data)
    raw, honest = path.read_bytes(), bundle.manifest.files["golden.json"].size
    path.write_bytes(raw.replace(struct.pack("<I", honest + 30_000_000), struct.pack("<I", honest)))
    with told("golden.json"):
        bundles.open(path).golden()


def test_an_encrypted_zip(told: Any, zipped: Path) -> None:
    raw = bytearray(zipped.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = raw.find(signature)
        while at >= 0:
            raw[at + flags] |= 1
            at = raw.find(signature, at + 4)
    zipped.write_bytes(raw)
    with told("a zip must be free of passwords, got manifest.json, which is encrypted"):
        bundles.open(zipped)


def test_an_unknown_compression(told: Any, zipped: Path) -> None:
    raw = bytearray(zipped.read_bytes())
    at = raw.find(b"PK\x01\x02")
    raw[at + 10 : at + 12] = struct.pack("<H", 77)
    zipped.write_bytes(raw)
    with told("the entry manifest.json must be readable", "compression"):
        bundles.open(zipped)


def test_weights_that_are_all_alike_are_no_bomb(bundle: Bundle, made: Any, tmp_path: Path) -> None:
    golden, profile = bundle.golden(), bundle.read("profile.json")
    constant = {"zeros.npy": bytes(20_000_000)}
    large = bundles.write(tmp_path / "large", made.manifest(), graphs=made.graphs, golden=golden, profile=profile, assets=constant)
    zipped = bundles.open(large.save_zip(tmp_path / "large.zip"))
    assert zipped.id == large.id
    assert zipped.read("assets/zeros.npy") == constant["zeros.npy"]


def test_a_manifest_that_is_too_large_is_not_read(told: Any, bundle: Bundle) -> None:
    with (bundle.path / "manifest.json").open("r+b") as file:
        file.truncate(40_000_000)
    with told("manifest.json must be at most 33554432 bytes, got 40000000 bytes"):
        bundles.open(bundle.path)


def test_spaces_and_unicode(bundle: Bundle, tmp_path: Path, rows: Any) -> None:
    path = tmp_path / "mein Modell" / "名前 ü.zip"
    bundle.save_zip(path)
    moved = shutil.move(bundle.path, tmp_path / "ein Ördner")
    assert bundles.open(path).runtime().predict(rows) == bundles.open(moved).runtime().predict(rows)
