import torch

from fermion.research.augment import Distort, Distortion


def pictures() -> torch.Tensor:
    return torch.rand(6, 3, 12, 20, generator=torch.Generator().manual_seed(0))


def test_shape_dtype_and_memory_layout_stay() -> None:
    for x in (pictures(), pictures().to(memory_format=torch.channels_last), pictures().bfloat16()):
        moved = Distort(Distortion(), seed=1)(x)
        assert moved.shape == x.shape
        assert moved.dtype == x.dtype
        assert moved.is_contiguous(memory_format=torch.channels_last) == x.is_contiguous(memory_format=torch.channels_last)
        assert not torch.equal(moved, x)


def test_strength_zero_changes_nothing() -> None:
    x = pictures()
    assert torch.equal(Distort(Distortion(strength=0), seed=1)(x), x)


def test_no_distances_read_every_pixel_where_it_is() -> None:
    still = Distortion(rotation=0, scale=0, shear=0, shift=0, elastic=0)
    x = pictures()
    torch.testing.assert_close(Distort(still, seed=1)(x), x, atol=1e-5, rtol=0)


def test_the_seed_and_the_batch_number_decide() -> None:
    x = pictures()
    one, same, other = (Distort(Distortion(), seed=seed) for seed in (1, 1, 2))
    first = one(x)
    assert torch.equal(first, same(x))
    assert not torch.equal(first, other(x))
    assert not torch.equal(first, one(x))


def test_the_global_random_numbers_are_not_used() -> None:
    before = torch.random.get_rng_state()
    Distort(Distortion(), seed=1)(pictures())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_shift_moves_by_as_many_pixels_as_it_says() -> None:
    only = Distortion(rotation=0, scale=0, shear=0, elastic=0, shift=2)
    x = torch.zeros(200, 1, 28, 28)
    x[:, :, 14, 14] = 1
    moved = Distort(only, seed=3)(x)
    rows = torch.arange(28.0)
    mass = moved.sum((1, 2, 3))
    centre = (moved.sum((1, 3)) * rows).sum(1) / mass
    assert 1.7 < (centre - 14).abs().max() < 2.1


def test_a_rotation_keeps_a_square_pictures_middle() -> None:
    only = Distortion(scale=0, shear=0, elastic=0, shift=0, rotation=45)
    x = torch.zeros(50, 1, 29, 29)
    x[:, :, 13:16, 13:16] = 1
    assert Distort(only, seed=3)(x)[:, :, 14, 14].min() > 0.99
