"""Load a model into ExLlamaV2: configuration, weights, cache, self-test, generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from workbench.engines import attention, natives, portable, proof, room, speculation
from workbench.engines.base import LoadProgress
from workbench.engines.freeing import free_unused, let_go, out_of_memory
from workbench.engines.prompts import room_for
from workbench.errors import EngineError, ModelError
from workbench.models.catalogue import locate, revision_of
from workbench.models.fitting import Subject, subject
from workbench.models.folder import ModelInfo, check
from workbench.models.memory import CACHES
from workbench.models.tokenizer import Tokenizer
from workbench.models.weights import weights_sha256
from workbench.records import EngineSpec

PAGE = 256  # tokens a page of ExLlamaV2's cache holds
_CHUNK = 2048  # prompt tokens read in one step: longer prompts let others decode in between
_LEAST = 2 * PAGE  # the self-test decodes two requests
_REQUESTS = 16  # full-length requests that the default cache holds …
_BYTES = 2**30  # … as long as it stays below this on a CPU, and on a GPU fits what is free


_NO_HOOKS = MappingProxyType(dict.fromkeys(("draw", "guess", "free")))


@dataclass(slots=True)
class Loaded:
    """A model in ExLlamaV2, ready to generate."""

    folder: Path
    tokenizer: Tokenizer
    spec: EngineSpec  # resolved, but for the chat template
    longest: int  # most tokens, prompt included, of one request
    stop_ids: tuple[int, ...]
    generator: Any  # workbench.engines.generator.Generator
    runtime: natives.Runtime

    def job(self, ticket: int, ids: Sequence[int], max_tokens: int) -> Any:
        """A ``generator.Job`` that stops at every end-of-sequence id of the model."""
        return self.runtime.generator.Job(ticket, ids, max_tokens, self.stop_ids)

    def logits(self, ids: Sequence[int], piece: int) -> Tensor:
        """Logits ``(len(ids), vocabulary)`` behind every id; what the cache held is forgotten.

        Args:
            ids: A text.
            piece: Ids read at once: a quantised cache rounds what earlier pieces wrote, and
                not what the same one does.
        """
        room_for(len(ids), None, self.longest + 1)
        row, pages = torch.tensor([list(ids)]), [list(range(-(-len(ids) // PAGE)))]
        model, cache = self.generator.model, self.generator.cache
        with self.runtime.threads():
            parts = [
                attention.forward(model, cache, row[:, start : start + piece], [start], pages)
                for start in range(0, len(ids), piece)
            ]
        self.generator.reset()
        return torch.cat(parts, dim=1)[0, :, : self.generator.vocabulary]

    def close(self) -> None:
        """Free weights and cache, whoever still holds the engine, a job or the generator."""
        generator, self.generator = self.generator, None
        for model in filter(None, (generator.model, generator.draft_model)):
            model.unload()
        generator.__dict__.clear()
        self.runtime.forget()
        del generator
        free_unused()


def load(
    spec: EngineSpec,
    hooks: Mapping[str, Callable[..., Any]] | None = None,
    progress: LoadProgress | None = None,
) -> Loaded:
    """Load what ``spec`` asks for, saying how far it is.

    Args:
        spec: What to load.
        hooks: ``draw``, ``guess`` and ``free`` of ``generator.Generator``; without them
            nothing can be generated, only logits be had.
        progress: Told how far the loading is.

    Raises:
        ModelError: The folder is missing, damaged, or not what ExLlamaV2 reads rightly.
        EngineError: ExLlamaV2 cannot run here, or attention fails its self-test.
    """
    folder = locate(spec.model, spec.revision)
    info = check(folder)
    tokenizer = Tokenizer.from_folder(folder)
    runtime = natives.load(spec.device, spec.attention, progress)
    context = min(spec.context or info.context, info.context)
    drafting = speculation.draft_folder(spec, tokenizer, context)
    resolved = _resolve(replace(spec, context=context), info, runtime, drafting)
    if not runtime.portable:
        beside = _beside(drafting)
        room.refuse_too_large(subject(str(folder)), resolved, runtime.free(), beside)
    try:
        generator = _loaded(
            folder, drafting, resolved, info, runtime, tokenizer, hooks or _NO_HOOKS, progress
        )
    except BaseException as error:
        runtime.forget()
        let_go(error)  # whoever keeps it would keep what was loaded so far
        if not out_of_memory(error):
            raise
        free = None if runtime.portable else runtime.free()
        raise room.ran_out(subject(str(folder)), resolved, free, _beside(drafting)) from None
    longest = min(resolved.context or 0, resolved.cache_tokens or 0)
    return Loaded(folder, tokenizer, resolved, longest, info.eos_ids, generator, runtime)


def _loaded(
    folder: Path,
    drafting: Path | None,
    spec: EngineSpec,
    info: ModelInfo,
    runtime: natives.Runtime,
    tokenizer: Tokenizer,
    hooks: Mapping[str, Callable[..., Any] | None],
    progress: LoadProgress | None,
) -> Any:
    """The generator; only here are there variables that hold what is loaded."""
    with runtime.threads():
        model, cache = _load_weights(folder, spec, runtime, progress)
        _prove(model, cache, spec, info, runtime)
        parts = _load_weights(drafting, spec, runtime, None) if drafting else (None, None)
    return _generator((model, cache), parts, spec, runtime, tokenizer, hooks)


def _resolve(
    spec: EngineSpec, info: ModelInfo, runtime: natives.Runtime, drafting: Path | None
) -> EngineSpec:
    """Every field that was left open, chosen."""
    cache = "fp32" if runtime.portable and spec.cache == "fp16" else spec.cache
    if cache not in (*CACHES, *(["fp32"] if runtime.portable else [])):
        raise EngineError(
            f"There is no cache of type {spec.cache!r}.",
            remedy=f"Choose from {', '.join(CACHES)}.",
        )
    _check_sampler(spec)
    affordable = _affordable_tokens(spec, info, runtime, drafting)
    default = min(_REQUESTS * (spec.context or 0), affordable)
    cache_tokens = max(spec.cache_tokens or default, _LEAST) // PAGE * PAGE
    return replace(
        spec,
        quantization=info.quantization,
        device=runtime.device,
        cache=cache,
        cache_tokens=cache_tokens,
        attention=runtime.attention,
        draft_tokens=speculation.draft_tokens(spec, _CHUNK),
        revision=revision_of(info.folder),
        weights_sha256=weights_sha256(info.folder),
        synthetic=info.synthetic,
    )


def _check_sampler(spec: EngineSpec) -> None:
    if spec.sampler not in ("exact", "native"):
        raise EngineError(
            f"There is no sampler {spec.sampler!r}.", remedy="Choose exact or native."
        )
    if spec.sampler == "native" and spec.speculation is not None:
        raise EngineError(
            "ExLlamaV2's sampler draws with numbers in a row, which proposals would use up.",
            remedy="Use the exact sampler with speculation.",
        )


def _beside(drafting: Path | None) -> Subject | None:
    return None if drafting is None else subject(str(drafting))


def _affordable_tokens(
    spec: EngineSpec, info: ModelInfo, runtime: natives.Runtime, drafting: Path | None
) -> int:
    """Tokens that the cache may hold by default."""
    if not runtime.portable:
        of, beside = subject(str(info.folder)), _beside(drafting)
        return room.affordable_tokens(of, spec, runtime.free(), beside)
    float32 = 4
    return _BYTES // (2 * info.layers * info.kv_heads * info.head_dim * float32)


def _load_weights(
    folder: Path,
    spec: EngineSpec,
    runtime: natives.Runtime,
    progress: LoadProgress | None,
) -> tuple[Any, Any]:
    library = runtime.library
    config = library.ExLlamaV2Config(str(folder))
    config.max_seq_len = spec.context
    config.max_input_len = _CHUNK
    config.no_sdpa = True  # never ExLlamaV2's own torch attention: it lacks the causal mask
    model = library.ExLlamaV2(config)
    model.load(callback=progress)
    if spec.quantization == "bf16":
        _refuse_overflow(model)
    if runtime.portable:
        portable.prepare(model)
    cache = runtime.generator.cache(model, spec.cache_tokens, spec.cache)
    return model, cache


def _refuse_overflow(model: Any) -> None:
    """ExLlamaV2 makes fp16 of bf16, whose larger numbers become infinite, without a word."""
    for module in (part for one in model.modules for part in (one, *one.submodules)):
        found = module.get_weight() if hasattr(module, "get_weight") else ()
        for weight in found if isinstance(found, tuple) else (found,):
            if isinstance(weight, Tensor) and not bool(torch.isfinite(weight).all()):
                raise ModelError(
                    f"{module.key} holds numbers that fp16 has not, and ExLlamaV2 needs fp16.",
                    remedy="Use the model's fp16, EXL2 or GPTQ weights.",
                )


def _prove(
    model: Any, cache: Any, spec: EngineSpec, info: ModelInfo, runtime: natives.Runtime
) -> None:
    """Attention is proven on a cache that keeps what it is given; a quantised one rounds it."""
    exact = cache
    if spec.cache.startswith("q"):
        kind = "fp32" if runtime.portable else "fp16"
        exact = runtime.generator.cache(model, _LEAST, kind)
    proof.self_test(model, exact, info.vocabulary)


def _generator(
    main: tuple[Any, Any],
    drafting: tuple[Any, Any],
    spec: EngineSpec,
    runtime: natives.Runtime,
    tokenizer: Tokenizer,
    hooks: Mapping[str, Callable[..., Any] | None],
) -> Any:
    model, cache = main
    return runtime.generator.Generator(
        **hooks,
        draft_model=drafting[0],
        draft_cache=drafting[1],
        draft_tokens=spec.draft_tokens or 0,
        vocabulary=min(model.config.vocab_size, tokenizer.size),  # no id without a text
        synchronize=runtime.synchronize,
        model=model,
        cache=cache,
        tokenizer=runtime.generator.NoPieces(model.config.vocab_size),
        max_batch_size=spec.max_batch,
        max_q_size=1,  # and so many draft tokens: of buffers that only its own sampling uses
        num_draft_tokens=1,
        max_chunk_size=_CHUNK,
    )
