"""Writing is all or nothing: on a full disk, under kill -9, and with another process that writes the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fermion.bundle import bundle as bundles
from fermion.bundle.bundle import Bundle
from fermion.bundle.golden import Golden
from fermion.bundle.verify import verify
from fermion.core.store import Folder
from fermion.testing.bundles import failed, tree
from fermion.testing.handmade import Parts

# A bundle is written again from one that is there, with a name and an asset of its own.
START = """
import os, resource, signal, sys
from pathlib import Path
import msgspec
from fermion.bundle import bundle as bundles
from fermion.core.errors import BundleError

source, target = bundles.open(sys.argv[1]), Path(sys.argv[2])
golden, graphs, profile = source.golden(), source.graphs(), source.read("profile.json")

def write(name, asset):
    manifest = msgspec.structs.replace(source.manifest, name=name)
    return bundles.write(target, manifest, graphs=graphs, golden=golden, profile=profile, assets={"asset.bin": asset})
"""
FULL = (
    START
    + """
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for attempt in (lambda: write("full", bytes(1_000_000)), lambda: bundles.open(sys.argv[3]).save_zip(target.parent / "bundle.zip")):
    try:
        attempt()
    except BundleError as told:
        print(told)
"""
)
# Killed at the first call of the operating system that writes, then at the second, and so on until it gets through.
KILLED = (
    START
    + """
def count_down(call):
    def counted(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return counted

before = bundles.open(target).id if target.exists() else None
for at in range(1, 200):
    child = os.fork()
    if child == 0:
        left = at
        for name in ("mkdir", "open", "fsync", "rename", "replace", "chmod", "rmdir", "unlink", "rename"):
            setattr(os, name, count_down(getattr(os, name)))
        write("killed", os.urandom(50_000))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if target.exists():
        there = bundles.open(target)
        for name in there.manifest.files:
            there.read(name)
        print("whole", there.manifest.name)
    else:
        print("absent")
    if os.WIFEXITED(status):
        sys.exit(os.WEXITSTATUS(status))
"""
)
MANY = (
    START
    + """
for turn in range(25):
    write(f"{sys.argv[3]} {turn % 3}", b"x" * turn)
"""
)


def script(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def rewrite(bundle: Bundle, made: Parts, folder: Path, **changes: Any) -> Bundle:
    manifest = msgspec.structs.replace(made.manifest(), **changes)
    return bundles.write(folder, manifest, graphs=made.graphs, golden=bundle.golden(), profile=bundle.read("profile.json"))


def test_equal_content_gives_an_equal_id(bundle: Bundle, made: Parts, tmp_path: Path) -> None:
    again = rewrite(bundle, made, tmp_path / "again")
    assert again.id == bundle.id
    assert tree(again.path) == tree(bundle.path)
    assert rewrite(bundle, made, tmp_path / "other", name="other").id != bundle.id


def test_a_folder_may_be_named_by_the_id(bundle: Bundle, made: Parts, tmp_path: Path) -> None:
    named = bundles.write(
        lambda identity: tmp_path / identity[:8],
        made.manifest(),
        graphs=made.graphs,
        golden=bundle.golden(),
        profile=bundle.read("profile.json"),
    )
    assert named.path.name == named.id[:8]


def test_an_equal_bundle_is_left_alone_and_another_replaced(bundle: Bundle, made: Parts) -> None:
    stays = bundle.path.stat().st_ino
    (bundle.path / "signature").write_bytes(b"kept")
    assert rewrite(bundle, made, bundle.path).path.stat().st_ino == stays
    assert (bundle.path / "signature").read_bytes() == b"kept"
    assert rewrite(bundle, made, bundle.path, name="other").manifest.name == "other"
    assert not (bundle.path / "signature").exists()
    assert [path.name for path in bundle.path.parent.iterdir()] == ["bundle"]


def test_a_damaged_one_is_repaired(bundle: Bundle, made: Parts) -> None:
    for name in ("golden.json", "manifest.json", "graphs/model.onnx"):
        golden, profile = bundle.golden(), bundle.read("profile.json")
        (bundle.path / name).write_bytes(b"damaged")
        assert bundles.write(bundle.path, made.manifest(), graphs=made.graphs, golden=golden, profile=profile).id == bundle.id
        assert failed(verify(bundle.path)) == []


def test_other_peoples_folders_are_never_replaced(told: Any, bundle: Bundle, made: Parts, tmp_path: Path) -> None:
    (tmp_path / "home" / "thesis").mkdir(parents=True)
    (tmp_path / "file").write_text("mine")
    for name in ("home", "file", "file/below"):
        with told(str(tmp_path / "file") if "file" in name else "the bundle's folder must be new, empty or a bundle"):
            rewrite(bundle, made, tmp_path / name)
    assert (tmp_path / "home" / "thesis").is_dir()
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "home" / "thesis").rmdir()
    assert rewrite(bundle, made, tmp_path / "home").id == bundle.id


@pytest.mark.parametrize("name", ["../evil", "a b", "", "ä"])
def test_what_cannot_be_opened_is_not_written(told: Any, bundle: Bundle, made: Parts, tmp_path: Path, name: str) -> None:
    manifest, golden, profile = made.manifest(), bundle.golden(), bundle.read("profile.json")
    with told("a file of a bundle must be a plain path inside it"):
        bundles.write(tmp_path / "new", manifest, graphs=made.graphs | {name: b""}, golden=golden, profile=profile)
    with told("a graph that a step names must be in the bundle"):
        bundles.write(tmp_path / "new", manifest, graphs={}, golden=golden, profile=profile)
    with told("golden.json must be rows of this bundle's schema"):
        bundles.write(tmp_path / "new", manifest, graphs=made.graphs, golden=Golden(columns={}, outputs={}), profile=profile)
    assert not (tmp_path / "new").exists()


def test_what_columns_need_is_declared(bundle: Bundle) -> None:
    assert bundle.manifest.needs == bundle.manifest.schema.needs


def test_a_full_disk(bundle: Bundle, tmp_path: Path) -> None:
    """The system's limit on a file's size stands for a full disk. What was there stays, and no part of the new is left."""
    large = bundles.write(
        tmp_path / "large",
        bundle.manifest,
        graphs=bundle.graphs(),
        golden=bundle.golden(),
        profile=bundle.read("profile.json"),
        assets={"noise": random_bytes(500_000)},
    )
    bundle.save_zip(tmp_path / "bundle.zip")
    before = tree(tmp_path)
    source, target = bundle.path, tmp_path / "large"
    said = script(FULL, source, target, large.path).stdout.splitlines()
    assert said == [
        f"the disk that holds {place} must be able to take what is written, got File too large. "
        "Free some space; what was there is as before."
        for place in (target, tmp_path / "bundle.zip")
    ]
    assert tree(tmp_path) == before


def random_bytes(count: int) -> bytes:
    import numpy as np

    return np.random.default_rng(0).bytes(count)


def test_killed_while_writing(bundle: Bundle, tmp_path: Path) -> None:
    said = script(KILLED, bundle.path, tmp_path / "new").stdout.split("\n")[:-1]
    assert len(said) > 15
    assert set(said) <= {"absent", "whole killed"}
    assert said[0] == "absent"
    assert said[-1] == "whole killed"


def test_killed_while_replacing(bundle: Bundle, made: Parts, tmp_path: Path) -> None:
    """Between the two renames of a replacement the folder is absent; at every other moment one of both is there, whole."""
    rewrite(bundle, made, tmp_path / "there", name="before")
    said = script(KILLED, bundle.path, tmp_path / "there").stdout.split("\n")[:-1]
    assert set(said) <= {"absent", "whole before", "whole killed"}
    assert said[:10] == ["whole before"] * 10
    assert said.count("absent") <= 1
    assert said[-1] == "whole killed"


def test_two_processes_write_the_same_folder(bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "shared"
    both = [
        subprocess.Popen([sys.executable, "-c", MANY, str(bundle.path), str(target), who], stderr=subprocess.PIPE, text=True)
        for who in ("one", "two")
    ]
    assert [(process.wait(120), process.stderr.read() if process.stderr else "") for process in both] == [(0, ""), (0, "")]
    assert failed(verify(target)) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "shared"]


def test_pulling_what_a_store_lacks(bundle: Bundle, tmp_path: Path) -> None:
    store = Folder(tmp_path / "store")
    identity = bundle.push(store)
    digest = bundle.manifest.files["golden.json"].sha256
    (store.root / "blobs" / digest[:2] / digest[2:]).unlink()
    with pytest.raises(Exception, match=f"the blob {digest} must be in the store"):
        bundles.pull(store, identity, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    bundle.push(store)
    assert bundles.pull(store, identity, tmp_path / "back").id == bundle.id
