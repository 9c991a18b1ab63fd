"""What a machine offers, read from files as Linux writes them."""

import os
import sys
import time
from pathlib import Path

import pytest

from engines.survey.machine import busy_seconds, cpu_quota, memory, memory_limit, processor

linux = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux's files")


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_this_machine_has_a_processor_and_memory():
    found = processor()
    assert found.name
    assert 1 <= found.threads <= found.cores <= found.cores_in_all
    if sys.platform == "linux":
        assert found.instructions
        assert memory().usable > 1 << 28


@linux
def test_instruction_sets_are_told_apart(tmp_path):
    text = "processor : 0\nmodel name : Old One\nflags : fpu sse4_2 avx avx2 fma\n"
    found = processor(_write(tmp_path, {"proc/cpuinfo": text * 2}))
    assert found.name == "Old One"
    assert found.instructions == ("avx2",)


@linux
def test_arm_says_features_in_place_of_flags(tmp_path):
    text = "processor\t: 0\nFeatures\t: fp asimd bf16 i8mm sve\nCPU part\t: 0xd40\n"
    found = processor(_write(tmp_path, {"proc/cpuinfo": text}))
    assert found.instructions == ("asimd", "sve", "bf16", "i8mm")
    assert found.name


@linux
def test_a_system_that_tells_nothing_is_no_error(tmp_path):
    assert processor(tmp_path).name
    assert memory(tmp_path).usable is None
    assert cpu_quota(tmp_path) is None


@linux
def test_the_least_limit_on_the_way_up_counts(tmp_path):
    top = "sys/fs/cgroup"
    _write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user/job\n",
            "proc/meminfo": "MemTotal:  16777216 kB\nMemAvailable: 8388608 kB\n",
            f"{top}/user/job/memory.max": "max\n",
            f"{top}/user/job/cpu.max": "max 100000\n",
            f"{top}/user/memory.max": "2147483648\n",
            f"{top}/user/cpu.max": "150000 100000\n",
        },
    )
    assert memory_limit(tmp_path) == 2 << 30
    assert cpu_quota(tmp_path) == 1.5
    found = memory(tmp_path)
    assert (found.total, found.available, found.usable) == (16 << 30, 8 << 30, 2 << 30)


@linux
def test_cgroups_of_version_1(tmp_path):
    top = "sys/fs/cgroup"
    _write(
        tmp_path,
        {
            # A container sees its own folder as the topmost, but its path from outside.
            "proc/self/cgroup": "7:memory:/docker/abc\n6:cpu,cpuacct:/docker/abc\n0::/\n",
            f"{top}/memory/memory.limit_in_bytes": "1073741824\n",
            f"{top}/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
            f"{top}/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    assert memory_limit(tmp_path) == 1 << 30
    assert cpu_quota(tmp_path) == 2.0
    _write(
        tmp_path,
        {
            f"{top}/memory/memory.limit_in_bytes": "9223372036854771712\n",  # none
            f"{top}/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        },
    )
    assert memory_limit(tmp_path) is None
    assert cpu_quota(tmp_path) is None


@linux
def test_the_work_of_this_process_is_part_of_what_the_cores_did():
    before, own = busy_seconds(), time.process_time()
    while time.process_time() - own < 0.1:
        pass
    assert busy_seconds() - before >= 0.05  # counted in hundredths


@linux
def test_cores_that_this_process_may_not_use_do_not_count(tmp_path, monkeypatch):
    lines = (
        "cpu 9 9 9 9 9 9 9 9 0 0\ncpu0 100 0 50 999 999 10 20 20 0 0\ncpu1 7 0 0 9 9 0 0 0 0 0\n"
    )
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0})
    ticks = os.sysconf("SC_CLK_TCK")
    assert busy_seconds(_write(tmp_path, {"proc/stat": lines})) == 200 / ticks
    assert busy_seconds(tmp_path / "nowhere") is None
