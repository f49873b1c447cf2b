from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fermion.core.declared import Source
from fermion.core.errors import DataError
from fermion.data.pictures import unreadable
from fermion.data.sources import Aside, read


def drawn(format: str, size: int = 24) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8)).save(file, format)
    return file.getvalue()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_a_picture_that_was_cut_off(tmp_path: Path, format: str) -> None:
    content, path = drawn(format), tmp_path / "a.png"
    path.write_bytes(content)
    assert unreadable(path) == ""
    path.write_bytes(content + b"\0" * 100)  # some cameras write more behind the end
    assert unreadable(path) == ""
    for cut in (0, 4, 40, len(content) // 2):
        path.write_bytes(content[:cut])
        assert unreadable(path)
    path.write_bytes(b"<html>not found</html>")
    assert "cannot identify" in unreadable(path)


def test_one_unreadable_picture_among_10_000(tmp_path: Path) -> None:
    content = drawn("PNG")
    (tmp_path / "one.png").write_bytes(content)
    for label in range(10):
        (tmp_path / f"p/{label}").mkdir(parents=True)
        for number in range(1_000):
            (tmp_path / f"p/{label}/{number}.png").hardlink_to(tmp_path / "one.png")
    (tmp_path / "p/7/500.png").unlink()
    (tmp_path / "p/7/500.png").write_bytes(content[:100])
    with pytest.raises(DataError, match=r"p/7/500.png: a picture must be a file that can be read.+unreadable: aside"):
        read("p", folder=tmp_path)
    aside: list[Aside] = []
    begin = time.perf_counter()
    table = read(Source(at="p", unreadable="aside"), folder=tmp_path, aside=aside)
    assert time.perf_counter() - begin < 10  # seconds; about one on a quiet machine
    assert (len(table), len(aside)) == (9_999, 1)
    assert aside[0].place == str(tmp_path / "p/7/500.png")
    assert "truncated" in aside[0].reason or "cannot" in aside[0].reason


def test_a_table_of_paths(tmp_path: Path) -> None:
    (tmp_path / "p/images").mkdir(parents=True)
    for number in range(3):
        (tmp_path / f"p/images/{number}.jpg").write_bytes(drawn("JPEG"))
    (tmp_path / "p/table.csv").write_text("file,label\nimages/0.jpg,cat\nimages/2.jpg,dog\nimages/9.jpg,dog\n")
    for source in ("p/table.csv", "p"):
        with pytest.raises(DataError, match=r"table.csv, row 2: images/9.jpg: a picture must be .+No such file"):
            read(source, folder=tmp_path)
        aside: list[Aside] = []
        table = read(Source(at=source, unreadable="aside"), folder=tmp_path, aside=aside)
        assert (table.paths, table.values("label"), len(aside)) == ({"file"}, ["cat", "dog"], 1)
        assert table.values("file") == [str(tmp_path / f"p/images/{number}.jpg") for number in (0, 2)]
    (tmp_path / "words.csv").write_text("file,label\nnothing.jpg,cat\n")
    assert read("words.csv", folder=tmp_path).paths == set()
