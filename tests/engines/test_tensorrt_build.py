"""Plans that TensorRT for RTX really builds, without a GPU; what is in them, and how builds fail."""

import subprocess
import sys
import threading

import pytest

from engines.errors import UserError
from engines.library import find_model
from engines.profile import parse_profile
from engines.spec import GeneratorSpec
from engines.tensorrt.build import BuildOptions, Progress, build_plan, usual_capabilities
from engines.tensorrt.flavour import installed
from engines.tensorrt.network import activation_bytes, graph_for, shapes_for
from engines.tensorrt.schedule import read_schedule

pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
import tensorrt_rtx as api

FORMS = ("self", "statistics", "measure")
OPEN = "64x64:256x192:512x512"
# Older ones do not say what it is that CUDA failed at.
NO_DRIVER = "driver is missing, or older" if api.__version__ >= "1.7" else "Cuda Runtime ("


def built(model, form="self", precision="fp16", size="64x64", batch=1, capabilities=("SM89",)):
    profile = parse_profile(size, model.spec, batch)
    options = BuildOptions(
        shapes_for(model.spec, form, profile), capabilities, exact=precision == "fp32"
    )
    return build_plan(api, graph_for(model, form, precision, profile), options).content


@pytest.mark.parametrize("size", ["64x64", OPEN])
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["24x6", pytest.param("64x9", marks=pytest.mark.slow)])
def test_every_form_builds(make_model, name, form, precision, size):
    channels, blocks = map(int, name.split("x"))
    model = make_model(GeneratorSpec(base_channels=channels, blocks=blocks))
    plan = built(model, form, precision, size)
    assert plan[:4] == b"vtrt"
    schedule = read_schedule(plan)
    # Measuring stops behind the last norm, so before the last convolution.
    assert len(schedule.convolutions) == len(model.spec.layers) - (form == "measure")


@pytest.mark.parametrize(
    ("spec", "typical"),
    [
        (GeneratorSpec("unet", base_channels=8, blocks=3, norm="batch_picture"), False),
        (GeneratorSpec("unet", base_channels=8, blocks=3, norm="batch"), False),
        (GeneratorSpec(base_channels=8, blocks=1, upsampling="resize"), True),
        (GeneratorSpec(base_channels=8, blocks=1, upsampling="transpose4"), False),
        (GeneratorSpec(base_channels=8, blocks=1, upsampling="subpixel"), True),
        (GeneratorSpec("compact", base_channels=8, blocks=1), True),
        (GeneratorSpec(base_channels=8, blocks=1, norm="none"), False),
    ],
    ids=lambda value: getattr(value, "description", str(value)),
)
def test_every_family_builds(make_model, spec, typical):
    model = make_model(spec, typical=typical)
    for form in FORMS if spec.statistics_channels else ("self",):
        assert read_schedule(built(model, form, size=OPEN)).launches > len(spec.layers) - 2


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_builds(make_model, form):
    model = make_model(GeneratorSpec(base_channels=8, blocks=1))
    for size in ("64x64", OPEN):
        assert built(model, form, size=size, batch=2)


@pytest.mark.parametrize(
    ("form", "kernels", "bytes_a_pixel"),
    [("self", 54, 121), ("statistics", 16, 121), ("measure", 53, 121)],
)
@pytest.mark.parametrize("capabilities", [("SM89",), "usual", ("SM75",)], ids=str)
def test_kernels_and_memory_of_a_built_in_model(form, kernels, bytes_a_pixel, capabilities):
    """At most those of docs/engines.md, whatever the capabilities."""
    if capabilities == "usual":
        capabilities = usual_capabilities(api)
    model = find_model("summer2winter")
    schedule = read_schedule(built(model, form, size="1920x1088", capabilities=capabilities))
    assert len(schedule.kernels) <= kernels
    assert schedule.activations <= bytes_a_pixel * 1920 * 1088


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize(
    "spec",
    [
        GeneratorSpec(base_channels=24, blocks=6),
        GeneratorSpec(base_channels=32, blocks=1, upsampling="resize"),
        pytest.param(GeneratorSpec(), marks=pytest.mark.slow),
        pytest.param(GeneratorSpec("unet", 64, 8, norm="batch"), marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "description", value),
)
def test_memory_is_known_beforehand(make_model, spec, precision):
    if api.__version__ < "1.7":
        pytest.skip("of TensorRT for RTX 1.7: older ones keep more")
    model = make_model(spec)
    for form in FORMS if spec.statistics_channels else ("self",):
        profile = parse_profile("1024x1024", spec)
        plan = built(model, form, precision, "1024x1024", capabilities=usual_capabilities(api))
        expected = activation_bytes(spec, precision, profile)
        assert 0.7 * expected < read_schedule(plan).activations < 1.05 * expected


def test_norms_are_one_pass_and_convolutions_take_in_what_follows():
    model = find_model("summer2winter")
    own = read_schedule(built(model, size="1920x1088"))
    moments = [name for name in own.kernels if "CastM" in name and "Mean" in name]
    assert len(moments) == 17
    assert all("Cast" in name and name.count("Mean") == 2 for name in moments)
    given = read_schedule(built(model, "statistics", size="1920x1088"))
    assert sum("MulAdd" in name for name in given.convolutions) >= 16


def test_a_schedule_that_is_not_there_is_none():
    assert read_schedule(b"vtrt" + bytes(100)) is None


def test_named_capabilities_are_in_the_plan():
    def mask(*names):  # of the header; see docs/engines.md
        plan = built(find_model("summer2winter"), "statistics", capabilities=names)
        return int.from_bytes(plan[32:36], "little")

    assert mask("SM89") == 1 << 3
    assert mask("SM75", "SM120") == 1 | 1 << 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"capabilities": ["SM90"]}, "builds nothing for SM90. Choose of sm75, sm80"),
        ({"capabilities": ["CURRENT"]}, NO_DRIVER),
        ({"workspace": 1 << 20}, "its activations do not fit the memory. Take smaller frames"),
    ],
    ids=["capability", "this GPU", "workspace"],
)
def test_a_build_that_fails_is_one_line(options, said):
    model = find_model("summer2winter")
    graph = graph_for(model, "self", "fp16", parse_profile("256x256", model.spec))
    with pytest.raises(UserError) as caught:
        build_plan(api, graph, BuildOptions(**{"capabilities": ["SM89"], **options}))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_junk_is_no_graph():
    with pytest.raises(UserError, match=r"TensorRT does not take the graph: .*Failed to parse"):
        build_plan(api, b"junk", BuildOptions(capabilities=["SM89"]))


def test_profiles_are_checked(small_model):
    graph = graph_for(small_model, "self", "fp16", parse_profile(OPEN, small_model.spec))
    with pytest.raises(UserError, match="no profile bounds them"):
        build_plan(api, graph, BuildOptions(capabilities=["SM89"]))
    shapes = {"frames": ((1, 64, 64, 3), (1, 32, 32, 3), (1, 128, 128, 3))}
    with pytest.raises(UserError, match="takes no profile"):
        build_plan(api, graph, BuildOptions(shapes, ["SM89"]))


def test_progress_grows_to_its_end(small_model):
    told = []
    graph = graph_for(small_model, "self", "fp16", parse_profile("64x64", small_model.spec))
    build_plan(api, graph, BuildOptions(capabilities=["SM89"]), told.append)
    assert told == sorted(told)
    assert len(set(told)) > 20
    assert 0 <= told[0] < 0.1
    assert 0.5 < told[-1] <= 1


def test_phases_are_parts_of_the_steps_around_them():
    told = []
    progress = Progress(told.append, threading.Event())
    progress.phase_start("all", None, 4)
    progress.step_complete("all", 0)
    progress.phase_start("part", "all", 2)
    progress.step_complete("part", 0)
    assert told == [0.25, 0.25 + 0.125]


def test_ctrl_c_ends_a_build_in_good_order(small_model):
    """As it comes: from the system, in the middle of TensorRT's work, in a process of its own."""
    program = """
import os, signal, time
import tensorrt_rtx as api
from engines.library import find_model
from engines.profile import parse_profile
from engines.tensorrt.build import BuildOptions, build_plan
from engines.tensorrt.network import graph_for, shapes_for
model = find_model("summer2winter")
profile = parse_profile("64x64:1920x1080:3840x2160", model.spec)
options = BuildOptions(shapes_for(model.spec, "self", profile), ["SM89"])
graph = graph_for(model, "self", "fp16", profile)
begun = []
def report(done):
    if not begun:
        begun.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)
try:
    build_plan(api, graph, options, report)
    print("built")
except KeyboardInterrupt:
    print("cancelled", time.monotonic() - begun[0] < 5)
print("alive", len(build_plan(api, graph, options).content) > 1000000)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.split("\n")[:2] == ["cancelled True", "alive True"], done.stderr
    assert done.returncode == 0


def test_the_flavour_is_found():
    (flavour,) = (found for found in installed() if found.package == "tensorrt_rtx")
    assert flavour.version == api.__version__
    assert str(flavour).startswith("TensorRT for RTX 1.")
    assert flavour.builds_anywhere
    assert flavour.suits((8, 9))
    assert flavour.suits((12, 0))
    assert not flavour.suits((9, 0))
    assert not flavour.suits((7, 0))
    assert not flavour.suits((8, 7))
    assert not flavour.suits((11, 0))
