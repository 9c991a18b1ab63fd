"""The statistics of a picture that is too large to go through the generator at once: exact.

A norm needs the whole picture, but only two numbers a channel of it, and those add up over strips.
So each layer is run strip by strip until its moments are known. What is held in between are two
activations at a quarter of the size, where a residual block needs them: 48 bytes a pixel for 24x6. The ends,
at full and half size, are never held but computed anew for the layer that follows, which adds a
fifth to the arithmetic of 24x6.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.engine import check_size
from engines.graph.sections import build_section
from engines.layers import Layer
from engines.model_file import Model
from engines.openvino_runtime import load_section
from engines.spec import EPSILON, FLAT, ORDINARY, Pixels
from engines.survey.machine import processor
from engines.windows import Window, windows

STRIP_PIXELS = 1 << 19
"""A strip of the picture has about so many: 150 MB of activations for 24x6."""

Values = NDArray[np.float32]


def held_bytes(model: Model) -> int:
    """Bytes for each pixel of the picture that `StripMeasurer` holds."""
    trunk = max(layer.outputs for layer in model.spec.layers)
    return 2 * 4 * trunk // model.spec.multiple_of**2 + 4 * model.spec.input_channels


class StripMeasurer:
    """Measures as an engine of the form "measure" does, in fp32 on the CPU, in strips.

    For generators with a trunk of residual blocks and norms that go by the picture.
    """

    def __init__(
        self, model: Model, threads: int | None = None, strip_pixels: int = STRIP_PIXELS
    ) -> None:
        if not model.spec.tileable or not model.spec.statistics_channels:
            raise ValueError(f"{model.spec.description} is not measured in strips")
        self._model = model
        self._threads = threads or processor().threads
        self._strip_pixels = strip_pixels

    def __call__(self, frames: NDArray[Any]) -> Values:
        """Scale and shift float32 `[N, 2, C]` of every frame `[N, H, W, 3]`: uint8, or float32 in 0 to 1."""
        return np.concatenate([self._measured(frame) for frame in frames])

    def _measured(self, frame: NDArray[Any]) -> Values:
        height, width, _ = frame.shape
        check_size(self._model.spec, height, width)
        layers = self._model.spec.layers
        norms = _Norms(self._model)
        ends = len(layers) // 2 - self._model.spec.blocks  # layers before the blocks, and behind
        entrance, blocks, exit_ = layers[:ends], layers[ends:-ends], layers[-ends:]
        for number in range(1, ends):
            self._pass(entrance[:number], frame, norms)
        trunk = self._pass(entrance, frame, norms, kept=self._for_trunk(frame))
        _apply(trunk, norms.last)
        np.maximum(trunk, 0, out=trunk)
        inside = np.empty_like(trunk)
        for first, second in zip(blocks[::2], blocks[1::2], strict=True):
            self._pass([first], trunk, norms, kept=inside)
            self._pass([second], inside, norms, kept=inside, normed=norms.last)
            _apply(inside, norms.last)
            np.add(trunk, inside, out=trunk)
        for number in range(1, ends):
            self._pass(exit_[:number], trunk, norms)
        return norms.packed()

    def _pass(
        self,
        layers: Sequence[Layer],
        source: NDArray[Any],
        norms: "_Norms",
        kept: Values | None = None,
        normed: Values | None = None,
    ) -> Values:
        """Run these layers over all of `source` and give the last one's moments to `norms`.

        `kept`, which may be `source` itself, takes what leaves the last convolution.
        """
        entering = layers[0].key == self._model.spec.layers[0].key  # then it reads pixels
        length, width = source.shape[:2] if entering else source.shape[1:]
        reduction = self._model.spec.multiple_of
        aligned = reduction if entering else 1
        halo = _halo(layers, aligned)
        rows = self._strip_pixels // (width if entering else reduction**2 * width)
        height = max(rows // aligned * aligned, 8 * halo)
        strips = windows(length, height, halo, aligned)
        size = (strips[0].stop, width)
        pixels: Pixels = "uint8" if source.dtype == np.uint8 else "float32"
        graph = build_section(
            self._model, layers, size, normed is not None, kept is not None, pixels
        )
        run = load_section(graph, self._threads)
        enlargement = _enlargement(layers)
        statistics = [] if normed is None else [normed]
        statistics += norms.of(layers[:-1])
        means, variances = [], []  # of every row
        ahead = _Rows(source, entering)
        for strip in strips:
            counted = [round(place * enlargement) for place in (strip.kept.start, strip.kept.stop)]
            found = run([ahead.read(strip), np.array(counted), *statistics])
            means.append(found["means"][0].astype(np.float64))
            variances.append(found["variances"][0].astype(np.float64))
            if kept is not None:
                first, end = (round(place * enlargement) for place in (strip.first, strip.end))
                if kept is source:
                    ahead.remember(strip, halo)
                kept[:, first:end] = found["kept"][0]
        norms.add(layers[-1], np.concatenate(means, axis=1), np.concatenate(variances, axis=1))
        return kept if kept is not None else np.empty(0, np.float32)

    def _for_trunk(self, frame: NDArray[Any]) -> Values:
        """Room for the activation that the blocks work on."""
        height, width, reduction = *frame.shape[:2], self._model.spec.multiple_of
        channels = max(layer.outputs for layer in self._model.spec.layers)
        return np.empty((channels, height // reduction, width // reduction), np.float32)


class _Rows:
    """Strips of a picture or an activation, which may be overwritten behind the strip in hand."""

    def __init__(self, source: NDArray[Any], entering: bool) -> None:
        self._source = source
        self._entering = entering
        self._above: Values | None = None

    def read(self, strip: Window) -> NDArray[Any]:
        """A strip as a graph takes it."""
        if self._entering:
            return self._source[None, strip.start : strip.stop]
        rows = self._source[None, :, strip.start : strip.stop].copy()
        if self._above is not None:
            count = strip.first - strip.start
            rows[0, :, :count] = self._above[:, self._above.shape[1] - count :]
        return rows

    def remember(self, strip: Window, halo: int) -> None:
        """Keep the rows that the next strip reads and that are about to be overwritten."""
        self._above = self._source[:, max(strip.end - 2 * halo, 0) : strip.end].copy()


@dataclass(slots=True)
class _Norms:
    """Scale and shift of the norms so far, by the rule of `engines.spec.FLAT`."""

    model: Model
    _known: dict[str, Values] = field(default_factory=dict)
    _done: int = 0
    _own: float = 1.0

    @property
    def last(self) -> Values:
        """Those of the last norm, float32 `[2, channels]`."""
        return list(self._known.values())[-1]

    def of(self, layers: Sequence[Layer]) -> list[Values]:
        """Those of the norms behind these layers."""
        return [self._known[layer.key] for layer in layers]

    def packed(self) -> Values:
        """All of them, `[1, 2, C]`."""
        return np.concatenate(list(self._known.values()), axis=1)[None]

    def add(self, layer: Layer, means: NDArray[np.float64], variances: NDArray[np.float64]) -> None:
        """The norm behind `layer`, from the moments `[channels, rows]` of every row in front of it."""
        channels = slice(self._done, self._done + layer.outputs)
        first, self._done = not self._done, channels.stop
        # The variance of the whole is that within its rows and that between them.
        mean, variance = means.mean(axis=1), variances.mean(axis=1) + means.var(axis=1)
        if self.model.mean is not None and self.model.std is not None:
            usual = self.model.std[channels].astype(np.float64) ** 2
            if first:
                contrast = np.minimum(variance / usual, 1).mean()
                self._own = float(np.clip((contrast - FLAT) / (ORDINARY - FLAT), 0, 1)) ** 2
            typical = self.model.mean[channels].astype(np.float64)
            mean = typical + self._own * (mean - typical)
            variance = usual + self._own * (variance - usual)
        gain, offset = self.model.gain_and_offset()[:, channels]
        scale = gain / np.sqrt(variance + EPSILON)
        self._known[layer.key] = np.stack([scale, offset - mean * scale]).astype(np.float32)


def _apply(values: Values, scale_and_shift: Values) -> None:
    """Normalise an activation `[channels, H, W]` where it is, a channel at a time."""
    for channel, (scale, shift) in zip(values, scale_and_shift.T, strict=True):
        np.multiply(channel, scale, out=channel)
        np.add(channel, shift, out=channel)


def _halo(layers: Sequence[Layer], aligned: int) -> int:
    """Rows beyond its own that a strip needs on each side, a multiple of `aligned`."""
    period = max(4, aligned)
    low, high = 0, round(period * _enlargement(layers)) - 1  # the results of the first rows
    for layer in reversed(layers):
        low, high = layer.reads(low, high)
    return -(-max(-low, high - period + 1) // aligned) * aligned


def _enlargement(layers: Sequence[Layer]) -> float:
    return math.prod(layer.enlargement for layer in layers)


Measure = Callable[[NDArray[Any]], Values]
"""Frames in, scale and shift `[N, 2, C]` out."""
