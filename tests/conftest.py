from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
import torch
from hypothesis import settings
from safetensors.torch import save_file
from tokenizers import Regex, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

settings.register_profile("untimed", deadline=None)  # how long a test takes decides nothing
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Hear Ctrl-C: a script's background jobs ignore it, and so would the processes under test.

    And be no terminal of any width, as the processes are that xdist starts.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.pop("COLUMNS", None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Tests of a GPU run in one process: there is one GPU, and they measure its memory."""
    if config.option.markexpr == "gpu" and hasattr(config.option, "numprocesses"):
        config.option.numprocesses = 0


CONTROLS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
    "<|reserved_special_token_0|>",
]
CORPUS = [
    "detailed thinking on and detailed thinking off, said the user to the assistant.\n\n",
    "<think>\nFirst 12 + 30 = 42, then 42 * 2 = 84.\n</think>\n\nThe answer is \\boxed{84}.",
    "Grüße aus München, señor! 今日は。 नमस्ते สวัสดี 🙂 and so on\n",
]


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tokenizer.json of a small Llama-3-like byte-level BPE."""
    backend = Backend(models.BPE(ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=CONTROLS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS * 5, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
    )
    folder = tmp_path_factory.mktemp("tokenizer")
    backend.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def model_folder(tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Llama with random weights: it writes nonsense, always the same."""
    folder = tmp_path_factory.mktemp("model")
    copy(tokenizer_folder / "tokenizer.json", folder)
    ends = [CONTROLS.index(name) for name in ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>")]
    sizes = {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "max_position_embeddings": 8192,
    }
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **sizes,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "bos_token_id": 0,
        "eos_token_id": ends,
        "synthetic": True,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    save_file(random_llama(config), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def random_llama(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Half-precision weights from a fixed seed, sharp enough that greedy choices are clear."""
    source = torch.Generator().manual_seed(0)

    def matrix(rows: int, columns: int, scale: float = 1.0) -> torch.Tensor:
        return (torch.randn(rows, columns, generator=source) * scale * columns**-0.5).half()

    width, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    weights = {
        "model.embed_tokens.weight": matrix(config["vocab_size"], width, scale=8.0),
        "model.norm.weight": torch.ones(width).half(),
        "lm_head.weight": matrix(config["vocab_size"], width, scale=4.0),
    }
    for layer in range(config["num_hidden_layers"]):
        parts = {
            "input_layernorm": torch.ones(width).half(),
            "self_attn.q_proj": matrix(queries, width, scale=2.0),
            "self_attn.k_proj": matrix(keys, width, scale=2.0),
            "self_attn.v_proj": matrix(keys, width, scale=2.0),
            "self_attn.o_proj": matrix(width, queries, scale=2.0),
            "post_attention_layernorm": torch.ones(width).half(),
            "mlp.gate_proj": matrix(inner, width, scale=2.0),
            "mlp.up_proj": matrix(inner, width, scale=2.0),
            "mlp.down_proj": matrix(width, inner, scale=2.0),
        }
        weights |= {f"model.layers.{layer}.{name}.weight": part for name, part in parts.items()}
    return weights
