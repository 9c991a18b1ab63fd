"""Checkpoints of the reference PyTorch project, read as models and written from them."""

import hashlib
import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from engines.atomic import replacing
from engines.errors import UserError
from engines.model_file import Array, Model
from engines.reference_layout import Layout, recognise

ImportedNorm = Literal["running", "picture"]
"""What the batch norms of an imported generator go by."""

_EXPECTED = "Give a generator's checkpoint, such as latest_net_G.pth"
_DROPOUT = {True: "yes, off at run time", False: "no", None: "not known, off at run time"}


def import_checkpoint(path: Path, name: str | None = None, norm: ImportedNorm = "running") -> Model:
    """Read a generator's `state_dict` as junyanz/pytorch-CycleGAN-and-pix2pix saves it.

    The architecture is recognised from the tensors. `name` is the file's stem unless given. Batch
    norms go by their running statistics, as with the project's `--eval`, or, with `norm` "picture",
    by each picture's own, as without it. Nothing in the file is ever executed. Raises UserError for
    whatever is not such a generator, and for "picture" where there is no batch norm.
    """
    content = _bytes_of(path)
    tensors = _state_dict(_load(content, path), path)
    layout = recognise({key: tuple(tensor.shape) for key, tensor in tensors.items()}, str(path))
    spec = layout.spec
    if norm == "picture":
        if spec.norm != "batch":
            has = {"none": "no norm"}.get(
                spec.norm, "instance norm, which always goes by the picture"
            )
            raise UserError(f"{path} has {has}", "Leave --norm out")
        spec = replace(spec, norm="batch_picture")
    weights = {ours: _array(tensors[theirs], theirs, path) for ours, theirs in layout.keys.items()}
    weights |= {key: np.zeros(spec.shapes[key], np.float32) for key in layout.left_out}
    card = {
        "does": f"imported from {path.name}",
        "data": "not stated",
        "terms": "not stated",
        "dropout": _DROPOUT[layout.dropout],
        "source": path.name,
        "source_sha256": hashlib.sha256(content).hexdigest(),
    }
    return Model(name or path.stem, spec, weights, card=card)


def export_checkpoint(model: Model, path: Path) -> str:
    """Write a model as a checkpoint that the reference project loads; gives its options for that.

    Keys are those that the project gives to a network of this kind, with dropout where the model's
    card says so. Typical statistics have no place there. Replaces what is at `path`. Raises
    UserError for a model that the project cannot have, and when the file cannot be written.
    """
    layout = _layout_of(model)
    state = {
        theirs: torch.from_numpy(np.array(model.weights[ours]))
        for ours, theirs in layout.keys.items()
    }
    state |= {key: torch.tensor(0) for key in sorted(layout.counters)}
    content = io.BytesIO()  # of a path, torch would write its (temporary) name into the file
    torch.save(state, content)
    try:
        with replacing(path) as scratch:
            scratch.write_bytes(content.getbuffer())
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error})", "Choose another place"
        ) from error
    return layout.loads_as


def _layout_of(model: Model) -> Layout:
    spec = model.spec
    dropout = model.card.get("dropout") == _DROPOUT[True] if spec.family == "resnet" else None
    layout = Layout(spec, dropout)
    problem = ""
    if spec.family == "compact":
        problem = "is a compact generator"
    elif spec.upsampling in ("resize", "subpixel"):
        problem = f"enlarges by {'resizing' if spec.upsampling == 'resize' else 'sub-pixels'}"
    elif any(model.weights[key].any() for key in layout.left_out):
        problem = "has biases but no norm"
    if problem:
        raise UserError(
            f"{model.name} {problem}, which the reference project cannot",
            "Export a model with another architecture",
        )
    return layout


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}", "Check the path") from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error})", "Check the file"
        ) from error


def _load(content: bytes, path: Path) -> Any:
    """What `content` holds: tensors, numbers, words, and lists and dictionaries of them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a foreign file's pickle; what fails is said below
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # of a foreign file, anything
        reason = str(error)
        if "TorchScript" in reason:
            raise UserError(
                f"{path} is a TorchScript archive, a program, and was not run",
                "Give the checkpoint that it was made from",
            ) from error
        if code := re.search(r"GLOBAL ([\w.]+)", reason):
            raise UserError(
                f"{path} holds code ({code[1]}) and was not run",
                "If you trust it, save its network's state_dict() alone with torch.save",
            ) from error
        raise UserError(f"{path} is not a checkpoint, or a damaged one", _EXPECTED) from error


def _state_dict(loaded: Any, path: Path) -> dict[str, Tensor]:
    """The tensors by their keys in the project, without what wrappers put in front."""
    for wrapping in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapping), Mapping):
            loaded = loaded[wrapping]
    if not isinstance(loaded, Mapping) or not all(isinstance(key, str) for key in loaded):
        raise UserError(f"{path} holds no tensors by name", _EXPECTED)
    for key, value in loaded.items():
        ordinary = isinstance(value, Tensor) and value.layout == torch.strided
        if not ordinary or value.device.type != "cpu":
            raise UserError(f"{path} holds {key}, which is not an ordinary tensor", _EXPECTED)
    return {re.sub(r"^((module|_orig_mod)\.)+", "", key): value for key, value in loaded.items()}


def _array(tensor: Tensor, key: str, path: Path) -> Array:
    """float16 as it is, all else in float32, finite."""
    if not tensor.is_floating_point():
        raise UserError(f"{path} has {key} as {tensor.dtype}, which is no real number", _EXPECTED)
    kept = tensor.dtype if tensor.dtype == torch.float16 else torch.float32
    array: Array = tensor.detach().to(kept).resolve_neg().contiguous().numpy()
    if not np.isfinite(array).all():
        raise UserError(f"{path} has numbers in {key} that are not finite", "Train it again")
    return array
