"""Instance norm in training: the numbers and gradients of the definition, in either precision."""

import pytest
import torch

from engines.instance_norm import instance_norm


def _by_definition(values: torch.Tensor) -> torch.Tensor:
    mean = values.mean((2, 3), keepdim=True)
    return (values - mean) / (values.var((2, 3), keepdim=True, correction=0) + 1e-5).sqrt()


@pytest.mark.parametrize("size", [8, 40, 80])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-4), (torch.bfloat16, 1e-2)])
def test_values_and_gradients_are_those_of_the_definition(
    size: int, dtype: torch.dtype, error: float
) -> None:
    random = torch.Generator().manual_seed(size)
    values = 3 + 2 * torch.randn(2, 24, size, size, generator=random)
    values = values.to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    onward = torch.randn(2, 24, size, size, generator=random).to(dtype)
    normed = instance_norm(values)
    normed.backward(onward)
    exact = values.detach().double().requires_grad_()
    expected = _by_definition(exact)
    expected.backward(onward.double())
    assert normed.dtype == dtype
    assert normed.is_contiguous(memory_format=torch.channels_last)
    assert _distance(normed, expected.detach()) < error
    assert values.grad is not None
    assert exact.grad is not None
    assert _distance(values.grad, exact.grad) < error


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return ((one.detach() - other).norm() / other.norm()).item()
