"""What each augmentation does to pictures."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fermion.core import registry
from fermion.research import pixels
from fermion.research.augment import Frame, Labels, Picture, Rows
from fermion.research.mixing import Cutmix, Mixup
from fermion.research.picture_augment import Colour, Crop, Cutout, Distort, Flip, Rotate
from fermion.research.randaugment import LIGHTS, OPERATIONS, operated
from fermion.research.table_augment import Noise

PICTURES = [name for name in registry.names("augments") if "image" in registry.find("augments", name).reads]


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 40, channels: int = 3, height: int = 12, width: int = 20) -> torch.Tensor:
    """Pixels in 0..1."""
    return torch.rand(count, channels, height, width, generator=draw(7))


def rows_of(x: torch.Tensor, mean: float = 0.0, spread: float = 1.0) -> Rows:
    channels = x.shape[1]
    picture = Picture(
        mean=torch.full((channels, 1, 1), mean), spread=torch.full((channels, 1, 1), spread), height=x.shape[2], width=x.shape[3]
    )
    labels = (Labels(targets={"y": torch.arange(len(x))}),)
    return Rows(frame=Frame(outputs=(), pictures={"image": picture}), arrays={"image": (x - mean) / spread}, labels=labels)


def applied(part: Any, x: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return part.apply(rows_of(x), draw(seed)).arrays["image"]


class TestEveryPart:
    @pytest.mark.parametrize("channels", [1, 3, 4])
    @pytest.mark.parametrize("name", PICTURES)
    def test_shape_and_type_stay_and_pictures_differ(self, name: str, channels: int) -> None:
        x = batch(channels=channels)
        part = registry.find("augments", name)()
        made = applied(part, x)
        assert made.shape == x.shape
        assert made.dtype == x.dtype
        assert made.isfinite().all()
        assert not torch.equal(made, x)

    @pytest.mark.parametrize("name", PICTURES)
    def test_the_seed_decides_and_nothing_is_changed_in_place(self, name: str) -> None:
        x = batch()
        before, part = x.clone(), registry.find("augments", name)()
        one, same, other = applied(part, x), applied(part, x), applied(part, x, seed=1)
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
        assert torch.equal(x, before)

    @pytest.mark.parametrize("name", [name for name in PICTURES if name not in ("noise", "mixup", "cutmix")])
    def test_a_few_at_a_time_is_all_at_once(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """How many pictures fit the cache changes nothing."""
        x, part = batch(), registry.find("augments", name)()
        whole = applied(part, x)
        monkeypatch.setattr("fermion.research.augment.CACHED", 4 * x[0].nelement() * 7)
        torch.testing.assert_close(applied(part, x), whole, atol=1e-6, rtol=0)

    @pytest.mark.parametrize("name", [name for name in PICTURES if name not in ("noise", "mixup")])
    def test_pixels_stay_within_what_pixels_can_be(self, name: str) -> None:
        made = registry.find("augments", name)().apply(rows_of(batch(), 0.4, 0.25), draw()).arrays["image"]
        assert float((made * 0.25 + 0.4).min()) > -1e-5
        assert float((made * 0.25 + 0.4).max()) < 1 + 1e-5


class TestMoves:
    def test_flips_are_exact_and_as_frequent_as_said(self) -> None:
        x = batch(2000, 1, 2, 2)
        made = applied(Flip(horizontal=0.3, vertical=0.0), x)
        flipped = (made == x.flip(3)).all((1, 2, 3))
        assert ((made == x).all((1, 2, 3)) | flipped).all()
        assert 0.25 < flipped.float().mean() < 0.35
        assert torch.equal(applied(Flip(horizontal=1.0, vertical=1.0), x), x.flip(2, 3))

    def test_a_shift_by_whole_pixels_is_exact_inside(self) -> None:
        x = batch(30, 1, 9, 9)
        made = applied(Crop(area=1.0, shift=2), x)
        for one, other in zip(made, x, strict=True):
            middle = one[:, 2:7, 2:7]
            fits = [other[:, 2 + d : 7 + d, 2 + r : 7 + r] for d in range(-2, 3) for r in range(-2, 3)]
            assert min(float((middle - fit).abs().max()) for fit in fits) < 1e-5

    @pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last], ids=["planes", "pixels"])
    def test_shifts_by_whole_pixels_are_copies_and_all_others_are_read_between_pixels(self, form: torch.memory_format) -> None:
        x = batch(30, height=10, width=14).contiguous(memory_format=form)
        shift = torch.randint(-12, 13, (30, 2), generator=draw())
        picture = rows_of(x).frame.pictures["image"]
        moved = pixels.maps(30, right_B=shift[:, 0] / 7, low_B=shift[:, 1] / 5)
        change, parameters = pixels.by_whole_pixels(pixels.read, (moved,), picture)
        assert change is pixels.shifted
        assert torch.equal(parameters[0], shift)
        made = change(x, picture, *parameters)
        torch.testing.assert_close(made, pixels.read_at(x, moved), atol=1e-5, rtol=0)
        assert made.is_contiguous(memory_format=form)
        assert set(made.flatten().tolist()) <= set(x.flatten().tolist())
        for other in (pixels.maps(30, right_B=shift[:, 0] / 7 + 0.01), pixels.maps(30, wide_B=-1.0), pixels.maps(30, angle_B=0.1)):
            assert pixels.by_whole_pixels(pixels.read, (other,), picture) == (pixels.read, (other,))

    def test_a_crop_is_enlarged_and_lies_within(self) -> None:
        ramp = torch.linspace(0, 1, 32).expand(50, 1, 32, 32).contiguous()
        made = applied(Crop(area=0.25, stretch=1.0), ramp)
        slopes = (made[:, 0, 16, 20] - made[:, 0, 16, 12]) / (ramp[0, 0, 0, 20] - ramp[0, 0, 0, 12])
        assert 0.45 < slopes.min() < 0.6 < 0.8 < slopes.max() < 1.01
        assert made.amin() >= 0
        assert made.amax() <= 1

    def test_a_rotation_turns_by_as_much_as_it_says(self) -> None:
        x = torch.zeros(300, 1, 33, 33)
        x[:, :, 16, 28] = 1
        made = applied(Rotate(degrees=30), x)
        place = torch.arange(33.0) - 16
        mass = made.sum((1, 2, 3))
        angle = torch.atan2((made.sum((1, 3)) * place).sum(1) / mass, (made.sum((1, 2)) * place).sum(1) / mass).rad2deg()
        assert 27 < angle.abs().max() < 31.5

    def test_moves_in_a_row_are_one_move(self) -> None:
        x = batch(5, 1, 16, 16)
        first, second = pixels.maps(5, angle_B=0.4, right_B=0.1), pixels.maps(5, wide_B=0.8, low_B=-0.2)
        rows = rows_of(x).moved(lambda _: first).moved(lambda _: second)
        both = pixels.read_at(x, pixels.composed(first, second))
        torch.testing.assert_close(rows.arrays["image"], both)
        u = torch.tensor([0.3, -0.1, 1.0])
        inner = torch.cat([second[0] @ u, torch.ones(1)])
        torch.testing.assert_close(pixels.composed(first, second)[0] @ u, first[0] @ inner)

    def test_distort_without_distances_reads_every_pixel_where_it_is(self) -> None:
        x = batch()
        for still in (Distort(strength=0), Distort(rotation=0, scale=0, shear=0, shift=0, elastic=0), Crop(area=1.0, stretch=1.0)):
            torch.testing.assert_close(applied(still, x), x, atol=2e-6, rtol=0)

    def test_a_distorting_shift_moves_by_as_many_pixels_as_it_says(self) -> None:
        x = torch.zeros(200, 1, 28, 28)
        x[:, :, 14, 14] = 1
        moved = applied(Distort(rotation=0, scale=0, shear=0, elastic=0, shift=2), x)
        centre = (moved.sum((1, 3)) * torch.arange(28.0)).sum(1) / moved.sum((1, 2, 3))
        assert 1.7 < (centre - 14).abs().max() < 2.1


class TestLight:
    def test_brightness_is_a_factor(self) -> None:
        x = batch() * 0.5
        made = applied(Colour(brightness=0.3, contrast=0, saturation=0), x)
        factor = made / x
        torch.testing.assert_close(factor, factor[:, :1, :1, :1].expand_as(x))
        assert 0.7 <= factor.min() < 0.8 < 1.2 < factor.max() <= 1.3

    def test_contrast_keeps_the_mean_grey_and_saturation_the_grey_of_each_pixel(self) -> None:
        x = batch() * 0.4 + 0.3
        grey = torch.tensor(pixels.GREY)[:, None, None]
        made = applied(Colour(brightness=0, contrast=0.3, saturation=0), x)
        torch.testing.assert_close((made * grey).sum(1).mean((1, 2)), (x * grey).sum(1).mean((1, 2)))
        made = applied(Colour(brightness=0, contrast=0, saturation=0.3, hue=0.05), x)
        torch.testing.assert_close((made * grey).sum(1), (x * grey).sum(1), atol=1e-4, rtol=0)
        assert not torch.equal(made, x)

    def test_a_whole_turn_of_the_hue_changes_nothing_and_greys_have_none(self) -> None:
        x, mean, std = batch() * 0.4 + 0.3, torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
        plain = torch.ones(len(x), 3)
        torch.testing.assert_close(pixels.coloured(x, mean, std, plain, torch.ones(len(x))), x, atol=1e-4, rtol=0)
        greys = x[:, :1].expand(-1, 3, -1, -1)
        torch.testing.assert_close(pixels.coloured(greys, mean, std, plain, torch.full((len(x),), 0.3)), greys, atol=1e-4, rtol=0)

    def test_it_means_the_same_in_standardised_pixels(self) -> None:
        x, part = batch(), Colour(hue=0.1, gamma=0.5)
        plain = part.apply(rows_of(x), draw()).arrays["image"]
        scaled = part.apply(rows_of(x, 0.4, 0.25), draw()).arrays["image"] * 0.25 + 0.4
        torch.testing.assert_close(scaled, plain, atol=2e-5, rtol=0)

    def test_bfloat16_does_not_cost_shades(self) -> None:
        x, mean, std = batch(), torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
        lights = torch.rand(len(x), 3, generator=draw()) + 0.5
        want = pixels.coloured(x, mean, std, lights)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(pixels.coloured(x, mean, std, lights), want)


class TestHiding:
    def test_a_cutout_is_a_box_of_the_mean(self) -> None:
        x = torch.ones(400, 2, 20, 20)
        made = applied(Cutout(size=0.3), x)
        hidden = made == 0
        assert torch.equal(hidden[:, 0], hidden[:, 1])
        assert int(hidden[:, 0].sum((1, 2)).max()) == 36
        assert (hidden[:, 0].sum((1, 2)) >= 4).all()
        assert not applied(Cutout(chance=0.0), x).eq(0).any()

    def test_blur_keeps_the_brightness_and_takes_the_noise(self) -> None:
        x = batch(40, 1, 24, 24)
        made = pixels.blurred(x, torch.full((40,), 1.5), 4)
        assert (made.std((1, 2, 3)) < 0.4 * x.std((1, 2, 3))).all()
        torch.testing.assert_close(made.mean((1, 2, 3)), x.mean((1, 2, 3)), atol=0.03, rtol=0)
        torch.testing.assert_close(pixels.blurred(x, torch.zeros(40), 2), x)

    def test_noise_is_as_strong_as_it_says(self) -> None:
        x = batch(200)
        assert 0.19 < float((applied(Noise(deviation=0.2), x) - x).std()) < 0.21


class TestMixing:
    def test_mixup_is_the_mean_and_the_row_itself_is_the_larger_part(self) -> None:
        rows = rows_of(batch(50))
        made = Mixup(alpha=1.0).apply(rows, draw())
        own, other = made.labels
        assert own.weights is not None
        assert other.weights is not None
        assert (own.weights >= 0.5).all()
        torch.testing.assert_close(own.weights + other.weights, torch.ones(50))
        share = own.weights[:, None, None, None]
        want = share * rows.arrays["image"] + (1 - share) * rows.arrays["image"][other.targets["y"]]
        torch.testing.assert_close(made.arrays["image"], want)

    def test_cutmix_counts_the_areas(self) -> None:
        x = torch.arange(60.0)[:, None, None, None].expand(-1, 1, 16, 16).contiguous()
        made = Cutmix().apply(rows_of(x), draw())
        own, other = made.labels
        assert own.weights is not None
        kept = (made.arrays["image"] == x).float().mean((1, 2, 3))
        alone = other.targets["y"] == torch.arange(60)
        torch.testing.assert_close(own.weights[~alone], kept[~alone])
        assert kept.min() < 0.5

    @pytest.mark.parametrize("part", [Mixup(chance=0.0), Cutmix(chance=0.0)])
    def test_without_chance_nothing_is_mixed(self, part: Any) -> None:
        made = part.apply(rows_of(batch()), draw())
        assert torch.equal(made.arrays["image"], batch())
        assert made.labels[0].weights is not None
        assert (made.labels[0].weights == 1).all()

    def test_mixing_sees_what_was_changed_before(self) -> None:
        x = batch(20)
        rows = Flip(horizontal=1.0).apply(rows_of(x), draw())
        made = Mixup(chance=0.0).apply(rows, draw())
        assert torch.equal(made.arrays["image"], x.flip(3))


class TestRandAugment:
    @pytest.mark.parametrize("place", range(len(OPERATIONS)), ids=OPERATIONS)
    @pytest.mark.parametrize("channels", [1, 3])
    def test_each_operation(self, place: int, channels: int) -> None:
        x = batch(6, channels) * 0.9
        made = operated(x, torch.full((6, 1), place), torch.ones(6, 1), 2 / 3)
        assert made.min() >= 0
        assert made.max() <= 1 + 1e-6
        idle = OPERATIONS[place] == "nothing" or (channels == 1 and OPERATIONS[place] == "saturation")
        assert torch.allclose(made, x, atol=1e-6) == idle

    def test_each_picture_has_its_own(self) -> None:
        """Together or alone, a picture that drew operations gets them in their order."""
        x = batch(len(OPERATIONS))
        places = torch.stack([torch.arange(len(OPERATIONS)).flip(0), torch.arange(len(OPERATIONS)).roll(3)], 1)
        sign = torch.ones_like(places)
        together = operated(x, places, sign, 0.3)
        for row in range(len(x)):
            alone = operated(x[row : row + 1], places[row : row + 1], sign[:1], 0.3)
            torch.testing.assert_close(together[row : row + 1], alone, atol=1e-6, rtol=0)

    def test_lights(self) -> None:
        x, grey = batch(8) * 0.4 + 0.3, torch.tensor(pixels.GREY)[:, None, None]
        bright, contrast, saturation = (operated(x, torch.full((8, 1), OPERATIONS.index(name)), torch.ones(8, 1), 1 / 3) for name in LIGHTS)
        torch.testing.assert_close(bright, (1.3 * x).clamp(max=1))
        torch.testing.assert_close((contrast * grey).sum(1).mean((1, 2)), (x * grey).sum(1).mean((1, 2)))
        torch.testing.assert_close((saturation * grey).sum(1), (x * grey).sum(1), atol=1e-4, rtol=0)
        for made in (contrast, saturation):
            assert (made.std((1, 2, 3)) > x.std((1, 2, 3))).all()

    def test_solarizing_inverts_what_is_bright_and_posterizing_leaves_few_levels(self) -> None:
        x = (batch(8) * 255).round() / 255
        solarized, posterized = (
            operated(x, torch.full((8, 1), OPERATIONS.index(name)), torch.ones(8, 1), 0.5) for name in ("solarize", "posterize")
        )
        torch.testing.assert_close(solarized, torch.where(x >= 0.5, 1 - x, x))
        assert sorted({round(level * 255) for level in posterized.unique().tolist()}) == list(range(0, 256, 4))

    def test_equalizing_flattens_and_leaves_flat_pictures_alone(self) -> None:
        x = batch(4, 1, 32, 32) * 0.5 + 0.2
        made = pixels.equalized(x)
        assert abs(float(made.mean()) - 0.5) < 0.02
        assert torch.equal(pixels.equalized(torch.full((2, 3, 4, 4), 0.4)), torch.full((2, 3, 4, 4), 0.4))
        assert torch.equal(pixels.stretched(torch.full((2, 3, 4, 4), 0.4)), torch.full((2, 3, 4, 4), 0.4))
