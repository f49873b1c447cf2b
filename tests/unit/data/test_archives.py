from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from fermion.core.declared import Source
from fermion.core.errors import DataError, FermionError
from fermion.data.sources import read


def pack(path: Path, members: dict[str, bytes], mode: int = 0) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


@pytest.mark.parametrize("name", ["../evil.csv", "a/../../evil.csv", "/tmp/evil.csv", "C:/evil.csv", "..\\evil.csv"])
def test_a_path_outside_its_folder(tmp_path: Path, name: str) -> None:
    pack(tmp_path / "a.zip", {"good.csv": b"a\n1\n", name: b"a\n2\n"})
    before = set(tmp_path.parent.rglob("evil*"))
    for unreadable in ("stop", "aside"):
        with pytest.raises(DataError, match=r"a.zip: a member of a .zip file must be a plain file inside its folder, got a path outside"):
            read(Source(at="a.zip", unreadable=unreadable), folder=tmp_path, scratch=tmp_path / "scratch")  # type: ignore[arg-type]
    assert set(tmp_path.parent.rglob("evil*")) == before


def test_links_and_bombs_and_broken_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fermion.data.archives.BOMB", 1 << 20)
    pack(tmp_path / "link.zip", {"a.csv": b"/etc/passwd"}, mode=stat.S_IFLNK | 0o777)
    with pytest.raises(DataError, match=r"got a link or a device: 'a.csv'"):
        read("link.zip", folder=tmp_path)
    pack(tmp_path / "bomb.zip", {f"{number}.csv": b"0" * (1 << 20) for number in range(5)})
    with pytest.raises(DataError, match=r"bomb.zip: a .zip file must be at most .+ got 5 files of 5,242,880 bytes in"):
        read("bomb.zip", folder=tmp_path)
    (tmp_path / "cut.zip").write_bytes((tmp_path / "link.zip").read_bytes()[:-30])
    with pytest.raises(DataError, match=r"cut.zip: a .zip file must be whole"):
        read("cut.zip", folder=tmp_path)
    pack(tmp_path / "empty.zip", {})
    with pytest.raises(DataError, match="an empty archive"):
        read("empty.zip", folder=tmp_path)


def test_tables_in_archives(tmp_path: Path) -> None:
    pack(tmp_path / "one.zip", {"folder/a.csv": b"a\n1\n"})
    assert len(read("one.zip", folder=tmp_path)) == 1
    pack(tmp_path / "two.zip", {"folder/a.csv": b"a\n1\n", "folder/b.csv": b"a\n2\n"})
    assert len(read("two.zip", folder=tmp_path)) == 2
    assert len(read(Source(at="two.zip", member="folder/b.csv"), folder=tmp_path)) == 1
    with pytest.raises(FermionError, match=r"data.source.member must be a file in two.zip: folder/a.csv, folder/b.csv, got 'b.csv'"):
        read(Source(at="two.zip", member="b.csv"), folder=tmp_path)
    pack(tmp_path / "bad.zip", {"a.csv": b"a,b\n1\n"})
    with pytest.raises(DataError, match=r"bad.zip/a.csv:2: a row must be 2 fields"):
        read("bad.zip", folder=tmp_path)


def test_pictures_in_archives(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    picture = file.getvalue()
    pack(tmp_path / "a.zip", {"set/cat/1.png": picture, "set/dog/1.png": picture, "__MACOSX/set/cat/1.png": b"", "set/.DS_Store": b""})
    assert read("a.zip", folder=tmp_path).values("label") == ["cat", "dog"]
    pack(tmp_path / "b.zip", {"cat/1.png": picture, "cat/2.png": picture})
    assert read("b.zip", folder=tmp_path).values("label") == ["cat", "cat"]
    pack(tmp_path / "c.zip", {"train/cat/1.png": picture, "test/cat/2.png": picture})
    assert read("c.zip", folder=tmp_path).values("split") == ["test", "train"]
    pack(tmp_path / "d.zip", {"t.csv": b"file\n1.png\n../../x.png\n", "1.png": picture})
    with pytest.raises(DataError, match="outside its archive"):
        read("d.zip", folder=tmp_path)
