"""Oversampling, undersampling, made-up rows, noise and mixup of tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fermion.columns.output import Probability, Value
from fermion.core.errors import DataError
from fermion.research.augment import Frame, Labels, Rows
from fermion.research.mixing import Mixup
from fermion.research.table_augment import POOL, Noise, Oversample, Smote, Undersample, nearest

KIND = Probability(target="kind", classes=("a", "b", "c"))


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows_of(counts: tuple[int, ...] = (60, 20, 5), *, codes: bool = True, weights: bool = False, unlabelled: int = 0) -> Rows:
    """Classes around centres of their own; row i has the number i in its last column."""
    rng = np.random.default_rng(0)
    y = np.concatenate([np.full(count, code) for code, count in enumerate(counts)] + [np.full(unlabelled, -1)])
    x = rng.normal(size=(len(y), 3)) + 10 * y[:, None]
    x[:, 2] = np.arange(len(y))
    arrays = {"numbers": torch.from_numpy(x.astype(np.float32))}
    if codes:
        arrays["codes"] = torch.from_numpy(np.stack([y + 2, rng.integers(2, 6, len(y))], 1))
    labels = Labels(targets={"kind": torch.from_numpy(y)}, weights=torch.linspace(0.5, 2, len(y), dtype=torch.float64) if weights else None)
    return Rows(frame=Frame(outputs=(KIND,), spread=arrays["numbers"].std(0)), arrays=arrays, labels=(labels,))


def counts(rows: Rows) -> list[int]:
    y = rows.labels[0].targets["kind"]
    return y[y >= 0].bincount().tolist()


class TestShares:
    def test_oversampling_copies_rows_of_the_rarer_classes(self) -> None:
        rows = rows_of(weights=True, unlabelled=3)
        made = Oversample(ratio=0.5).apply(rows, draw())
        assert counts(made) == [60, 30, 30]
        assert torch.equal(made.arrays["numbers"][: len(rows)], rows.arrays["numbers"])
        came_from = made.arrays["numbers"][:, 2].long()
        assert torch.equal(made.labels[0].targets["kind"], rows.labels[0].targets["kind"][came_from])
        assert made.labels[0].weights is not None
        assert rows.labels[0].weights is not None
        assert torch.equal(made.labels[0].weights, rows.labels[0].weights[came_from])

    def test_undersampling_leaves_rows_out_and_keeps_the_order(self) -> None:
        made = Undersample(ratio=0.25).apply(rows_of(unlabelled=3), draw())
        assert counts(made) == [20, 20, 5]
        assert len(made) == 45
        assert (made.arrays["numbers"][:, 2].diff() > 0).all()

    @pytest.mark.parametrize("part", [Oversample(), Smote(), Undersample()])
    def test_balanced_classes_stay_and_the_seed_decides(self, part: Any) -> None:
        assert len(part.apply(rows_of((9, 9)), draw())) == 18
        one, same, other = (part.apply(rows_of(), draw(seed)).arrays["numbers"] for seed in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)

    def test_the_target_must_be_one_with_classes(self) -> None:
        rows = rows_of()
        price, second = Value(target="price"), Probability(target="mood", classes=("x", "y"))
        for outputs, target, says in (
            ((price,), "", "one target with classes, got the targets price. Leave it out: a number has no classes"),
            ((KIND, second), "", "got the targets kind, mood. Set target to one of kind, mood"),
            ((KIND, price), "prize", "got `prize`. Set target to one of kind"),
        ):
            given = Rows(frame=Frame(outputs=outputs, spread=rows.frame.spread), arrays=rows.arrays, labels=rows.labels)
            with pytest.raises(DataError, match=says):
                Smote(target=target).apply(given, draw())
        both = Rows(frame=Frame(outputs=(KIND, price), spread=rows.frame.spread), arrays=rows.arrays, labels=rows.labels)
        assert counts(Smote().apply(both, draw())) == [60, 60, 60]


class TestSmote:
    def test_new_rows_lie_between_a_row_and_a_neighbour_of_its_class(self) -> None:
        rows = rows_of((50, 10), codes=False)
        made = Smote(neighbours=3).apply(rows, draw())
        assert counts(made) == [50, 50]
        old, new = rows.arrays["numbers"][50:60], made.arrays["numbers"][60:]
        starts, pool = torch.arange(10), torch.arange(10)
        members = rows.take(torch.arange(50, 60))
        near = nearest(members, starts, pool, 3)
        for row in new:
            off = [
                (row - (old[i] + u * (old[j] - old[i]))).abs().max()
                for i in range(10)
                for j in near[i].tolist()
                for u in [float((row - old[i]) @ (old[j] - old[i]) / (old[j] - old[i]).square().sum())]
                if -1e-4 <= u <= 1 + 1e-4
            ]
            assert min(off) < 1e-3

    def test_categories_are_those_of_most_neighbours(self) -> None:
        rows = rows_of((40, 12))
        rows.arrays["codes"][40:, 1] = torch.tensor([3] * 10 + [5] * 2)
        made = Smote(neighbours=7).apply(rows, draw())
        assert (made.arrays["codes"][52:, 0] == 3).all()
        assert (made.arrays["codes"][52:, 1] == 3).all()

    def test_neighbours_are_nearest_by_the_papers_distance(self) -> None:
        """Numbers in units of their spread, m^2 for each category that differs, m the median deviation within the class."""
        rows = rows_of((5, 30)).take(torch.arange(5, 35))
        x = rows.arrays["numbers"].numpy() / rows.frame.spread.numpy()  # pyright: ignore[reportOptionalMemberAccess] it has numbers
        codes, m2 = rows.arrays["codes"].numpy(), np.median(x.std(0)) ** 2
        d = ((x[:, None] - x[None]) ** 2).sum(2) + m2 * (codes[:, None] != codes[None]).sum(2)
        np.fill_diagonal(d, np.inf)
        got = nearest(rows, torch.arange(30), torch.arange(30), 4)
        np.testing.assert_allclose(np.take_along_axis(d, got.numpy(), 1), np.sort(d, 1)[:, :4], rtol=1e-3)

    def test_missing_numbers_stay_missing_with_their_row(self) -> None:
        rows = rows_of((40, 10), codes=False)
        rows.arrays["numbers"][40:45, 0] = torch.nan
        rows.arrays["numbers"][:, 1] = torch.nan
        made = Smote().apply(rows, draw()).arrays["numbers"][50:]
        assert made[:, 1].isnan().all()
        assert 0.3 < made[:, 0].isnan().float().mean() < 0.7
        assert made[:, 2].isfinite().all()

    def test_categories_alone_and_numbers_alone(self) -> None:
        both = rows_of((30, 6))
        only = Rows(frame=Frame(outputs=(KIND,)), arrays={"codes": both.arrays["codes"]}, labels=both.labels)
        assert counts(Smote().apply(only, draw())) == [30, 30]
        assert counts(Smote().apply(rows_of((30, 6), codes=False), draw())) == [30, 30]

    def test_one_row_is_copied_and_fewer_rows_than_neighbours_are_enough(self) -> None:
        made = Smote(neighbours=9).apply(rows_of((30, 1, 3)), draw())
        assert counts(made) == [30, 30, 30]
        assert (made.arrays["numbers"][34:63] == made.arrays["numbers"][30]).all()

    def test_other_arrays_are_refused(self) -> None:
        rows = rows_of()
        with pytest.raises(DataError, match=r"one of numbers and categories alone, got image.pixels. Use oversample"):
            Smote().apply(rows.put(**{"image.pixels": torch.zeros(len(rows), 2)}), draw())

    def test_a_large_class_is_searched_in_part(self) -> None:
        count = POOL + 10
        x = torch.randn(count, 1, generator=draw())
        members = Rows(frame=Frame(outputs=(KIND,), spread=x.std(0)), arrays={"numbers": x}, labels=(Labels(targets={}),))
        near = nearest(members, torch.tensor([0, count - 1]), torch.arange(POOL), 5)
        assert near.shape == (2, 5)
        assert near.max() < POOL


class TestBatches:
    def test_noise_counts_in_deviations_of_the_column(self) -> None:
        x = torch.stack([torch.randn(4000, generator=draw(1)) * scale for scale in (1.0, 100.0, 0.0)], 1)
        x[:10, 0] = torch.nan
        rows = Rows(frame=Frame(outputs=(KIND,), spread=torch.tensor([1.0, 100.0, 0.0])), arrays={"numbers": x}, labels=())
        made = Noise(deviation=0.1).apply(rows, draw()).arrays["numbers"]
        assert made[:10, 0].isnan().all()
        off = (made - x)[10:].std(0)
        torch.testing.assert_close(off, torch.tensor([0.1, 10.0, 0.0]), rtol=0.05, atol=1e-6)

    def test_mixup_of_a_table(self) -> None:
        rows = rows_of()
        rows.arrays["numbers"][3, 0] = torch.nan
        made = Mixup(alpha=1.0).apply(rows, draw())
        own, other = made.labels
        assert own.weights is not None
        partner = other.targets["kind"]
        assert sorted(partner.tolist()) == sorted(own.targets["kind"].tolist())
        assert torch.equal(made.arrays["codes"], rows.arrays["codes"])
        assert made.arrays["numbers"][3, 0].isnan()
        assert int(made.arrays["numbers"][:, 0].isnan().sum()) == 1
        assert not torch.equal(made.arrays["numbers"][:, 2], rows.arrays["numbers"][:, 2])
