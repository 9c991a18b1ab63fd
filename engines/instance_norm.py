"""Instance norm as training wants it on a CPU."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from engines.spec import EPSILON

_LEAST, _MOST = 1 << 10, 1 << 12
"""Pixels of a picture between which PyTorch's forward pass in bfloat16 is quick, in channels last."""


def instance_norm(
    values: Tensor, weight: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """Each channel of each picture `[N, C, H, W]` by its own mean and deviation, in its dtype.

    Sums are in float32. A group norm of one channel a group is an instance norm, and the one that
    knows channels last. In bfloat16 its gradient is several times slower than in float32, so that it
    is either computed in float32, or, at the sizes of a residual block, by `_Quick`.
    """
    pixels = values.shape[2] * values.shape[3]
    if values.dtype == torch.bfloat16 and weight is None and _LEAST <= pixels <= _MOST:
        quick: Tensor = _Quick.apply(values)  # type: ignore[no-untyped-call]
        return quick
    normed = torch.group_norm(values.float(), values.shape[1], weight, bias, EPSILON)
    return normed.to(values.dtype)


class _Quick(torch.autograd.Function):
    """An instance norm with its gradient written out, so that it reads and writes bfloat16 alone.

    Of x and y = r (x - mean) the gradient is r (g - mean(g) - y mean(g y)).
    """

    @staticmethod
    def forward(context: FunctionCtx, values: Tensor) -> Tensor:
        count, channels, height, width = values.shape
        normed, _, r = torch.native_group_norm(
            values, None, None, count, channels, height * width, channels, EPSILON
        )
        context.save_for_backward(normed, r)
        return normed

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: FunctionCtx, gradient: Tensor) -> Tensor:
        normed, r = context.saved_tensors  # type: ignore[attr-defined]
        r = r.view(len(normed), -1, 1, 1)
        level = gradient.mean((2, 3), keepdim=True, dtype=torch.float32)
        along = (gradient * normed).mean((2, 3), keepdim=True, dtype=torch.float32)
        kind = normed.dtype
        result = torch.addcmul((-r * level).to(kind), gradient, r.to(kind))
        return result.addcmul_(normed, (-r * along).to(kind))
