"""Rotary positions in plain torch: the stand-in for ExLlamaV2's ``rope_``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class _Angles:
    """Sines and cosines of one forward pass, ``(batch or 1, length, 1, head_dim)`` each.

    The first half of the sines is negative: a rotated half is
    ``half · cos + other half · sine`` for both.
    """

    table: Tensor  # as given, like the rest: identity says whether the pass is still the same
    offsets: Tensor
    first: int
    length: int
    sines: Tensor
    cosines: Tensor


class Rotation:
    """Callable in the place of ``rope_``.

    Holds the angles of the current forward pass: ExLlamaV2 hands every layer the same
    tables and offsets, for queries and for keys.
    """

    def __init__(self) -> None:
        self._angles: _Angles | None = None

    def forget(self) -> None:
        """Let go of the last forward pass."""
        self._angles = None

    def __call__(
        self,
        x: Tensor,
        sin: Tensor,
        cos: Tensor,
        past_len: int,
        num_heads: int,
        head_dim: int,
        past_lens: Tensor,
        neox_style: bool,
    ) -> None:
        """Rotate queries or keys in place by their positions.

        Args:
            x: ``(batch, length, heads, head_dim)`` or flattened heads.
            sin: ``(1, 1, positions, head_dim)``, the table's two halves equal.
            cos: As ``sin``.
            past_len: Position of the first token, added to ``past_lens``.
            num_heads: Heads in ``x``.
            head_dim: Width of a head.
            past_lens: ``(batch,)`` further offsets, or a ``meta`` tensor for none.
            neox_style: Must be true: Llama rotates halves, not pairs.
        """
        if not neox_style:
            raise NotImplementedError("Only Llama's rotation of halves is provided without CUDA.")
        batch, length = x.shape[:2]
        heads = x.view(batch, length, num_heads, head_dim)
        angles = self._of_pass(sin, cos, past_len, length, past_lens)
        other = heads.roll(head_dim // 2, -1)
        heads.copy_(heads * angles.cosines + other * angles.sines)

    def _of_pass(
        self, sin: Tensor, cos: Tensor, first: int, length: int, offsets: Tensor
    ) -> _Angles:
        known = self._angles
        same = known is not None and known.table is sin and known.offsets is offsets
        if known is not None and same and (known.first, known.length) == (first, length):
            return known
        positions = torch.arange(first, first + length)
        if offsets.device.type != "meta":
            positions = positions + offsets.long()[:, None]
        sines, cosines = _rows(sin, positions), _rows(cos, positions)
        sines[..., : sines.shape[-1] // 2].neg_()
        self._angles = known = _Angles(sin, offsets, first, length, sines, cosines)
        return known


def _rows(table: Tensor, positions: Tensor) -> Tensor:
    """Rows of a table ``(1, 1, positions, head_dim)``, shaped to broadcast over heads; a copy."""
    rows = table[0, 0][positions].float()
    return rows[..., None, :] if rows.dim() == 3 else rows[None, :, None, :]
