"""Speech as embeddings of windows: a spectrogram and a net of convolutions with weights that others trained.

Legend of shapes: B rows, S samples, T frames, M mel bands, W windows, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.research.pretrained.onnx_net import OnnxNet
from fermion.research.pretrained.places import Place, corrupt

RATE = 16_000  # samples a second that the weights know
FRAME, HOP = 512, 160  # samples
WINDOW, STEP = 76, 8  # frames of a window, and from one to the next
QUIET = 80.0  # decibels below a row's loudest at which everything is cut
MEL, EMBEDDING = "melspectrogram.onnx", "embedding_model.onnx"


class SpeechEmbedding(nn.Module):
    """Samples -> mean and maximum over windows of .76 s of a 96-number embedding: (B, S), (B, S) -> (B, 192).

    Power in mel bands as decibels, cut 80 below the loudest of the row, divided by 10 and raised by 2; windows of 76 frames, one every
    8, over the row with silence on both sides: from the window that ends with the first frame to the one that begins with the last.
    A word that is shorter than a window is so seen at every place in it.

    Lin, Kilgour, Roblek, Sharifi: Training Keyword Spotters with Limited and Synthesized Speech Data, ICASSP 2020. The weights are two
    graphs, as the project openWakeWord ships them.
    """

    features = 192
    rate = RATE
    real: Tensor  # (257, 1, 512), as the next
    imaginary: Tensor
    bands: Tensor  # (257, 32)

    def __init__(self, place: Place) -> None:
        super().__init__()
        found = {path.name: path for path in place.folder.rglob("*.onnx")}
        if not {MEL, EMBEDDING} <= found.keys():
            raise corrupt(place.name, f"{MEL} and {EMBEDDING} must both be there")
        self.embedding = OnnxNet(found[EMBEDDING].read_bytes(), place.name)
        weights = _spectrogram(found[MEL].read_bytes(), place.name)
        self.register_buffer("real", weights["0.stft.conv_real.weight"])
        self.register_buffer("imaginary", weights["0.stft.conv_imag.weight"])
        self.register_buffer("bands", weights["1.melW"])

    def forward(self, wave_BS: Tensor, mask_BS: Tensor) -> Tensor:
        wave_BS = wave_BS * mask_BS
        x_B1S = F.pad(wave_BS * 32767, ((WINDOW - 1) * HOP, (WINDOW - 1) * HOP + FRAME)).unsqueeze(1)
        power_BFT = F.conv1d(x_B1S, self.real, stride=HOP).square() + F.conv1d(x_B1S, self.imaginary, stride=HOP).square()
        mel_BTM = torch.matmul(power_BFT.transpose(1, 2), self.bands).clamp(min=1e-10).log10() * 10
        mel_BTM = torch.maximum(mel_BTM, mel_BTM.amax((1, 2), keepdim=True) - QUIET) / 10 + 2
        windows = (mel_BTM.shape[1] - WINDOW) // STEP + 1
        at_WT = torch.arange(windows, device=mel_BTM.device)[:, None] * STEP + torch.arange(WINDOW, device=mel_BTM.device)
        rows = mel_BTM.shape[0]
        each_N = mel_BTM[:, at_WT.reshape(-1)].reshape(-1, WINDOW, mel_BTM.shape[2], 1)
        made_BWD = self.embedding(each_N).reshape(rows, -1, self.features // 2)
        frames_B = ((mask_BS.sum(1) - FRAME) // HOP + 1).clamp(min=1)
        last_B = (frames_B + WINDOW - 2) // STEP
        there_BW1 = (torch.arange(windows, device=mel_BTM.device)[None] <= last_B[:, None]).unsqueeze(2)
        mean_BD = (made_BWD * there_BW1).sum(1) / there_BW1.sum(1)
        most_BD = made_BWD.masked_fill(~there_BW1, float("-inf")).amax(1)
        return torch.cat([mean_BD, most_BD], 1)


def _spectrogram(data: bytes, name: str) -> dict[str, Tensor]:
    """The weights of the spectrogram's graph, whose nodes are written anew above: the graph cuts at the loudest of a whole batch."""
    from onnx import load_model_from_string, numpy_helper

    try:
        found = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in load_model_from_string(data).graph.initializer}
        return {wanted: found[wanted] for wanted in ("0.stft.conv_real.weight", "0.stft.conv_imag.weight", "1.melW")}
    except Exception as bad:  # protobuf raises errors of its own, of several kinds
        raise corrupt(name, bad) from None
