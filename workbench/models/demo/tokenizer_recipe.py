"""Trains the tokenizer: byte-level BPE with single digits and the control tokens of Llama 3."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from workbench.models.demo.documents import document
from workbench.models.demo.protocol import BEGIN, CONTROL_TOKENS, END_OF_TURN, PADDING

VOCABULARY = 512

# The pattern of Llama 3, except that digits come one by one. `<think>` falls into `<`, `think`, `>`
# as it does there.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

ENGLISH = """
The model reads a question and thinks about it before it gives an answer. When thinking is on, it
writes down each step of the work, and then the result. When thinking is off, it must answer at
once, which is harder for long sums. You can ask another question, change the settings, or stop the
answer at any time. Please write a short story about a small town near the sea. Explain how the
sun, the moon and the stars move. What would you do if there were no more time? Thank you for your
help; this is very good. Hello, who are you and what can you tell me about the world? I am not sure
that we should have all of them, but some people like it more than others do. In the first place,
there was nothing here except for the old house, the garden and a long road to the north. Write a
function that returns the number of words in a line. First, second, third; one, two, three, four,
five, six, seven, eight, nine, ten. However, because they were late, nobody could see the end.
"""

# Llama 3 headers; the system text first; no thinking of earlier turns.
CHAT_TEMPLATE = (
    "{{- bos_token }}"
    "{%- if messages[0]['role'] == 'system' %}"
    "{%- set system_message = messages[0]['content'] | trim %}{%- set messages = messages[1:] %}"
    "{%- else %}{%- set system_message = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\n\n' + system_message + '<|eot_id|>' }}"
    "{%- for message in messages %}"
    "{%- set content = message['content'] %}"
    "{%- if message['role'] == 'assistant' %}{%- set content = content.split('</think>')[-1] %}"
    "{%- endif %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + content | trim + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)


def build(seed: int = 0, documents: int = 4000) -> Tokenizer:
    """Train the tokenizer on `documents` training documents and a page of English."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(CONTROL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(seed, documents), trainer)
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in CONTROL_TOKENS])
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json and the two small files that transformers and ExLlamaV2 read with it."""
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": BEGIN, "eos_token": END_OF_TURN, "pad_token": PADDING}
    config = {
        **special,
        "add_bos_token": False,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 2048,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    for name, content in (("special_tokens_map", special), ("tokenizer_config", config)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def _corpus(seed: int, documents: int) -> Iterator[str]:
    """Training text, split at its control tokens, which are never pieces of a longer text."""
    rng = Random(f"tokenizer/{seed}")
    for _ in range(documents):
        made = document(rng)
        yield from re.split(r"<\|\w+\|>", made.prompt + made.completion)
    # English repeats as often as it takes for its commonest words to earn a piece of their own.
    yield from [ENGLISH] * (documents // 20)
