"""Rows that wait for a label, and the labels that people gave: a folder that a command, a page or a script works on, at once if need be.

FOLDER/queue.json        the target, its classes, the key of every row, and the ranked items of this round; replaced as a whole
FOLDER/decisions.jsonl   one line per decision, only ever appended: item, label, who, when, from where

A decision is on the disk before `set` returns. Writers take turns by a lock that the system drops with a killed process; what such a
process left half-written at the end is not read and goes with the next decision.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from fermion.columns.output import Label, name_of
from fermion.core.errors import DataError, StoreError, Told, UsageError, did_you_mean
from fermion.core.store import sync
from fermion.data.agreement import fleiss, tally
from fermion.data.rowkeys import DIGITS, row_keys
from fermion.data.table import Table

SHORTEST = 4  # digits of a key that name an item


class Item(Struct, frozen=True, kw_only=True):
    """One row that waits: `item` is its key, `row` its number when the queue was filled, `label` the one it has now.

    `score` is larger where a label helps more; `data` are the row's values as JSON can show them, pictures as data URIs.
    """

    item: str
    row: int
    score: float
    reason: str
    label: Label | None = None
    suggestion: Label | None = None
    data: dict[str, Any] = field(default_factory=dict[str, Any])


class Decision(Struct, frozen=True, kw_only=True):
    """What someone said about a row: a label, or None for "cannot tell"; `at` in seconds since 1970; `source` where it came from."""

    item: str
    label: Label | None
    by: str
    at: float
    source: str = "fermion"


class Contents(Struct, frozen=True, kw_only=True):
    """What queue.json holds: everything but the decisions."""

    target: str
    classes: tuple[Label, ...]
    without: tuple[str, ...]  # columns that are no part of a row's key: all targets
    strategy: str
    items: tuple[Item, ...]
    keys: tuple[str, ...]  # of every row, in the order of the source
    format: int = 1


class Queue:
    """The label room's state in one folder.

    >>> import tempfile
    >>> table = Table.of({"text": ["hello", "buy now"], "spam": ["no", None]})
    >>> queue = Queue(Path(tempfile.mkdtemp()))
    >>> keys = row_keys(table, without=["spam"])
    >>> item = Item(item=keys[1], row=1, score=0.9, reason="unlike the rest")
    >>> queue.fill("spam", ["no", "yes"], keys=keys, items=[item], strategy="coverage")
    >>> queue.set(queue.next(1)[0].item, "yes", by="ana").label
    'yes'
    >>> queue.next(1), queue.apply(table, "spam").values("spam")
    ([], ['no', 'yes'])
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._contents: tuple[tuple[int, int], Contents] | None = None

    @property
    def exists(self) -> bool:
        """Whether it was ever filled."""
        return (self.folder / "queue.json").is_file()

    def fill(
        self,
        target: str,
        classes: Sequence[Label],
        *,
        keys: Sequence[str],
        items: Iterable[Item],
        strategy: str,
        without: Iterable[str] = (),
    ) -> None:
        """Begin a round: other items take the place of those that wait. Decisions stay.

        Args:
            classes: the labels that may be given.
            keys: of every row: `row_keys(table, without=...)`.
            items: ranked, the first first.
            strategy: how they were ranked, in a word.
            without: the columns that were left out of the keys; the target is always.

        Raises:
            DataError: fewer than two classes.
        """
        if len({name_of(label) for label in classes}) < 2:
            given = Told(", ".join(map(name_of, classes)) or "none")
            raise DataError("the classes", rule="at least two that differ by name", given=given, remedy="Name the labels that there are.")
        contents = Contents(
            target=target,
            classes=tuple(classes),
            without=tuple(sorted({target, *without})),
            strategy=strategy,
            items=tuple(items),
            keys=tuple(keys),
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = self.folder / f".queue-{os.getpid()}-{time.monotonic_ns()}"
        scratch.write_bytes(msgspec.json.encode(contents))
        sync(scratch)
        os.replace(scratch, self.folder / "queue.json")
        sync(self.folder)

    @property
    def contents(self) -> Contents:
        """What the queue was filled with; read again when another process filled it.

        Raises:
            UsageError: nobody has filled it.
        """
        path = self.folder / "queue.json"
        try:
            state = path.stat()
            if self._contents is None or self._contents[0] != (state.st_mtime_ns, state.st_ino):
                self._contents = (state.st_mtime_ns, state.st_ino), msgspec.json.decode(path.read_bytes(), type=Contents)
        except FileNotFoundError:
            remedy = "Run: fermion data label errors (or: fermion data label next --by random)"
            raise UsageError("the queue of rows to label", rule="filled first", given=Told("nothing in it"), remedy=remedy) from None
        except msgspec.DecodeError as broken:
            remedy = "Remove the file; decisions are kept in another. Then run: fermion data label errors"
            raise DataError("the queue's file", rule="as it was written", given=Told(str(broken)), remedy=remedy, where=str(path)) from None
        return self._contents[1]

    def next(self, n: int = 1, *, by: str | None = None, overlap: int = 1) -> list[Item]:
        """The first n items that wait.

        Args:
            by: the annotator: items that they decided are not given again.
            overlap: how many annotators each item needs; more than one measures their agreement.

        Raises:
            UsageError: nobody has filled the queue, or n is below 1.
        """
        if n < 1:
            raise UsageError("how many items", rule="at least 1", given=n)
        said: dict[str, set[str]] = {}
        for decision in self.decisions():
            said.setdefault(decision.item, set()).add(decision.by)
        waiting = (item for item in self.contents.items if len(who := said.get(item.item, set())) < overlap and by not in who)
        return [item for item, _ in zip(waiting, range(n), strict=False)]

    def set(self, item: str, label: Label | None, *, by: str, source: str = "fermion") -> Decision:
        """Give a row its label; the last word of each annotator counts.

        Args:
            item: a row's key, or its first digits.
            label: a class, or its name as text; None for "cannot tell".
            by: who says so.
            source: where it came from.

        Raises:
            UsageError: no such item or label, or no name in `by`.
        """
        return self.extend([Decision(item=item, label=label, by=by, at=time.time(), source=source)])[0]

    def extend(self, decisions: Iterable[Decision]) -> list[Decision]:
        """Many decisions in one write, after all of them were found good.

        Raises:
            UsageError: one of them is about no row, gives no class, or nobody's.
        """
        contents = self.contents
        known = set(contents.keys)
        checked = [
            msgspec.structs.replace(one, item=_key(one.item, known, contents), label=_class(one.label, contents), by=_name(one.by))
            for one in decisions
        ]
        if checked:
            self._append(b"".join(msgspec.json.encode(one) + b"\n" for one in checked))
        return checked

    def decisions(self) -> list[Decision]:
        """Every decision so far, oldest first.

        Raises:
            DataError: a line was changed by another program.
        """
        try:
            data = (self.folder / "decisions.jsonl").read_bytes()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        found: list[Decision] = []
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                found.append(_READ.decode(line))
            except msgspec.DecodeError as broken:
                where = f"{self.folder / 'decisions.jsonl'}:{number}"
                raise DataError(
                    "a decision", rule="one JSON object", given=Told(str(broken)), remedy="Mend or remove it.", where=where
                ) from None
        return found

    def labels(self) -> dict[str, Decision]:
        """For each decided row the decision that counts: most annotators' label, of equals the latest; without "cannot tell" alone."""
        return {item: chosen for item, said in self._by_item().items() if (chosen := _settled(said)) is not None}

    def apply(self, table: Table, target: str, *, written: Mapping[Label, str] | None = None) -> Table:
        """The table with the labels that were given in the place of, or beside, those of the source.

        Args:
            written: how the source writes labels that it has as texts, to be mended later.

        Raises:
            DataError: the target cannot hold them.
        """
        import polars as pl

        labels = self.labels()
        if not labels:
            return table
        keys = row_keys(table, without=self.contents.without)
        old = table.series(target) if target in table.names else pl.Series(target, [None] * len(table))
        given = {key: (written or {}).get(label, label) for key, one in labels.items() if (label := one.label) is not None}
        values = [given.get(key, value) for key, value in zip(keys, old.to_list(), strict=True)]
        kind = pl.String if isinstance(old.dtype, pl.Enum | pl.Categorical) else None if isinstance(old.dtype, pl.Null) else old.dtype
        try:
            return table.with_column(target, pl.Series(target, values, dtype=kind))
        except (TypeError, pl.exceptions.PolarsError) as unfit:
            given = Told(str(unfit).splitlines()[0])
            raise DataError(f"the target `{target}`", rule="of a type that holds the labels that were given", given=given) from None

    def answers(self) -> dict[str, dict[str, Label]]:
        """The last word of each annotator about each row, "cannot tell" left out: item to annotator to label."""
        found = {item: {one.by: one.label for one in said if one.label is not None} for item, said in self._by_item().items()}
        return {item: said for item, said in found.items() if said}

    def progress(self) -> dict[str, Any]:
        """Where the round stands: waiting, decided, by whom, and Fleiss' kappa where items have several answers."""
        decisions, answers = self.decisions(), self.answers()
        done = {decision.item for decision in decisions}
        several = [[name_of(label) for label in said.values()] for said in answers.values() if len(said) > 1]
        agreed = None if not several else fleiss(tally(several))
        return {
            "waiting": sum(item.item not in done for item in self.contents.items),
            "decided": len(done),
            "by": dict(Counter(decision.by for decision in decisions)),
            "agreement": None if agreed is None or agreed.value != agreed.value else agreed.value,
        }

    def _by_item(self) -> Mapping[str, Sequence[Decision]]:
        """The last decision of each annotator about each row, in the order of time."""
        last = {(one.item, one.by): one for one in sorted(self.decisions(), key=lambda one: one.at)}
        found: dict[str, list[Decision]] = {}
        for one in sorted(last.values(), key=lambda one: one.at):
            found.setdefault(one.item, []).append(one)
        return found

    def _append(self, lines: bytes) -> None:
        """Behind the last whole line, as one write, on the disk before it returns."""
        path = self.folder / "decisions.jsonl"
        new = not path.exists()
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            end = _end(handle)
            os.ftruncate(handle, end)  # what a killed writer began was never acknowledged
            try:
                if os.pwrite(handle, lines, end) < len(lines):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(handle)
            except OSError as full:
                os.ftruncate(handle, end)
                remedy = "Free some space and repeat it. What was decided before is unchanged."
                raise StoreError(str(path), rule="on a disk that takes it", given=Told(full.strerror or str(full)), remedy=remedy) from full
        finally:
            os.close(handle)
        if new:
            sync(self.folder)


_READ = msgspec.json.Decoder(Decision)


def _settled(said: Sequence[Decision]) -> Decision | None:
    """Most annotators' label, of equals the one that was given last."""
    votes = Counter((type(one.label), one.label) for one in said if one.label is not None)
    most = max(votes.values(), default=0)
    return next((one for one in reversed(said) if one.label is not None and votes[type(one.label), one.label] == most), None)


def _key(item: str, known: Set[str], contents: Contents) -> str:
    word = item.strip().lower()
    if word in known:
        return word
    if len(word) >= SHORTEST:
        found = [key for key in known if key.startswith(word)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError("an item", rule="named by enough of its digits", given=Told(f"{item}, which fits {len(found)}"))
    remedy = did_you_mean(word, [one.item for one in contents.items]) or "`fermion data label next` names those that wait."
    raise UsageError("an item", rule=f"the key of a row, or the first of its {DIGITS} digits", given=item, remedy=remedy)


def _class(label: Label | None, contents: Contents) -> Label | None:
    if label is None:
        return None
    names = {name_of(known): known for known in contents.classes}
    if name_of(label) not in names:
        rule = f"a class of `{contents.target}` ({', '.join(list(names)[:12])})"
        raise UsageError("the label", rule=rule, given=label, remedy=did_you_mean(name_of(label), names))
    return names[name_of(label)]


def _name(by: str) -> str:
    if not by.strip():
        raise UsageError("who decides", rule="named", given=by, remedy="Say `--by NAME`.")
    return by.strip()


def _end(handle: int) -> int:
    """The place behind the last newline, looked for from the end."""
    place = os.fstat(handle).st_size
    while place > 0:
        start = max(0, place - 4096)
        found = os.pread(handle, place - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        place = start
    return 0
