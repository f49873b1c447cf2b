"""What can be done to a batch of pictures at once, each with parameters of its own.

Legend of shapes: B pictures, C channels, H height, W width. A suffix of a parameter says how it is spread: `angle_B` is one per picture.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

GREY = (0.299, 0.587, 0.114)  # how bright red, green and blue look (ITU-R BT.601)


def exact(change: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same change in float32 where autocast would have products in bfloat16, which knows 256 shades less exactly than bytes do."""

    @functools.wraps(change)
    def changed(x_BCHW: Tensor, *others: Tensor | None) -> Tensor:
        with torch.autocast(x_BCHW.device.type, enabled=False):
            return change(x_BCHW, *others)

    return changed


def maps(
    count: int,
    *,
    angle_B: Tensor | float = 0.0,
    wide_B: Tensor | float = 1.0,
    high_B: Tensor | float = 1.0,
    across_B: Tensor | float = 0.0,
    down_B: Tensor | float = 0.0,
    right_B: Tensor | float = 0.0,
    low_B: Tensor | float = 0.0,
) -> Tensor:
    """Affine maps (B, 2, 3) from where a pixel is to where it is read, in coordinates from -1 to 1.

    [[w cos a, s - w sin a, t], [h sin a + r, h cos a, u]]: angle a in radians, w and h how much of the picture is read, s and r shears
    across and down, t and u where the middle is read.
    """
    a, w, h, s, r, t, u = (
        torch.as_tensor(value, dtype=torch.float32).expand(count) for value in (angle_B, wide_B, high_B, across_B, down_B, right_B, low_B)
    )
    cos, sin = a.cos(), a.sin()
    return torch.stack([torch.stack([w * cos, s - w * sin, t], 1), torch.stack([h * sin + r, h * cos, u], 1)], 1)


def composed(first_B23: Tensor, second_B23: Tensor) -> Tensor:
    """The one map of moving by the first and then by the second: u is read at A1 (A2 u + t2) + t1."""
    made_B23 = first_B23[:, :, :2, None].mul(second_B23[:, None]).sum(2)
    return torch.cat([made_B23[:, :, :2], made_B23[:, :, 2:] + first_B23[:, :, 2:]], 2)


def read(x_BCHW: Tensor, _picture: Any, maps_B23: Tensor) -> Tensor:
    """A move as a change of pictures."""
    return read_at(x_BCHW, maps_B23)


def read_at(x_BCHW: Tensor, maps_B23: Tensor, field_B2KK: Tensor | None = None) -> Tensor:
    """Pictures read bilinearly at u' = A u + t + e(u); e, if any, is interpolated bicubically. Outside is the nearest edge."""
    count, _, height, width = x_BCHW.shape
    if field_B2KK is None:
        grid_BHW2 = _straight(maps_B23, height, width)
    else:
        smooth_B2HW = F.interpolate(field_B2KK, (height, width), mode="bicubic", align_corners=True)
        grid_BHW2 = F.affine_grid(maps_B23, [count, 1, height, width], align_corners=False) + smooth_B2HW.permute(0, 2, 3, 1)
    read = F.grid_sample(x_BCHW.float(), grid_BHW2.to(x_BCHW.device), mode="bilinear", padding_mode="border", align_corners=False)
    return read.to(x_BCHW.dtype).contiguous(memory_format=layout(x_BCHW))


def by_whole_pixels(read: Callable[..., Tensor], parameters: tuple[Tensor, ...], picture: Any) -> tuple[Any, tuple[Tensor, ...]]:
    """The same move as copies of pixels, where it only shifts each picture by whole ones; else as it is."""
    (maps_B23,) = parameters
    if not torch.equal(maps_B23[:, :, :2], torch.eye(2).expand(len(maps_B23), 2, 2)):
        return read, parameters
    shift_B2 = maps_B23[:, :, 2] * torch.tensor([picture.width / 2, picture.height / 2])
    whole_B2 = shift_B2.round()
    return (shifted, (whole_B2.long(),)) if bool((shift_B2 - whole_B2).abs().amax() < 1e-3) else (read, parameters)


def shifted(x_BCHW: Tensor, _picture: Any, shift_B2: Tensor) -> Tensor:
    """Pictures read so many whole pixels to the right and further down. Outside is the nearest edge."""
    count, channels, height, width = x_BCHW.shape
    right_B1, down_B1 = shift_B2.to(x_BCHW.device).split(1, 1)
    column_BW = (torch.arange(width, device=x_BCHW.device) + right_B1).clamp_(0, width - 1)
    row_BH = (torch.arange(height, device=x_BCHW.device) + down_B1).clamp_(0, height - 1)
    plane_BC1 = torch.arange(0, count * channels * height, height, device=x_BCHW.device).view(count, channels, 1)
    rows_RW = x_BCHW.reshape(-1, width).index_select(0, (plane_BC1 + row_BH[:, None]).flatten())
    made = rows_RW.view(x_BCHW.shape).gather(3, column_BW[:, None, None].expand(x_BCHW.shape))
    return made.contiguous(memory_format=layout(x_BCHW))


def flip(x_BCHW: Tensor, chosen_B: Tensor, side: int) -> Tensor:
    """Mirror the chosen pictures along a side, in place: 3 left and right, 2 top and bottom."""
    at = chosen_B.nonzero().squeeze(1).to(x_BCHW.device)
    return x_BCHW.index_copy_(0, at, x_BCHW.index_select(0, at).flip(side)) if len(at) else x_BCHW


def boxes(centres_B2: Tensor, sides_B: Tensor, height: int, width: int) -> Tensor:
    """(B, H, W) 1 inside of boxes, 0 outside: centres (down, across) and sides in shares of the picture, cut off at its edges."""
    parts: list[Tensor] = []
    for place, size in ((0, height), (1, width)):
        middle_B1, half_B1 = (centres_B2[:, place] * size)[:, None], (sides_B * size / 2)[:, None]
        pixel_S = torch.arange(size, device=sides_B.device)[None] + 0.5
        parts.append(((pixel_S - middle_B1).abs() < half_B1).to(sides_B.dtype))
    return parts[0][:, :, None] * parts[1][:, None, :]


@exact
def coloured(z_BCHW: Tensor, mean_C11: Tensor, std_C11: Tensor, lights_B3: Tensor, hue_B: Tensor | None = None) -> Tensor:
    """Brightness, contrast, saturation (the three `lights`) and hue in one linear map per picture, cut to what a pixel can be.

    With x = std z + mean in 0..1, brightness b, contrast c and the picture's mean grey g: y = T (c b x + (1 - c) b g), where
    T = H (s I + (1 - s) 1 l') for the saturation s, the grey weights l, and H a rotation of the two colour axes of YIQ by the hue.
    Saturation and hue leave pictures of one channel alone, and any that are not red, green and blue.
    """
    channels = z_BCHW.shape[1]
    rgb = channels == 3
    mean_C, std_C = mean_C11.flatten(), std_C11.flatten()
    weights_C = mean_C.new_tensor(GREY) if rgb else mean_C.new_full((channels,), 1 / channels)
    eye_CC = torch.eye(channels, device=z_BCHW.device)
    device = z_BCHW.device
    bright_B, contrast_B, saturation_B = lights_B3.to(device).unbind(1)
    grey_B = (z_BCHW.mean((2, 3)) * std_C + mean_C) @ weights_C
    turn_BCC = eye_CC.expand(len(z_BCHW), -1, -1)
    if rgb:
        saturation_B11 = saturation_B[:, None, None]
        turn_BCC = saturation_B11 * eye_CC + (1 - saturation_B11) * weights_C
        if hue_B is not None:
            turn_BCC = _hue(hue_B).to(device) @ turn_BCC
    map_BCC = turn_BCC * (bright_B * contrast_B)[:, None, None]
    added_BC = ((map_BCC @ mean_C) + ((1 - contrast_B) * bright_B * grey_B)[:, None] - mean_C) / std_C
    map_BCC = map_BCC * std_C / std_C[:, None]
    low_C11, high_C11 = -mean_C11 / std_C11, (1 - mean_C11) / std_C11
    if channels == 1:
        made = torch.addcmul(added_BC[:, :, None, None], z_BCHW, map_BCC[:, :, :, None])
    else:
        flat_BCN = z_BCHW.contiguous().flatten(2)
        made = torch.baddbmm(added_BC[:, :, None], map_BCC, flat_BCN).view(z_BCHW.shape)
    made = torch.minimum(torch.maximum(made, low_C11, out=made), high_C11, out=made)
    return made.contiguous(memory_format=layout(z_BCHW))


@exact
def blended(x_BCHW: Tensor, factor_B: Tensor, mean_B: Tensor, grey_B: Tensor) -> Tensor:
    """f x + (1 - f) (m mean + g grey) in 0..1, with the grey of each pixel and its mean over the picture: m = g = 0 is brightness,
    m = 1 contrast and g = 1 saturation, which leaves pictures that are not red, green and blue alone.
    """
    count, channels, height, width = x_BCHW.shape
    weights_C = x_BCHW.new_tensor(GREY) if channels == 3 else x_BCHW.new_full((channels,), 1 / channels)
    grey_BN = weights_C @ x_BCHW.reshape(count, channels, height * width)
    factor_B1, mean_B1, grey_B1 = (each.to(x_BCHW)[:, None] for each in (factor_B, mean_B, grey_B))
    if channels != 3:
        factor_B1 = torch.where(grey_B1 > 0, 1.0, factor_B1)
    base_BN = (grey_BN * grey_B1).add_(mean_B1 * grey_BN.mean(1, keepdim=True))
    return torch.lerp(base_BN.view(count, 1, height, width), x_BCHW, factor_B1[:, :, None, None]).clamp_(0, 1)


def blurred(x_BCHW: Tensor, sigma_B: Tensor, reach: int) -> Tensor:
    """A Gaussian of the width sigma (pixels) per picture, across and then down, cut off at `reach`; beyond the edge is the edge."""
    tap_T = torch.arange(-reach, reach + 1)
    weight_BT = torch.exp(-(tap_T**2) / (2 * sigma_B.clamp(min=1e-3)[:, None] ** 2))
    weight_BT = (weight_BT / weight_BT.sum(1, keepdim=True)).to(x_BCHW.device)
    for across in (True, False):
        padded = F.pad(x_BCHW, (reach, reach, 0, 0) if across else (0, 0, reach, reach), mode="replicate")
        side, size = (3, x_BCHW.shape[3]) if across else (2, x_BCHW.shape[2])
        made = padded.narrow(side, 0, size) * weight_BT[:, 0, None, None, None]
        for place in range(1, len(tap_T)):
            made.addcmul_(padded.narrow(side, place, size), weight_BT[:, place, None, None, None])
        x_BCHW = made
    return x_BCHW


def sharpened(x_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    """x + (f - 1) (x - smooth(x)) with a 3 x 3 mean that counts the middle 5 times: f below 1 softens, above 1 sharpens."""
    wide = F.pad(x_BCHW, (1, 1, 1, 1), mode="replicate")
    rows = (wide[:, :, :-2] + wide[:, :, 1:-1]).add_(wide[:, :, 2:])
    even = (rows[..., :-2] + rows[..., 1:-1]).add_(rows[..., 2:]).mul_(1 / 9)
    return torch.lerp(even, x_BCHW, (1 - (1 - factor_B) * (9 / 13))[:, None, None, None].to(x_BCHW.device)).clamp_(0, 1)


def stretched(x_BCHW: Tensor) -> Tensor:
    """Each channel from its darkest to its brightest pixel stretched to 0..1; flat ones stay."""
    low, high = x_BCHW.amin((2, 3), keepdim=True), x_BCHW.amax((2, 3), keepdim=True)
    flat = high - low < 1e-3
    return x_BCHW.sub(low.masked_fill(flat, 0)).div_((high - low).masked_fill_(flat, 1))


def equalized(x_BCHW: Tensor) -> Tensor:
    """Each channel's 256 levels spread so that its histogram is as flat as it can be; flat ones stay."""
    count, channels, height, width = x_BCHW.shape
    x_RN = x_BCHW.reshape(count * channels, height * width)
    level_RN = (x_RN * 255).round_().clamp_(0, 255).long()
    low_R1, high_R1 = x_RN.amin(1, keepdim=True), x_RN.amax(1, keepdim=True)
    seen_RL = torch.zeros(len(x_RN), 256, device=x_RN.device)
    up_to_RL = seen_RL.scatter_add_(1, level_RN, torch.ones_like(x_RN)).cumsum_(1)
    least_R1 = up_to_RL.gather(1, (low_R1 * 255).round_().clamp_(0, 255).long())  # pixels at the darkest level
    made_RN = up_to_RL.sub_(least_R1).div_((height * width - least_R1).clamp_(min=1)).clamp_(0, 1).gather(1, level_RN)
    flat_R1 = (high_R1 - low_R1 < 1 / 255).to(x_RN.dtype)
    return torch.lerp(made_RN, x_RN, flat_R1).view(x_BCHW.shape).contiguous(memory_format=layout(x_BCHW))


def layout(x_BCHW: Tensor) -> torch.memory_format:
    """How a batch of pictures lies in memory."""
    return torch.channels_last if x_BCHW.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format


def _straight(maps_B23: Tensor, height: int, width: int) -> Tensor:
    """(B, H, W, 2) what `affine_grid` makes, as sums of a column and a row: a tenth of the time of its products of matrices."""
    across_W, down_H = (torch.linspace(1 / size - 1, 1 - 1 / size, size) for size in (width, height))
    by_row_B2H = torch.addcmul(maps_B23[:, :, 2:], down_H, maps_B23[:, :, 1:2])
    by_column_B2W = maps_B23[:, :, :1] * across_W
    return (by_row_B2H[:, :, :, None] + by_column_B2W[:, :, None]).permute(0, 2, 3, 1)


def _hue(turn_B: Tensor) -> Tensor:
    """(B, 3, 3) rotations of the colours by a share of a full turn; greys stay."""
    yiq_33 = torch.tensor([GREY, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])
    cos, sin = (turn_B * (2 * math.pi)).cos(), (turn_B * (2 * math.pi)).sin()
    zero, one = torch.zeros_like(turn_B), torch.ones_like(turn_B)
    rotation = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], 1).view(-1, 3, 3)
    return torch.linalg.inv(yiq_33) @ rotation @ yiq_33
