"""What every source promises, as tests. Third parties run them over their own:

class TestLedger(SourceContract):
    def put(self, folder: Path) -> Source:
        write_ledger(folder / "a.ledger", self.rows)
        return Source(at="ledger://a")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from fermion.core.declared import Source
from fermion.core.errors import FermionError
from fermion.data.reading import Aside
from fermion.data.sources import public, read, stamp
from fermion.data.table import Table

ROWS: tuple[dict[str, Any], ...] = (
    {"id": 1, "size": 1.5, "colour": "red"},
    {"id": 2, "size": None, "colour": 'sea, "deep"'},
    {"id": 3, "size": -2e-3, "colour": None},
    {"id": 4, "size": 1e6, "colour": "zürich 東京"},
)
SECRET = "s3cret-Pa55"


class SourceContract:
    """Say in `put` how the rows get where the source lies and how it is called, and in `absent` one that is not there.

    `constant` are columns that the source adds, with their value; `live` says that nothing tells whether it changed.
    """

    rows = ROWS
    constant: dict[str, object] = {}  # noqa: RUF012
    live = False

    def put(self, folder: Path) -> Source:
        raise NotImplementedError

    def absent(self, folder: Path) -> Source:
        raise NotImplementedError

    def test_every_row_is_read_in_its_order(self, tmp_path: Path) -> None:
        table = read(self.put(tmp_path), folder=tmp_path)
        assert shown(table) == [row | self.constant for row in self.rows]

    def test_read_twice_it_is_the_same(self, tmp_path: Path) -> None:
        source = self.put(tmp_path)
        before = stamp(source, folder=tmp_path)
        first, second = (read(source, folder=tmp_path) for _ in range(2))
        assert first.fingerprint == second.fingerprint
        assert before
        assert (stamp(source, folder=tmp_path) == before) is not self.live

    def test_mapped_from_a_file_it_is_the_same(self, tmp_path: Path) -> None:
        source = self.put(tmp_path)
        held, mapped = (
            read(structs.replace(source, memory=memory), folder=tmp_path, scratch=tmp_path / "scratch") for memory in ("always", "never")
        )
        assert mapped.fingerprint == held.fingerprint
        assert shown(mapped) == shown(held)

    def test_nothing_is_set_aside_of_what_can_be_read(self, tmp_path: Path) -> None:
        aside: list[Aside] = []
        table = read(structs.replace(self.put(tmp_path), unreadable="aside"), folder=tmp_path, aside=aside)
        assert (len(table), aside) == (len(self.rows), [])

    def test_what_is_fetched_lies_in_scratch(self, tmp_path: Path) -> None:
        source, scratch = self.put(tmp_path / "data"), tmp_path / "scratch"
        before = files(tmp_path)
        read(source, folder=tmp_path / "data", scratch=scratch)
        assert {file for file in files(tmp_path) - before if not file.is_relative_to(scratch)} == set()
        assert not [file for file in files(scratch) if file.suffix == ".part"]

    def test_what_is_not_there_is_an_error_that_says_so(self, tmp_path: Path) -> None:
        source = self.absent(tmp_path)
        with pytest.raises(FermionError) as told:
            read(source, folder=tmp_path, where="fermion.yaml:3:7")
        assert told.value.exit_status == 2
        assert told.value.remedy
        assert SECRET not in str(told.value.document())

    def test_a_secret_of_the_address_is_shown_nowhere(self, tmp_path: Path) -> None:
        source = self.put(tmp_path)
        assert SECRET not in public(source)
        assert SECRET not in str(stamp(source, folder=tmp_path))


def shown(table: Table) -> list[dict[str, Any]]:
    """The rows as plain values."""
    return [table.row(number) for number in range(len(table))]


def files(folder: Path) -> set[Path]:
    """All files below a folder."""
    return {path for path in folder.rglob("*") if path.is_file()}
