from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fermion.core.errors import StoreError
from fermion.core.store import ANY, LEFTOVER_SECONDS, Folder

WRITER = """
import os, random, sys
from pathlib import Path
from fermion.core.store import ANY, Folder
store, me = Folder(Path(sys.argv[1])), sys.argv[2]
while True:
    digest = store.put(os.urandom(random.randrange(200_000)))
    store.tag(f"own/{me}", digest, expected=ANY)
    store.tag("shared", digest, expected=ANY)
    print("wrote", flush=True)
"""

HALF_WAY = """
import os, stat, sys, time
from pathlib import Path
from fermion.core.store import Folder
def slow(descriptor):
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        print("written, not yet on the disk", flush=True)
        time.sleep(60)
os.fsync = slow
Folder(Path(sys.argv[1])).put(b"x" * 3_000_000)
"""

COUNTER = """
import sys
from pathlib import Path
from fermion.core.errors import TagMoved
from fermion.core.store import Folder
store, done = Folder(Path(sys.argv[1])), 0
while done < 30:
    seen = store.resolve("count")
    count = int(store.get(seen)) if seen else 0
    try:
        store.tag("count", store.put(str(count + 1).encode()), expected=seen)
        done += 1
    except TagMoved:
        pass
"""

# A store that already holds something meets a disk that takes no more, or a limit on the size of a file, which the system tells likewise.
FULL = """
import json, os, resource, sys
from pathlib import Path
from fermion.core.errors import StoreError
from fermion.core.store import ANY, Folder
store, large, limit = Folder(Path(sys.argv[1])), Path(sys.argv[2]), len(sys.argv) > 3
other = Folder(large.parent / "other")
old, big = store.put(b"old"), other.put(large)
store.tag("champion", old, expected=None)
before = sorted(str(file) for file in store.root.rglob("*"))
told = []

def refused(call):
    try:
        call()
    except StoreError as error:
        told.append(error.document())

def hold_files_to(size):
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

hold_files_to(1 << 16)
refused(lambda: store.put(os.urandom(1 << 20)))
refused(lambda: store.put(large))
refused(lambda: other.fetch(big, store.root / "target"))
hold_files_to(10)
if not limit:
    with open(store.root.parent / "filler", "wb", buffering=0) as filler:
        try:
            while filler.write(b"x" * 4096):
                pass
        except OSError:
            pass
refused(lambda: store.tag("champion", old, expected=ANY))
hold_files_to(1 << 16)
after = sorted(str(file) for file in store.root.rglob("*"))
print(json.dumps({"told": told, "unchanged": before == after, "champion": store.get(store.resolve("champion")).decode()}))
"""


def test_killed_writers_leave_whole_blobs_and_tags(tmp_path: Path) -> None:
    chance = random.Random(0)
    for _ in range(6):
        writers = [_python(WRITER, tmp_path, str(me), stdout=subprocess.PIPE) for me in range(3)]
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        for writer in writers:
            time.sleep(chance.random() * 0.1)
            writer.kill()
            writer.communicate()
    blobs, store = _blobs(tmp_path), Folder(tmp_path)
    assert len(blobs) >= 18
    for digest, blob in blobs.items():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == digest
    tags = store.tags()
    assert set(tags) == {"own/0", "own/1", "own/2", "shared"}
    for name, digest in tags.items():
        store.get(digest)
        store.tag(name, store.put(b"next"), expected=digest)  # no lock was left behind


def test_a_writer_killed_half_way_leaves_a_file_that_is_ignored_and_swept_when_old(tmp_path: Path) -> None:
    store, incoming = Folder(tmp_path), tmp_path / "incoming"
    writer = _python(HALF_WAY, tmp_path, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    writer.kill()
    writer.communicate()
    (leftover,) = incoming.iterdir()
    assert leftover.stat().st_size > 0
    assert _blobs(store.root) == {}
    store.put(b"young leftovers may be someone's work")
    assert leftover.exists()
    old = time.time() - LEFTOVER_SECONDS - 1
    os.utime(leftover, (old, old))
    store.put(b"old ones are nobody's")
    assert not leftover.exists()
    assert len(_blobs(store.root)) == 2


def test_two_processes_count_without_missing_one(tmp_path: Path) -> None:
    counters = [_python(COUNTER, tmp_path) for _ in range(2)]
    assert [counter.wait(60) for counter in counters] == [0, 0]
    assert Folder(tmp_path).get(Folder(tmp_path).tags()["count"]) == b"60"


def test_a_full_disk_changes_nothing_and_says_so(tmp_path: Path) -> None:
    """A limit on the size of files is what every system has: EFBIG, told like ENOSPC."""
    _large(tmp_path / "large")
    done = _python(FULL, tmp_path / "store", str(tmp_path / "large"), "limit", stdout=subprocess.PIPE)
    _check_full(done.communicate(timeout=60)[0], "File too large")


def test_a_really_full_disk_changes_nothing_and_says_so(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    _large(tmp_path / "large")
    mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=64k none "$0" && exec "$@"', str(disk)]
    if shutil.which("unshare") is None or subprocess.run([*mount, "true"], capture_output=True).returncode:
        pytest.skip("this system lets no test mount a file system of its own")
    done = subprocess.run([*mount, sys.executable, "-c", FULL, disk / "store", tmp_path / "large"], stdout=subprocess.PIPE, timeout=60)
    _check_full(done.stdout, "No space left on device")


def _large(path: Path) -> None:
    path.write_bytes(bytes(1 << 20))


def _check_full(output: bytes, reason: str) -> None:
    seen = json.loads(output)
    assert seen["unchanged"]
    assert seen["champion"] == "old"
    assert len(seen["told"]) == 4
    for error in seen["told"]:
        assert error["code"] == "store"
        assert error["message"].startswith("the disk that holds /")
        assert error["message"].endswith(f" must be able to take what is written, got {reason}.")
        assert error["remedy"] == "Free some space and repeat the command. What was stored before is unchanged."


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"not a folder")
    store = Folder(tmp_path / "file")
    for call in (lambda: store.put(b"one"), lambda: store.untag("a", expected=ANY)):
        with pytest.raises(StoreError, match=r"^/.*file must be a place that can be read and written, got .+\. Check the path"):
            call()


def test_a_flipped_bit_is_found_and_putting_the_original_repairs_it(tmp_path: Path) -> None:
    store, target = Folder(tmp_path / "store"), tmp_path / "target"
    digest = store.put(b"original")
    blob = _blobs(store.root)[digest]
    blob.chmod(0o644)
    blob.write_bytes(b"0riginal")
    for call in (lambda: store.get(digest), lambda: store.fetch(digest, target)):
        with pytest.raises(
            StoreError, match=rf"^the blob {digest} in .+ must be the bytes that its digest names, got other bytes\. .+`put`"
        ):
            call()
    assert not target.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["store"]
    assert store.put(b"original") == digest
    assert store.get(digest) == b"original"


def test_blobs_are_written_once_and_read_only(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    digest = store.put(b"one")
    first = _blobs(tmp_path)[digest].stat()
    assert first.st_mode & 0o222 == 0
    store.put(b"one")
    assert _blobs(tmp_path)[digest].stat().st_ino == first.st_ino
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_damaged_tag_is_told_and_can_be_set_again(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    digest = store.put(b"one")
    store.tag("a", digest, expected=None)
    (tmp_path / "tags" / "a").write_bytes(b"")
    for call in (lambda: store.resolve("a"), store.tags, lambda: store.tag("a", digest, expected=digest)):
        with pytest.raises(StoreError, match=r"^the tag `a` in .+ must be a file that holds one digest, got ''\. .+expected=ANY"):
            call()
    store.tag("a", digest, expected=ANY)
    assert store.tags() == {"a": digest}


def test_files_that_are_no_tags_are_ignored(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    store.tag("a", store.put(b"one"), expected=None)
    (tmp_path / "tags" / ".DS_Store").write_bytes(b"of another program")
    assert list(store.tags()) == ["a"]


def test_reading_needs_no_right_to_write(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    assert store.tags() == {}
    assert store.resolve("a") is None
    assert list(tmp_path.iterdir()) == []


def _blobs(root: Path) -> dict[str, Path]:
    return {file.parent.name + file.name: file for file in (root / "blobs").glob("*/*")}


def _python(source: str, folder: Path, *arguments: str, stdout: int | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", source, str(folder), *arguments], stdout=stdout)
