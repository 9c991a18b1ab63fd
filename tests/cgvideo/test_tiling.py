"""Grids of tiles: each pixel in one tile, as large as the memory allows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgvideo.stages.tiling import MOST_SIDE, choose_grid, most_whole
from cgvideo.stages.translate import padded_size
from engines.errors import UserError
from engines.spec import GeneratorSpec

SPEC = GeneratorSpec(base_channels=24, blocks=6)
LEAST = 2 * SPEC.halo + 64


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.one_of(st.none(), st.integers(LEAST, 2000)),
    st.one_of(st.none(), st.integers(LEAST**2, 10**7)),
)
def test_tiles_cover_every_pixel_once(height, width, tile, most):
    size = padded_size((height, width), SPEC.multiple_of, SPEC.minimum_size)
    grid = choose_grid(size, SPEC, tile, most_pixels=most)
    seen = np.zeros(size, np.uint8)
    for row, column in grid.tiles():
        assert (row.stop - row.start, column.stop - column.start) == grid.tile
        assert row.start % 4 == column.start % 4 == 0
        seen[row.first : row.end, column.first : column.end] += 1
    assert (seen == 1).all()
    if tile is not None:
        assert max(grid.tile) <= -(-tile // 4) * 4
    elif most is not None:
        assert grid.tile[0] * grid.tile[1] <= most


def test_a_frame_that_fits_stays_whole():
    assert choose_grid((1080, 1920), SPEC, most_pixels=10**7).whole
    assert choose_grid((1080, 1920), SPEC, tile=1920).whole
    assert choose_grid((1080, 1920), SPEC).whole


def test_else_the_tiles_are_as_large_as_fit():
    grid = choose_grid((2160, 3840), SPEC, most_pixels=3_000_000)
    assert grid.counts in ((1, 3), (2, 2), (3, 1))
    work = grid.counts[0] * grid.counts[1] * grid.tile[0] * grid.tile[1]
    assert work < 1.15 * 2160 * 3840
    assert max(choose_grid((12000, 12000), SPEC, most_pixels=10**8).tile) <= MOST_SIDE


def test_the_halo_is_the_reach_of_the_network_rounded_up():
    assert choose_grid((1000, 1000), SPEC, 400).halo == SPEC.halo >= SPEC.receptive_field // 2
    assert choose_grid((1000, 1000), SPEC, 400, halo=30).halo == 32


def test_tiles_that_are_all_halo_are_refused():
    with pytest.raises(UserError, match=r"Give --tile"):
        choose_grid((1000, 1000), SPEC, tile=100)
    with pytest.raises(UserError, match=r"smaller --max-size"):
        choose_grid((1000, 1000), SPEC, most_pixels=1000)


def test_a_unet_stays_whole_and_says_so_where_tiles_are_asked_for():
    unet = GeneratorSpec("unet", 64, 8)
    assert choose_grid((1024, 2048), unet, most_pixels=1000).whole
    with pytest.raises(UserError, match="U-Net"):
        choose_grid((1024, 2048), unet, tile=512)


def test_what_fits_goes_by_the_memory_and_the_model():
    memory = 8 << 30
    large = GeneratorSpec()
    assert most_whole(SPEC, memory, 1) > 2 * most_whole(large, memory, 1)
    assert most_whole(SPEC, memory, 4) <= most_whole(SPEC, memory, 1) / 2
    assert 1920 * 1080 < most_whole(SPEC, memory, 1) < memory / SPEC.working_bytes
    assert most_whole(SPEC, None, 1) * SPEC.activation_bytes <= 2 << 30
