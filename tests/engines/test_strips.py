"""Statistics in strips are those of the whole picture."""

import numpy as np
import pytest
from generators import SMALL, random_model

from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.library import find_model
from engines.spec import GeneratorSpec
from engines.strips import StripMeasurer
from engines.verify import held_frames


def _whole(model, frame):
    request = EngineRequest("openvino", "cpu", "fp32", streams=1, form="measure")
    with open_engine(model, request) as engine:
        return engine(frame)


def _relative(found, expected):
    return (np.abs(found - expected) / np.maximum(np.abs(expected), 0.1)).max()


@pytest.mark.parametrize(
    "spec",
    [
        SMALL,
        GeneratorSpec(base_channels=4, blocks=1, norm="batch_picture", upsampling="resize"),
        GeneratorSpec(base_channels=4, blocks=1, upsampling="subpixel"),
        GeneratorSpec("compact", base_channels=4, blocks=2),
        GeneratorSpec("compact", base_channels=4, blocks=1, reduction=8),
    ],
    ids=lambda spec: spec.description,
)
def test_in_strips_as_in_one(spec):
    model = random_model(spec)
    frame = next(iter(held_frames(model.spec, (128, 176))))
    found = StripMeasurer(model, strip_pixels=4000)(frame)
    assert found.shape == (1, 2, spec.statistics_channels)
    assert found.dtype == np.float32
    assert _relative(found, _whole(model, frame)) < 1e-4


@pytest.mark.slow
def test_strips_agree_with_one_another():
    model = random_model(SMALL, typical=False)
    frame = next(iter(held_frames(model.spec, (160, 60))))
    one, two = (StripMeasurer(model, strip_pixels=size)(frame) for size in (2000, 100_000))
    assert _relative(one, two) < 1e-5


def test_deep_pixels_are_measured_as_they_are():
    model = random_model(SMALL)
    frame = next(iter(held_frames(model.spec, (64, 96))))
    measure = StripMeasurer(model, strip_pixels=3000)
    assert _relative(measure((frame / 255).astype(np.float32)), measure(frame)) < 1e-4


def test_flat_frames_follow_the_rule_of_the_engines():
    model = random_model(GeneratorSpec(base_channels=4, blocks=1))
    frame = next(iter(held_frames(model.spec, (64, 96)))).astype(np.float64)
    frame = ((frame - 128) * 0.2 + 128).astype(np.uint8)
    found = StripMeasurer(model, strip_pixels=3000)(frame)
    assert _relative(found, _whole(model, frame)) < 1e-4


@pytest.mark.parametrize("spec", [GeneratorSpec(norm="none"), GeneratorSpec("unet", blocks=4)])
def test_what_has_no_such_statistics_is_refused(spec):
    with pytest.raises(ValueError, match="not measured in strips"):
        StripMeasurer(random_model(GeneratorSpec(spec.family, 2, spec.blocks, spec.norm)))


@pytest.mark.slow
def test_at_1080p():
    model = find_model("summer2winter")
    frame = next(iter(held_frames(model.spec, (1080, 1920))))
    assert _relative(StripMeasurer(model)(frame), _whole(model, frame)) < 1e-4
