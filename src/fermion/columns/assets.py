"""What is too big for a column's fields: a file of the bundle, named by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Annotated, Any, cast

from msgspec import Meta, Struct

from fermion.core.errors import BundleError, DataError, Told

LARGEST = 256 * 1024 * 1024  # bytes of one asset
FOLDER = "assets"

_held: dict[str, bytes] = {}  # by digest; equal assets of many columns and bundles are one


class Asset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that a fitted column needs, by its name in the bundle's `assets/` and its sha256. A column names it in a field of this type.

    The bytes lie in a memory of this process, under their digest: `keep` puts them there when a column is fitted, opening a bundle
    when it is read. A pickled asset carries its bytes along, so that a column works in another process too.

    >>> asset = keep("words.txt", b"one two")
    >>> asset.name, asset.read()
    ('words-8ab63e29a4ba.txt', b'one two')
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}$")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]

    @property
    def path(self) -> str:
        """Where it lies in a bundle."""
        return f"{FOLDER}/{self.name}"

    def read(self) -> bytes:
        """The bytes.

        Raises:
            BundleError: nothing in this process has them.
        """
        try:
            return _held[self.sha256]
        except KeyError:
            raise BundleError(
                f"the asset {self.name}",
                rule="in memory before its column is used",
                given=Told("nothing under its digest"),
                remedy="Open the bundle that the column comes from, or fit the column again.",
            ) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.name, self.sha256, _held.get(self.sha256))


def keep(file: str, data: bytes) -> Asset:
    """Put bytes into the memory; their asset has a name of its own, so that files of one name do not meet in a bundle.

    Args:
        file: a name with a suffix: `tokenizer.json`.
        data: at most `LARGEST` bytes.

    Raises:
        DataError: they are too many.
    """
    if len(data) > LARGEST:
        raise DataError(f"the asset {file}", rule=f"at most {LARGEST} bytes", given=Told(f"{len(data)} bytes"))
    sha256 = put(data)
    stem, dot, suffix = file.rpartition(".")
    return Asset(name=f"{stem}-{sha256[:12]}.{suffix}" if dot else f"{file}-{sha256[:12]}", sha256=sha256)


def put(data: bytes) -> str:
    """Put bytes into the memory under their digest, which is returned.

    >>> put(b"one two")[:12]
    '8ab63e29a4ba'
    """
    sha256 = hashlib.sha256(data).hexdigest()
    _held.setdefault(sha256, data)
    return sha256


def forget(asset: Asset) -> None:
    """Take an asset's bytes out of the memory, as if it had never been read; for tests, and for who must save memory."""
    _held.pop(asset.sha256, None)


def assets_of(part: object) -> Iterator[Asset]:
    """The assets that a column names, also those of columns inside it: every value of the type `Asset` in its fields.

    >>> class Words(Struct):
    ...     file: Asset
    >>> [asset.name for asset in assets_of(Words(file=keep("words.txt", b"one two")))]
    ['words-8ab63e29a4ba.txt']
    """
    if isinstance(part, Asset):
        yield part
    elif isinstance(part, Struct):
        for name in part.__struct_fields__:
            yield from assets_of(getattr(part, name))
    elif isinstance(part, dict):
        yield from assets_of(list(cast("dict[object, object]", part).values()))
    elif isinstance(part, list | tuple) and part and not isinstance(part[0], str | int | float):
        for one in cast("list[object]", part):
            yield from assets_of(one)


def _restored(name: str, sha256: str, data: bytes | None) -> Asset:
    if data is not None:
        put(data)
    return Asset(name=name, sha256=sha256)
