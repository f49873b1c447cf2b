from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fermion.data.near import Pairs, near, near_pictures, near_rows, near_texts
from fermion.data.pairs import within_buckets
from fermion.data.table import Table

WORDS = [f"word{number}" for number in range(2_000)]


def sentences(count: int, length: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(WORDS[place] for place in row) for row in rng.integers(0, len(WORDS), (count, length))]


def reworded(text: str, changes: int, rng: np.random.Generator) -> str:
    words = text.split()
    for place in rng.choice(len(words), changes, replace=False):
        words[place] = f"other{rng.integers(10**9)}"
    return " ".join(words)


def hits(pairs: Pairs, source: np.ndarray, clean: int) -> float:
    group = pairs.groups(clean + len(source))
    return float(np.mean(group[source] == group[clean:]))


@pytest.mark.parametrize(("length", "changes"), [(10, 1), (40, 4), (200, 20)])
def test_texts_with_a_tenth_of_the_words_changed_are_found_and_nothing_else(length: int, changes: int) -> None:
    texts, rng = sentences(1_000, length, 0), np.random.default_rng(1)
    assert len(near_texts(texts)) == 0
    source = rng.choice(1_000, 50, replace=False)
    pairs = near_texts([*texts, *(reworded(texts[row], changes, rng) for row in source)])
    assert len(pairs) == 50
    assert hits(pairs, source, 1_000) == 1.0
    assert np.allclose(pairs.similarity, 0.9)


def test_texts_that_are_no_texts_and_the_same_texts_again() -> None:
    pairs = near_texts([None, "", "!!!", "A b c", "a, B; c", None, "", "c b a"])
    assert (pairs.left.tolist(), pairs.right.tolist(), pairs.similarity.tolist()) == ([3, 3], [4, 7], [1.0, 1.0])
    assert len(near_texts([])) == len(near_texts([None, None])) == len(near_texts(["one"])) == 0
    many = near_texts(["the same text every time"] * 500)
    assert len(many) == 499
    assert set(many.left.tolist()) == {0}
    assert near_texts(["我 想 退款", "我想退款"]).right.tolist() == [1]


def test_similarity_of_texts_is_what_it_says() -> None:
    assert len(near_texts(["a b c d e f g h i j", "a b c d e f g h x y"], 0.8)) == 1
    assert len(near_texts(["a b c d e f g h i j", "a b c d e f g h x y"], 0.81)) == 0
    assert len(near_texts(["a a a a b", "a b b b b"], 0.5)) == 0  # words count as often as they come: a and b once each
    short = near_texts(["a b c d", "a b c d e f g h"], 0.4)
    assert short.similarity.tolist() == [0.5]


def test_texts_of_one_template_take_no_time() -> None:
    rng = np.random.default_rng(0)
    texts = [f"hello i would like to ask about my order number {rng.integers(10**9)} please" for _ in range(3_000)]
    assert len(near_texts(texts, 0.95)) == 0


def test_near_is_the_same_every_time() -> None:
    texts, rng = sentences(300, 12, 3), np.random.default_rng(0)
    texts += [reworded(text, 1, rng) for text in texts[:30]]
    one, two = near_texts(texts), near_texts(texts)
    assert one.left.tolist() == two.left.tolist()
    assert one.similarity.tolist() == two.similarity.tolist()


def shifted(picture: np.ndarray, dy: int, dx: int) -> np.ndarray:
    return np.pad(picture, [(1, 1), (1, 1), *[(0, 0)] * (picture.ndim - 2)], mode="edge")[1 + dy :, 1 + dx :][
        : len(picture), : len(picture[0])
    ]


def encoded(picture: np.ndarray, quality: int) -> bytes:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.fromarray(picture).save(file, "JPEG", quality=quality)
    return file.getvalue()


def pictures(count: int = 200, size: int = 32, channels: int = 3) -> np.ndarray:
    """Smooth random pictures, as photos are at this size."""
    rng = np.random.default_rng(0)
    coarse = rng.random((count, 6, 6, channels))
    at = np.linspace(0, 4.999, size)
    low, share = at.astype(int), at - at.astype(int)
    rows = coarse[:, low] * (1 - share)[:, None, None] + coarse[:, low + 1] * share[:, None, None]
    both = rows[:, :, low] * (1 - share)[:, None] + rows[:, :, low + 1] * share[:, None]
    return (255 * both + rng.normal(0, 3, both.shape)).clip(0, 255).astype(np.uint8)


def test_pictures_that_are_shifted_darker_or_encoded_again() -> None:
    clean = pictures()
    assert len(near_pictures(clean)) == 0
    image = pytest.importorskip("PIL.Image")
    changed = [shifted(clean[0], 0, 1), shifted(clean[1], -1, 0), shifted(clean[2], 1, -1)]
    changed += [(clean[3] * 0.8).astype(np.uint8), np.asarray(image.open(io.BytesIO(encoded(clean[4], 75))))]
    pairs = near_pictures(np.concatenate([clean, np.stack(changed)]))
    assert list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)) == [(row, 200 + row) for row in range(5)]
    assert (pairs.similarity > 0.8).all()


def test_pictures_of_other_sizes_grey_ones_and_empty_ones() -> None:
    clean = pictures(20, 64)
    small = clean[3].reshape(32, 2, 32, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    pairs = near_pictures([*clean, small, clean[5].mean(axis=2).astype(np.uint8)])
    assert (pairs.left.tolist(), pairs.right.tolist()) == ([3, 5], [20, 21])
    assert len(near_pictures(np.full((5, 8, 8), 7, np.uint8))) == 0
    assert len(near_pictures([])) == len(near_pictures(np.zeros((0, 8, 8), np.uint8))) == len(near_pictures(clean[:1])) == 0
    assert len(near_pictures(clean.astype(np.float32) / 255)) == 0


def numbers_and_words(rows: int = 2_000) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "amount": rng.normal(100, 20, rows),
            "age": rng.integers(18, 90, rows),
            "city": rng.choice([f"city {i}" for i in range(50)], rows),
            "when": pl.Series(rng.integers(0, 10**9, rows)).cast(pl.Datetime("ms")),
            "score": np.where(rng.random(rows) < 0.1, np.nan, rng.random(rows)),
            "kind": rng.choice(["a", "b"], rows),
            "constant": np.ones(rows),
        }
    )


@pytest.mark.parametrize(
    ("column", "value"), [("amount", 1.5), ("age", 3), ("city", "elsewhere"), ("when", None), ("score", 7.0), ("kind", "c")]
)
def test_rows_with_one_value_changed_are_found_and_nothing_else(column: str, value: object) -> None:
    frame = numbers_and_words()
    assert len(near_rows(Table(frame))) == 0
    rows = np.arange(0, 2_000, 50)
    changed = frame[rows].with_columns(pl.lit(value, dtype=frame[column].dtype).alias(column))
    pairs = near_rows(Table(pl.concat([frame, changed])))
    assert (pairs.left.tolist(), pairs.right.tolist()) == (rows.tolist(), list(range(2_000, 2_040)))
    assert ((pairs.similarity >= 0.8) & (pairs.similarity < 1)).all()


def test_equal_rows_missing_values_and_the_sixth_digit() -> None:
    frame = numbers_and_words()
    again = frame[[5, 7]].with_columns(pl.col("amount") * (1 + 1e-7))
    pairs = near_rows(Table(pl.concat([frame, again, frame[[5]]])))
    assert (pairs.left.tolist(), pairs.right.tolist(), pairs.similarity.tolist()) == ([5, 5, 7], [2_000, 2_002, 2_001], [1.0, 1.0, 1.0])


def test_coarse_tables_have_no_near_rows() -> None:
    rng = np.random.default_rng(0)
    coarse = Table(pl.DataFrame({name: rng.integers(0, 6, 3_000) for name in "abcde"}))
    assert (near_rows(coarse).similarity == 1).all()  # equal rows are equal, and all others are alike by chance
    assert len(near_rows(Table.of({"a": [1, 2]}))) == len(near_rows(Table.of({"a": [1], "b": [2]}))) == 0


def test_near_goes_by_pictures_then_texts_then_values(tmp_path: Path) -> None:
    clean = pictures(30)
    assert near(Table.of({"x": np.arange(31), "picture": np.concatenate([clean, clean[4:5]])})).right.tolist() == [30]
    files = [encoded(picture, quality) for picture, quality in [*((one, 90) for one in clean[:10]), (clean[2], 75)]]
    assert near(Table.of({"file": files})).left.tolist() == [2]
    for row, file in enumerate([*files, b"no picture"]):
        (tmp_path / f"{row}.jpg").write_bytes(file)
    paths = Table(pl.DataFrame({"path": [*(str(tmp_path / f"{row}.jpg") for row in range(12)), None]}), paths=["path"])
    assert near(paths).right.tolist() == [10]
    texts = sentences(50, 8, 1)
    assert near(Table.of({"text": [*texts, texts[7]], "label": np.arange(51)})).left.tolist() == [7]
    frame = numbers_and_words(200)
    assert near(Table(pl.concat([frame, frame[[9]].with_columns(age=pl.lit(3, dtype=pl.Int64))]))).left.tolist() == [9]


def test_pairs_and_groups() -> None:
    pairs = Pairs.of(np.array([5, 1, 1, 3, 2]), np.array([1, 5, 2, 3, 6]), np.array([0.8, 0.9, 1.0, 1.0, 0.7]))
    assert (pairs.left.tolist(), pairs.right.tolist(), pairs.similarity.tolist()) == ([1, 1, 2], [2, 5, 6], [1.0, 0.9, 0.7])
    assert pairs.groups(8).tolist() == [0, 1, 1, 3, 4, 1, 1, 7]
    left, right = within_buckets(np.zeros(5, np.uint64), np.arange(5), 2)
    assert sorted(zip(left.tolist(), right.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4)]
