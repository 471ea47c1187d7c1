import numpy as np
import pytest

from quant.shapes import pair, shapes


def many(number, *, size=64):
    return [pair(3, n, size=size) for n in range(number)]


def test_pictures_and_masks_are_within_their_range_differ_and_come_again():
    made = many(20)
    for grey, mask in made:
        assert (grey.shape, mask.shape, grey.dtype, mask.dtype) == ((64, 64, 1), (64, 64, 1), np.float32, np.float32)
        assert 0 <= grey.min() < grey.max() <= 1
        assert set(np.unique(mask)) <= {0.0, 1.0}
    assert len({grey.tobytes() for grey, _ in made}) == len({mask.tobytes() for _, mask in made}) == 20
    assert all(np.array_equal(a, b) for a, b in zip(pair(3, 7), made[7], strict=True))
    assert shapes(np.random.default_rng(0), (32, 48))[0].shape == (32, 48, 1)


def test_shapes_cover_a_part_of_the_picture():
    shares = [mask.mean() for _, mask in many(200)]
    assert 0.2 < np.mean(shares) < 0.5
    assert np.mean([0.02 < share < 0.9 for share in shares]) > 0.97


def best_dice(scores, masks):
    """The best Dice of any one threshold, from either side, over all pictures together."""
    found = []
    for score in (scores, -scores):
        for level in np.quantile(score, np.linspace(0, 0.95, 20)):
            said = score > level
            found.append(2 * (said & masks).sum() / (said.sum() + masks.sum()))
    return max(found)


def streaming(grey):
    """By how much the gradients around each pixel lie in one direction, 0 to 1: those of waves do."""
    down, across = np.gradient(grey)
    yy, xx, xy = (around(a) for a in (down * down, across * across, down * across))
    return np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy)


def around(a, *, side=9):
    padded = np.pad(a, side // 2, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side)).mean(axis=(2, 3))


def test_brightness_tells_little_and_texture_more():
    made = many(60)
    apart = [abs(grey[mask > 0].mean() - grey[mask == 0].mean()) for grey, mask in made]
    assert np.mean(apart) < 0.06  # the deviation within each is 0.1 and more
    masks = np.stack([mask[..., 0] > 0 for _, mask in made])
    everything = 2 * masks.mean() / (1 + masks.mean())
    by_brightness = best_dice(np.stack([grey[..., 0] for grey, _ in made]), masks)
    by_texture = best_dice(np.stack([streaming(grey[..., 0]) for grey, _ in made]), masks)
    assert by_brightness < everything + 0.05
    assert by_texture > by_brightness + 0.15


@pytest.mark.parametrize("size", [16, 224])
def test_any_size_has_shapes(size):
    assert np.mean([mask.mean() for _, mask in many(20, size=size)]) > 0.1
