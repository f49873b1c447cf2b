"""Augmentation: other training rows with the same meaning. What a part is, when it is applied and from which random numbers.

    training part --resampling parts, once--> rows of the fit --batch--> pixels --the other parts, in order--> net

Validation, test and serving never see it. The parts themselves are in `picture_augment`, `table_augment` and `mixing`; a plugin adds
its own in the entry point group `fermion.augments`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, cast

import numpy as np
from msgspec import Struct, field

from fermion.columns.output import Output, Probability
from fermion.core import lazy, registry
from fermion.core.errors import DataError, SpecError, Told
from fermion.core.run import Run
from fermion.research.model import Encoded
from fermion.research.series import Series, series_of
from fermion.research.wording import Wording, wordings_of

if TYPE_CHECKING:  # naming a part in a project file costs no torch
    import torch
    from torch import Tensor

    Tensors = dict[str, Tensor]

Kind = Literal["resampling", "row", "mixing"]
STREAM = "fit: augment"
CACHED = 2**22  # bytes of pictures that are changed at a time


class Picture(Struct, frozen=True, kw_only=True):
    """What the pictures of an array are in the net: `height` x `width`, z = (pixel - mean) / spread, both (C, 1, 1) in shares of 1."""

    mean: Tensor
    spread: Tensor
    height: int
    width: int


class Frame(Struct, frozen=True, kw_only=True):
    """What the arrays of a batch mean; all of it comes from the training part.

    `pictures`, `series` and `texts` are the arrays of them by name. `spread`: (F,) standard deviation of each number where present, or
    None. `home`: where files that a setting names lie.
    """

    outputs: tuple[Output, ...]
    pictures: dict[str, Picture] = field(default_factory=dict[str, Picture])
    spread: Tensor | None = None
    series: dict[str, Series] = field(default_factory=dict[str, Series])
    texts: dict[str, Wording] = field(default_factory=dict[str, Wording])
    home: Path | None = None


Enter = Callable[["Tensor", Picture], "Tensor"]


class Labels(Struct, frozen=True, kw_only=True):
    """One truth about the rows: targets by name, (B,) codes or values, and what each row counts in the loss, (B,) or None for 1."""

    targets: Tensors
    weights: Tensor | None = None

    def take(self, rows: Tensor) -> Labels:
        """The truth about these rows."""
        targets = {name: target.index_select(0, rows) for name, target in self.targets.items()}
        return Labels(targets=targets, weights=None if self.weights is None else self.weights.index_select(0, rows))

    def times(self, share_B: Tensor) -> Labels:
        """The same truth, which counts `share_B` times as much."""
        return Labels(targets=self.targets, weights=share_B if self.weights is None else self.weights * share_B)


class Change(Struct, frozen=True, kw_only=True):
    """A change of pictures that waits: `of(z, picture, *parameters)`, or affine maps (B, 2, 3) by size of the picture."""

    of: Callable[..., Tensor] | None = None
    maps: Callable[[Picture], Tensor] | None = None
    parameters: tuple[Tensor, ...] = ()


class Rows:
    """Rows in training: `numbers` (B, F), `codes` (B, C), pictures (B, C, H, W), and one or more truths whose losses add up.

    A mixed row has two truths: with inputs x = s x_i + (1 - s) x_j its loss is s w_i l(x, y_i) + (1 - s) w_j l(x, y_j). For
    classes that is the loss of the soft target s y_i + (1 - s) y_j, for squared errors that of the mean but for a constant; so
    weights, label smoothing and rows without a label keep their meaning.

    Changes of pictures wait until `arrays` is read. Then a few pictures at a time go through all of them while they are in the cache,
    and moves that follow each other are one move: pictures are resampled once.
    """

    def __init__(self, *, frame: Frame, arrays: Tensors, labels: tuple[Labels, ...], waiting: tuple[Change, ...] = ()) -> None:
        self.frame, self.labels = frame, labels
        self._arrays, self._waiting = arrays, waiting

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))

    @property
    def arrays(self) -> Tensors:
        """The arrays by name."""
        if self._waiting:
            made = {name: self._changed(name, picture) for name, picture in self.frame.pictures.items()}
            self._arrays, self._waiting = {**self._arrays, **made}, ()
        return self._arrays

    def take(self, rows: Tensor) -> Rows:
        """These rows, in this order, once or several times."""
        arrays = {name: array.index_select(0, rows) for name, array in self.arrays.items()}
        return Rows(frame=self.frame, arrays=arrays, labels=tuple(labels.take(rows) for labels in self.labels))

    def put(self, **arrays: Tensor) -> Rows:
        """The same rows with other arrays."""
        return Rows(frame=self.frame, arrays={**self.arrays, **arrays}, labels=self.labels)

    def pictures(self, change: Callable[..., Tensor], *parameters: Tensor) -> Rows:
        """The same rows with changed pictures: z (b, C, H, W) becomes `change(z, picture, *parameters)`; b are some of the rows.

        Parameters have one entry per row, and `change` gets those of its rows. It may write into z, which is a copy.
        """
        return self._later(Change(of=change, parameters=parameters))

    def moved(self, maps: Callable[[Picture], Tensor]) -> Rows:
        """The same rows with moved pictures: what is at u comes from A u + t, where `maps` gives [A t] (B, 2, 3) (`pixels.maps`)."""
        return self._later(Change(maps=maps))

    def mixed(self, partner: Tensor, share_B: Tensor, arrays: Tensors) -> Rows:
        """Mixed rows: `arrays` hold `share_B` of each row and the rest of its partner, and so count both truths."""
        other = tuple(labels.take(partner).times(1 - share_B) for labels in self.labels)
        return Rows(frame=self.frame, arrays=arrays, labels=(*(labels.times(share_B) for labels in self.labels), *other))

    def _later(self, change: Change) -> Rows:
        return Rows(frame=self.frame, arrays=self._arrays, labels=self.labels, waiting=(*self._waiting, change))

    def _changed(self, name: str, picture: Picture) -> Tensor:
        from fermion.research import pixels

        steps: list[tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = []
        for change in self._waiting:
            if change.of is not None:
                steps.append((change.of, change.parameters))
            elif change.maps is not None:
                maps_B23 = change.maps(picture)
                if steps and steps[-1][0] is pixels.read:
                    maps_B23 = pixels.composed(steps.pop()[1][0], maps_B23)
                steps.append((pixels.read, (maps_B23,)))
        steps = [pixels.by_whole_pixels(*step, picture) if step[0] is pixels.read else step for step in steps]
        given = self._arrays[name]
        parts = 1 if given.device.type != "cpu" else max(1, round(given.nelement() * 4 / CACHED))
        some = -(-len(given) // parts)
        made: Tensor | None = None
        for at in range(0, len(given), some):
            z_bCHW = given[at : at + some]
            z_bCHW = z_bCHW.clone() if z_bCHW.is_floating_point() else z_bCHW  # bytes only become floats, and those are new
            for change, parameters in steps:
                z_bCHW = change(z_bCHW, picture, *(each[at : at + some] for each in parameters))
            if some >= len(given):
                return z_bCHW
            made = z_bCHW.new_empty((len(given), *z_bCHW.shape[1:])) if made is None else made
            made[at : at + some] = z_bCHW
        return given if made is None else made


class Augment(Protocol):
    """A frozen msgspec struct, `tag_field="type"`, whose fields are its settings. Registered in the group `fermion.augments`.

    `kind`: "resampling" changes which rows there are, once before the fit; "row" changes each row by itself, in every batch anew;
    "mixing" makes rows out of several, in every batch anew.
    `reads`: the roles of the arrays that it changes ("numbers", "codes", "image", ...); empty where it takes rows as they are.
    """

    kind: ClassVar[Kind]
    reads: ClassVar[frozenset[str]]

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Other rows; nothing is changed in place, and `draw` (on the CPU) is the only source of chance.

        "row" and "mixing" keep the number of rows. Raises DataError where these rows cannot be augmented like this.
        """
        ...


class Augmenting:
    """Applies parts to batches, one after the other. The n-th batch always draws the same numbers; no other state is kept.

    Args:
        parts: of the kinds "row" and "mixing".
        frame: what the arrays mean.
        run: where the seeds come from.
        enter: makes (B, C, H, W) as the net sees it of pictures as they are encoded, where there are any.
    """

    def __init__(self, parts: Sequence[Augment], frame: Frame, run: Run, enter: Enter | None = None) -> None:
        self.parts, self.frame, self.enter, self.batches = tuple(parts), frame, enter, 0
        self.seeds = [run.seed_for(_stream(position)) for position in range(len(self.parts))]

    def __call__(self, arrays: Tensors, labels: tuple[Labels, ...]) -> tuple[Tensors, tuple[Labels, ...]]:
        """The next batch, augmented."""
        rows = Rows(frame=self.frame, arrays=arrays, labels=labels)
        if self.enter is not None:
            rows = rows.pictures(self.enter)
        for part, seed in zip(self.parts, self.seeds, strict=True):
            rows = part.apply(rows, _generator(seed * 1_000_003 + self.batches))
        self.batches += 1
        return rows.arrays, rows.labels


def augmenting(
    parts: Sequence[Augment],
    train: Encoded,
    run: Run,
    *,
    pictures: Mapping[str, Picture] | None = None,
    enter: Enter | None = None,
) -> Augmenting | None:
    """What the training loop applies to its batches, or None where nothing is.

    Args:
        train: the training part.
        pictures: the arrays of pictures by name.
        enter: makes of their bytes what the net sees.
    """
    chosen = [part for part in parts if part.kind != "resampling"]
    return Augmenting(chosen, _frame(train, run, pictures), run, enter) if chosen else None


def resample(parts: Sequence[Augment], train: Encoded, run: Run, *, copies: bool = False) -> Encoded:
    """The training part after its resampling parts, in their order. With `copies`, those of the kind "row" add a changed copy of each row.

    Models that fit on batches get the latter batch by batch instead (`augmenting`).

    Raises:
        DataError: a part cannot be applied to these rows.
    """
    chosen = [(place, part) for place, part in enumerate(parts) if part.kind == "resampling" or (copies and part.kind == "row")]
    if not chosen:
        return train
    lazy.load("torch", extra="train")
    import torch

    rows = _rows(train, run)
    for place, part in chosen:
        made = part.apply(rows, _generator(run.seed_for(f"{_stream(place)} before")))
        rows = made if part.kind == "resampling" else _both(torch.cat, rows, made)
    (labels,) = rows.labels
    return Encoded(
        schema=train.schema,
        outputs=train.outputs,
        arrays={name: array.numpy() for name, array in rows.arrays.items()},
        targets={name: target.numpy() for name, target in labels.targets.items()},
        weights=None if labels.weights is None else labels.weights.numpy(),
    )


def resampling_notes(parts: Sequence[Augment], train: Encoded, grown: Encoded) -> tuple[str, ...]:
    """What the user should know after `resample`: how many rows, and that probabilities now mean another share of the classes."""
    if grown is train:
        return ()
    names = ", ".join(name_of(part) for part in parts if part.kind != "mixing")
    notes = [f"augment ({names}): {len(train):,} training rows became {len(grown):,}"]
    for output in train.outputs:
        if isinstance(output, Probability):
            old, new = (np.bincount(part.targets[output.target][part.targets[output.target] >= 0]) for part in (train, grown))
            rarest = int(np.argmin(np.where(old > 0, old, len(train) + 1)))
            was, now = old[rarest] / old.sum(), new[rarest] / new.sum()
            if abs(was - now) > 0.01:
                told = f"{output.target}: {output.classes[rarest]!r} went from {was:.1%} to {now:.1%} of the rows of the fit"
                notes.append(f"{told}; probabilities mean that share, so choose the threshold on validation (decide.at: best)")
    return tuple(notes)


def read_parts(given: Sequence[Any]) -> tuple[Augment, ...]:
    """Parts from what a file or a call says: instances, names, or mappings with a `type`.

    >>> read_parts(["flip", {"type": "mixup", "alpha": 0.4}])[1]
    Mixup(alpha=0.4, chance=1.0)

    Raises:
        SpecError: there is no such part, or a setting is wrong.
    """
    return tuple(registry.read("augments", one) for one in given)


def check_parts(parts: Sequence[Augment], *, model: str, kinds: Sequence[Kind], roles: Collection[str], why: str = "") -> None:
    """Refuse parts that this model cannot use: of another kind, or for arrays that it does not read. `why` explains the kind.

    Raises:
        SpecError: there is one; the message names those that work.
    """

    def works(part: Augment | type[Augment]) -> bool:
        return part.kind in kinds and (not part.reads or not part.reads.isdisjoint(roles))

    for part in parts:
        if not works(part):
            good = [name for name in registry.names("augments") if works(registry.find("augments", name))]
            rule = f"made of {', '.join(good)} for {model}"
            remedy = why if part.kind not in kinds else f"It changes {' and '.join(sorted(part.reads))}, which this model does not read."
            raise SpecError("augment", rule=rule, given=Told(f"`{name_of(part)}`"), remedy=remedy)


def check_roles(parts: Sequence[Augment], train: Encoded, *, model: str) -> None:
    """Refuse parts that find nothing to change in this table; arrays that were left out of `train` do not count.

    Raises:
        DataError: one does; the message names those that would.
    """
    layout = train.schema.layout
    there = {name for name in layout.names if name in ("numbers", "codes") and name in train.arrays}
    there |= {named.slot.role for named in layout.arrays if named.name in train.arrays}
    for part in parts:
        if part.reads and not part.reads & there:
            found = {name: registry.find("augments", name).reads for name in registry.names("augments")}
            works = [name for name, reads in found.items() if not reads or reads & there]
            raise DataError(
                f"`{name_of(part)}` in model.augment",
                rule=f"for arrays that the table of this {model} has ({', '.join(sorted(there))})",
                given=Told(f"one for {', '.join(sorted(part.reads))}"),
                remedy=f"These would work: {', '.join(works)}.",
            )


def name_of(part: Augment) -> str:
    """The `type` of a part."""
    return str(cast("Struct", part).__struct_config__.tag)


def _frame(train: Encoded, run: Run, pictures: Mapping[str, Picture] | None = None) -> Frame:
    spread: Tensor | None = None
    if "numbers" in train.arrays:
        import torch

        numbers = np.ma.masked_invalid(train.arrays["numbers"])
        spread = torch.from_numpy(np.asarray(numbers.std(axis=0, dtype=np.float64).filled(0.0), dtype=np.float32))
    return Frame(
        outputs=train.outputs,
        pictures=dict(pictures or {}),
        spread=spread,
        series=series_of(train),
        texts=wordings_of(train),
        home=run.home,
    )


def _rows(train: Encoded, run: Run) -> Rows:
    """The whole part as tensors, types as they are."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of arrays that are read-only; nothing here writes to them
        arrays, targets = (
            {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in each.items()} for each in (train.arrays, train.targets)
        )
        weights = None if train.weights is None else torch.from_numpy(np.asarray(train.weights, dtype=np.float64))
    return Rows(frame=_frame(train, run), arrays=arrays, labels=(Labels(targets=targets, weights=weights),))


def _both(cat: Callable[[list[Any]], Tensor], first: Rows, second: Rows) -> Rows:
    (one,), (two,) = first.labels, second.labels
    weights = None if one.weights is None or two.weights is None else cat([one.weights, two.weights])
    targets = {name: cat([target, two.targets[name]]) for name, target in one.targets.items()}
    arrays = {name: cat([array, second.arrays[name]]) for name, array in first.arrays.items()}
    return Rows(frame=first.frame, arrays=arrays, labels=(Labels(targets=targets, weights=weights),))


def _stream(position: int) -> str:
    return STREAM if position == 0 else f"{STREAM} {position}"


def _generator(seed: int) -> torch.Generator:
    import torch

    return torch.Generator().manual_seed(seed % 2**63)
