"""Pictures augmented per second: whole batches against one picture at a time, one thread, taking turns in one run.

    taskset -c 1 python benchmarks/data/augment.py [--batches 256 512] [--rounds 9] [--out benchmarks/data/augment.json]

Every way starts from the same bytes (B, H, W, C) and ends with the same standardised floats (B, C, H, W). The two loops are what one
writes without a library for it: tensors picture by picture, as torchvision's transforms do it, and Pillow picture by picture. The
loops draw their parameters with Python's `random`, which costs less per picture than anything else there.

What is told is the processor time of the thread, as other programs stretch the time on the clock, and the median over rounds of the ratio
within a round. The C library keeps freed memory up to the size of the largest block ever freed; in training those are the activations of
the net, so the run starts with such a block for all ways.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torch import Tensor
from torch.nn import functional as F

from fermion.core.run import Run
from fermion.research.augment import Augment, Augmenting, Frame, Labels, Picture, read_parts
from fermion.research.blocks import Pixels

OUT = Path(__file__).with_suffix(".json")
LISTS: dict[str, list[Any]] = {
    "flip": ["flip"],
    "crop": [{"type": "crop", "area": 1.0, "shift": 4}],
    "rotate": ["rotate"],
    "colour": ["colour"],
    "cutout": ["cutout"],
    "blur": ["blur"],
    "noise": ["noise"],
    "mixup": ["mixup"],
    "flip, crop, rotate, colour, cutout": ["flip", {"type": "crop", "area": 1.0, "shift": 4}, "rotate", "colour", "cutout"],
    "randaugment": ["randaugment"],
}
MEAN, STD = 0.4, 0.25


class Batched:
    """Fermion's way."""

    def __init__(self, given: list[Any], channels: int, size: int) -> None:
        parts: tuple[Augment, ...] = read_parts(given)
        mean, std = torch.full((channels, 1, 1), MEAN), torch.full((channels, 1, 1), STD)
        frame = Frame(outputs=(), pictures={"image": Picture(mean=mean, spread=std, height=size, width=size)})
        self.augment = Augmenting(parts, frame, Run(), Pixels([MEAN] * channels, [STD] * channels))

    def __call__(self, bytes_BHWC: NDArray[np.uint8]) -> Tensor:
        with torch.no_grad():
            batch = {"image": torch.from_numpy(bytes_BHWC)}
            return self.augment(batch, (Labels(targets={"y": torch.zeros(len(bytes_BHWC), dtype=torch.long)}),))[0]["image"]


class TensorLoop:
    """One tensor (C, H, W) in 0..1 after the other."""

    def __init__(self, given: list[Any]) -> None:
        self.names = [one if isinstance(one, str) else one["type"] for one in given]
        self.rng = random.Random(0)

    def __call__(self, bytes_BHWC: NDArray[np.uint8]) -> Tensor:
        made: list[Tensor] = []
        for picture in bytes_BHWC:
            x = torch.from_numpy(picture).permute(2, 0, 1).float() / 255
            for name in self.names:
                if name != "mixup":
                    x = getattr(self, name)(x)
            made.append((x - MEAN) / STD)
        if "mixup" in self.names:
            others = self.rng.sample(range(len(made)), len(made))
            shares = [self.rng.betavariate(0.2, 0.2) for _ in made]
            made = [share * x + (1 - share) * made[other] for x, other, share in zip(made, others, shares, strict=True)]
        return torch.stack(made)

    def flip(self, x: Tensor) -> Tensor:
        return x.flip(2) if self.rng.random() < 0.5 else x

    def crop(self, x: Tensor) -> Tensor:
        down, right = self.rng.randrange(9), self.rng.randrange(9)
        return F.pad(x[None], (4, 4, 4, 4), mode="replicate")[0, :, down : down + x.shape[1], right : right + x.shape[2]]

    def affine(self, x: Tensor, rows: list[list[float]]) -> Tensor:
        grid = F.affine_grid(torch.tensor([rows]), [1, *x.shape], align_corners=False)
        return F.grid_sample(x[None], grid, padding_mode="border", align_corners=False)[0]

    def rotate(self, x: Tensor, degrees: float = 15) -> Tensor:
        angle = math.radians(self.rng.uniform(-degrees, degrees))
        return self.affine(x, [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]])

    def brightness(self, x: Tensor, factor: float) -> Tensor:
        return (x * factor).clamp(0, 1)

    def contrast(self, x: Tensor, factor: float) -> Tensor:
        return (grey(x).mean() * (1 - factor) + x * factor).clamp(0, 1)

    def saturation(self, x: Tensor, factor: float) -> Tensor:
        return x if len(x) == 1 else (grey(x) * (1 - factor) + x * factor).clamp(0, 1)

    def colour(self, x: Tensor) -> Tensor:
        for change in (self.brightness, self.contrast, self.saturation):
            x = change(x, self.rng.uniform(0.7, 1.3))
        return x

    def cutout(self, x: Tensor) -> Tensor:
        high, wide = x.shape[1:]
        down, right, half = self.rng.randrange(high), self.rng.randrange(wide), round(0.15 * high)
        x = x.clone()
        x[:, max(0, down - half) : down + half, max(0, right - half) : right + half] = MEAN
        return x

    def blur(self, x: Tensor) -> Tensor:
        tap = torch.arange(-3.0, 4.0)
        weight = torch.exp(-(tap**2) / (2 * max(1e-3, self.rng.random()) ** 2))
        weight = (weight / weight.sum()).repeat(len(x), 1)
        x = F.conv2d(F.pad(x[None], (3, 3, 3, 3), mode="replicate"), weight[:, None, None], groups=len(x))
        return F.conv2d(x, weight[:, None, :, None], groups=x.shape[1])[0]

    def noise(self, x: Tensor) -> Tensor:
        return x + 0.1 * STD * torch.randn_like(x)

    def randaugment(self, x: Tensor) -> Tensor:
        for _ in range(2):
            sign = self.rng.choice((-0.3, 0.3))
            match self.rng.randrange(14):
                case 1:
                    x = self.affine(x, [[1, 0.3 * sign, 0], [0, 1, 0]])
                case 2:
                    x = self.affine(x, [[1, 0, 0], [0.3 * sign, 1, 0]])
                case 3:
                    x = self.affine(x, [[1, 0, 0.9 * sign], [0, 1, 0]])
                case 4:
                    x = self.affine(x, [[1, 0, 0], [0, 1, 0.9 * sign]])
                case 5:
                    x = self.rotate(x, 9)
                case 6:
                    x = self.brightness(x, 1 + 0.9 * sign)
                case 7:
                    x = self.contrast(x, 1 + 0.9 * sign)
                case 8:
                    x = self.saturation(x, 1 + 0.9 * sign)
                case 9:
                    kernel = torch.ones(len(x), 1, 3, 3)
                    kernel[:, :, 1, 1] = 5
                    smooth = F.conv2d(F.pad(x[None], (1, 1, 1, 1), mode="replicate"), kernel / 13, groups=len(x))[0]
                    x = (smooth + (1 + 0.9 * sign) * (x - smooth)).clamp(0, 1)
                case 10:
                    x = ((x * 255).to(torch.uint8) & 0b11111110).float() / 255
                case 11:
                    x = torch.where(x >= 0.7, 1 - x, x)
                case 12:
                    low, high = x.amin((1, 2), keepdim=True), x.amax((1, 2), keepdim=True)
                    x = (x - low) / (high - low).clamp(min=1e-3)
                case 13:
                    x = torch.stack([equal(channel) for channel in x])
                case _:
                    x = x + 0
        return x


class PillowLoop:
    """One Pillow image after the other."""

    def __init__(self, given: list[Any]) -> None:
        self.names = [one if isinstance(one, str) else one["type"] for one in given]
        self.rng = random.Random(0)
        self.tensors = TensorLoop([])  # for what Pillow has nothing for

    def __call__(self, bytes_BHWC: NDArray[np.uint8]) -> Tensor:
        made: list[Tensor] = []
        for picture in bytes_BHWC:
            image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
            for name in self.names:
                if name not in ("mixup", "noise", "cutout"):
                    image = getattr(self, name)(image)
            pixels = np.asarray(image)
            x = torch.from_numpy(pixels.reshape(picture.shape).transpose(2, 0, 1).astype(np.float32) / 255)
            for name in self.names:
                if name in ("noise", "cutout"):
                    x = getattr(self.tensors, name)(x)
            made.append((x - MEAN) / STD)
        if "mixup" in self.names:
            others = self.rng.sample(range(len(made)), len(made))
            shares = [self.rng.betavariate(0.2, 0.2) for _ in made]
            made = [share * x + (1 - share) * made[other] for x, other, share in zip(made, others, shares, strict=True)]
        return torch.stack(made)

    def flip(self, image: Image.Image) -> Image.Image:
        return ImageOps.mirror(image) if self.rng.random() < 0.5 else image

    def crop(self, image: Image.Image) -> Image.Image:
        wide, high = image.size
        down, right = self.rng.randrange(9), self.rng.randrange(9)
        return ImageOps.expand(image, 4).crop((right, down, right + wide, down + high))

    def rotate(self, image: Image.Image, degrees: float = 15) -> Image.Image:
        return image.rotate(self.rng.uniform(-degrees, degrees), resample=Image.Resampling.BILINEAR)

    def affine(self, image: Image.Image, rows: tuple[float, ...]) -> Image.Image:
        return image.transform(image.size, Image.Transform.AFFINE, rows, resample=Image.Resampling.BILINEAR)

    def colour(self, image: Image.Image) -> Image.Image:
        for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, *([ImageEnhance.Color] if image.mode == "RGB" else [])):
            image = change(image).enhance(self.rng.uniform(0.7, 1.3))
        return image

    def blur(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(self.rng.random()))

    def randaugment(self, image: Image.Image) -> Image.Image:
        for _ in range(2):
            sign = self.rng.choice((-0.3, 0.3))
            match self.rng.randrange(14):
                case 1:
                    image = self.affine(image, (1, 0.3 * sign, 0, 0, 1, 0))
                case 2:
                    image = self.affine(image, (1, 0, 0, 0.3 * sign, 1, 0))
                case 3:
                    image = self.affine(image, (1, 0, 0.45 * sign * image.width, 0, 1, 0))
                case 4:
                    image = self.affine(image, (1, 0, 0, 0, 1, 0.45 * sign * image.height))
                case 5:
                    image = self.rotate(image, 9)
                case 6:
                    image = ImageEnhance.Brightness(image).enhance(1 + 0.9 * sign)
                case 7:
                    image = ImageEnhance.Contrast(image).enhance(1 + 0.9 * sign)
                case 8:
                    image = ImageEnhance.Color(image).enhance(1 + 0.9 * sign)
                case 9:
                    image = ImageEnhance.Sharpness(image).enhance(1 + 0.9 * sign)
                case 10:
                    image = ImageOps.posterize(image, 7)
                case 11:
                    image = ImageOps.solarize(image, 178)
                case 12:
                    image = ImageOps.autocontrast(image)
                case 13:
                    image = ImageOps.equalize(image)
                case _:
                    continue
        return image


def grey(x: Tensor) -> Tensor:
    """(C, H, W) -> (1, H, W) or the same."""
    return x if len(x) == 1 else 0.299 * x[:1] + 0.587 * x[1:2] + 0.114 * x[2:3]


def equal(channel: Tensor) -> Tensor:
    """One channel (H, W) in 0..1 with a flat histogram."""
    level = (channel * 255).round().long()
    up_to = torch.bincount(level.flatten(), minlength=256).cumsum(0).float()
    least = up_to[level.min()]
    return ((up_to - least) / (level.numel() - least).clamp(min=1)).clamp(0, 1)[level]


def shares(ways: dict[str, Callable[[NDArray[np.uint8]], Tensor]], bytes_BHWC: NDArray[np.uint8], rounds: int) -> dict[str, list[float]]:
    """Seconds of this thread per call of each way, round by round: the ways take turns, the first three times in a turn."""
    spent: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):  # the first warms up
        for way, augment in ways.items():
            calls = 3 if way == "batched" else 1
            began = time.thread_time()
            for _ in range(calls):
                augment(bytes_BHWC)
            if number:
                spent[way].append((time.thread_time() - began) / calls)
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--lists", nargs="+", choices=LISTS, default=[*LISTS])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.empty(31 * 2**18)  # 31 MiB: more would go back to the system each time
    results: list[dict[str, Any]] = []
    print(f"{'parts':36}{'pictures':>14}{'batched':>12}{'tensors':>12}{'Pillow':>12}{'times':>8}{'times':>8}   (microseconds a picture)")
    for size, channels in ((32, 3), (28, 1)):
        for count in options.batches:
            bytes_BHWC = np.random.default_rng(0).integers(0, 256, (count, size, size, channels), dtype=np.uint8)
            for name in options.lists:
                given = LISTS[name]
                ways = {"batched": Batched(given, channels, size), "tensors": TensorLoop(given), "pillow": PillowLoop(given)}
                rounds = shares(ways, bytes_BHWC, options.rounds)
                spent = {way: statistics.median(each) / count * 1e6 for way, each in rounds.items()}
                shape = f"{size}x{size}x{channels}"
                row: dict[str, Any] = {"parts": name, "batch": count, "picture": shape, "microseconds": spent}
                for way in ("tensors", "pillow"):
                    ratios = [loop / batched for loop, batched in zip(rounds[way], rounds["batched"], strict=True)]
                    row[f"times_{way}"] = statistics.median(ratios)
                    row[f"times_{way}_range"] = [min(ratios), max(ratios)]
                results.append(row)
                told = "".join(f"{spent[way]:12.1f}" for way in ways)
                print(
                    f"{name:36}{f'{shape} x {count}':>14}{told}{row['times_tensors']:8.1f}{row['times_pillow']:8.1f}",
                    flush=True,
                )
    options.out.write_text(
        json.dumps({"benchmark": "data/augment", "threads": 1, "torch": torch.__version__, "rows": results}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
