"""What nets are made of, one file per kind of part, each part with its paper, shapes and equations. Everything here needs torch."""

from fermion.research.blocks.encoding import Encoding, Stepwise, Tensors
from fermion.research.blocks.facts import Facts
from fermion.research.blocks.heads import Heads, Weighed, settle, unsettled
from fermion.research.blocks.pictures import ConvNet, ConvNormAct, GlobalMaxPool, Pixels, Residual

__all__ = [
    "ConvNet",
    "ConvNormAct",
    "Encoding",
    "Facts",
    "GlobalMaxPool",
    "Heads",
    "Pixels",
    "Residual",
    "Stepwise",
    "Tensors",
    "Weighed",
    "settle",
    "unsettled",
]
