"""Motion that is known by construction is found, followed and masked."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from textures import SIZE, texture

from cgvideo.stages.flow import (
    at_size,
    composed,
    disagreeing,
    flow_between,
    gray_flow,
    inside,
    motion_edges,
    occluded,
    reduced,
    warped,
)


def constant(x, y, size=SIZE):
    return np.broadcast_to(np.array([x, y], np.float32), (*size, 2)).copy()


def middle(picture, edge=16):
    return picture[edge:-edge, edge:-edge]


@pytest.mark.parametrize("reduction", [1, 2])
def test_a_shift_is_found_in_both_axes(reduction):
    whole = texture((160, 220))
    here, there = whole[8:152, 8:200], whole[4:148, 14:206]
    flow = flow_between(here, there, reduction)  # p in here is at p + (-6, +4) in there
    assert np.abs(middle(flow) - [-6, 4]).mean() < 0.1
    assert np.abs(middle(warped(there, flow)).astype(int) - middle(here)).mean() < 1.5


def test_pictures_of_odd_and_tiny_sizes_have_a_flow():
    for size in ((1, 1), (1, 50), (7, 9), (33, 61), (145, 191)):
        flow = flow_between(texture(size), texture(size))
        assert flow.shape == (*size, 2)
        assert np.abs(flow).max() < 0.1
        assert warped(texture(size), flow).shape == (*size, 3)


def test_threads_do_not_change_the_flow():
    here, there = (reduced(texture(seed=seed)) for seed in (1, 2))
    alone = gray_flow(here, there)
    with ThreadPoolExecutor(4) as pool:
        flows = list(pool.map(lambda _: gray_flow(here, there), range(8)))
    assert all(np.array_equal(alone, flow) for flow in flows)


@pytest.mark.parametrize("kernel", ["linear", "cubic", "lanczos"])
def test_whole_pixels_are_copied_exactly(kernel):
    picture = texture()
    brought = warped(picture, constant(5, -3), kernel)
    assert brought.dtype == picture.dtype
    assert np.array_equal(brought[3:, :-5], picture[:-3, 5:])
    assert warped(picture[..., 0].astype(np.float32), constant(0, 0), kernel).dtype == np.float32


def test_sharper_kernels_keep_more():
    picture = texture()
    away, home = constant(0.5, 0.5), constant(-0.5, -0.5)

    def lost(kernel):
        back = warped(warped(picture, away, kernel), home, kernel)
        return np.abs(middle(back).astype(int) - middle(picture)).mean()

    assert lost("lanczos") < lost("cubic") < lost("linear")


def test_flows_in_a_row_make_one():
    down, across = np.mgrid[0:144, 0:192].astype(np.float32)
    turning = np.stack([0.02 * (down - 72), -0.02 * (across - 96)], axis=-1)
    both = composed(constant(3, 2), turning)
    expected = constant(3, 2) + np.stack([0.02 * (down + 2 - 72), -0.02 * (across + 3 - 96)], -1)
    assert np.abs(middle(both) - middle(expected)).max() < 1e-3


def test_a_reduced_flow_grows_with_the_picture():
    grown = at_size(constant(2, -1, (72, 64)), SIZE)
    assert grown.shape == (*SIZE, 2)
    assert np.allclose(grown, [6, -2])


def test_what_comes_from_outside_is_known():
    held = inside(constant(10, 0))
    assert held[:, :182].all()
    assert not held[:, 182:].any()


def test_the_formulas_are_those_of_the_papers():
    flow, back = constant(4, 3), constant(-4, -3)
    assert not disagreeing(flow, back).any()
    # |w + w'|^2 = d^2 against 0.01 (25 + |w'|^2) + 0.5
    assert not disagreeing(flow, constant(-4.9, -3)).any()  # 0.81 < 0.01 (25 + 33.01) + 0.5 = 1.08
    assert disagreeing(flow, constant(-5.1, -3)).all()  # 1.21 > 0.01 (25 + 35.01) + 0.5 = 1.10
    bent = constant(1, 0)
    bent[:, 96:, 0] = 1.1  # a step of 0.1: 0.01 < 0.01 * 1 + 0.002
    assert not motion_edges(bent).any()
    bent[:, 96:, 0] = 1.12  # 0.0144 > 0.012
    edges = motion_edges(bent)
    assert edges[:, 95].all()
    assert edges.sum() == 144


def test_what_an_object_uncovers_is_occluded():
    ground, thing = texture(), texture((64, 64), seed=3)
    here, there = ground.copy(), ground.copy()
    there[40:104, 60:124] = thing
    here[40:104, 70:134] = thing  # moved right by 10: what was below it is seen here alone
    flow, back = flow_between(here, there), flow_between(there, here)
    mask = occluded(flow, back)
    assert mask[46:98, 61:69].mean() > 0.8
    assert mask[120:].mean() < 0.02
    assert disagreeing(flow, back)[60:84, 90:114].mean() < 0.1
