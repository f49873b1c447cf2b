"""One net that reads any columns: an encoder per column, a combiner, shared layers, a head per output.

Legend of shapes: B rows, L steps, E features of a step, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fermion.columns.output import Output, Tags
from fermion.core.errors import SpecError, Told
from fermion.research.blocks.combine import Combining, Said
from fermion.research.blocks.encoding import Encoding, Stepwise, Tensors
from fermion.research.blocks.heads import Heads
from fermion.research.tablenet import ResidualLayers


class MixedNet(nn.Module):
    """arrays -> encodings -> combined -> linear, residual layers -> heads.

    Args:
        encodings: by column; the numbers and codes of all columns are one of them.
        combine: what makes one vector of theirs.
        width: features of the shared layers.
        blocks: residual layers behind the combiner; 0 leaves the heads alone with the combined vector.
    """

    def __init__(
        self,
        encodings: Mapping[str, Encoding],
        combine: Combining,
        outputs: Sequence[Output],
        *,
        width: int,
        blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.names, self.encodings, self.combine = tuple(encodings), nn.ModuleList(encodings.values()), combine
        features = width if blocks else combine.features
        self.shared = (
            nn.Sequential(
                nn.Linear(combine.features, width), *(ResidualLayers(width, dropout) for _ in range(blocks)), nn.LayerNorm(width), nn.ReLU()
            )
            if blocks
            else nn.Dropout(dropout)
        )
        self.heads = Heads(features, [output for output in outputs if not isinstance(output, Tags)])
        self.tags = tuple(output for output in outputs if isinstance(output, Tags))
        by_name = dict(zip(self.names, encodings.values(), strict=True))
        self.steps = nn.ModuleList([nn.Linear(_width(by_name.get(output.steps), output), len(output.classes)) for output in self.tags])

    def forward(self, arrays: Tensors) -> Tensors:
        said = self.said(arrays)
        x_BD: Tensor = self.shared(self.combine([*said.values()]))
        raw = self.heads(x_BD)
        for output, layer in zip(self.tags, self.steps, strict=True):
            one = said[output.steps]
            assert one.steps is not None
            assert one.mask is not None
            real_BL1 = one.mask[:, :, None].to(one.steps.dtype)
            raw[output.array] = torch.cat([layer(one.steps), real_BL1], 2)  # whether a step is real goes along with its logits
        return raw

    def said(self, arrays: Tensors) -> dict[str, Said]:
        """What each encoder says, by column; each reads its arrays once."""
        found: dict[str, Said] = {}
        for name, encoding in zip(self.names, self.encodings, strict=True):
            if isinstance(encoding, Stepwise):
                x_BLE, mask_BL = encoding.steps(arrays)
                found[name] = Said(encoding.pool(x_BLE, mask_BL), x_BLE, mask_BL)
            else:
                found[name] = Said(encoding(arrays))
        return found


def _width(encoding: Encoding | None, output: Tags) -> int:
    """How wide the steps of a column are.

    Raises:
        SpecError: it has none of its own, or its encoder's steps are not the column's.
    """
    if not isinstance(encoding, Stepwise) or encoding.stride != 1:
        raise SpecError(
            f"the column `{output.steps}`, whose steps `{output.target}` labels",
            rule="a series or text, with an encoder that knows each of its steps",
            given=Told("none" if encoding is None else type(encoding).__name__),
            remedy=f"Name the column as data.columns.{output.target}.steps, and set model.encoders.{output.steps} to one that keeps steps.",
        )
    return encoding.width
