"""NVIDIA's driver library and its GPUs, asked in a child: where it is broken a call crashes or hangs.

No package of NVIDIA's is needed for it. This file is also the child's program.
"""

import ctypes
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from engines.survey.probing import ask, reply

NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU. `capability` is its compute capability, (9, 0) for Hopper."""

    name: str
    capability: tuple[int, int]
    bytes: int


@dataclass(frozen=True, slots=True)
class Driver:
    """`version` is the driver's own, empty where not told; `cuda` the newest CUDA that it runs."""

    version: str
    cuda: tuple[int, int]
    gpus: tuple[Gpu, ...]

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Driver":
        """From what `nvidia` gives."""
        gpus = (
            Gpu(gpu["name"], (gpu["capability"][0], gpu["capability"][1]), gpu["bytes"])
            for gpu in facts["gpus"]
        )
        cuda = (facts["cuda"] // 1000, facts["cuda"] % 1000 // 10)
        return cls(facts["driver"], cuda, tuple(gpus))


@cache
def driver() -> Driver | None:
    """The driver of this machine, asked once; None where there is none.

    Raises OSError for a driver that fails, hangs or crashes.
    """
    if not _installed():
        return None
    answer = ask("engines.survey.driver", "nvidia", seconds=20)
    if answer.problem:
        raise OSError(answer.problem)
    return Driver.of(answer.facts)


def _installed() -> bool:
    """Whether the library is there: to load it is harmless, and spares most machines the child."""
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError as error:
        # It may be there, and not load.
        return sys.platform == "linux" and f"{_LIBRARY}: cannot open" not in str(error)
    return True


def nvidia() -> Mapping[str, Any]:
    """Ask NVIDIA's driver library for its version and its GPUs.

    Gives "installed"; if it is, "cuda" (as 13000 for 13.0), "driver" (empty where not told) and
    "gpus": name, capability [major, minor], bytes. Raises OSError for a driver that fails.
    """
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        if _installed():
            raise
        return {"installed": False}

    def call(name: str, *arguments: Any, tolerate: int = 0) -> int:
        code = int(getattr(library, name)(*arguments))
        if code not in (0, tolerate):
            text = ctypes.c_char_p()
            library.cuGetErrorName(code, ctypes.byref(text))
            said = text.value.decode(errors="replace") if text.value else "unknown error"
            raise OSError(f"{name} says {said} ({code})")
        return code

    version, count = ctypes.c_int(0), ctypes.c_int(0)
    gpus = []
    nothing = call("cuInit", 0, tolerate=NO_DEVICE)
    call("cuDriverGetVersion", ctypes.byref(version))
    if not nothing:
        call("cuDeviceGetCount", ctypes.byref(count), tolerate=NO_DEVICE)
    for number in range(count.value):
        device, size = ctypes.c_int(0), ctypes.c_size_t(0)
        name = ctypes.create_string_buffer(256)
        capability = [ctypes.c_int(0), ctypes.c_int(0)]
        call("cuDeviceGet", ctypes.byref(device), number)
        call("cuDeviceGetName", name, len(name), device)
        for attribute, value in zip((75, 76), capability, strict=True):  # major, minor
            call("cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
        call("cuDeviceTotalMem_v2", ctypes.byref(size), device)
        gpus.append(
            {
                "name": name.value.decode(errors="replace"),
                "capability": [value.value for value in capability],
                "bytes": size.value,
            }
        )
    return {"installed": True, "cuda": version.value, "driver": _version(), "gpus": gpus}


def _version() -> str:
    """The driver's own version by NVIDIA's management library, "" where that is not to be had."""
    name = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
    try:
        library = ctypes.CDLL(name)
    except OSError:
        return ""
    text = ctypes.create_string_buffer(80)
    if library.nvmlInit_v2() or library.nvmlSystemGetDriverVersion(text, len(text)):
        return ""
    return text.value.decode(errors="replace")


if __name__ == "__main__":
    reply({"nvidia": nvidia})
