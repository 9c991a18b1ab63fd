"""The device, precision and layout that a run gets."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from tiny_run import tiny
from torch import nn

from engines.errors import UserError
from trainer import hardware as module
from trainer.cyclegan import CycleGan
from trainer.hardware import hardware


def on(instructions: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "processor", lambda: SimpleNamespace(instructions=instructions))


@pytest.fixture(autouse=True)
def denormals_are_kept_elsewhere():
    yield
    torch.set_flush_denormal(False)


@pytest.mark.parametrize(
    ("instructions", "bf16"),
    [(("avx2",), False), (("avx512f",), False), (("avx512f", "avx512_bf16"), True),
     (("amx_bf16",), True)],
)  # fmt: skip
def test_bf16_is_for_cpus_that_have_it(
    domains: dict, instructions: tuple, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(instructions, monkeypatch)
    chosen = hardware(tiny(domains, precision="auto"))
    assert (chosen.bf16, chosen.channels_last, chosen.compiled) == (bf16, bf16, False)
    assert not hardware(tiny(domains, precision="fp32")).bf16
    assert hardware(tiny(domains, precision="bf16")).bf16
    assert "CPU" in str(chosen)


def test_networks_take_the_layout(domains: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    on(("amx_bf16",), monkeypatch)
    network = nn.Conv2d(4, 4, 3)
    hardware(tiny(domains, precision="auto")).place(network)
    assert network.weight.is_contiguous(memory_format=torch.channels_last)
    assert network.weight.dtype == torch.float32


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_told(domains: dict, device: str) -> None:
    with pytest.raises(UserError, match=f"cannot use the device '{device}'") as raised:
        hardware(tiny(domains, device=device))
    assert "\n" not in str(raised.value)


def test_denormals_are_flushed_on_cpus(domains: dict) -> None:
    hardware(tiny(domains))
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush denormals")
    assert float(torch.tensor(1e-30) * 1e-10) == 0


ALONE = """
import sys
from pathlib import Path
from tiny_run import run, tiny
run(tiny(dict(source=sys.argv[1], target=sys.argv[2]), images=1), Path(sys.argv[3]))
others = {"cgvideo", "av", "openvino", "onnx", "onnxruntime", "cv2", "rich", "typer", "platformdirs",
          "filelock"}
assert not others & set(sys.modules), others & set(sys.modules)
"""


def test_it_trains_with_torch_numpy_pillow_and_safetensors_alone(domains: dict, tmp_path) -> None:
    subprocess.run(
        [sys.executable, "-c", ALONE, domains["source"], domains["target"], str(tmp_path)],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )
    assert (tmp_path / "models" / "blue2orange.safetensors").is_file()


def test_compiled_where_wanted_and_eager_where_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler is a stand-in: this does not need one."""
    asked: list[bool] = []

    def compiler(function, **options):
        asked.append(options["dynamic"])
        return lambda values: function(values) + 100

    compiled = module.Hardware(torch.device("cpu"), False, False, True)
    monkeypatch.setattr(torch, "compile", compiler)
    assert [compiled.fast(abs)(-3), asked] == [103, [False]]

    def broken(function, **options):
        def fails(values):
            raise RuntimeError("no compiler\nat all")

        return fails

    monkeypatch.setattr(torch, "compile", broken)
    function = compiled.fast(abs)
    with pytest.warns(UserWarning, match=r"not compiled.*\(no compiler\)"):
        assert function(-3) == 3
    assert function(-4) == 4  # said once
    eager = module.Hardware(torch.device("cpu"), False, False, False)
    assert eager.fast(abs) is abs


def test_a_step_of_cyclegan_runs_compiled(domains: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    monkeypatch.setattr(
        torch, "compile", lambda function, **_: names.append(function.__name__) or function
    )
    CycleGan(tiny(domains), module.Hardware(torch.device("cpu"), False, False, True))
    assert names == ["generator_losses", "discriminator_losses"]
