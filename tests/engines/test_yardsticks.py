"""The yardsticks compute what the engines compute: else their times would say nothing."""

from functools import partial
from importlib.util import find_spec

import pytest

from engines.library import find_model
from engines.yardsticks import GEMM, eager_network, numpy_product, onnxruntime_network


@pytest.mark.parametrize(
    ("package", "make"),
    [
        ("torch", partial(eager_network, channels_last=False)),
        ("torch", partial(eager_network, channels_last=True)),
        ("onnxruntime", partial(onnxruntime_network, size=(64, 96))),
    ],
    ids=["eager", "channels_last", "onnxruntime"],
)
def test_a_yardstick_gives_the_reference_picture(
    package, make, check_picture, check_results, assert_close
):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    result = make(find_model("summer2winter"))(check_picture[None])
    assert_close(result[0], check_results["summer2winter"], levels=1, psnr=60)


def test_a_product_is_one_of_large_matrices():
    assert numpy_product()().shape == (GEMM, GEMM)
