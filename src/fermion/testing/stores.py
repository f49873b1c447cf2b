"""What every store promises, as tests. Third parties run them over their own:

class TestBucket(StoreContract):
    def open(self, folder: Path) -> Store:
        return Bucket(mocked_at=folder)
"""

from __future__ import annotations

import hashlib
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fermion.core.errors import StoreError, TagMoved, UsageError
from fermion.core.store import ANY, Expected, Store

NAMES = ("model/digits/champion", "model/digits/challenger", "model/digits", "model/Digits", "a", "a/b", "a/b/c", "1.0_x-y")
NO_NAMES = ("", "/a", "a/", "a//b", ".", "..", "a/../b", "a..b", ".a", "a/.b", "a b", "a\n", "a\\b", "ä", "a:b", "-a", "a*", "x" * 121)
NO_DIGESTS = ("", "abc", "../" * 21 + "a", "A" * 64, "0" * 63 + "\n", "0" * 65)
UNKNOWN = "0" * 64


class StoreContract:
    """Say in `open` how to open one; called twice with one folder, it is the same store."""

    def open(self, folder: Path) -> Store:
        raise NotImplementedError

    def test_what_was_put_is_given_back(self, tmp_path: Path) -> None:
        store = self.open(tmp_path / "store")
        for data in (b"", b"one", bytes(range(256)) * 999):
            digest = store.put(data)
            assert digest == hashlib.sha256(data).hexdigest()
            assert store.has(digest)
            assert store.get(digest) == data

    def test_a_file_is_its_bytes(self, tmp_path: Path) -> None:
        store, file = self.open(tmp_path / "store"), tmp_path / "file"
        file.write_bytes(b"one")
        assert store.put(file) == store.put(b"one") == store.put(file)
        assert file.read_bytes() == b"one"

    def test_a_file_may_be_larger_than_memory(self, tmp_path: Path) -> None:
        store, file, size = self.open(tmp_path / "store"), tmp_path / "file", 48 << 20
        with file.open("wb") as sparse:
            sparse.truncate(size)
        tracemalloc.start()
        try:
            store.fetch(store.put(file), tmp_path / "copy")
            assert tracemalloc.get_traced_memory()[1] < size / 4
        finally:
            tracemalloc.stop()
        assert (tmp_path / "copy").stat().st_size == size

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        store = self.open(tmp_path / "store")
        for path in (tmp_path / "nothing", tmp_path):
            with pytest.raises(StoreError, match=r"^the file .+ must be a file that can be read, got .+\. Check the path"):
                store.put(path)

    def test_fetched_files_are_the_callers_own(self, tmp_path: Path) -> None:
        store, target = self.open(tmp_path / "store"), tmp_path / "new" / "folder" / "file"
        digest = store.put(b"one")
        store.fetch(digest, target)
        assert target.read_bytes() == b"one"
        target.write_bytes(b"changed")
        assert store.get(digest) == b"one"
        store.fetch(digest, target)
        assert target.read_bytes() == b"one"
        assert [file.name for file in target.parent.iterdir()] == ["file"]

    def test_unknown_blobs_are_told(self, tmp_path: Path) -> None:
        store, target = self.open(tmp_path / "store"), tmp_path / "target"
        target.write_bytes(b"mine")
        assert not store.has(UNKNOWN)
        for call in (lambda: store.get(UNKNOWN), lambda: store.fetch(UNKNOWN, target), lambda: store.tag("a", UNKNOWN, expected=ANY)):
            with pytest.raises(StoreError, match=f"^the blob {UNKNOWN} must be in the store .+, got no such blob. Check the digest"):
                call()
        assert target.read_bytes() == b"mine"
        assert store.tags() == {}

    @pytest.mark.parametrize("digest", NO_DIGESTS)
    def test_what_is_no_digest_is_refused(self, tmp_path: Path, digest: str) -> None:
        store = self.open(tmp_path / "store")
        for call in (lambda: store.get(digest), lambda: store.has(digest), lambda: store.tag("a", digest, expected=ANY)):
            with pytest.raises(UsageError, match=r"^a digest must be 64 hexadecimal digits"):
                call()

    def test_tags_point_at_blobs_and_move(self, tmp_path: Path) -> None:
        store = self.open(tmp_path / "store")
        one, two = store.put(b"one"), store.put(b"two")
        assert store.resolve("a") is None
        store.tag("a", one, expected=None)
        assert store.resolve("a") == one
        store.tag("a", two, expected=one)
        assert store.resolve("a") == two
        store.tag("a", one, expected=ANY)
        store.tag("a", one, expected=one)
        assert store.resolve("a") == one

    def test_a_tag_that_moved_stays_and_says_where(self, tmp_path: Path) -> None:
        store = self.open(tmp_path / "store")
        one, two = store.put(b"one"), store.put(b"two")
        with pytest.raises(TagMoved, match=f"^the tag `a` must be at {one}, got nothing. Someone else moved it."):
            store.tag("a", two, expected=one)
        assert store.resolve("a") is None
        store.tag("a", one, expected=None)
        with pytest.raises(TagMoved, match=f"^the tag `a` must be at nothing, got {one}. "):
            store.tag("a", two, expected=None)
        with pytest.raises(TagMoved, match=f"^the tag `a` must be at {two}, got {one}. "):
            store.untag("a", expected=two)
        assert store.resolve("a") == one

    def test_untagged_blobs_stay(self, tmp_path: Path) -> None:
        store = self.open(tmp_path / "store")
        digest = store.put(b"one")
        store.tag("a", digest, expected=None)
        store.untag("a", expected=digest)
        store.untag("a", expected=None)
        store.untag("a", expected=ANY)
        assert store.resolve("a") is None
        assert store.get(digest) == b"one"

    def test_names_do_not_disturb_each_other(self, tmp_path: Path) -> None:
        store = self.open(tmp_path / "store")
        assert store.tags() == {}
        tagged = {name: store.put(name.encode()) for name in sorted(NAMES)}
        for name, digest in tagged.items():
            store.tag(name, digest, expected=None)
        assert list(store.tags().items()) == list(tagged.items())
        assert list(store.tags("model/digits/")) == ["model/digits/challenger", "model/digits/champion"]
        assert store.tags("nothing") == {}

    @pytest.mark.parametrize("name", NO_NAMES)
    def test_what_is_no_name_is_refused(self, tmp_path: Path, name: str) -> None:
        store = self.open(tmp_path / "store")
        digest = store.put(b"one")
        for call in (lambda: store.tag(name, digest, expected=ANY), lambda: store.resolve(name), lambda: store.untag(name, expected=ANY)):
            with pytest.raises(UsageError, match=r"^a tag's name must be parts joined by `/`"):
                call()

    def test_opened_again_it_is_the_same(self, tmp_path: Path) -> None:
        store = self.open(tmp_path / "store")
        digest = store.put(b"one")
        store.tag("a", digest, expected=None)
        again = self.open(tmp_path / "store")
        assert again.get(digest) == b"one"
        assert again.tags() == {"a": digest}

    def test_of_all_who_move_a_tag_at_once_one_succeeds(self, tmp_path: Path) -> None:
        """A count that is read, raised and tagged by several threads misses none."""

        def raise_it(times: int) -> None:
            store, done = self.open(tmp_path / "store"), 0
            while done < times:
                seen: Expected = store.resolve("count")
                count = int(store.get(seen)) if seen else 0
                try:
                    store.tag("count", store.put(str(count + 1).encode()), expected=seen)
                    done += 1
                except TagMoved:
                    continue

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(raise_it, [8, 8, 8]))
        store = self.open(tmp_path / "store")
        final = store.resolve("count")
        assert final is not None
        assert store.get(final) == b"24"
