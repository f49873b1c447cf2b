import torch

from fermion.columns.output import Probability, Value
from fermion.research.blocks import ConvNet, ConvNormAct, Facts, GlobalMaxPool, Heads, Pixels, Residual

KIND = Probability(target="kind", array="probabilities:kind", classes=("a", "b", "c"))
SIZE = Value(target="size", array="value:size")


def test_pixels_are_standardised_and_resized() -> None:
    x = torch.zeros(2, 8, 6, 3, dtype=torch.uint8)
    x[..., 1] = 255
    made = Pixels([0.0, 0.5, 0.0], [1.0, 0.25, 1.0])(x)
    assert made.shape == (2, 3, 8, 6)
    torch.testing.assert_close(made[:, 1], torch.full((2, 8, 6), 2.0))
    assert Pixels([0.0] * 3, [1.0] * 3, (16, 12))(x).shape == (2, 3, 16, 12)


def test_convolutions_keep_the_size() -> None:
    x = torch.rand(2, 4, 7, 5)
    assert ConvNormAct(4, 6)(x).shape == (2, 6, 7, 5)
    assert Residual(4)(x).shape == x.shape
    torch.testing.assert_close(GlobalMaxPool()(x), x.flatten(2).max(2).values)


def test_heads_divide_by_their_temperature() -> None:
    heads = Heads(5, [KIND, SIZE])
    x = torch.rand(4, 5)
    plain = heads(x)
    assert plain[KIND.array].shape == (4, 3)
    assert plain[SIZE.array].shape == (4,)
    heads.temperature[:] = 2
    torch.testing.assert_close(heads(x)[KIND.array], plain[KIND.array] / 2)
    torch.testing.assert_close(heads(x)[SIZE.array], plain[SIZE.array])


def test_facts_replace_and_flag_what_is_missing() -> None:
    facts = Facts([10.0, 0.0], [2.0, 1.0], [5])
    made = facts({"numbers": torch.tensor([[12.0, torch.nan]]), "codes": torch.tensor([[4]])})
    assert made.shape == (1, facts.features)
    assert made[0, :4].tolist() == [1.0, 0.0, 0.0, 1.0]


def test_a_net_takes_any_size_and_number_of_channels() -> None:
    for height, width, channels in ((28, 28, 1), (16, 24, 3), (8, 8, 4)):
        net = ConvNet("image.pixels", channels, (4, 6, 8, 8)[: 3 if height < 16 else 4], [KIND], Pixels([0.5] * channels, [0.2] * channels))
        made = net.eval()({"image.pixels": torch.zeros(2, height, width, channels, dtype=torch.uint8)})
        assert made[KIND.array].shape == (2, 3)
