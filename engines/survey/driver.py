"""What NVIDIA's driver library says of itself and its GPUs: no package of NVIDIA's is needed.

A driver that is broken may crash or hang here; `engines.survey.probes` asks in a child.
"""

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_MAJOR, _MINOR = 75, 76  # attributes of a device: its compute capability


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU. `capability` is its compute capability, (9, 0) for Hopper."""

    name: str
    capability: tuple[int, int]
    bytes: int


@dataclass(frozen=True, slots=True)
class Driver:
    """`cuda` is the newest CUDA that the driver runs, as 13000 for 13.0."""

    cuda: int
    gpus: tuple[Gpu, ...]


def driver() -> Driver | None:
    """Ask the driver; None where there is none. Raises OSError for one that fails."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError as error:
        if sys.platform == "linux" and "libcuda.so.1: cannot open" not in str(error):
            raise  # it is there, and does not load
        return None

    def call(name: str, *arguments: Any, tolerate: int = 0) -> int:
        code = int(getattr(library, name)(*arguments))
        if code not in (0, tolerate):
            text = ctypes.c_char_p()
            library.cuGetErrorName(code, ctypes.byref(text))
            said = text.value.decode(errors="replace") if text.value else "unknown error"
            raise OSError(f"{name} says {said} ({code})")
        return code

    version, count = ctypes.c_int(0), ctypes.c_int(0)
    nothing = call("cuInit", 0, tolerate=NO_DEVICE)
    call("cuDriverGetVersion", ctypes.byref(version))
    if not nothing:
        call("cuDeviceGetCount", ctypes.byref(count), tolerate=NO_DEVICE)
    gpus = []
    for number in range(count.value):
        device, size = ctypes.c_int(0), ctypes.c_size_t(0)
        name = ctypes.create_string_buffer(256)
        major, minor = ctypes.c_int(0), ctypes.c_int(0)
        call("cuDeviceGet", ctypes.byref(device), number)
        call("cuDeviceGetName", name, len(name), device)
        for attribute, value in ((_MAJOR, major), (_MINOR, minor)):
            call("cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
        call("cuDeviceTotalMem_v2", ctypes.byref(size), device)
        text = name.value.decode(errors="replace")
        gpus.append(Gpu(text, (major.value, minor.value), size.value))
    return Driver(version.value, tuple(gpus))
