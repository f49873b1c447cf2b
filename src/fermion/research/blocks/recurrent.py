"""Recurrent layers that read both ways and export with any length.

Legend of shapes: B rows, L steps, E features of a step.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from fermion.research.blocks.steps import Body


class Recurrent(Body):
    """Layers of an LSTM or a GRU, both ways unless told otherwise: (B, L, E) -> (B, L, width).

    GRU (Cho et al. 2014): r = s(W_r x + U_r h), z = s(W_z x + U_z h), n = tanh(W_n x + r U_n h), h <- (1 - z) n + z h. LSTM: Hochreiter
    and Schmidhuber 1997. Both ways: Schuster and Paliwal 1997; each way has half the width, and the two stand side by side.

    Padding lies on the right, so the way forth meets it when all is said. For the way back each row is turned by itself, its last real
    step first, which is a gather that exports; packed sequences do not.
    """

    def __init__(self, width: int, layers: int, cell: Literal["gru", "lstm"], both_ways: bool, dropout: float) -> None:
        super().__init__()
        kind = nn.GRU if cell == "gru" else nn.LSTM
        self.width, self.both_ways = width, both_ways
        each = width // 2 if both_ways else width
        self.forth = nn.ModuleList([kind(width, each, batch_first=True) for _ in range(layers)])
        self.back = nn.ModuleList([kind(width, each, batch_first=True) for _ in range(layers if both_ways else 0)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BLE: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        m_BL1 = mask_BL.unsqueeze(2)
        turn_BL = turned(mask_BL)
        for position, forth in enumerate(self.forth):
            made_BLE: Tensor = forth(x_BLE)[0]
            # The exporter takes the traced length of a recurrent layer for the only one; an index has the mask's.
            if torch.compiler.is_exporting():
                made_BLE = gathered(made_BLE, turned(torch.zeros_like(mask_BL)))
            if self.both_ways:
                back_BLE: Tensor = self.back[position](gathered(x_BLE, turn_BL))[0]
                made_BLE = torch.cat([made_BLE, gathered(back_BLE, turn_BL)], 2)
            x_BLE = self.dropout(made_BLE) * m_BL1
        return x_BLE, mask_BL


def turned(mask_BL: Tensor) -> Tensor:
    """(B, L) where each step of a row goes when its real steps are turned around; padding stays. Twice is nothing.

    >>> turned(torch.tensor([[True, True, True, False]])).tolist()
    [[2, 1, 0, 3]]
    """
    place_L = torch.arange(mask_BL.shape[1], device=mask_BL.device)
    back_BL = mask_BL.long().sum(1, keepdim=True) - 1 - place_L
    return torch.where(back_BL >= 0, back_BL, place_L)


def gathered(x_BLE: Tensor, order_BL: Tensor) -> Tensor:
    """The steps in another order, each row by itself."""
    return x_BLE.gather(1, order_BL.unsqueeze(2).expand(-1, -1, x_BLE.shape[2]))
