"""Folders and archives of sounds, and tables that name them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fermion.columns.audio import Audio
from fermion.columns.infer import guess
from fermion.core.declared import Source
from fermion.core.errors import DataError, SpecError
from fermion.data.near import near
from fermion.data.profile import profile
from fermion.data.reading import Aside
from fermion.data.sources import read


def sound(seed: int = 0, form: str = "WAV") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.random.default_rng(seed).uniform(-0.5, 0.5, 400), 8_000, format=form)
    return stream.getvalue()


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_folders_name_labels_and_parts(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for number, label in enumerate(("bark", "meow")):
            put(tmp_path / f"s/{part}/{label}/{number}.wav", sound(number))
            put(tmp_path / f"s/{part}/{label}/b.flac", sound(number, "FLAC"))
    table = read("s", folder=tmp_path)
    assert table.names == ("audio", "label", "split")
    assert table.values("label") == ["bark", "bark", "meow", "meow"] * 2
    assert table.paths == {"audio"}
    assert guess(table.values("audio")) == Audio()
    assert Audio().fit(table.values("audio")).rate == 8_000
    assert read("s", folder=tmp_path).fingerprint == table.fingerprint
    assert {column.name: column.kind for column in profile(table).columns}["audio"] == "audio"
    assert len(near(table)) == 0


def test_file_names_say_what_a_pattern_makes_of_them(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("3_ann_0", "3_bob-x_12", "7_ann_1"):
            archive.writestr(f"recordings/{name}.wav", sound(len(name)))
    table = read(Source(at="a.zip", names="{digit}_{speaker}_{number}"), folder=tmp_path, scratch=tmp_path / "room")
    assert table.select(["digit", "speaker", "number"]).preview() == [
        {"digit": "3", "speaker": "ann", "number": "0"},
        {"digit": "3", "speaker": "bob-x", "number": "12"},
        {"digit": "7", "speaker": "ann", "number": "1"},
    ]
    assert (Audio(mels=4).fit(table.values("audio")).encode(table.values("audio"))[1]).all()
    with pytest.raises(DataError, match=r"a file must be called as data\.source\.names says, \{a\}-\{b\}-\{c\}, got 3_ann_0"):
        read(Source(at="a.zip", names="{a}-{b}-{c}"), folder=tmp_path)
    for bad in ("digit", "{a}{a}", "{audio}_{x}"):
        with pytest.raises(SpecError, match=r"data\.source\.names must be a pattern with different names in braces"):
            read(Source(at="a.zip", names=bad), folder=tmp_path)
    put(tmp_path / "flat/3_ann_0.wav", sound())
    with pytest.raises(DataError, match=r"one sub-folder of sounds per label, got 3_ann_0\.wav beside the sub-folders.*names"):
        read("flat", folder=tmp_path)


def test_names_may_reach_over_folders(tmp_path: Path) -> None:
    put(tmp_path / "s/ann/7-a.wav", sound())
    table = read(Source(at="s", names="{speaker}/{digit}-a"), folder=tmp_path)
    assert table.values("digit") == ["7"]


def test_a_table_names_sounds(tmp_path: Path) -> None:
    put(tmp_path / "t/clips/a.wav", sound())
    put(tmp_path / "t/clips/b.wav", sound(1))
    put(tmp_path / "t/labels.csv", b"clip,word\nclips/a.wav,yes\nclips/b.wav,no\n")
    for at in ("t", "t/labels.csv"):
        table = read(at, folder=tmp_path)
        assert table.paths == {"clip"}
        assert Audio().fit(table.values("clip")).files


def test_what_cannot_be_heard_is_told_or_set_aside(tmp_path: Path) -> None:
    put(tmp_path / "s/a/1.wav", sound())
    put(tmp_path / "s/a/2.wav", sound()[:300])
    put(tmp_path / "s/a/3.flac", b"nothing of the kind")
    put(tmp_path / "s/a/4.wav", b"")
    with pytest.raises(DataError, match=r"a sound must be a file that can be read as what its first bytes say, got 2\.wav: cut off"):
        read("s", folder=tmp_path)
    aside: list[Aside] = []
    table = read(Source(at="s", unreadable="aside"), folder=tmp_path, aside=aside)
    assert (len(table), len(aside)) == (1, 3)
    put(tmp_path / "s/b/x.png", b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"a folder of pictures or one of sounds, got 1\.wav and x\.png"):
        read("s", folder=tmp_path)


def test_the_real_spoken_digits_are_read_by_their_names(real_data: Path, tmp_path: Path) -> None:
    file = real_data / "fsdd/recordings.zip"
    if not file.is_file():
        pytest.skip("no fsdd")
    table = read(Source(at=str(file), names="{digit}_{speaker}_{number}"), folder=real_data, scratch=tmp_path)
    assert len(table) == 3_000
    assert sorted(set(table.values("digit"))) == list("0123456789")  # type: ignore[type-var]
    assert len(set(table.values("speaker"))) == 6
    clips = table.take(range(0, 3_000, 100)).values("audio")
    fitted = Audio().fit(clips)
    assert fitted.rate == 8_000
    assert fitted.encode(clips)[1].any(axis=1).all()
