"""Fades to black stay dark and calm; ordinary pictures are as instance norm makes them."""

from dataclasses import replace

import numpy as np
import pytest

from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.library import find_model

SIZE = (64, 96)
COLOURS = {"black": (0, 0, 0), "grey": (128, 128, 128), "white": (255, 255, 255)}


@pytest.fixture(scope="module", params=["summer2winter", "winter2summer"])
def model(request):
    return find_model(request.param)


@pytest.fixture(scope="module", params=["fp32", "auto"])
def engine(request, model):
    wanted = EngineRequest("openvino", precision=request.param, size=SIZE, streams=1)
    with open_engine(model, wanted) as engine:
        yield engine


def _flat(colour, noise):
    rng = np.random.default_rng(0)
    grain = rng.integers(-noise, noise + 1, (1, *SIZE, 3))
    return np.clip(np.array(colour) + grain, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("colour", COLOURS)
def test_noise_is_not_blown_up(engine, colour):
    calm, noisy = (engine(_flat(COLOURS[colour], noise))[0].astype(float) for noise in (0, 1))
    inner = (slice(16, -16), slice(16, -16))
    assert np.abs(calm - noisy)[inner].mean() < 2  # plain instance norm: above 40
    assert np.abs(calm.mean() - COLOURS[colour][0]) < 35


def test_a_fade_gets_darker_without_a_jump(engine, check_picture):
    levels = [
        engine(np.round(check_picture[None] * share).astype(np.uint8)).mean()
        for share in np.linspace(0.5, 0, 21)
    ]
    assert levels[-1] < 25
    assert max(np.diff(levels)) < 20
    assert max(-np.diff(levels)) < 40


def test_ordinary_pictures_are_as_without_the_rule(model, check_picture, assert_close):
    plain = replace(model, mean=None, std=None)
    results = []
    for kind in (model, plain):
        wanted = EngineRequest("openvino", precision="fp32", streams=1)
        with open_engine(kind, wanted) as engine:
            results.append(engine(check_picture[None]))
    assert_close(results[0], results[1], 1, 65)
