"""Damaged files of every kind that the program reads, by formula: a kind and a number give the bytes."""

import io
import random
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from clips import make_clip
from generators import SMALL, random_model
from PIL import Image

from engines.model_file import write_model

MEDIA = (".mp4", ".mkv", ".mov", ".ts", ".avi", ".webm")
PICTURES = (".png", ".jpg", ".webp", ".tiff", ".gif", ".bmp")
MODELS = (".safetensors", ".pth")
SETTINGS = (".toml",)
WORK = ("journal", "part", "choices", "manifest")
"""Files of unfinished work: the victim damages its own."""
KINDS = (*MEDIA, *PICTURES, *MODELS, *SETTINGS, *WORK)
_TOML = b"""name = "a"
source = "a/trainA"
target = "a/trainB"
crop = 64
load_size = 72
learning_rate = 0.0002
adversarial = "lsgan"
"""
EXTREMES = [
    bytes(8),
    b"\xff" * 8,
    b"\x7f" + b"\xff" * 7,
    b"\x80" + bytes(7),
    b"\x00\x00\x00\x01" * 2,
]


def mutant(kind: str, number: int) -> bytes:
    """The `number`-th damaged file of a kind; below 0 the sound one."""
    if number < 0:
        return seed_of(kind)
    content = damaged(seed_of(kind), f"{kind} {number}")
    return _with_sums(content) if kind == ".png" else content


def damaged(sound: bytes, name: str) -> bytes:
    """Bytes with some damage; the name says which.

    Most of a file is payload, which decoders conceal, so half of all damage goes where headers are.
    """
    rng, content = random.Random(name), bytearray(sound)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        rng.choice(WAYS)(rng, content)
    return bytes(content)


def _with_sums(png: bytes) -> bytes:
    """With checksums that are right, or no damage would get past them."""
    content, at = bytearray(png), 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4])
        end = at + 8 + size
        if end + 4 > len(content):
            break
        content[end : end + 4] = zlib.crc32(content[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(content)


def _place(rng: random.Random, content: bytearray) -> int:
    length = max(1, len(content))
    near = rng.random() < 0.5
    place = rng.randrange(min(length, 600)) if near else rng.randrange(length)
    return length - 1 - place if rng.random() < 0.2 else place


def _flip(rng: random.Random, content: bytearray) -> None:
    if content:
        content[_place(rng, content)] ^= 1 << rng.randrange(8)


def _extreme(rng: random.Random, content: bytearray) -> None:
    place, size = _place(rng, content), rng.choice([1, 2, 4, 8])
    content[place : place + size] = rng.choice(EXTREMES)[:size]


def _noise(rng: random.Random, content: bytearray) -> None:
    place, size = _place(rng, content), rng.randrange(1, 64)
    content[place : place + size] = rng.randbytes(size)


def _cut(rng: random.Random, content: bytearray) -> None:
    del content[max(1, len(content) * rng.randrange(20, 100) // 100) :]


def _drop(rng: random.Random, content: bytearray) -> None:
    place = _place(rng, content)
    del content[place : place + rng.randrange(1, 200)]


def _repeat(rng: random.Random, content: bytearray) -> None:
    place, size = _place(rng, content), rng.randrange(1, 400)
    content[place:place] = content[place : place + size] * rng.choice([1, 3])


def _number(rng: random.Random, content: bytearray) -> None:
    """Another number where text has one."""
    places = [at for at, byte in enumerate(content) if chr(byte).isdigit()]
    if places:
        wanted = rng.choice([b"-1", b"0", b"1e999", b"99999999999999999999", b"NaN", b"null", b'"'])
        place = rng.choice(places)
        content[place : place + 1] = wanted


WAYS: list[Callable[[random.Random, bytearray], None]] = [
    _flip, _flip, _extreme, _extreme, _noise, _cut, _drop, _repeat, _number,
]  # fmt: skip


@cache
def seed_of(kind: str) -> bytes:
    """A sound file of a kind."""
    if kind in MEDIA:
        return _clip(kind)
    if kind in PICTURES:
        return _picture(kind)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"seed{kind}"
        match kind:
            case ".safetensors":
                write_model(path, random_model(SMALL))
            case ".pth":
                import torch

                model = random_model(SMALL, typical=False)
                torch.save({key: torch.tensor(each) for key, each in model.weights.items()}, path)
            case _:
                return _TOML
        return path.read_bytes()


def _clip(suffix: str) -> bytes:
    codecs = {".webm": "libvpx", ".avi": "mpeg4"}
    sound = {".webm": None, ".avi": "mp3"}
    with tempfile.TemporaryDirectory() as folder:
        path = make_clip(
            Path(folder) / f"seed{suffix}", 12, codec=codecs.get(suffix, "libx264"),
            audio=sound.get(suffix, "aac"),
        )  # fmt: skip
        return path.read_bytes()


def _picture(suffix: str) -> bytes:
    rows, columns = np.mgrid[:48, :64]
    pixels = np.stack([rows * 5, columns * 4, (rows * columns) % 256], -1).astype(np.uint8)
    image, file = Image.fromarray(pixels), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    options = {} if suffix in (".gif", ".bmp") else {"exif": exif.tobytes()}
    kind = {".jpg": "JPEG", ".tiff": "TIFF"}.get(suffix, suffix[1:].upper())
    image.save(file, kind, **options)
    return file.getvalue()
