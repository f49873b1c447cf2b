"""Augmentations of tables: other shares of the classes, made-up rows between real ones, and noise.

The other answer to rare classes is to weigh rows: `data.weight: {classes: ...}` in the project file, or a model's own `balance: true`.

Legend of shapes: N rows, F numbers, C codes, M rows of one class, S new rows, K neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from fermion.columns.output import Probability
from fermion.core.errors import DataError, Told
from fermion.research.augment import Kind, Labels, Picture, Rows

if TYPE_CHECKING:
    import torch
    from torch import Tensor

POOL = 20_000  # rows of a class among which neighbours are looked for, at most
CELLS = 20_000_000  # distances held at a time

_Ratio = Annotated[float, Meta(gt=0, le=1)]


class Noise(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="noise"):
    """Normal noise on numbers and pixels: x + d s e with e ~ N(0, 1) and s the training part's deviation of the column or channel.

    Missing numbers stay missing, categories stay as they are. Nets get fresh noise in every batch; trees, which are fitted once, get
    one noisy copy of each row beside the rows themselves.

    Args:
        deviation: d, in deviations of the column or channel.

    >>> Noise(deviation=0.05).deviation
    0.05

    Bishop: Training with Noise is Equivalent to Tikhonov Regularization, Neural Computation 7, 1995.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = frozenset({"numbers", "image"})
    deviation: Annotated[float, Meta(gt=0)] = 0.1

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Noisy rows."""
        import torch

        def noisy(z_BCHW: Tensor, _picture: Picture) -> Tensor:  # in units of the deviation already
            e_BCHW = torch.randn(z_BCHW.shape, generator=draw).to(z_BCHW.device)
            return z_BCHW.add_(e_BCHW, alpha=self.deviation)

        rows = rows.pictures(noisy)
        if rows.frame.spread is None:
            return rows
        x_BF, s_F = rows.arrays["numbers"], rows.frame.spread * self.deviation
        e_BF = torch.randn(x_BF.shape, generator=draw)
        return rows.put(numbers=torch.addcmul(x_BF, e_BF.to(x_BF.device), s_F.to(x_BF.device)))


class Oversample(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="oversample"):
    """Copies of random rows of the rarer classes, until each has at least `ratio` times the rows of the most frequent one.

    Args:
        ratio: rows of each class for one of the most frequent class.
        target: whose classes; may be left out where there is one target with classes.

    >>> Oversample(ratio=0.5).ratio
    0.5
    """

    kind: ClassVar[Kind] = "resampling"
    reads: ClassVar[frozenset[str]] = frozenset()
    ratio: _Ratio = 1.0
    target: str = ""

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """All rows, then the copies, class by class."""
        import torch

        classes = _classes(rows, self.target, "oversample")
        parts = [torch.arange(len(rows))]
        for at, short in _lacking(classes, self.ratio):
            parts.append(at[torch.randint(len(at), (short,), generator=draw)])
        return rows.take(torch.cat(parts)) if len(parts) > 1 else rows


class Undersample(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="undersample"):
    """Leaves random rows of the frequent classes out, until the rarest has `ratio` times the rows of each. Rows without a label go.

    Args:
        ratio: rows of the rarest class for one of any other class.
        target: whose classes; may be left out where there is one target with classes.

    >>> Undersample(ratio=0.25).ratio
    0.25
    """

    kind: ClassVar[Kind] = "resampling"
    reads: ClassVar[frozenset[str]] = frozenset()
    ratio: _Ratio = 1.0
    target: str = ""

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """What is left, in the old order."""
        import torch

        classes = _classes(rows, self.target, "undersample")
        most = int(min(len(at) for at in classes) / self.ratio)
        kept = [at[torch.randperm(len(at), generator=draw)[:most]] for at in classes]
        return rows.take(torch.cat(kept).sort().values)


class Smote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="smote"):
    """Made-up rows of the rarer classes, until each has at least `ratio` times the rows of the most frequent one (SMOTE-NC).

    A new row starts from a random row i of the class and one of its nearest neighbours j in it: numbers are x_i + u (x_j - x_i) with
    one u from 0 to 1 for the row, each category is the one that most of the neighbours have, and the row counts as much as row i. The
    distance is Euclidean over numbers in units of their deviation in the training part, where each category that differs adds m^2,
    m the median over the numbers of their deviation within the class.

    A missing number is the class's median in distances; where x_i or x_j is missing, the new row has x_i. Numbers are interpolated
    whatever they stand for, so whole numbers may get fractions: declare those that are names as categories. A class with one row is
    copied. Neighbours are looked for among at most 20,000 rows of the class.

    Args:
        neighbours: how many nearest rows.
        ratio: rows of each class for one of the most frequent class.
        target: whose classes; may be left out where there is one target with classes.

    >>> Smote(ratio=0.5).neighbours
    5

    Chawla, Bowyer, Hall, Kegelmeyer: SMOTE: Synthetic Minority Over-sampling Technique, JAIR 16, 2002.
    """

    kind: ClassVar[Kind] = "resampling"
    reads: ClassVar[frozenset[str]] = frozenset({"numbers", "codes"})
    neighbours: Annotated[int, Meta(ge=1)] = 5
    ratio: _Ratio = 1.0
    target: str = ""

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """All rows, then the made-up ones, class by class."""
        import torch

        if other := rows.arrays.keys() - {"numbers", "codes"}:
            given = Told(", ".join(sorted(other)))
            remedy = "Use oversample, which copies rows."
            raise DataError("the table of `smote`", rule="one of numbers and categories alone", given=given, remedy=remedy)
        classes = _classes(rows, self.target, "smote")
        made: list[Rows] = []
        for at, short in _lacking(classes, self.ratio):
            made.append(self._between(rows.take(at), short, draw))
        if not made:
            return rows
        arrays = {name: torch.cat([array, *(one.arrays[name] for one in made)]) for name, array in rows.arrays.items()}
        (old,), new = rows.labels, [one.labels[0] for one in made]
        targets = {name: torch.cat([target, *(one.targets[name] for one in new)]) for name, target in old.targets.items()}
        weights = None if old.weights is None else torch.cat([old.weights, *(one.weights for one in new if one.weights is not None)])
        return Rows(frame=rows.frame, arrays=arrays, labels=(Labels(targets=targets, weights=weights),))

    def _between(self, members: Rows, count: int, draw: torch.Generator) -> Rows:
        """`count` new rows between the rows of one class."""
        import torch

        base_S = torch.randint(len(members), (count,), generator=draw)
        made, arrays = members.take(base_S), dict[str, "Tensor"]()
        if len(members) == 1:
            return made
        pool = torch.randperm(len(members), generator=draw)[:POOL].sort().values if len(members) > POOL else torch.arange(len(members))
        starts, of_S = base_S.unique(return_inverse=True)
        near_SK = nearest(members, starts, pool, self.neighbours)[of_S]
        pick_S = torch.randint(near_SK.shape[1], (count,), generator=draw)
        share_S1 = torch.rand(count, 1, generator=draw)
        if "numbers" in members.arrays:
            own_SF, other_SF = made.arrays["numbers"], members.arrays["numbers"][near_SK.gather(1, pick_S[:, None]).squeeze(1)]
            moved_SF = own_SF + share_S1 * (other_SF - own_SF)
            arrays["numbers"] = torch.where(moved_SF.isnan(), own_SF, moved_SF)
        if "codes" in members.arrays:
            arrays["codes"] = members.arrays["codes"][near_SK].mode(1).values  # of equally frequent ones the one that is commoner
        return made.put(**arrays)


def nearest(members: Rows, starts: Tensor, pool: Tensor, neighbours: int) -> Tensor:
    """(S, K) the K nearest other rows for each row of `starts`, as positions in `members`, all of one class; candidates are `pool`."""
    import torch

    x_MF, m2 = torch.zeros(len(members), 0), 1.0
    if "numbers" in members.arrays and members.frame.spread is not None:
        x_MF = members.arrays["numbers"]
        x_MF = torch.where(x_MF.isnan(), x_MF.nanmedian(0).values.nan_to_num(), x_MF) / members.frame.spread.clamp(min=1e-12)
        m2 = float(x_MF.std(0, correction=0).median()) ** 2
    codes_MC = members.arrays.get("codes", torch.zeros(len(members), 0, dtype=torch.int64))
    count = min(neighbours, len(pool) - 1)
    parts: list[Tensor] = []
    for some in starts.split(max(1, CELLS // len(pool))):
        d_SM = torch.cdist(x_MF[some], x_MF[pool]).square_() if x_MF.shape[1] else torch.zeros(len(some), len(pool))
        for column in range(codes_MC.shape[1]):
            d_SM.add_(codes_MC[some, column][:, None] != codes_MC[pool, column][None], alpha=m2)
        d_SM.masked_fill_(some[:, None] == pool[None], torch.inf)
        parts.append(pool[d_SM.topk(count, largest=False).indices])
    return torch.cat(parts)


def _classes(rows: Rows, target: str, name: str) -> list[Tensor]:
    """The rows of each class that occurs."""
    with_classes = [output.target for output in rows.frame.outputs if isinstance(output, Probability)]
    chosen = [one for one in with_classes if target in ("", one)]
    if len(chosen) != 1:
        targets = [output.target for output in rows.frame.outputs]
        remedy = f"Set target to one of {', '.join(with_classes)}." if with_classes else "Leave it out: a number has no classes."
        given = Told(f"`{target}`" if target else f"the targets {', '.join(targets)}")
        raise DataError(f"the target of `{name}` in model.augment", rule="one target with classes", given=given, remedy=remedy)
    y_N = rows.labels[0].targets[chosen[0]]
    return [found for code in range(int(y_N.max()) + 1) if len(found := (y_N == code).nonzero().squeeze(1))]


def _lacking(classes: list[Tensor], ratio: float) -> list[tuple[Tensor, int]]:
    """Each class that has too few rows, and how many are lacking."""
    wanted = int(ratio * max(len(at) for at in classes))
    return [(at, wanted - len(at)) for at in classes if len(at) < wanted]
