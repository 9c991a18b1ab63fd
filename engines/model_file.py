"""A generator on disk: weights, spec and card in one .safetensors file."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from engines.atomic import replacing
from engines.errors import UserError
from engines.layers import Layer
from engines.spec import ANOTHER_MODEL, EPSILON, SPEC_KEYS, GeneratorSpec

Array = NDArray[Any]

CHECKPOINTS = (".pth", ".pt")
"""How PyTorch's own files end."""

_MOST_HEADER = 100_000_000  # bytes, as the library has it

_STATISTICS = ("statistics.mean", "statistics.std")


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A generator with its weights.

    `weights` maps the keys of `spec.shapes` to arrays as stored (float16 or float32). `mean` and `std` are float32 `[statistics_channels]`: what each channel typically is in
    front of its norm (bias included), over many pictures; both None for a model that never measured
    them. `card` holds what people should know: does, data, terms, recipe, images_seen and so on.
    """

    name: str
    spec: GeneratorSpec
    weights: Mapping[str, Array]
    mean: NDArray[np.float32] | None = None
    std: NDArray[np.float32] | None = None
    card: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
    path: Path | None = None

    def weight(self, key: str) -> NDArray[np.float32]:
        """One array in float32."""
        return np.asarray(self.weights[key], np.float32)

    def bias(self, layer: Layer) -> NDArray[np.float32]:
        """The bias of a layer's convolution, 0 where it has none."""
        if layer.bias:
            return self.weight(f"{layer.key}.bias")
        return np.zeros(layer.outputs * layer.phases, np.float32)

    def gain_and_offset(self) -> NDArray[np.float64]:
        """What multiplies and is added behind every norm that goes by the picture, `[2, C]`.

        The weight and bias of batch norms; 1 and 0 for instance norm.
        """
        rows = [
            [self.weight(f"{layer.norm_key}.{name}") for name in ("weight", "bias")]
            if layer.affine
            else [np.ones(layer.outputs), np.zeros(layer.outputs)]
            for layer in self.spec.layers
            if layer.normalises
        ]
        return np.concatenate([np.empty((2, 0)), *rows], axis=1)

    def typical_statistics(self) -> NDArray[np.float32] | None:
        """The typical scale and shift of each channel, float32 `[1, 2, statistics_channels]`.

        It is what an engine of the form "statistics" takes. None when the file carries none.
        """
        if self.mean is None or self.std is None:
            return None
        gain, offset = self.gain_and_offset()
        scale = gain / np.sqrt(self.std.astype(np.float64) ** 2 + EPSILON)
        return np.stack([scale, offset - self.mean * scale])[None].astype(np.float32)


def read_model(path: Path) -> Model:
    """Read a model file and check all of it against its own description.

    Nothing in the file is ever executed. Raises UserError for a file that is missing, truncated,
    of another kind, or whose arrays are not those of the generator it describes.
    """
    try:
        # Opened once: a file that is replaced meanwhile must not give its hash to other weights.
        with path.open("rb") as file:
            content = file.read(8)
            if (
                int.from_bytes(content, "little") <= _MOST_HEADER
            ):  # else a film, say: not to be read
                content += file.read()
        arrays: dict[str, Array] = load(content)
        metadata: dict[str, str] = _header(content).get("__metadata__") or {}
    except FileNotFoundError as error:
        raise UserError(f"There is no model file {path}", "Check the path") from error
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: bf16 and other dtypes
        mend = ANOTHER_MODEL
        if path.suffix in CHECKPOINTS:
            mend = f"If it is a checkpoint, make a model of it: cgvideo models import {path}"
        raise UserError(f"{path} is not a model file, or a damaged one ({error})", mend) from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error})", "Check the file"
        ) from error
    spec = GeneratorSpec.from_metadata(metadata)
    _check(spec, arrays, str(path))
    mean, std = (
        np.asarray(arrays.pop(key), np.float32) if key in arrays else None for key in _STATISTICS
    )
    card = {key: value for key, value in metadata.items() if key not in SPEC_KEYS | {"name"}}
    sha256 = hashlib.sha256(content).hexdigest()
    return Model(_name(metadata, path), spec, arrays, mean, std, card, sha256, path)


def _name(metadata: Mapping[str, str], path: Path) -> str:
    """What the file calls itself, if that can be part of a file's name; else its own name."""
    name = metadata.get("name", "")
    return path.stem if not name or re.search(r"[/\\\x00-\x1f]", name) else name


def write_model(path: Path, model: Model) -> None:
    """Write `model` to `path`, wholly or not at all; `model.sha256` and `model.path` are ignored.

    Raises UserError when the arrays are not those of `model.spec`.
    """
    arrays = {key: np.ascontiguousarray(array) for key, array in model.weights.items()}
    for key, values in zip(_STATISTICS, (model.mean, model.std), strict=True):
        if values is not None:
            arrays[key] = np.ascontiguousarray(values, np.float32)
    _check(model.spec, arrays, str(path))
    metadata = model.spec.to_metadata() | dict(model.card) | {"name": model.name}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as scratch:
        scratch.write_bytes(_reproducible(save(arrays, metadata)))


def _reproducible(file: bytes) -> bytes:
    """The same .safetensors with its metadata in order: the library's own order changes each run."""
    end = 8 + int.from_bytes(file[:8], "little")
    header = _header(file)
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + file[end:]


def _header(file: bytes) -> dict[str, Any]:
    """The description in front of the arrays."""
    end = 8 + int.from_bytes(file[:8], "little")
    header: dict[str, Any] = json.loads(file[8:end])
    return header


def _check(spec: GeneratorSpec, arrays: Mapping[str, Array], path: str) -> None:
    """Raise UserError unless `arrays` are exactly those that `spec` needs, finite and of its shapes."""
    shapes = spec.shapes
    if any(key in arrays for key in _STATISTICS):
        shapes |= dict.fromkeys(_STATISTICS, (spec.statistics_channels,))
    problem = ""
    if missing := sorted(shapes.keys() - arrays.keys()):
        problem = f"lacks {missing[0]}"
    elif surplus := sorted(arrays.keys() - shapes.keys()):
        problem = f"holds {surplus[0]}, which its generator has not"
    for key, shape in shapes.items():
        if problem:
            raise UserError(f"{path} {problem} (it says: {spec.description})", ANOTHER_MODEL)
        array = arrays[key]
        if array.shape != shape:
            problem = f"has {key} of shape {list(array.shape)} in place of {list(shape)}"
        elif array.dtype not in (np.float16, np.float32):
            problem = f"has {key} as {array.dtype}, which is not float16 or float32"
        elif not np.isfinite(array).all():
            problem = f"has numbers in {key} that are not finite"
        elif key == "statistics.std" and (array <= 0).any():
            problem = "has typical deviations that are not positive"
        elif key.endswith(".running_var") and (array < 0).any():
            problem = f"has variances in {key} that are negative"
    if problem:
        raise UserError(f"{path} {problem}", ANOTHER_MODEL)
