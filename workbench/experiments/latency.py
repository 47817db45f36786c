"""The latency lab's plan: prompts and answers of fixed lengths, so many at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count, product
from typing import Any

from workbench.errors import InvalidInput
from workbench.experiments.axes import CACHED, SETTINGS, UNCACHED, WARM_UP
from workbench.experiments.latency_prompts import PromptWriter
from workbench.experiments.latency_stages import prompt_name
from workbench.experiments.plans import request, seed_for
from workbench.records import Cell, EngineSpec, Mode, Plan, Problem, Request, Sampling

_WARM_TOKENS = 8  # of a warm-up's answer
_FIXED = ("max_tokens", "min_tokens")  # settings that the lab chooses itself

Counts = int | Iterable[int]


def latency(
    *,
    prompt_tokens: Counts = (128, 512),
    output_tokens: Counts = 64,
    concurrency: Counts = (1, 2, 4, 8),
    requests: int = 8,
    cached: bool = True,
    mode: Mode | str = Mode.ON,
    model: str | Iterable[str] = "demo",
    engine: str | EngineSpec | Iterable[str | EngineSpec] = "exllama",
    seed: int = 0,
    logprobs: bool = False,
    alternatives: int = 0,
    **sampling: Any,
) -> Plan:
    """How long prompts and answers of these lengths take, so many at once, as a plan.

    A stage is one combination of engine, prompt length, answer length, concurrency and
    cached or not. Stages run one after another. Before each, one short request warms
    the engine up, and before the first of each concurrency above 1 a batch of that
    size; warm-ups are in no figure. Prompts have exactly the asked number of tokens,
    the chat template included, and differ from their first words on. Answers have
    exactly ``output_tokens``, whatever the model would like (``Sampling.min_tokens``).
    Engines of one model are asked the same texts.

    Args:
        prompt_tokens: Lengths of the prompts.
        output_tokens: Lengths of the answers.
        concurrency: Requests under way at once.
        requests: Of each stage; at least as many as are under way at once.
        cached: Ask each stage's prompts once more right afterwards, so that the engine
            finds them in its cache of prompts. ``Started.cached_tokens`` tells how much
            of each it found.
        mode: Of reasoning; sampled as the model card recommends for it.
        model: Catalogue names or folders.
        engine: Engines' kinds, or whole specifications (for which ``model`` is ignored).
        seed: Of the prompts and of every draw. In a session that has answered the same
            plan before, its prompts are cached already.
        logprobs: Record the log-probability of every token.
        alternatives: Record so many candidates a token.
        sampling: Other fields of ``Sampling``, e.g. ``temperature=0``, or
            ``thinking_tokens=32`` to have an answer in answers of fixed length.

    Raises:
        InvalidInput: A value that cannot be; a prompt and answer that do not fit the
            model, naming the largest that do.
        ModelError: There is no such model.
    """
    lengths = _counts("prompt_tokens", prompt_tokens)
    outputs = _counts("output_tokens", output_tokens, least=2)
    levels = _counts("concurrency", concurrency)
    if requests < 1:
        raise InvalidInput(f"{requests} requests were asked for.", remedy="Ask for at least one.")
    arm = _mode(mode)
    specs = _specs(model, engine)
    _check_levels(specs, levels)
    asked = _Asked(arm, seed, logprobs, alternatives, _free(sampling))
    cells: list[Cell] = []
    writers: dict[tuple[str, str | None], PromptWriter] = {}
    for spec in specs:
        key = (spec.model, spec.revision)
        writer = writers.setdefault(key, PromptWriter(spec, arm, seed))
        _check_fit(writer, spec, lengths, outputs)
        cells += _Stages(spec, writer, asked, requests).cells(lengths, outputs, levels, cached)
    axes = _axes(specs) | {"prompt_tokens": lengths, "output_tokens": outputs}
    axes |= {"concurrency": levels, "cached": (False, True) if cached else (False,)}
    return Plan("latency", tuple(cells), axes)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What all requests of a plan share."""

    mode: Mode
    seed: int
    logprobs: bool
    alternatives: int
    sampling: dict[str, Any]

    def request(self, problem: Problem, output: int) -> Request:
        """A problem with an answer of exactly so many tokens."""
        chosen: dict[str, Any] = {"max_tokens": output, "min_tokens": output}
        chosen |= {name: value for name, value in self.sampling.items() if value is not None}
        seed = seed_for(self.seed, problem.id, 0)
        drawn: Sampling = replace(self.mode.recommended, seed=seed, **chosen)
        return request(problem, self.mode, drawn, self.logprobs, self.alternatives)


class _Stages:
    """The cells of one engine, stage after stage."""

    def __init__(self, spec: EngineSpec, writer: PromptWriter, asked: _Asked, requests: int):
        self._spec = spec
        self._writer = writer
        self._asked = asked
        self._requests = requests
        self._numbers = count()
        self._warm: set[int] = {1}  # levels of concurrency that have had their batch

    def cells(
        self, lengths: Iterable[int], outputs: Iterable[int], levels: Iterable[int], cached: bool
    ) -> Iterator[Cell]:
        for length, output, level in product(lengths, outputs, levels):
            yield from self._warm_ups(length, output, level)
            fresh = [
                self._cell(length, output, level, number, UNCACHED)
                for number in range(1, max(self._requests, level) + 1)
            ]
            yield from fresh
            if cached:
                yield from self._warm_ups(length, output, level)
                yield from (_again(cell) for cell in fresh)

    def _warm_ups(self, length: int, output: int, level: int) -> Iterator[Cell]:
        """A batch at a level's first use, and then one alone, which also parts two stages."""
        batch = 0 if level in self._warm else level
        self._warm.add(level)
        short = min(output, _WARM_TOKENS)
        for at_once in (level,) * batch + (1,):
            number = next(self._numbers)
            cell = self._cell(length, short, at_once, number, WARM_UP, prompt=number)
            yield cell

    def _cell(
        self, length: int, output: int, level: int, number: int, group: str, prompt: int = -1
    ) -> Cell:
        text = self._writer.write(length, next(self._numbers) if prompt < 0 else prompt)
        name = prompt_name(length, output, level, number, group)
        problem = Problem(name, text, group=group)
        request = self._asked.request(problem, output)
        return Cell(self._spec, request, problem, 0, level)


def _again(cell: Cell) -> Cell:
    assert cell.problem is not None
    return replace(cell, problem=replace(cell.problem, group=CACHED), sample=1)


def _counts(name: str, given: Counts, least: int = 1) -> tuple[int, ...]:
    """The values of an axis, each once."""
    values = (given,) if isinstance(given, int) else tuple(given)
    wrong = [v for v in values if not isinstance(v, int) or isinstance(v, bool) or v < least]
    if wrong or not values:
        told = f"{name.replace('_', '-')} is {wrong[0]!r}" if wrong else f"There is no {name}"
        raise InvalidInput(f"{told}.", remedy=f"Give whole numbers of at least {least}.")
    return tuple(dict.fromkeys(values))


def _mode(mode: Mode | str) -> Mode:
    if str(mode) not in list(Mode):
        raise InvalidInput(f"There is no mode {mode!r}.", remedy=f"Choose from {', '.join(Mode)}.")
    return Mode(mode)


def _specs(
    model: str | Iterable[str], engine: str | EngineSpec | Iterable[str | EngineSpec]
) -> list[EngineSpec]:
    models = [model] if isinstance(model, str) else list(model)
    engines = [engine] if isinstance(engine, str | EngineSpec) else list(engine)
    if not models or not engines:
        raise InvalidInput("There is nobody to ask.", remedy="Name a model and an engine.")
    found = [
        one if isinstance(one, EngineSpec) else EngineSpec(kind=one, model=name)
        for one in engines
        for name in models
    ]
    if any(one.kind == "remote" for one in found):
        raise InvalidInput(
            "Prompts and answers of fixed lengths need the model's tokenizer, and an engine that "
            "can be held to a length; a remote endpoint has neither.",
            remedy="`workbench compare` and `workbench sweep` time an endpoint's answers too.",
        )
    return list(dict.fromkeys(found))


def _free(sampling: dict[str, Any]) -> dict[str, Any]:
    free = sorted(SETTINGS.keys() - set(_FIXED))
    for name in sampling:
        if name in _FIXED:
            raise InvalidInput(
                f"The latency lab chooses {name} itself.",
                remedy="Say how long the answers are with output_tokens.",
            )
        if name not in free:
            raise InvalidInput(
                f"Sampling has no setting {name!r}.", remedy=f"Known: {', '.join(free)}."
            )
    return sampling


def _check_levels(specs: Iterable[EngineSpec], levels: Iterable[int]) -> None:
    most = min(spec.max_batch for spec in specs)
    if max(levels) > most:
        raise InvalidInput(
            f"{max(levels)} requests at once were asked for; an engine decodes at most {most}.",
            remedy=f"Ask for at most {most} at once, or raise the engine's max_batch.",
        )


def _check_fit(
    writer: PromptWriter, spec: EngineSpec, lengths: Iterable[int], outputs: Iterable[int]
) -> None:
    shortest, longest, output = min(lengths), max(lengths), max(outputs)
    context = min(writer.context, spec.context or writer.context)
    if longest + output > context:
        room = context - output
        largest = f"the largest prompt that fits with {output:,} is {room:,}"
        if room < writer.least:
            left = max(0, context - writer.least)
            largest = f"the shortest prompt has {writer.least:,}, and leaves {left:,}"
        raise InvalidInput(
            f"{longest:,} prompt tokens and {output:,} of the answer do not fit {spec.model}: "
            f"its context is {context:,} tokens.",
            remedy=f"Ask for less: {largest}.",
        )
    if shortest < writer.least:
        raise InvalidInput(
            f"{shortest:,} prompt tokens are too few: template and question take "
            f"{writer.least:,} with {spec.model}.",
            remedy=f"Ask for at least {writer.least:,}.",
        )


def _axes(specs: list[EngineSpec]) -> dict[str, tuple[Any, ...]]:
    """Model and engine, where there are several."""
    axes = {
        "model": tuple(dict.fromkeys(spec.model for spec in specs)),
        "engine": tuple(dict.fromkeys(spec.kind for spec in specs)),
    }
    return {name: values for name, values in axes.items() if len(values) > 1}
