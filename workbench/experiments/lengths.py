"""How long answers may become: a limit that does not fit gives way to what the context leaves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from typing import Any

from workbench.errors import ModelError
from workbench.models.catalogue import CATALOGUE, locate
from workbench.models.config import read_config
from workbench.records import Cell, EngineSpec, Plan, Request

_FRAME = 256  # tokens: more than the prompt's format takes beside the texts of its turns


def fitted(cells: Iterable[Cell], opened: EngineSpec | None = None) -> tuple[Cell, ...]:
    """The cells, without a limit wherever prompt and ``max_tokens`` together do not fit.

    A request without a limit gets what its prompt leaves of the context, which then is
    less than was asked for. A prompt that is longer than the context is left to the
    engine: it refuses that request, and says why.

    Args:
        cells: Of a plan.
        opened: The engine that is going to answer, every field resolved: its cache may
            hold less than the context. Default: what each cell's engine is known to take.
    """
    listed = tuple(cells)
    rooms = {spec: Room(opened or spec) for spec in dict.fromkeys(cell.spec for cell in listed)}
    return tuple(rooms[cell.spec].fitted(cell) for cell in listed)


def limits(plan: Plan) -> str:
    """How long the answers of a plan may become, as a sentence."""
    known = {cell.request.sampling.max_tokens for cell in plan.cells}
    capped = sorted(most for most in known if most is not None)
    told = [f"at most {' or '.join(f'{most:,}' for most in capped)} new tokens"] if capped else []
    if None in known:
        told.append(f"what the prompt leaves of the context{_contexts(plan)}")
    return f"An answer may take {', or '.join(told)}." if told else ""


def _contexts(plan: Plan) -> str:
    open_ended = (cell.spec for cell in plan.cells if cell.request.sampling.max_tokens is None)
    sizes = {_longest(spec) for spec in dict.fromkeys(open_ended)} - {None}
    shown = " or ".join(f"{size:,}" for size in sorted(size for size in sizes if size))
    return f" ({shown} tokens)" if shown else ""


def _unlimited(cell: Cell) -> Cell:
    sampling = replace(cell.request.sampling, max_tokens=None)
    return replace(cell, request=replace(cell.request, sampling=sampling))


class Room:
    """What one engine has room for."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._longest = _longest(spec)

    def fitted(self, cell: Cell) -> Cell:
        """The cell, without its limit where that does not fit beside the prompt."""
        return cell if self._holds(cell.request) else _unlimited(cell)

    def _holds(self, request: Request) -> bool:
        """Whether the prompt and so many new tokens fit; an unknown model takes everything."""
        most = request.sampling.max_tokens
        if most is None or self._longest is None:
            return True
        left = self._longest - most
        # A token of byte-level BPE is one byte at least, so that most prompts need no tokenizer.
        return left >= _bytes(request) + _FRAME or (left > 0 and left >= self._prompt(request))

    def _prompt(self, request: Request) -> int:
        try:
            return len(self._encode(request))
        except ModelError:  # opening the engine tells what is wrong with the model
            return _bytes(request) + _FRAME

    @cached_property
    def _encode(self) -> Any:
        # Late: tokenizers and templates load libraries that a plan seldom needs.
        template, tokens, prompts = (
            import_module(f"workbench.{name}")
            for name in ("models.template", "models.tokenizer", "engines.prompts")
        )
        folder = locate(self._spec.model, self._spec.revision)
        form = template.chat_format(folder, tokens.Tokenizer.from_folder(folder))
        return lambda request: prompts.prompt_ids(form, request)


def _bytes(request: Request) -> int:
    return sum(len(message.text.encode(errors="replace")) for message in request.messages)


def _longest(spec: EngineSpec) -> int | None:
    """Most tokens, prompt included, of a request; ``None`` where nothing tells."""
    sizes = (spec.context, spec.cache_tokens, _context_of(spec))
    return min((size for size in sizes if size is not None), default=None)


def _context_of(spec: EngineSpec) -> int | None:
    if spec.kind in ("scripted", "remote"):
        return None
    try:
        return read_config(locate(spec.model, spec.revision)).context
    except ModelError:
        entry = CATALOGUE.get(spec.model)
        return entry.context if entry else None
