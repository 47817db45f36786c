"""Makes the embedded model from nothing: `python -m workbench.models.demo.train --out DIR`.

Tokenizer, documents, training, conversion to half precision and a first measurement of the written
folder, with fixed seeds.
DIR always holds the latest exported weights; `checkpoint.pt` in it resumes an interrupted run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from workbench.models.demo import tokenizer_recipe
from workbench.models.demo.batches import IGNORED, Batch, batches
from workbench.models.demo.decoding import Decoder
from workbench.models.demo.evaluate import GREEDY, suite
from workbench.models.demo.export import export
from workbench.models.demo.muon import Muon
from workbench.models.demo.network import Network, Shape
from workbench.models.demo.recipe import SMOKE, Recipe, documents, schedule
from workbench.models.demo.scoring import Condition, Figures, measure


@dataclass(frozen=True, slots=True)
class Progress:
    """One step: its mean loss over learned tokens, and the tokens seen so far."""

    step: int
    loss: float
    tokens: int


class Trainer:
    """The network with its two optimizers, stepping over random documents."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer, dtype: torch.dtype) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.tokenizer, self.dtype = recipe, tokenizer, dtype
        self.network = Network(Shape(), tied=True)
        inner = [p for p in self.network.model.layers.parameters() if p.ndim == 2]
        chosen = set(map(id, inner))
        outer = [p for p in self.network.parameters() if id(p) not in chosen]
        self.muon = Muon(inner, recipe.momentum, dtype)
        self.adam = torch.optim.AdamW(outer, betas=(0.9, 0.95), weight_decay=0.0)
        self.done, self.tokens = 0, 0

    def run(self) -> Iterator[Progress]:
        """Train to the end of the recipe, step by step."""
        recipe = self.recipe
        while self.done < recipe.steps:
            parts = batches(self.tokenizer, documents(self.done, recipe), recipe.parts)
            loss = self._step(parts, schedule(self.done, recipe))
            self.done += 1
            yield Progress(self.done, loss, self.tokens)

    def save(self, path: Path) -> None:
        """Write all that `restore` needs."""
        state = {
            "done": self.done,
            "tokens": self.tokens,
            "network": self.network.state_dict(),
            "velocities": self.muon.velocities,
            "adam": self.adam.state_dict(),
        }
        torch.save(state, path)

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint of the same recipe."""
        state = torch.load(path, weights_only=True)
        self.done, self.tokens = state["done"], state["tokens"]
        self.network.load_state_dict(state["network"])
        self.muon.velocities = state["velocities"]
        self.adam.load_state_dict(state["adam"])

    def _step(self, parts: list[Batch], scale: float) -> float:
        learned = sum(int((part.labels != IGNORED).sum()) for part in parts)
        self.tokens += sum(int((part.inputs != 0).sum()) for part in parts)
        self.network.zero_grad()
        total = 0.0
        for part in parts:
            loss = summed_loss(self.network, part, self.dtype) / learned
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        self.muon.step(self.recipe.matrix_rate * scale)
        for group in self.adam.param_groups:
            group["lr"] = self.recipe.other_rate * scale
        self.adam.step()
        return total


def summed_loss(network: Network, batch: Batch, dtype: torch.dtype) -> Tensor:
    """The summed cross entropy of the learned positions, computed in `dtype` where that is safe."""
    learned = batch.labels != IGNORED
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        logits = network.lm_head(network.model(batch.inputs)[learned])
    return functional.cross_entropy(logits.float(), batch.labels[learned], reduction="sum")


def fast_dtype() -> torch.dtype:
    """bfloat16 if this processor multiplies it faster than single precision, else float32."""

    def seconds(dtype: torch.dtype) -> float:
        matrix = torch.ones(512, 512, dtype=dtype)
        matrix @ matrix
        started = time.perf_counter()
        for _ in range(5):
            matrix @ matrix
        return time.perf_counter() - started

    return min((torch.bfloat16, torch.float32), key=seconds)


def train(recipe: Recipe, out: Path, every: int = 100) -> None:
    """Make the model in `out`, resuming if a checkpoint is there; one line each `every` steps."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_recipe.build(recipe.seed)
    trainer = Trainer(recipe, tokenizer, fast_dtype())
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        trainer.restore(checkpoint)
    started, losses = time.perf_counter(), list[float]()
    for progress in trainer.run():
        losses.append(progress.loss)
        if progress.step % every == 0 or progress.step == recipe.steps:
            mean, losses = sum(losses) / len(losses), []
            _report(progress, mean, time.perf_counter() - started)
            trainer.save(checkpoint)
            export(trainer.network, tokenizer, out)


def check(folder: Path, count: int) -> Figures:
    """How a written folder does, thinking, on `count` held-out problems of each difficulty."""
    return measure(Decoder(folder), suite(count), Condition("plain", "on", GREEDY))


def _report(progress: Progress, loss: float, seconds: float) -> None:
    row = {**asdict(progress), "loss": round(loss, 5), "minutes": round(seconds / 60, 2)}
    print(json.dumps(row), flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Make the embedded model from nothing.")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    parser.add_argument("--smoke", action="store_true", help="twenty small steps")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(SMOKE if options.smoke else Recipe(), options.out)
    print(json.dumps(asdict(check(options.out, 1 if options.smoke else 50))))


if __name__ == "__main__":
    main()
