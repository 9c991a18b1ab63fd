"""What the machine offers an engine: instruction sets, cores and memory that may be used."""

import ctypes
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

INSTRUCTIONS = (
    "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_bf16", "amx_int8",
    "asimd", "sve", "bf16", "i8mm",
)  # fmt: skip
"""Those that decide how fast a convolution runs, as Linux calls them; the last row is ARM's."""

# NumPy's names for groups of them, where the system itself does not tell.
_GROUPS = {
    "AVX2": ("avx2",),
    "X86_V3": ("avx2",),
    "AVX512F": ("avx512f",),
    "X86_V4": ("avx512f",),
    "AVX512_SKX": ("avx512f",),
    "AVX512_ICL": ("avx512f", "avx512_vnni"),
    "AVX512_SPR": ("avx512_fp16",),
    "ASIMD": ("asimd",),
    "SVE": ("sve",),
}
_APPLE = {"avx2_0": "avx2", "avx512f": "avx512f", "AdvSIMD": "asimd", "FEAT_BF16": "bf16",
          "FEAT_I8MM": "i8mm"}  # fmt: skip

_NO_LIMIT = 1 << 60  # cgroup v1 writes "none" as a number near 2**63


@dataclass(frozen=True, slots=True)
class Processor:
    """`cores` are those that this process may run on; `quota` is how many of them it may fill."""

    name: str
    architecture: str
    instructions: tuple[str, ...]
    """of INSTRUCTIONS, those that are there"""
    cores: int
    cores_in_all: int
    quota: float | None
    """processors' worth of time that the cgroup allows; None without a limit"""

    @property
    def threads(self) -> int:
        """The number of threads that can work at once."""
        return self.cores if self.quota is None else min(self.cores, math.ceil(self.quota))


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. None is what the system does not tell; `limit` is the cgroup's, None without one."""

    total: int | None
    available: int | None
    limit: int | None

    @property
    def usable(self) -> int | None:
        """The most that a program may have: the machine's, or less by the limit."""
        known = [size for size in (self.total, self.limit) if size is not None]
        return min(known, default=None)


def processor(root: Path = Path("/")) -> Processor:
    """The processor of this machine. `root` holds Linux's `proc` and `sys`. Raises nothing."""
    if sys.platform == "darwin":
        name, instructions = _apple_processor()
    else:
        name, instructions = _linux_processor(_text(root / "proc/cpuinfo"))
    if not instructions:
        instructions = _numpy_instructions()
    in_all = os.cpu_count() or 1
    affinity = getattr(os, "sched_getaffinity", None)
    return Processor(
        name or platform.processor() or platform.machine() or "unknown",
        platform.machine(),
        tuple(known for known in INSTRUCTIONS if known in instructions),
        len(affinity(0)) if affinity else in_all,
        in_all,
        cpu_quota(root),
    )


def memory(root: Path = Path("/")) -> Memory:
    """The memory of this machine and what this process may have of it. Raises nothing."""
    total = available = None
    if sys.platform == "win32":
        total, available = _windows_memory()
    elif sys.platform == "darwin":
        size = _sysctl("hw.memsize")
        total = int(size) if size.isdigit() else None
    else:
        kilobytes = dict(
            re.findall(r"^(\w+):\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
        )
        total, available = (
            int(kilobytes[key]) << 10 if key in kilobytes else None
            for key in ("MemTotal", "MemAvailable")
        )
    limit = memory_limit(root)
    if limit is not None and total is not None and limit >= total:
        limit = None
    return Memory(total, available, limit)


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Processors' worth of time that the cgroups of this process allow, the least of all levels."""
    quotas = []
    for folder in _cgroups(root, "cpu"):
        quota, period, *_ = *_text(folder / "cpu.max").split(), "", ""  # version 2
        if not quota:  # version 1
            quota = _text(folder / "cpu.cfs_quota_us").strip()
            period = _text(folder / "cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit(root: Path = Path("/")) -> int | None:
    """Bytes that the cgroups of this process allow, the least of all levels."""
    limits = [
        int(text)
        for folder in _cgroups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (text := _text(folder / name).strip()).isdigit() and int(text) < _NO_LIMIT
    ]
    return min(limits, default=None)


def busy_seconds(root: Path = Path("/")) -> float | None:
    """Seconds that the cores this process may use have worked for anyone since the machine started.

    None where the system does not say (other than Linux).
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    own = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    ticks = 0
    for line in _text(root / "proc/stat").splitlines():
        name, *counts = line.split()
        if name in own:
            user, nice, system, _idle, _waiting, *others = map(int, counts[:8])
            ticks += user + nice + system + sum(others)  # interrupts, and what a host took away
    return ticks / os.sysconf("SC_CLK_TCK") if ticks else None


def _cgroups(root: Path, controller: str) -> Iterable[Path]:
    """The folders of this process's cgroups for a controller, from its own up to the topmost.

    A container may see only its own folder, as if it were the topmost, while its path tells of
    those above: those that are not there have no files, and do no harm.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        mounts = (controllers, controller) if controllers else ("", "unified")
        for mount in dict.fromkeys(mounts):
            top = root / "sys/fs/cgroup" / mount
            folder = top / path.lstrip("/")
            yield folder
            if folder != top:
                yield from (above for above in folder.parents if above.is_relative_to(top))


def _linux_processor(cpuinfo: str) -> tuple[str, set[str]]:
    facts: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = facts.get("flags") or facts.get("Features") or ""
    return facts.get("model name") or facts.get("Model") or "", set(flags.split())


def _apple_processor() -> tuple[str, set[str]]:
    lines = (line.partition(": ") for line in _sysctl("hw.optional", names=True).splitlines())
    there = {key.rpartition(".")[2] for key, _, value in lines if value.strip() == "1"}
    known = {ours for theirs, ours in _APPLE.items() if theirs in there}
    return _sysctl("machdep.cpu.brand_string"), known


def _numpy_instructions() -> set[str]:
    found = np.show_config(mode="dicts") or {}
    extensions = found.get("SIMD Extensions", {})
    names = [*extensions.get("baseline", []), *extensions.get("found", [])]
    return {known for name in names for known in _GROUPS.get(name, ())}


def _sysctl(name: str, names: bool = False) -> str:
    command = ["sysctl", name] if names else ["sysctl", "-n", name]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip()


def _windows_memory() -> tuple[int | None, int | None]:
    """Total and available bytes by GlobalMemoryStatusEx."""
    words = (ctypes.c_uint64 * 8)()  # two 32-bit fields, then total, available and five more
    ctypes.cast(words, ctypes.POINTER(ctypes.c_uint32))[0] = ctypes.sizeof(words)
    windows = getattr(ctypes, "windll", None)
    if windows is None or not windows.kernel32.GlobalMemoryStatusEx(ctypes.byref(words)):
        return None, None
    return int(words[1]), int(words[2])


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
