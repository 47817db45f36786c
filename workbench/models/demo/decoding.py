"""Batched generation with the plain network, independent of any engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from workbench.models.demo.network import Cache, Network, load
from workbench.models.demo.protocol import PADDING, STOPS


@dataclass(frozen=True, slots=True)
class Law:
    """How the next token is drawn; temperature 0 takes the likeliest."""

    temperature: float = 0.0
    top_p: float = 1.0


GREEDY = Law()


class Decoder:
    """A model folder that continues prompts; results depend on the folder, the law and the seed."""

    def __init__(self, folder: Path) -> None:
        self.network: Network = load(folder)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.pad = self.tokenizer.token_to_id(PADDING)
        self.stops = torch.tensor([self.tokenizer.token_to_id(name) for name in STOPS])

    def complete(
        self,
        prompts: Sequence[str],
        law: Law = GREEDY,
        *,
        limit: int = 400,
        batch: int = 64,
        seed: int = 0,
    ) -> list[list[int]]:
        """The new ids of each prompt: up to `limit`, with the stop token if it came to one."""
        encoded = [self.ids(text) for text in prompts]
        order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
        generator = torch.Generator().manual_seed(seed)
        results: list[list[int]] = [[] for _ in encoded]
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            made = self._batch([encoded[index] for index in chosen], law, limit, generator)
            for index, ids in zip(chosen, made, strict=True):
                results[index] = ids
        return results

    def ids(self, text: str) -> list[int]:
        """The ids of a text, in which control tokens stand by name."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def text(self, ids: list[int]) -> str:
        """The text of new ids without control tokens."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    @torch.inference_mode()
    def _batch(
        self, prompts: list[list[int]], law: Law, limit: int, generator: torch.Generator
    ) -> list[list[int]]:
        width = max(map(len, prompts))
        rows = torch.tensor([[self.pad] * (width - len(ids)) + ids for ids in prompts])
        padding = torch.tensor([width - len(ids) for ids in prompts])
        made: list[list[int]] = [[] for _ in prompts]
        alive = torch.arange(len(prompts))
        cache = Cache(self.network.model.shape.num_hidden_layers)
        feed, start = rows, 0
        for _ in range(limit):
            hidden = self.network.model(feed, start, _mask(padding, start, feed.shape[1]), cache)
            drawn = draw(self.network.lm_head(hidden[:, -1]), law, generator)
            for row, token in zip(alive.tolist(), drawn.tolist(), strict=True):
                made[row].append(token)
            going = ~torch.isin(drawn, self.stops)
            if not going.any():
                break
            start += feed.shape[1]
            cache.keep(going)
            alive, padding, feed = alive[going], padding[going], drawn[going, None]
        return made


def draw(logits: Tensor, law: Law, generator: torch.Generator) -> Tensor:
    """One id for each row of `logits` (rows, vocabulary): temperature first, then the nucleus."""
    if law.temperature == 0:
        return logits.argmax(-1)
    shares, ids = (logits / law.temperature).softmax(-1).sort(-1, descending=True)
    outside = shares.cumsum(-1) - shares >= law.top_p
    picked = shares.masked_fill(outside, 0).multinomial(1, generator=generator)
    return ids.gather(1, picked)[:, 0]


def _mask(padding: Tensor, start: int, count: int) -> Tensor:
    """What `count` new positions may see: no later one, and none of the padding on the left.

    A padded position sees itself, so that no row of the softmax is empty.
    """
    queries = torch.arange(start, start + count)[:, None]
    keys = torch.arange(start + count)[None, :]
    seen = (keys <= queries) & (keys >= padding[:, None, None, None])
    return torch.zeros(()).masked_fill(~(seen | (keys == queries)), -torch.inf)
