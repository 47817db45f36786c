"""The native functions of ExLlamaV2 in plain torch, for machines without CUDA.

ExLlamaV2 is Python over a compiled extension. For a Llama its generator, page
table, prefix cache and batching call only a handful of native functions. This
module provides those, so that the same Python runs on a CPU with a small model.
Everything else raises ``NotImplementedError`` by name.

``install`` must run before ``exllamav2`` is first imported. The signatures are
those of ``exllamav2_ext``: tensors are written in place, results are not
returned.

On a CPU half-precision matrix products are up to twenty times slower than
single-precision ones, so ``prepare`` widens the weights of a loaded model to
float32 and lets activations stay there. Values are those of the fp16 file, or
those that quantised weights stand for; the sines and cosines of the positions,
which ExLlamaV2 rounds to half precision for its kernels, are float32.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from workbench.engines.portable_cache import fp16_to_q_kv, q_to_fp16_kv
from workbench.engines.portable_matrix import (
    Matrices,
    free_block,
    make_block,
    make_group_map,
    tensor_remap,
    tensor_remap_4bit,
)
from workbench.engines.portable_sampling import apply_rep_penalty, sample_basic
from workbench.engines.rotary import Rotation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAME = "exllamav2_ext"


class Natives(ModuleType):
    """Stands in ``sys.modules`` where the compiled extension would."""

    def __init__(self) -> None:
        super().__init__(NAME, __doc__)
        self.__spec__ = ModuleSpec(NAME, loader=None)
        for function in _functions():
            setattr(self, function.__name__, function)
        for name, function in {**Matrices().functions(), **_BLOCKS}.items():
            setattr(self, name, function)
        self.rope_ = Rotation()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # inspect probes for __file__ and the like
            raise AttributeError(name)
        raise NotImplementedError(f"ExLlamaV2's native function {name} needs CUDA.")


def install() -> None:
    """Put the stand-in where ``import exllamav2`` looks for the extension.

    Does nothing when it already stands there.

    Raises:
        RuntimeError: The compiled extension is loaded in this process.
    """
    present = sys.modules.get(NAME)
    if isinstance(present, Natives):
        return
    if present is not None or "exllamav2" in sys.modules:
        raise RuntimeError("ExLlamaV2 is already loaded with its CUDA extension.")
    sys.modules[NAME] = Natives()


def installed() -> bool:
    """Whether ExLlamaV2 runs, or would run, on these functions."""
    return isinstance(sys.modules.get(NAME), Natives)


def forget() -> None:
    """Let go of the tensors of the last forward pass."""
    sys.modules[NAME].rope_.forget()


def redirect() -> None:
    """Point ExLlamaV2's device helpers at the CPU; call after importing it.

    Its modules number CUDA devices from 0; here device 0 is the CPU, streams
    do not exist, and moving a tensor is the identity.
    """
    for name, module in list(sys.modules.items()):
        if not name.startswith("exllamav2.") or not isinstance(module, ModuleType):
            continue
        for attribute, replacement in _REDIRECTED.items():
            if hasattr(module, attribute):
                setattr(module, attribute, replacement)
    sys.modules["exllamav2.device"].global_streams[0] = None
    # Its loader waits for the GPU after every tensor; only that module sees the replacement.
    sys.modules["exllamav2.stloader"].torch = _TorchWithoutCuda()  # type: ignore[attr-defined]


def prepare(model: Any) -> None:
    """Give a loaded model's linear and norm modules and its positions float32 arithmetic.

    Args:
        model: An ``ExLlamaV2`` whose weights are loaded. Quantised ones are freed: what
            they stand for is kept in float32, and their blocks run part by part.
    """
    for module in model.modules:
        for part in (module, *module.submodules):
            kind = type(part).__name__
            if kind == "ExLlamaV2Linear":
                _widen_linear(part)
            elif kind == "ExLlamaV2RMSNorm":
                _widen_norm(part)
        if getattr(module, "q_handle", None) is not None:
            module.q_handle = None  # else ExLlamaV2 would call for its fused kernels
    for context in model.device_context:
        _widen_positions(context, model.config)


# --- stand-ins for the extension ----------------------------------------------------------------


def stloader_read(filename: str, offset: int, size: int, target: Tensor) -> None:
    """Read ``size`` bytes of a file from ``offset`` into the storage of a contiguous tensor."""
    with open(filename, "rb") as file:
        file.seek(offset)
        data = bytearray(file.read(size))
    if len(data) != size:
        raise OSError(f"{filename} ends before byte {offset + size}.")
    if size:
        target.view(-1).view(torch.uint8).copy_(torch.frombuffer(data, dtype=torch.uint8))


def rms_norm(x: Tensor, weight: Tensor, out: Tensor, epsilon: float) -> None:
    """``out = x / sqrt(mean(x²) + epsilon) · weight`` over the last axis, in float32."""
    out.copy_(functional.rms_norm(x.float(), (x.shape[-1],), weight.float(), epsilon))


def count_match(page: Tensor, ids: Tensor, limit: int) -> int:
    """Number of leading ids, at most ``limit``, that two ``(1, n)`` tensors share."""
    length = min(page.shape[-1], ids.shape[-1], limit)
    if length <= 0:
        return 0
    # In numpy: this runs for every pair of a new prompt and a cached page.
    different = page[0, :length].numpy() != ids[0, :length].numpy()
    first = int(different.argmax())
    return first if different[first] else length


def cache_rotate(cache: Tensor, order: Tensor, buffer: Tensor) -> None:
    """Move pages in a ring: page ``order[i]`` receives ``order[i + 1]``, the last the first."""
    ring = order.long()
    cache[ring] = cache[ring.roll(-1)]


# --- helpers ------------------------------------------------------------------------------------


class _TorchWithoutCuda:
    """``torch``, but ``torch.cuda.synchronize`` has nothing to wait for."""

    cuda = SimpleNamespace(synchronize=lambda *_: None)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def _functions() -> tuple[Callable[..., Any], ...]:
    ours = (stloader_read, rms_norm, count_match, cache_rotate, sample_basic, apply_rep_penalty)
    quantised = (make_group_map, tensor_remap, tensor_remap_4bit)
    return (*ours, fp16_to_q_kv, q_to_fp16_kv, *quantised)


def _cpu(index: int) -> str:
    return "cpu"


def _stay(tensor: Any, device: Any, non_blocking: bool = False) -> Any:
    return tensor


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


_REDIRECTED: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "_torch_device": _cpu,
        "safe_move_tensor": _stay,
        "set_device_streams": _nothing,
        "cuda_sync_active": _nothing,
    }
)


_BLOCKS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "make_q_attn": make_block,
        "free_q_attn": free_block,
        "make_q_mlp": make_block,
        "free_q_mlp": free_block,
    }
)


def _widen_linear(linear: Any) -> None:
    weight = linear.get_weight_tensor_dq().T.float().contiguous()  # (out, in)
    if linear.q_handle is not None:
        linear.unload()  # the packed form: nothing reads it any more

    def forward(hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return functional.linear(hidden, weight)

    linear.forward = forward


def _widen_norm(norm: Any) -> None:
    weight, epsilon = norm.weight.data.float(), norm.variance_epsilon

    def forward(hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return functional.rms_norm(hidden.float(), (hidden.shape[-1],), weight, epsilon)

    norm.forward = forward


def _widen_positions(context: Any, config: Any) -> None:
    """Let a device context make its tables of sines and cosines without rounding them."""
    parameters = sys.modules["exllamav2.rope"].get_rope_params
    frequencies, scale = parameters("cpu", config, config.rotary_embedding_base)
    positions = torch.arange(config.max_seq_len).float() / (config.scale_pos_emb or 1.0)
    angles = torch.outer(positions, frequencies).repeat(1, 2)[None, None]

    def prepare_sincos() -> None:
        context.sin, context.cos = [angles.sin() * scale], [angles.cos() * scale]

    context.prepare_sincos = prepare_sincos
    if context.ready:
        prepare_sincos()
