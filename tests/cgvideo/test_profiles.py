"""Colours of wide gamut to sRGB and back, against littleCMS."""

import io

import numpy as np
import pytest
from picturefiles import ADOBE_RGB, DISPLAY_P3, gradient, matrix_profile
from PIL import Image, ImageCms

from cgvideo.codec.images.picture import Picture
from cgvideo.codec.images.profiles import is_matrix, space_of
from cgvideo.folders.pictures import finished, ready
from cgvideo.settings import Settings

WIDE = [matrix_profile(DISPLAY_P3), matrix_profile(ADOBE_RGB, 2.19921875)]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("profile", WIDE)
def test_colours_are_those_of_littlecms(profile: bytes) -> None:
    space = space_of(profile)
    assert space is not None
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    shown = ImageCms.profileToProfile(
        Image.fromarray(gradient()), source, ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )  # fmt: skip
    ours = space.to_srgb(gradient())
    assert ours.dtype == np.uint8
    assert np.abs(ours.astype(int) - np.asarray(shown)).max() <= 1
    deep = space.to_srgb(gradient().astype(np.float32) / 255)
    assert np.abs(deep * 255 - ours).max() <= 1


@pytest.mark.parametrize("profile", WIDE)
def test_colours_of_srgb_come_back_from_a_wider_space(profile: bytes) -> None:
    space = space_of(profile)
    assert space is not None
    colours = gradient()
    assert np.abs(space.to_srgb(space.from_srgb(colours)).astype(int) - colours).mean() < 0.5
    deep = colours.astype(np.float32) / 255
    np.testing.assert_allclose(space.to_srgb(space.from_srgb(deep)), deep, atol=2e-4)


def test_srgb_by_any_name_is_left_as_it_is() -> None:
    assert is_matrix(SRGB)
    assert space_of(SRGB) is None
    assert space_of(None) is None


@pytest.mark.parametrize(
    "spoilt", [b"", b"x" * 400, WIDE[0][:300], WIDE[0].replace(b"rXYZ", b"none")]
)
def test_a_damaged_profile_says_nothing(spoilt: bytes) -> None:
    assert not is_matrix(spoilt)
    assert space_of(spoilt) is None


def test_the_engine_sees_srgb_and_the_file_gets_its_own_colours_back() -> None:
    picture = Picture(gradient(), icc_profile=WIDE[0])
    settings = Settings()
    made = ready(picture, settings, deep=False)
    assert np.abs(made.pixels.astype(int) - gradient()).max() > 20  # P3's red is more than sRGB's
    inside = np.full((4, 4, 3), (120, 130, 90), np.uint8)
    made = ready(Picture(inside, icc_profile=WIDE[0]), settings, deep=False)
    again = finished(made, made.pixels, settings)
    assert again.icc_profile == WIDE[0]
    assert np.abs(again.pixels.astype(int) - inside).max() <= 1


def test_at_strength_nought_no_colour_is_touched() -> None:
    picture = Picture(gradient(), icc_profile=WIDE[0])
    settings = Settings(strength=0)
    made = ready(picture, settings, deep=False)
    np.testing.assert_array_equal(finished(made, made.pixels, settings).pixels, gradient())
