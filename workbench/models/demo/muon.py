"""Muon: momentum whose matrix update is made nearly orthogonal by Newton-Schulz steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

# The quintic that pushes singular values towards one; see Jordan et al., 2024.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon:
    """Optimizer for matrices only; everything else belongs to AdamW.

    `dtype` is the precision of the Newton-Schulz steps: torch.bfloat16 where the processor has
    instructions for it, torch.float32 elsewhere.
    """

    def __init__(
        self, matrices: Iterable[nn.Parameter], momentum: float, dtype: torch.dtype
    ) -> None:
        self.momentum, self.dtype = momentum, dtype
        self.matrices = list(matrices)
        self.velocities = [torch.zeros_like(matrix) for matrix in self.matrices]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move every matrix by `rate` along its orthogonal direction; equal shapes go together."""
        groups: dict[torch.Size, list[int]] = defaultdict(list)
        for index, matrix in enumerate(self.matrices):
            groups[matrix.shape].append(index)
        for shape, indices in groups.items():
            updates = orthogonal(torch.stack([self._update(i) for i in indices]), self.dtype)
            scale = rate * max(1.0, shape[0] / shape[1]) ** 0.5
            for index, update in zip(indices, updates, strict=True):
                self.matrices[index].add_(update, alpha=-scale)

    def _update(self, index: int) -> Tensor:
        """The Nesterov momentum of one matrix."""
        gradient = self.matrices[index].grad
        if gradient is None:
            raise RuntimeError("Muon.step came before backward")
        velocity = self.velocities[index].lerp_(gradient, 1 - self.momentum)
        return gradient.lerp(velocity, self.momentum)


def orthogonal(matrices: Tensor, dtype: torch.dtype, steps: int = 5) -> Tensor:
    """A stack (count, rows, columns) with all singular values near one, in single precision."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype)
    x = x.mT.contiguous() if tall else x
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    result: Tensor = (x.mT if tall else x).float()
    return result
