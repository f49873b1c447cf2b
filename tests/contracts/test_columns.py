"""The contract of columns over every column of the package."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image as Picture

from fermion.columns.audio import Audio, Clip
from fermion.columns.category import Category
from fermion.columns.flag import Flag
from fermion.columns.geo import Geo, Place
from fermion.columns.image import Image, Pixels
from fermion.columns.number import Number
from fermion.columns.private import Hashed, Redacted
from fermion.columns.repair import Repaired
from fermion.columns.sequence import Sequence, Steps
from fermion.columns.set import Set
from fermion.columns.text import Text
from fermion.columns.time import Time
from fermion.columns.vector import Vector
from fermion.core import registry
from fermion.core.declared import Repair
from fermion.testing.columns import ColumnContract

UTC = dt.UTC


def picture(height: int, width: int, *, mode: str = "RGB", form: str = "png", seed: int = 0) -> bytes:
    """An encoded image file of noise."""
    depth = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, *depth), dtype=np.uint8)
    stream = io.BytesIO()
    Picture.fromarray(pixels, mode=mode).save(stream, form)
    return stream.getvalue()


def noise(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


class TestNumber(ColumnContract):
    column = Number()
    good = (1, 2.5, None, float("nan"), -3, np.int64(4), np.float32(0.5), np.float16(2), np.uint8(9), 1e30, -(2**70), 5e-324)
    bad = (
        "3",
        True,
        np.True_,
        [1],
        {},
        b"1",
        1j,
        float("inf"),
        -float("inf"),
        10**400,
        1e300,
        np.datetime64("2026-01-01"),
        dt.date(2026, 1, 1),
    )


class TestNumberThatIsATime(ColumnContract):
    column = Number()
    good = (1.7e9, 1.7e9 + 1, None, 1.7e9 + 5)
    bad = ("1700000000", True, 1e48)


class TestCategory(ColumnContract):
    column = Category()
    good = ("Bern", "Rome", None, "Bern", "", " ", "Zürich", "日本", "3", 3, -1, 2**80, np.int64(7), np.str_("Rome"), "a" * 1000)
    bad = (True, np.False_, 1.5, [], ("a",), b"Bern", dt.date(2026, 1, 1), float("inf"))


class TestCategoryOfFew(ColumnContract):
    column = Category(most=1)
    good = ("b", "a", "b", None)
    bad = (0.5,)


class TestText(ColumnContract):
    column = Text(vocabulary=300)
    good = ("good food", "Bad  food!", None, "", " ", "Zürich 日本 😀\x00", "good food", np.str_("wine"), "<pad> [SEP]", "x" * 100_000)
    bad = (3, 1.5, True, b"good", [], ["good"], "half \ud800 a character", dt.date(2026, 1, 1))


class TestTextOfPieces(ColumnContract):
    column = Text(algorithm="unigram", vocabulary=300, length=6, lower=False, unicode=False)
    good = ("good food and good wine", "Bad food", None, "", "日本")
    bad = (3, b"good")


class TestTextOfWords(ColumnContract):
    column = Text(algorithm="words", length=8)
    good = ("where is order 123?", "where is order 456 ...", "Where?", None, "", "unheard of")
    bad = (3, b"where")


class TestTextThatIsRedacted(ColumnContract):
    column = Redacted(column=Text(vocabulary=300))
    good = ("write to ada@example.org", "paid", None, "")
    bad = (True, 1.5, [], b"Ada", 7)


class TestTextThatIsRepaired(ColumnContract):
    column = Repaired(column=Text(vocabulary=300), repair=Repair(text=("strip", "lower"), missing=("n/a",)))
    good = ("Good food ", "good food", "n/a", None)
    bad = (3, [])


class TestSet(ColumnContract):
    column = Set()
    good = (["red", "round"], [], None, ["red", "red"], ("a", 3), {"red"}, np.array(["round"], dtype=object), np.array([3]), [""], ["日本"])
    bad = ("red", 3, True, [None], [1.5], [True], [["red"]], {}, b"red", ["red", None])


class TestSetOfTexts(ColumnContract):
    column = Set(separator="|", most=2)
    good = ("red|round", "red | new", "", None, ["red", "blue"], "|")
    bad = (3, [1.5], b"red|round")


class TestSetOfNumbers(ColumnContract):
    column = Set()
    good = ([1, 2], [2], None, np.array([7, 2**40]))
    bad = ([0.5], 2)


class TestVector(ColumnContract):
    column = Vector()
    good = ([1.0, 2, 3], None, (0, 1, 2), np.arange(3), [None, 1.0, float("nan")], np.ones(3, dtype=np.float16), [np.float32(1), 2, 3])
    bad = ([1.0, 2.0], [], 3.0, "abc", [True, 1, 2], ["1", "2", "3"], [1, 2, float("inf")], [1e39, 0, 0], [10**400, 1, 2], [[1, 2, 3]], {})


class TestVectorOfOneArray:
    def test_an_array_means_what_its_rows_mean(self) -> None:
        whole = np.arange(12, dtype=np.int16).reshape(4, 3)
        fitted = Vector().fit(whole)
        assert fitted == Vector().fit(list(whole)) == Vector(size=3)
        np.testing.assert_array_equal(fitted.encode(whole)[0], fitted.encode(whole.tolist())[0])


class TestGeo(ColumnContract):
    column = Geo()
    good = ([46.9, 7.4], {"lat": -90, "lon": 180.0}, None, (0, -180), np.array([1.5, 2.5]), Place(lat=1.0, lon=2.0), [None, None])
    bad = ([91.0, 0.0], [0.0, 180.5], [1.0], [1.0, 2.0, 3.0], [1.0, None], ["1", "2"], [True, 0], {"lat": 1.0}, "46.9, 7.4", 46.9, "ab")


class TestFlag(ColumnContract):
    column = Flag()
    good = (True, False, None, np.True_, np.False_)
    bad = (0, 1, 0.0, "true", "", [], np.int8(1))


class TestTime(ColumnContract):
    column = Time()
    good = (
        "2026-03-01T12:00:00",
        "2026-03-01",
        "2026-03-01 23:59:59.999999",
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00+05:30",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        dt.datetime(2024, 2, 29, 6),
        dt.datetime(2024, 2, 29, 6, tzinfo=dt.timezone(dt.timedelta(hours=-3))),
        dt.date(1969, 12, 31),
        np.datetime64("2025-07-01T01:02:03.000004"),
        np.datetime64("2025-07-01"),
        np.datetime64("NaT"),
        None,
    )
    bad = ("yesterday", "", "2026-02-30", "2026-03-01T25:00", 1.7e9, 20260301, True, b"2026-03-01", [])


class TestTimeThatCounts(ColumnContract):
    column = Time(unit="s")
    good = (1.7e9, 1_700_000_001, None, -5.5, np.float64(1.6e9), np.int64(1_600_000_000), 0)
    bad = ("2026-03-01", True, float("inf"), 1e18, 10**400, [])


class TestImageOfArrays(ColumnContract):
    column = Image()
    good = (noise(4, 6), noise(4, 6, seed=1), None, noise(4, 6, 1), noise(4, 6, seed=2).tolist(), Pixels(shape=(4, 6, 1), uint8=bytes(24)))
    bad = (
        noise(4, 5),
        noise(4, 6, 3),
        noise(4, 6).astype(np.float32),
        np.zeros((0, 6), np.uint8),
        noise(4),
        [[1, 2], [3]],
        [[300] * 6] * 4,
        [[-1] * 6] * 4,
        [[True] * 6] * 4,
        [[0.5] * 6] * 4,
        [[10**30] * 6] * 4,
        [],
        3,
        Pixels(shape=(4, 6, 1), uint8=bytes(23)),
        Pixels(shape=(-4, -6, 1), uint8=bytes(24)),
        Pixels(shape=(2**62, 4, 1), uint8=b""),
    )


class TestImageOfColourArrays(ColumnContract):
    column = Image()
    good = (noise(3, 3, 3), noise(3, 3), noise(3, 3, 4), None, noise(3, 3, 3, seed=1).tolist())
    bad = (noise(3, 3, 2), noise(2, 3, 3), noise(1, 3, 3, 3))


class TestImageOfFiles(ColumnContract):
    column = Image()
    good = (picture(5, 7), picture(5, 7, mode="L"), picture(5, 7, form="jpeg"), None, picture(5, 7, mode="RGBA"), noise(5, 7, 3))
    bad = (b"", b"no picture", picture(5, 7)[:60], picture(5, 6), "nowhere.png", Path("nowhere.png"), "\0")


class TestImageOfSizes(ColumnContract):
    column = Image()
    good = (picture(5, 7), picture(9, 4, mode="L"), noise(6, 6, 3), noise(8, 2), None, picture(3, 3, mode="LA"))
    bad = (b"no picture", [[1], [2, 3]])


class TestImageOfASize(ColumnContract):
    column = Image(height=4, channels=1)
    good = (picture(5, 7), noise(6, 6), None)
    bad = (b"",)


class TestImageOfPaths:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "a.png").write_bytes(picture(4, 4))
        (tmp_path / "b.jpg").write_bytes(picture(4, 4, form="jpeg", seed=1))
        return tmp_path

    def test_a_path_means_its_file(self, folder: Path) -> None:
        paths = sorted(folder.iterdir())
        files = [path.read_bytes() for path in paths]
        fitted = Image().fit(paths)
        assert fitted == Image().fit(files) == Image().fit([str(path) for path in paths])
        np.testing.assert_array_equal(fitted.encode(paths)[0], fitted.encode(files)[0])
        np.testing.assert_array_equal(fitted.encode([str(path) for path in paths])[0], fitted.encode(files)[0])
        assert fitted.plain(paths[0]) == fitted.plain(files[0])


class TestSequence(ColumnContract):
    column = Sequence()
    good = (
        [1.5, None, 3],
        [],
        None,
        [float("nan")],
        np.arange(7, dtype=np.int16),
        (2.0, np.float32(0.5)),
        np.array([[1.0], [2.0]]),
        [[1.0], None, [None]],
        [None, None],
    )
    bad = (
        3,
        "3",
        [True],
        ["1"],
        [[1.0, 2.0]],
        [[[1.0]]],
        [1.0, [2.0]],
        [float("inf")],
        [1e39],
        [10**400],
        {},
        [[]],
        {"times": [], "values": []},
        [[]],
    )


class TestSequenceOfSeveral(ColumnContract):
    column = Sequence(length=3)
    good = (
        [[1, 2.5], [None, 4]],
        [],
        None,
        [[1, 2]] * 5,
        [None, [1, 2]],
        [[1, 2], float("nan")],
        np.ones((4, 2), dtype=np.float32),
        [None],
    )
    bad = ([1.0], [[1.0]], [[1, 2], [3]], [[1, 2], 3.0], np.zeros((2, 2, 2)), [["a", "b"]], np.array(["a"]), np.zeros((3, 0)))


class TestSequenceAtTimes(ColumnContract):
    column = Sequence(times=True)
    good = (
        {"times": [1.7e9, 1.7e9 + 1, 1.7e9 + 5], "values": [1.0, None, 2.0]},
        None,
        {"times": [], "values": []},
        Steps(times=[0.0, 0.0], values=[[1.0], None]),
        {"times": np.array([-3, 4]), "values": np.array([1.0, 2.0])},
    )
    bad = (
        [1.0],
        {"times": [1.0], "values": []},
        {"times": [2.0, 1.0], "values": [1.0, 1.0]},
        {"times": [None], "values": [1.0]},
        {"times": ["2026-01-01"], "values": [1.0]},
        {"times": [0.0], "values": [[1.0, 2.0]]},
        {"times": [-3e38, 3e38], "values": [1.0, 2.0]},
        {"values": [1.0]},
    )


class TestSequenceSinceTheFirst(ColumnContract):
    column = Sequence(times=True, since="first", keep="first", length=2)
    good = ({"times": [5.0, 6.0, 9.0], "values": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}, None)
    bad = ({"times": [5.0], "values": [1.0]},)


def clip(samples: int, rate: int = 8000, *, channels: int = 1, form: str = "WAV", kind: str = "PCM_16", seed: int = 0) -> bytes:
    """An encoded sound file of noise."""
    stream = io.BytesIO()
    x = np.random.default_rng(seed).uniform(-0.5, 0.5, (samples, channels))
    soundfile.write(stream, x, rate, format=form, subtype=kind)
    return stream.getvalue()


class TestAudioOfFiles(ColumnContract):
    column = Audio(mels=8)
    good = (
        clip(900),
        clip(2000, 16000, channels=2),
        clip(700, form="FLAC", kind="PCM_24"),
        None,
        clip(0),
        clip(500, kind="PCM_U8"),
        clip(500, 8000, kind="FLOAT"),
        Clip(rate=4000, samples=np.ones(300, "<f4").tobytes()),
        {"rate": 8000, "samples": [0.0, 0.5, -0.5]},
        clip(10),
    )
    bad = (
        b"",
        b"no sound",
        clip(900)[:200],
        clip(900, form="FLAC")[:300],
        picture(4, 4),
        "nowhere.wav",
        Path("nowhere.wav"),
        "\0",
        3,
        Clip(rate=8000, samples=b"123"),
        {"rate": -1, "samples": [0.0]},
        {"samples": [0.0]},
    )


class TestAudioOfArrays(ColumnContract):
    column = Audio(rate=8000, seconds=0.1, features="wave")
    good = (
        np.linspace(-1, 1, 500, dtype=np.float32),
        np.zeros((2000, 2)),
        None,
        [0.0, 0.5],
        [],
        np.arange(50, dtype=np.int16),
        Clip(rate=8000, samples=b""),
    )
    bad = (
        np.zeros((2, 2, 2)),
        [float("nan")],
        np.full(4, np.inf),
        ["a"],
        [[1.0], [1.0, 2.0]],
        {},
        True,
        np.arange(50),
        Clip(rate=8000, samples=np.full(3, np.nan, "<f4").tobytes()),
    )


class TestAudioOnHtksScale(ColumnContract):
    column = Audio(rate=4000, mels=5, scale="htk", high=1500.0, low=100.0)
    good = (np.ones(300, dtype=np.float32), np.ones(40, dtype=np.float32), None)
    bad = (b"",)


class TestRepairedNumber(ColumnContract):
    repair = Repair(missing=("NA", ""), thousands=",", strip=("$", "EUR"), units={"kg": 1.0, "g": 0.001})
    column = Repaired(column=Number(), repair=repair)
    good = ("1,234.50", "-$5", "3 kg", "500g", "NA", " ", "1e3", ".5", 7, 2.5, None, np.str_("12"), np.int64(4), "\u2212 3 EUR")
    bad = (
        "1,23",
        "12,34,567",
        "abc",
        "--5",
        "5 lb",
        "0x10",
        "1_000",
        "1e999",
        "inf",
        "nan",
        True,
        [],
        "1 2",
        "1,234,56",
        dt.date(2026, 1, 1),
    )


class TestRepairedFlag(ColumnContract):
    column = Repaired(column=Flag(), repair=Repair(truth={"yes": True, "1": True, "no": False, "0": False}, missing=("?",)))
    good = ("yes", "NO ", True, False, "?", None, 1, 0.0, np.True_, "1")
    bad = ("maybe", "", 2, 0.5, [], "truth")


class TestRepairedTime(ColumnContract):
    """A form that reads ISO dates otherwise: what is sent again must mean the same."""

    column = Repaired(column=Time(), repair=Repair(dates=("%Y-%d-%m", "%d.%m.%Y", "%d.%m.%Y %H:%M %z"), missing=("-",)))
    good = (
        "2026-03-01",
        "31.12.2025",
        "1.2.2026 10:00 +0200",
        "-",
        None,
        "2026-03-01T12:00:00",
        "0001-01-01T00:00:00+14:00",
        dt.date(2026, 3, 1),
        dt.datetime(2026, 3, 1, 5, tzinfo=UTC),
        np.datetime64("2026-03-01"),
        np.datetime64("NaT"),
    )
    bad = ("yesterday", "31.02.2026", "", 5, True, [])


class TestRepairedTimeThatCounts(ColumnContract):
    column = Repaired(column=Time(unit="s"), repair=Repair(thousands=",", missing=("-",)))
    good = ("1,700,000,000", 1.6e9, None, "-", 0)
    bad = ("2026-03-01", True, "1e30")


class TestRepairedCategory(ColumnContract):
    repair = Repair(missing=("n/a",), text=("unicode", "spaces", "strip", "lower"), merge={"NYC": "new york", "n.y.c.": "new york"})
    column = Repaired(column=Category(), repair=repair)
    good = ("New  York", "NYC ", "N.Y.C.", "Bern", "N/A", None, 3, "\uff21", np.str_("bern"))
    bad = (True, 1.5, [], b"Bern")


class TestHashed(ColumnContract):
    column = Hashed(salt="FERMION_TEST_SALT")
    good = ("Ada", "Bob", None, "Ada", 3, "3", np.int64(7), "")
    bad = (True, 1.5, [], b"Ada")

    @pytest.fixture(autouse=True)
    def salt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FERMION_TEST_SALT", "of at least sixteen letters")


class TestRedacted(ColumnContract):
    column = Redacted()
    good = ("write to ada@example.org", "paid", None, "4111 1111 1111 1111", 4111111111111111, 7, "<EMAIL>")
    bad = (True, 1.5, [], b"Ada")


class TestRepairedThenHashed(TestHashed):
    column = Repaired(column=Hashed(salt="FERMION_TEST_SALT"), repair=Repair(text=("strip", "lower"), missing=("?",)))
    good = ("Ada ", "ada", "?", None, 3)
    bad = (True, 1.5)


class TestRepairedThenRedacted(ColumnContract):
    column = Repaired(column=Redacted(), repair=Repair(text=("strip", "lower"), missing=("?",)))
    good = ("Write to ADA@example.org", "paid", "?", None)
    bad = (True, 1.5)


def test_every_column_has_its_contract() -> None:
    tested = {
        type(one.column)
        for one in globals().values()
        if isinstance(one, type) and issubclass(one, ColumnContract) and one is not ColumnContract
    }
    ours = {registry.find("columns", name) for name in (*registry.names("columns"), *registry.WITHIN["columns"])}
    assert ours <= tested
