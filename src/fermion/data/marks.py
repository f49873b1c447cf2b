"""What a split leaves behind: for every row the part it belongs to."""

from __future__ import annotations

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

TRAIN, VALIDATION, TEST, OUT = 0, 1, 2, -1
NAMES = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}

Codes = NDArray[np.int8]


class Marks(Struct, frozen=True, kw_only=True, eq=False):
    """For each row 0 (train), 1 (validation), 2 (test) or -1 (left out), and how that came about.

    `boundaries` says where the parts lie in time: part to (first, last) moment; empty for other splits.
    """

    codes: Codes
    by: str
    column: str | None = None
    boundaries: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])

    def rows(self, part: int) -> NDArray[np.int64]:
        """Row numbers of a part, ascending."""
        return np.flatnonzero(self.codes == part)

    @property
    def train(self) -> NDArray[np.int64]:
        return self.rows(TRAIN)

    @property
    def validation(self) -> NDArray[np.int64]:
        return self.rows(VALIDATION)

    @property
    def test(self) -> NDArray[np.int64]:
        return self.rows(TEST)

    @property
    def sizes(self) -> dict[str, int]:
        """Rows per part; `left out` where there are any."""
        counts = {name: int((self.codes == part).sum()) for part, name in NAMES.items()}
        gone = int((self.codes == OUT).sum())
        return counts | ({"left out": gone} if gone else {})


def whole(share: float, rows: int) -> int:
    """Rows of a share: the nearest number, at least one where the share is not 0.

    >>> whole(0.2, 12), whole(0.01, 12), whole(0.0, 12)
    (2, 1, 0)
    """
    return 0 if share == 0 or not rows else max(1, round(share * rows))
