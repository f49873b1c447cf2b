"""Versions of a data set: what it was, kept by its content, with where it came from."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from fermion.core.errors import DataError, StoreError, Told, UsageError, did_you_mean
from fermion.core.store import Store
from fermion.data.fingerprint import fingerprint
from fermion.data.table import Table

FORMAT = 1


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column of a snapshot: its type, the digest of its values, the blob that holds them, and the files that its paths lead to."""

    name: str
    type: str
    digest: str  # of the values, whatever writes them
    blob: str  # a parquet file of this one column
    files: tuple[str | None, ...] | None = None  # blobs of the files, one per row, where the column holds paths


class Snapshot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a data set was. Its id is the sha256 of this document; equal columns of two snapshots are one blob in the store.

    `source` and `query` say where it was read, `plan` what was done to it (the `data` section of the project file), `parents` what it
    was before. Passwords are not in it.
    """

    rows: int
    columns: tuple[Part, ...]
    fingerprint: str
    source: str
    made: str  # UTC
    query: str | None = None
    plan: dict[str, Any] = field(default_factory=dict[str, Any])
    parents: tuple[str, ...] = ()
    code: str | None = None
    format: int = FORMAT

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(part.name for part in self.columns)


def take(
    table: Table,
    store: Store,
    name: str,
    *,
    source: str,
    query: str | None = None,
    plan: Mapping[str, Any] | None = None,
    code: str | None = None,
) -> tuple[str, bool]:
    """Keep a table and make it the latest of the data set `name`; gives its id, and whether it is new.

    The same rows under the same plan as the latest snapshot make no new one.

    >>> import tempfile
    >>> from fermion.core.store import Folder
    >>> store = Folder(Path(tempfile.mkdtemp()))
    >>> first, new = take(Table.of({"x": [1, 2]}), store, "demo", source="memory")
    >>> take(Table.of({"x": [1, 2]}), store, "demo", source="memory") == (first, False)
    True

    Raises:
        StoreError: the disk cannot take it. TagMoved: someone else took one in the meantime.
    """
    before = store.resolve(_latest(name))
    whole = table.fingerprint
    if before is not None:
        last = load(store, before)
        if (last.fingerprint, last.plan, last.source) == (whole, dict(plan or {}), source):
            return before, False
    with tempfile.TemporaryDirectory() as scratch:
        parts = tuple(_kept(table, column, store, Path(scratch) / "column.parquet") for column in table.names)
    snapshot = Snapshot(
        rows=len(table),
        columns=parts,
        fingerprint=whole,
        source=source,
        query=query,
        plan=dict(plan or {}),
        parents=() if before is None else (before,),
        code=code,
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    identity = store.put(msgspec.json.encode(snapshot, order="sorted"))
    store.tag(_latest(name), identity, expected=before)
    return identity, True


def _kept(table: Table, name: str, store: Store, scratch: Path) -> Part:
    alone = table.select([name])
    alone.frame.write_parquet(scratch, compression="zstd", statistics=False)
    files = None
    if name in table.paths:
        contents = table.contents(name)
        for path, digest in zip(table.series(name).to_list(), contents, strict=True):
            if digest is not None and not store.has(digest):
                store.put(Path(path))
        files = tuple(contents)
    return Part(name=name, type=str(table.series(name).dtype), digest=fingerprint(alone), blob=store.put(scratch), files=files)


def load(store: Store, identity: str) -> Snapshot:
    """The document of a snapshot.

    Raises:
        StoreError: there is none of this id, or it is damaged or of a later version.
    """
    try:
        snapshot = msgspec.json.decode(store.get(identity), type=Snapshot)
    except msgspec.DecodeError as bad:
        raise StoreError("a snapshot", rule=f"a document of format {FORMAT}", given=Told(f"{identity[:12]}: {bad}")) from None
    if snapshot.format > FORMAT:
        raise StoreError("a snapshot", rule=f"of format {FORMAT}", given=Told(str(snapshot.format)), remedy="Use a newer Fermion.")
    return snapshot


def log(store: Store, name: str) -> list[tuple[str, Snapshot]]:
    """The snapshots of a data set with their ids, newest first, along their first parents."""
    found: list[tuple[str, Snapshot]] = []
    identity = store.resolve(_latest(name))
    while identity is not None:
        snapshot = load(store, identity)
        found.append((identity, snapshot))
        identity = snapshot.parents[0] if snapshot.parents else None
    return found


def find(store: Store, name: str, word: str) -> str:
    """The id of a snapshot that a person named: `last`, a tag, or the start of an id.

    Raises:
        UsageError: there is none, or there are several.
    """
    known = [identity for identity, _ in log(store, name)]
    tagged = {tag.removeprefix(f"data/{name}/tags/"): identity for tag, identity in store.tags(f"data/{name}/tags/").items()}
    if not known:
        raise UsageError("a snapshot", rule="one that was taken", given=Told("none yet"), remedy="Take one: fermion data snapshot")
    if word == "last":
        return known[0]
    if word in tagged:
        return tagged[word]
    fitting = [identity for identity in {*known, *tagged.values()} if identity.startswith(word)]
    if len(fitting) != 1:
        raise UsageError(
            "a snapshot",
            rule="`last`, a tag, or enough of an id",
            given=Told(f"{word}, which fits {len(fitting)}"),
            remedy=did_you_mean(word, tagged) or "`fermion data log` lists them.",
        )
    return fitting[0]


def name_it(store: Store, name: str, tag: str, identity: str) -> None:
    """Give a snapshot a name of one's own; a name that another one has moves."""
    full = f"data/{name}/tags/{tag}"
    store.tag(full, identity, expected=store.resolve(full))


def restore(store: Store, identity: str, *, files: Path | None = None) -> Table:
    """The table as it was.

    Args:
        files: the folder for the files that a column of paths led to; the column then holds their new paths. Without it the column
            holds the old paths.

    Raises:
        StoreError: a blob is missing or damaged. DataError: the values are not those that were kept.
    """
    import polars as pl

    snapshot = load(store, identity)
    columns: list[pl.Series] = []
    with tempfile.TemporaryDirectory() as scratch:
        for part in snapshot.columns:
            path = Path(scratch) / "column.parquet"
            store.fetch(part.blob, path)
            series = pl.read_parquet(path, memory_map=False)[part.name]
            if part.files is not None and files is not None:
                series = pl.Series(part.name, _restored(store, series.to_list(), part.files, files), dtype=pl.String)
            columns.append(series)
    table = Table(pl.DataFrame(columns), paths=[part.name for part in snapshot.columns if part.files is not None])
    if files is not None or not table.paths:
        found = table.fingerprint
        if found != snapshot.fingerprint:
            given = Told(found[:12])
            raise DataError("a restored snapshot", rule=f"what was kept ({snapshot.fingerprint[:12]})", given=given, where=identity[:12])
    return table


def _restored(store: Store, paths: Sequence[str | None], digests: Sequence[str | None], folder: Path) -> list[str | None]:
    """The files in a folder, under their digest with the suffix that they had."""
    folder.mkdir(parents=True, exist_ok=True)
    new: list[str | None] = []
    for path, digest in zip(paths, digests, strict=True):
        if path is None or digest is None:
            new.append(None)
            continue
        target = folder / f"{digest[:32]}{Path(path).suffix.lower()}"
        if not target.exists():
            store.fetch(digest, target)
        new.append(str(target.absolute()))
    return new


def summary(identity: str, snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as one line of `fermion data log` and its JSON."""
    return {
        "snapshot": identity,
        "made": snapshot.made,
        "rows": snapshot.rows,
        "columns": len(snapshot.columns),
        "source": snapshot.source,
        "parents": list(snapshot.parents),
        "fingerprint": snapshot.fingerprint,
    }


def _latest(name: str) -> str:
    return f"data/{name}/latest"
