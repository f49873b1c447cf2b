"""Made-up listings of a market for second-hand things: numbers, categories, a text and a little picture in each row, made from a seed."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.data.table import Table
from fermion.measure.png import png

THINGS = ("lamp", "chair", "kettle", "radio", "bicycle", "camera")
SELLERS = ("shop", "private", "charity")
_PRICE = dict(zip(THINGS, (20.0, 45.0, 15.0, 30.0, 120.0, 80.0), strict=True))
_GOOD = ("like new", "hardly used", "in perfect order", "with its box", "still under guarantee")
_PLAIN = ("used", "from a flat", "two years old", "for collection", "with some marks")
_BAD = ("broken", "for spares", "a part is missing", "does not work", "badly scratched")
_COLOURS = np.array([(200, 60, 50), (60, 120, 200), (70, 160, 80), (210, 170, 60), (140, 90, 170), (110, 110, 110)], dtype=np.float64)
SIDE = 16  # pixels


class Listings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Listings with `thing`, `seller`, `price`, `photos`, `text` and a 16 x 16 `picture` (PNG), and whether each was `sold` within a week.

    What is sold is drawn with the probability s(b) of

        b = 2.2 t + 1.6 p + 1.2 log(usual price / price) + 0.8 [seller is a shop] - 0.3

    with t the condition that the text tells of (1 good, 0 nothing said, -1 bad) and p how well the picture is lit (-1 to 1): no column
    says all, two of them can only be read by a net. A tenth of the texts and a twentieth of the pictures are missing.
    """

    rows: Annotated[int, Meta(ge=1, le=1_000_000)] = 2_000
    seed: Annotated[int, Meta(ge=0)] = 0

    def table(self) -> Table:
        rng = np.random.default_rng(self.seed)
        count = self.rows
        thing_N, seller_N = rng.integers(0, len(THINGS), count), rng.choice(len(SELLERS), count, p=(0.3, 0.6, 0.1))
        state_N, light_N = rng.integers(-1, 2, count), rng.uniform(-1, 1, count)
        cheap_N = rng.normal(0, 0.5, count)
        usual_N = np.array([_PRICE[name] for name in THINGS])[thing_N]
        said_N, shown_N = rng.random(count) > 0.1, rng.random(count) > 0.05
        b_N = 2.2 * state_N + 1.6 * light_N + 1.2 * cheap_N + 0.8 * (seller_N == 0) - 0.3
        texts = [_text(rng, THINGS[thing], state) if said else None for thing, state, said in zip(thing_N, state_N, said_N, strict=True)]
        pictures = _pictures(rng, thing_N, light_N)
        return Table.of(
            {
                "thing": [THINGS[code] for code in thing_N],
                "seller": [SELLERS[code] for code in seller_N],
                "price": np.round(usual_N * np.exp(-cheap_N), 2),
                "photos": rng.integers(1, 6, count),
                "text": texts,
                "picture": [png(picture) if shown else None for picture, shown in zip(pictures, shown_N, strict=True)],
                "sold": rng.random(count) < 1 / (1 + np.exp(-b_N)),
            }
        )


def _text(rng: np.random.Generator, thing: str, state: int) -> str:
    words = (_BAD, _PLAIN, _GOOD)[state + 1]
    told = [words[rng.integers(len(words))], _PLAIN[rng.integers(len(_PLAIN))]]
    rng.shuffle(told)
    opening = ("Selling my {}", "{} to give away for a fair price", "A {}")[rng.integers(3)].format(thing)
    return f"{opening}, {told[0]}, {told[1]}."


def _pictures(rng: np.random.Generator, thing_N: NDArray[np.int64], light_N: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(N, 16, 16, 3) a shape for each thing in its colour, as bright as it is lit, before a grey wall."""
    row_HW, column_HW = np.mgrid[0:SIDE, 0:SIDE] - (SIDE - 1) / 2
    far_HW = np.hypot(row_HW, column_HW)
    shapes = np.stack(
        [
            (np.abs(column_HW) < 2 + (row_HW < 0) * 3),
            (np.abs(column_HW) < 4) & (row_HW > -6),
            far_HW < 5,
            (np.abs(row_HW) < 4) & (np.abs(column_HW) < 6),
            (far_HW < 6) & (far_HW > 4),
            (np.abs(row_HW) < 5) & (np.abs(column_HW) < 5) & (far_HW > 2),
        ]
    )
    inside_NHW1 = shapes[thing_N][..., None]
    base_NHW3 = np.where(inside_NHW1, _COLOURS[thing_N][:, None, None], 150.0)
    lit_N111 = (0.65 + 0.45 * light_N)[:, None, None, None]
    return np.clip(base_NHW3 * lit_N111 + rng.normal(0, 12, base_NHW3.shape), 0, 255).astype(np.uint8)
