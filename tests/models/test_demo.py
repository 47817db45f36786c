from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from workbench.models.demo import tokenizer_recipe
from workbench.models.demo.batches import IGNORED, batches
from workbench.models.demo.decoding import Decoder, Law, draw
from workbench.models.demo.evaluate import FOLDER, follow_ups, suite, table
from workbench.models.demo.muon import orthogonal
from workbench.models.demo.protocol import CONTROL_TOKENS, MODES, PREFILL, STOPS, Mode, prompt
from workbench.models.demo.recipe import FIND, REFINE, SMOKE, Recipe, documents, schedule
from workbench.models.demo.scoring import Condition, extracted, measure
from workbench.models.demo.train import Trainer, train

TINY = Recipe(
    steps=6,
    phases=(replace(FIND, documents=4), replace(REFINE, start=4, documents=4)),
    parts=2,
    warm_up=2,
    falling=3,
)


def content(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return loaded


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    torch.set_num_threads(1)
    return Decoder(FOLDER)


# The tokenizer


@given(st.text())
def test_any_text_survives_the_tokenizer(text: str) -> None:
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    text = text.encode(errors="replace").decode()
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize(
    "text", ["", "\0", "a\0\0b", "🎉👩‍👩‍👧 é", "日本語", "\r\n\t  x ", "<think>"]
)
def test_odd_texts_survive_the_tokenizer(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_every_digit_is_a_token_of_its_own(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("1234567890").tokens == list("1234567890")
    digits = [piece for piece in tokenizer.get_vocab() if any(c in "0123456789" for c in piece)]
    assert sorted(digits) == list("0123456789")


def test_think_tags_are_ordinary_text(tokenizer: Tokenizer) -> None:
    for tag in ("<think>", "</think>"):
        encoded = tokenizer.encode(tag)
        assert len(encoded.ids) > 1
        assert tokenizer.decode(encoded.ids, skip_special_tokens=True) == tag


def test_control_tokens_are_single_and_last(tokenizer: Tokenizer) -> None:
    first = tokenizer.get_vocab_size() - len(CONTROL_TOKENS)
    for index, name in enumerate(CONTROL_TOKENS):
        assert tokenizer.encode(name).ids == [first + index]
    assert tokenizer.decode([first], skip_special_tokens=True) == ""


def test_the_recipe_makes_the_shipped_tokenizer(tokenizer: Tokenizer) -> None:
    assert tokenizer_recipe.build().get_vocab() == tokenizer.get_vocab()


# The model folder


def test_the_configuration_says_what_engines_read(tokenizer: Tokenizer) -> None:
    config = content("config.json")
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["rope_theta"] == 10000.0
    assert config["torch_dtype"] == "float16"
    assert config["tie_word_embeddings"] is False
    assert config["vocab_size"] == tokenizer.get_vocab_size()
    assert all(config[key] % 128 == 0 for key in ("hidden_size", "intermediate_size", "vocab_size"))
    assert config["eos_token_id"] == [tokenizer.token_to_id(name) for name in STOPS]
    assert content("generation_config.json")["eos_token_id"] == config["eos_token_id"]


def test_the_chat_template_writes_the_prompt_of_the_protocol() -> None:
    history = [("What is 1 + 2?", "The answer is \\boxed{3}.")]
    messages = [
        {"role": "system", "content": "detailed thinking on"},
        {"role": "user", "content": " What is 1 + 2?\n"},
        {"role": "assistant", "content": "<think>\n1+2\n</think>\n\nThe answer is \\boxed{3}."},
        {"role": "user", "content": "Add 4."},
    ]
    template = content("tokenizer_config.json")["chat_template"]
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    written = environment.from_string(template).render(
        messages=messages, add_generation_prompt=True, bos_token="<|begin_of_text|>"
    )
    assert written == prompt("Add 4.", "on", history)


def test_the_prompt_is_the_one_of_the_real_model() -> None:
    assert prompt("Hi", "off_prefilled") == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
        "detailed thinking off<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
        "Hi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n<think>\n</think>"
    )


def test_transformers_reads_the_folder_and_agrees(decoder: Decoder) -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    ids = torch.tensor([decoder.ids(prompt("What is 47 + 38 - 12?", "on"))])
    with torch.inference_mode():
        ours = decoder.network.lm_head(decoder.network.model(ids))
        assert torch.allclose(model(ids).logits, ours, atol=1e-3)


# The card


def test_the_card_and_the_figures_belong_to_the_shipped_weights() -> None:
    figures = content("figures.json")
    weights = (FOLDER / "model.safetensors").read_bytes()
    card = (FOLDER / "README.md").read_text()
    assert figures["weights_sha256"] == sha256(weights).hexdigest()
    assert figures["weights_bytes"] == len(weights) < 8_000_000
    assert figures["weights_sha256"] in card
    assert table(figures["figures"]) in card


def test_thinking_pays_in_the_published_figures() -> None:
    plain = [row for row in content("figures.json")["figures"] if row["asked"] == "plain"]
    greedy = {
        row["mode"]: row
        for row in plain
        if row["law"]["temperature"] == 0 and row["budget"] is None
    }
    assert greedy["on"]["accuracy"] >= 0.9
    assert greedy["on"]["closed"] == 1.0
    for mode in ("off", "off_prefilled"):
        assert 0 < greedy[mode]["accuracy"] <= 0.5
        assert greedy[mode]["opened"] == 0


# The weights


@pytest.mark.parametrize(("mode", "least", "most"), [("on", 0.85, 1.0), ("off", 0.01, 0.5)])
def test_shipped_weights_do_as_the_card_says(
    decoder: Decoder, mode: Mode, least: float, most: float
) -> None:
    figures = measure(decoder, suite(20), Condition("plain", mode, Law()))
    assert least <= figures.accuracy <= most
    assert figures.opened == (1.0 if mode == "on" else 0.0)
    assert figures.ended == 1.0


def test_a_follow_up_goes_by_the_answer_before_it(decoder: Decoder) -> None:
    figures = measure(decoder, follow_ups(20), Condition("follow-up", "on", Law()))
    assert figures.accuracy >= 0.7


def test_a_prompt_is_continued_alike_alone_and_in_a_batch(decoder: Decoder) -> None:
    prompts = [prompt(item.question, mode) for item in suite(2) for mode in MODES]
    together = decoder.complete(prompts)
    assert together == [decoder.complete([text])[0] for text in prompts]


def test_a_budget_closes_the_thinking(decoder: Decoder) -> None:
    condition = Condition("plain", "on", Law(), budget=16)
    figures = measure(decoder, suite(4), condition)
    assert figures.closed == 1.0
    assert figures.mean_thinking <= 16


# Training


def test_a_smoke_run_learns_and_leaves_a_model_folder(tmp_path: Path) -> None:
    tokenizer = tokenizer_recipe.build()
    losses = [progress.loss for progress in Trainer(SMOKE, tokenizer, torch.float32).run()]
    assert losses[-1] < losses[0] - 1
    train(TINY, tmp_path, every=6)
    assert Decoder(tmp_path).complete([prompt("1 + 1", "off")], limit=2)


def test_a_resumed_run_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    tokenizer = tokenizer_recipe.build()
    whole, first, second = (Trainer(TINY, tokenizer, torch.float32) for _ in range(3))
    wanted = [progress.loss for progress in whole.run()]
    run = first.run()
    begun = [next(run).loss for _ in range(3)]
    first.save(tmp_path / "checkpoint.pt")
    second.restore(tmp_path / "checkpoint.pt")
    assert [*begun, *(progress.loss for progress in second.run())] == wanted


def test_only_the_completion_is_learned() -> None:
    tokenizer = tokenizer_recipe.build()
    learned = [
        tokenizer.decode(row[row != IGNORED].tolist(), skip_special_tokens=False)
        for batch in batches(tokenizer, documents(0, Recipe()), parts=3)
        for row in batch.labels
    ]
    assert sorted(learned) == sorted(made.completion for made in documents(0, Recipe()))


def test_the_learning_rate_warms_up_stays_and_falls_to_zero() -> None:
    phases = (FIND, replace(REFINE, start=40, rate=0.5))
    recipe = Recipe(steps=100, phases=phases, warm_up=10, falling=20)
    assert schedule(0, recipe) == 0.1
    assert schedule(39, recipe) == 1.0
    assert schedule(40, recipe) == 0.5
    assert schedule(90, recipe) == pytest.approx(0.25)
    assert schedule(99, recipe) < 0.03


def test_newton_schulz_makes_singular_values_near_one() -> None:
    matrices = torch.randn(2, 48, 32, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrices, torch.float32))
    assert 0.5 < values.min() < values.max() < 1.5


# Reading and drawing


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The answer is \\boxed{7}.", "7"),
        ("<think>\n\\boxed{3}\n</think>\n\n\\boxed{4} or \\boxed{5}", "5"),
        ("<think>\n\\boxed{3}", None),
        ("<think>\n\\boxed{3}\n</think>\n\nSeven.", None),
        (f"{PREFILL}\n\n\\boxed{{8}}", "8"),
    ],
)
def test_the_answer_is_the_last_box_after_the_thinking(text: str, found: str | None) -> None:
    assert extracted(text) == found


def test_the_nucleus_holds_the_token_that_crosses_it() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().repeat(4000, 1)
    generator = torch.Generator().manual_seed(0)
    drawn = draw(logits, Law(1.0, 0.6), generator).bincount(minlength=4) / 4000
    assert drawn[2:].sum() == 0
    assert drawn[0] == pytest.approx(0.5 / 0.8, abs=0.03)
    assert set(draw(logits, Law(), generator).tolist()) == {0}
