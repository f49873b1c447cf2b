"""Every encoder keeps the contract of encoders, for every role that it reads."""

from __future__ import annotations

from fermion.research.encoders.attentive import Transformer
from fermion.research.encoders.convolutional import Cnn, ConvNeXt, ResNet
from fermion.research.encoders.plain import Facts, Vector
from fermion.research.encoders.recurrent import Bag, Recurrent
from fermion.research.encoders.rocket import Rocket
from fermion.testing.encoders import EncoderContract


class TestFacts(EncoderContract):
    encoder, role = Facts(width=8), "number"


class TestVector(EncoderContract):
    encoder, role = Vector(width=8), "vector"


class TestCnn(EncoderContract):
    encoder, role = Cnn(widths=(4, 8, 8), size=8), "image"


class TestResNetOnPictures(EncoderContract):
    encoder, role = ResNet(widths=(4, 8), depth=1, size=8), "image"


class TestConvNeXtOnPictures(EncoderContract):
    encoder, role = ConvNeXt(widths=(4, 8), depth=1, size=8), "image"


class TestResNetOnSeries(EncoderContract):
    encoder, role = ResNet(widths=(4, 8)), "series"


class TestResNetOnTokens(EncoderContract):
    encoder, role = ResNet(widths=(4, 8)), "tokens"


class TestResNetOnWaves(EncoderContract):
    encoder, role, long = ResNet(widths=(4, 8)), "wave", 700


class TestConvNeXtOnSeries(EncoderContract):
    encoder, role = ConvNeXt(widths=(4, 8), depth=1), "series"


class TestConvNeXtOnTokens(EncoderContract):
    encoder, role = ConvNeXt(widths=(8, 8), depth=1, pooling="attention"), "tokens"


class TestGruOnTokens(EncoderContract):
    encoder, role = Recurrent(width=8), "tokens"


class TestLstmOnSeries(EncoderContract):
    encoder, role = Recurrent(cell="lstm", width=8, layers=2, pooling="last"), "series"


class TestOneWayGruOnSeries(EncoderContract):
    encoder, role = Recurrent(width=8, both_ways=False, pooling="max"), "series"


class TestBag(EncoderContract):
    encoder, role = Bag(width=8), "tokens"


class TestTransformerOnTokens(EncoderContract):
    encoder, role = Transformer(width=16, heads=2, layers=1), "tokens"


class TestTransformerOnSeries(EncoderContract):
    encoder, role = Transformer(width=16, heads=2, layers=1, positions="learned", feed="swiglu", pooling="mean"), "series"


class TestRocket(EncoderContract):
    encoder, role = Rocket(width=8, thresholds=2), "series"


class TestRocketOnIrregularSteps(EncoderContract):
    encoder, role = Rocket(width=8, thresholds=1), "times"


class TestGruOnIrregularSteps(EncoderContract):
    encoder, role = Recurrent(width=8, pooling="both"), "times"
