"""A change made to a small picture comes back along the large one's edges."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cgvideo.stages.upsampling import put_back


def _scene(height: int, width: int) -> NDArray[np.uint8]:
    """A bright sky above a dark, textured hill with a hard edge."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    edge = height * (0.5 + 0.2 * np.sin(x / width * 9))
    hill = 60 + 20 * np.sin(x / 3) * np.sin(y / 2)
    colours = np.where((y < edge)[..., None], [150, 180, 230], hill[..., None] * [0.8, 1.1, 0.6])
    return np.clip(colours, 0, 255).astype(np.uint8)


def _winter(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What is dark turns pale, what is blue stays."""
    values = pixels.astype(np.float32)
    share = np.clip((values[..., 2:] - 60) / 170, 0, 1)
    return np.clip(values * share + (200 + 0.3 * values) * (1 - share), 0, 255).astype(np.uint8)


def _psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / ((one.astype(float) - other) ** 2).mean()))


def test_nothing_changed_gives_the_very_picture() -> None:
    large = _scene(181, 259)
    small = cv2.resize(large, (84, 60), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(put_back(large, small, small), large)


def test_edges_and_texture_are_the_large_ones() -> None:
    large = _scene(360, 640)
    small = cv2.resize(large, (160, 92), interpolation=cv2.INTER_AREA).astype(np.uint8)
    expected = _winter(large)
    plain = cv2.resize(_winter(small), (640, 360), interpolation=cv2.INTER_CUBIC)
    result = put_back(large, small, _winter(small))
    assert _psnr(result, expected) > _psnr(plain.astype(np.uint8), expected) + 5


@pytest.mark.parametrize("rows", [17, 64])
def test_bands_leave_no_seam(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    large = _scene(200, 150)
    small = cv2.resize(large, (50, 66), interpolation=cv2.INTER_AREA).astype(np.uint8)
    whole = put_back(large, small, _winter(small))
    monkeypatch.setattr("cgvideo.stages.upsampling.BAND", rows)
    banded = put_back(large, small, _winter(small))
    assert np.abs(banded.astype(int) - whole).max() <= 1


def test_deep_pixels_stay_deep() -> None:
    large = _scene(64, 64).astype(np.float32) / 255
    small = cv2.resize(large, (32, 32), interpolation=cv2.INTER_AREA)
    result = put_back(large, np.asarray(small, np.float32), np.asarray(small, np.float32))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, large, atol=1e-5)
