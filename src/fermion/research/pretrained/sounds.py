"""Sounds as embeddings of a net that reads samples, with weights that others trained.

Legend of shapes: B rows, S samples, T frames, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.core.errors import DataError, Told
from fermion.research.pretrained.places import Place, corrupt
from fermion.research.pretrained.text import load

RATE = 16_000  # samples a second, where the folder does not say


class SoundBackbone(nn.Module):
    """Samples -> the mean of the last layer over the frames of the clip: (B, S), (B, S) -> (B, D).

    For the nets of the `transformers` library that begin with convolutions over samples: wav2vec 2.0, HuBERT, WavLM, data2vec. Where the
    folder asks for it, a clip is freed from its mean and its spread first.

    Baevski et al.: wav2vec 2.0, NeurIPS 2020.

    Raises:
        DataError: the net reads something else, or its answer for a clip depends on how far the batch is padded.
    """

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.net, said = load(place), place.config("preprocessor_config.json")
        config = self.net.config
        kernels, strides = getattr(config, "conv_kernel", None), getattr(config, "conv_stride", None)
        if not kernels or not strides:
            raise corrupt(place.name, f"a {config.model_type} does not read samples; give a wav2vec2, hubert, wavlm or data2vec-audio")
        if getattr(config, "feat_extract_norm", "layer") == "group":
            raise DataError(
                f"the backbone `{place.name}`",
                rule="one that answers a clip alike whatever stands beside it in a batch",
                given=Told("feat_extract_norm: group, whose first layer averages over the padding too"),
                remedy="Take one with feat_extract_norm: layer: the large wav2vec2 and hubert, and wavlm-large.",
            )
        self.features = int(config.hidden_size)
        self.rate = int(said.get("sampling_rate", RATE))
        self.steps = tuple(zip(kernels, strides, strict=True))
        self.scaled = bool(said.get("do_normalize", True))
        self.shortest = 1  # samples that one frame looks at
        for kernel, stride in reversed(self.steps):
            self.shortest = (self.shortest - 1) * stride + kernel

    def forward(self, wave_BS: Tensor, mask_BS: Tensor) -> Tensor:
        real_BS = mask_BS.float()
        x_BS = wave_BS * real_BS
        if self.scaled:
            count_B1 = real_BS.sum(1, keepdim=True).clamp(min=1)
            x_BS = (x_BS - x_BS.sum(1, keepdim=True) / count_B1) * real_BS
            x_BS = x_BS / (x_BS.square().sum(1, keepdim=True) / count_B1 + 1e-7).sqrt()
        x_BS, mask_BS = F.pad(x_BS, (0, self.shortest)), F.pad(mask_BS, (0, self.shortest))
        first_S = torch.arange(mask_BS.shape[1], device=mask_BS.device) < self.shortest  # a clip has one frame at least
        mask_BS = mask_BS | first_S
        x_BTD = self.net(input_values=x_BS, attention_mask=mask_BS.long()).last_hidden_state
        frames_B = mask_BS.sum(1)
        for kernel, stride in self.steps:
            frames_B = (frames_B - kernel) // stride + 1
        real_BT1 = (torch.arange(x_BTD.shape[1], device=x_BTD.device) < frames_B[:, None]).unsqueeze(2)
        return (x_BTD * real_BT1).sum(1) / real_BT1.sum(1)
