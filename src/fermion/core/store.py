"""Where artefacts are kept: immutable blobs by digest, and movable tags. A promotion is one tag."""

from __future__ import annotations

import enum
import errno
import fcntl
import hashlib
import os
import re
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from fermion.core.errors import StoreError, TagMoved, Told, UsageError


class Anywhere(enum.Enum):
    """The type of `ANY`."""

    ANY = "any"


ANY: Final = Anywhere.ANY  # as `expected`: move the tag wherever it is now
Expected = str | Anywhere | None


class Store(Protocol):
    """Blobs that never change and tags that move only from where the caller saw them. Contract: `fermion.testing.stores`.

    A blob is bytes named by their sha256 in 64 hexadecimal digits. A tag is a name such as `model/digits/champion` for one blob.
    """

    def put(self, data: bytes | Path) -> str:
        """Keep bytes, or a file's, and give their digest. What is there already stays; what is there and damaged is replaced.

        Raises:
            StoreError: the file cannot be read or the disk cannot take it; nothing has changed.
        """
        ...

    def get(self, digest: str) -> bytes:
        """The bytes, compared with their digest.

        Raises:
            StoreError: there is no such blob, or it is damaged.
        """
        ...

    def fetch(self, digest: str, target: Path) -> None:
        """Write the blob as a file of the caller's, compared with its digest; a file that is there is replaced as a whole.

        Raises:
            StoreError: there is no such blob, it is damaged, or the target cannot be written; the target is as before.
        """
        ...

    def has(self, digest: str) -> bool:
        """Whether there is a blob of this digest."""
        ...

    def tag(self, name: str, digest: str, *, expected: Expected) -> None:
        """Point a tag at a blob if it is where the caller last saw it: at `expected`, at nothing (None), or wherever (ANY).

        Raises:
            TagMoved: it is elsewhere by now.
            StoreError: there is no such blob.
            UsageError: the name is not one.
        """
        ...

    def untag(self, name: str, *, expected: Expected) -> None:
        """Remove a tag if it is where the caller last saw it. The blob stays.

        Raises:
            TagMoved: it is elsewhere by now.
        """
        ...

    def resolve(self, name: str) -> str | None:
        """The digest that a tag points at, or None."""
        ...

    def tags(self, prefix: str = "") -> dict[str, str]:
        """Every tag whose name starts with `prefix`, with its digest, by name."""
        ...


class Folder(Struct, frozen=True):
    """A store in a folder, safe under several processes and threads and under kill -9 at any moment.

        ROOT/blobs/ab/cdef...   a blob, read-only, named by its digest
        ROOT/tags/...           one small file per tag that holds a digest
        ROOT/incoming/...       what is being written; what a killed writer left there is removed after a day
        ROOT/lock               held while a tag is compared and moved

    A file gets its final name only when it is whole and on the disk, so a reader needs no lock and never sees a part.

    >>> import tempfile
    >>> store = Folder(Path(tempfile.mkdtemp()))
    >>> first, second = store.put(b"one"), store.put(b"two")
    >>> store.tag("model/digits/champion", first, expected=None)
    >>> store.tag("model/digits/champion", second, expected=first)
    >>> store.get(store.resolve("model/digits/champion"))
    b'two'
    """

    root: Path

    def put(self, data: bytes | Path) -> str:
        digest = _digest(_chunks(data))
        if self._intact(digest):
            return digest
        self._sweep()
        # The digest of what was copied counts: the file may have changed since it was read above.
        return _write(_chunks(data), place=self._blob, through=self._incoming, told=self.root, read_only=True)

    def get(self, digest: str) -> bytes:
        with self._reading(digest) as blob:
            data = blob.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise self._damaged(digest)
        return data

    def fetch(self, digest: str, target: Path) -> None:
        def place(found: str) -> Path:
            if found != digest:
                raise self._damaged(digest)
            return target

        with self._reading(digest) as blob:
            _write(_chunks(blob), place=place, through=target.parent, told=target)

    def has(self, digest: str) -> bool:
        return self._blob(digest).is_file()

    def tag(self, name: str, digest: str, *, expected: Expected) -> None:
        path = self._tag(name)
        if not self.has(digest):
            raise self._unknown(digest)
        with self._locked():
            self._compare(name, expected)
            _write([f"{digest}\n".encode()], place=lambda _: path, through=self._incoming, told=self.root)

    def untag(self, name: str, *, expected: Expected) -> None:
        path = self._tag(name)
        with self._locked():
            self._compare(name, expected)
            if path.exists():
                path.unlink()
                sync(path.parent)

    def resolve(self, name: str) -> str | None:
        try:
            text = self._tag(name).read_text("ascii", errors="replace").strip()
        except FileNotFoundError:
            return None
        if not DIGEST.fullmatch(text):
            remedy = "Another program changed its file. Tag the blob again with expected=ANY, or remove the file."
            raise StoreError(f"the tag `{name}` in {self.root}", rule="a file that holds one digest", given=text, remedy=remedy)
        return text

    def tags(self, prefix: str = "") -> dict[str, str]:
        try:
            names = sorted(_name_of(file.name) for file in (self.root / "tags").iterdir())
        except FileNotFoundError:  # nothing was ever tagged
            return {}
        found = ((name, self.resolve(name)) for name in names if NAME.fullmatch(name) and name.startswith(prefix))
        return {name: digest for name, digest in found if digest}

    @property
    def _incoming(self) -> Path:
        return self.root / "incoming"

    def _blob(self, digest: str) -> Path:
        if not DIGEST.fullmatch(digest):
            remedy = "Use what `put` or `resolve` gave."
            raise UsageError("a digest", rule="64 hexadecimal digits in lower case", given=digest, remedy=remedy)
        return self.root / "blobs" / digest[:2] / digest[2:]

    def _tag(self, name: str) -> Path:
        if len(name) > LONGEST_NAME or ".." in name or not NAME.fullmatch(name):
            rule = f"parts joined by `/`, {LONGEST_NAME} characters at most"
            remedy = "A part is letters, digits, `.`, `_` and `-`, starts with a letter or digit and has no `..`: model/digits/champion"
            raise UsageError("a tag's name", rule=rule, given=name, remedy=remedy)
        return self.root / "tags" / _file_of(name)

    def _intact(self, digest: str) -> bool:
        return self.has(digest) and _digest(_chunks(self._blob(digest))) == digest

    @contextmanager
    def _reading(self, digest: str) -> Generator[Path]:
        blob = self._blob(digest)
        if not blob.is_file():
            raise self._unknown(digest)
        with _telling(blob):
            yield blob

    def _compare(self, name: str, expected: Expected) -> None:
        if expected is ANY:
            return
        current = self.resolve(name)
        if current != expected:
            raise TagMoved(
                f"the tag `{name}`",
                rule=f"at {expected or 'nothing'}",
                given=Told(current or "nothing"),
                remedy="Someone else moved it. Look at what it points to now, decide again, and pass that digest as `expected`.",
            )

    @contextmanager
    def _locked(self) -> Generator[None]:
        """The lock is the open file's, not the process's: it holds between threads too, and the system drops it with a killed process."""
        with _telling(self.root):
            _make(self.root)
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)

    def _sweep(self) -> None:
        """Remove what killed writers left. A file that is being written is young, because every write renews its time."""
        if not self._incoming.is_dir():
            return
        for file in self._incoming.iterdir():
            try:
                if time.time() - file.stat().st_mtime > LEFTOVER_SECONDS:
                    file.unlink()
            except OSError:  # finished or swept by another process, or someone else's: never a reason to refuse a blob
                continue

    def _unknown(self, digest: str) -> StoreError:
        remedy = "Check the digest and the store's folder, or run what made the blob again."
        return StoreError(f"the blob {digest}", rule=f"in the store {self.root}", given=Told("no such blob"), remedy=remedy)

    def _damaged(self, digest: str) -> StoreError:
        remedy = "The disk or another program changed it. Run what made it again, or `put` a copy of the original: that replaces it."
        rule, given = "the bytes that its digest names", Told("other bytes")
        return StoreError(f"the blob {digest} in {self.root}", rule=rule, given=given, remedy=remedy)


DIGEST = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
LONGEST_NAME = 120  # its file name is at most twice as long, and 255 is what file systems take
LEFTOVER_SECONDS = 86_400
CHUNK_BYTES = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _file_of(name: str) -> str:
    """One flat file name, so that `a` and `a/b` can both be tags; capitals are spelt out for file systems that do not tell them apart."""
    return re.sub(r"[A-Z]", lambda capital: "=" + capital[0].lower(), name).replace("/", "+")


def _name_of(file: str) -> str:
    return re.sub(r"=(.)", lambda capital: capital[1].upper(), file.replace("+", "/"))


def _chunks(data: bytes | Path) -> Iterator[bytes]:
    """A file piece by piece, so that its size does not matter."""
    if isinstance(data, bytes):
        yield data
        return
    try:
        with data.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        given = Told(error.strerror or str(error))
        remedy = "Check the path and its permissions."
        raise StoreError(f"the file {data}", rule="a file that can be read", given=given, remedy=remedy) from error


def _digest(chunks: Iterable[bytes]) -> str:
    running = hashlib.sha256()
    for chunk in chunks:
        running.update(chunk)
    return running.hexdigest()


def _write(chunks: Iterable[bytes], *, place: Callable[[str], Path], through: Path, told: Path, read_only: bool = False) -> str:
    """Write chunks to a new file in the folder `through`, move it as a whole to `place(digest)`, give the digest. All or nothing."""
    temporary = through / f".{uuid.uuid4().hex}"
    running = hashlib.sha256()
    try:
        with _telling(told):
            _make(through)
            with temporary.open("xb") as file:
                for chunk in chunks:
                    running.update(chunk)
                    file.write(chunk)
                if read_only:
                    os.fchmod(file.fileno(), os.fstat(file.fileno()).st_mode & 0o444)
                file.flush()
                os.fsync(file.fileno())
            digest = running.hexdigest()
            target = place(digest)
            _make(target.parent)
            temporary.replace(target)
            sync(target.parent)
    except BaseException:
        with suppress(OSError):  # where the folder itself is the trouble there is nothing to remove, and the error above says more
            temporary.unlink(missing_ok=True)
        raise
    return digest


def _make(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync(folder.parent)


def sync(path: Path) -> None:
    """Put a file, or a folder's list of names, on the disk: until then a power cut may undo a rename."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such call for folders
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _telling(place: Path) -> Generator[None]:
    """What the operating system refuses, in the words of a StoreError."""
    try:
        yield
    except OSError as error:
        given = Told(error.strerror or str(error))
        if error.errno in FULL:
            remedy = "Free some space and repeat the command. What was stored before is unchanged."
            raise StoreError(f"the disk that holds {place}", rule="able to take what is written", given=given, remedy=remedy) from error
        remedy = "Check the path, its permissions and the disk. What was stored before is unchanged."
        raise StoreError(str(place), rule="a place that can be read and written", given=given, remedy=remedy) from error
