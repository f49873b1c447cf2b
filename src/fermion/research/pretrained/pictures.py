"""Pictures as embeddings of a net whose weights others trained.

Legend of shapes: B rows, C channels, H height, W width, D features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.research.pretrained import efficientnet
from fermion.research.pretrained.places import Place, corrupt
from fermion.research.pretrained.text import load

SIZE = 224  # pixels, where nothing says otherwise


class PictureBackbone(nn.Module):
    """Bytes as the encoder gives them -> one vector per picture: (B, H, W, C) uint8 -> (B, D).

    Grey is repeated as red, green and blue, and alpha is left out; then a resize to size x size, and (p / 255 - mean) / std with the
    weights' own mean and std, all of it in the graph.
    """

    mean: Tensor  # (3, 1, 1)
    scale: Tensor

    def __init__(self, place: Place, size: int) -> None:
        super().__init__()
        weights = _lite(place)
        if weights is not None:
            self.net: nn.Module = efficientnet.EfficientNetLite.of(weights)
            self.features, mean, std, own = efficientnet.EfficientNetLite.features, [127 / 255] * 3, [128 / 255] * 3, SIZE
        else:
            net, said = load(place), place.config("preprocessor_config.json")
            self.net, self.features = _Pooled(net), width_of(net, place)
            mean, std = said.get("image_mean") or [0.5] * 3, said.get("image_std") or [0.5] * 3
            own = _size(said.get("crop_size") or said.get("size") or getattr(net.config, "image_size", SIZE))
        self.size = size or own
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1) * 255)
        self.register_buffer("scale", 1 / (torch.tensor(std).view(-1, 1, 1) * 255))

    def forward(self, pixels_BHWC: Tensor) -> Tensor:
        x_BCHW = pixels_BHWC.permute(0, 3, 1, 2).contiguous().float()
        x_BCHW = x_BCHW.expand(-1, 3, -1, -1) if x_BCHW.shape[1] == 1 else x_BCHW[:, :3]
        if x_BCHW.shape[2:] != (self.size, self.size):
            x_BCHW = F.interpolate(x_BCHW, (self.size, self.size), mode="bilinear", align_corners=False)
        return self.net((x_BCHW - self.mean) * self.scale)


class _Pooled(nn.Module):
    """The net's own pooled vector, else the mean over its positions."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, x_BCHW: Tensor) -> Tensor:
        made = self.net(pixel_values=x_BCHW)
        pooled = getattr(made, "pooler_output", None)
        if pooled is not None:
            return pooled.flatten(1)
        x = made.last_hidden_state
        return x.mean((2, 3)) if x.ndim == 4 else x[:, 0]


def width_of(net: Any, place: Place) -> int:
    """D, the numbers of a picture's vector."""
    sizes = getattr(net.config, "hidden_sizes", None)
    found = sizes[-1] if sizes else getattr(net.config, "hidden_size", None)
    if not isinstance(found, int):
        raise corrupt(place.name, "its config.json names no hidden size: is it a net for pictures?")
    return found


def _lite(place: Place) -> dict[str, Any] | None:
    """The weights of an EfficientNet-lite0, where that is what the folder holds."""
    path = next(iter(sorted(place.folder.glob("*.pth"))), None)
    if path is None:
        return None
    try:
        weights: Any = torch.load(path, map_location="cpu", weights_only=True)  # refuses everything but tensors
    except Exception as bad:  # a zip that is cut, a pickle that names code
        raise corrupt(place.name, bad) from None
    if not isinstance(weights, dict) or not efficientnet.fits(weights):
        raise corrupt(place.name, f"{path.name} holds no EfficientNet-lite0")
    return dict[str, Any](weights)


def _size(said: Any) -> int:
    if isinstance(said, dict):
        return int(said.get("height") or said.get("shortest_edge") or SIZE)
    return int(said) if isinstance(said, int) else SIZE
