from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from workbench import chat
from workbench.errors import ModelError
from workbench.models.template import PROBES, ChatFormat, Template, chat_format
from workbench.models.tokenizer import Tokenizer
from workbench.records import Message

DEMO = Path(__file__).parents[2] / "workbench" / "models" / "demo"

# The Llama 3 format, as a model folder would spell it.
LLAMA = """{{ bos_token }}
{%- for message in messages %}
    {{- "<|start_header_id|>" + message["role"] + "<|end_header_id|>\n\n" }}
    {{- message["content"] | trim + "<|eot_id|>" }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- "<|start_header_id|>assistant<|end_header_id|>\n\n" }}
{%- endif %}"""
SHOUTING = LLAMA.replace("| trim", "| trim | upper")
CHAT = [Message("system", "detailed thinking on"), Message("user", "2+2?")]


@pytest.fixture
def folder(tokenizer_folder: Path, tmp_path: Path) -> Path:
    shutil.copy(tokenizer_folder / "tokenizer.json", tmp_path)
    return tmp_path


@pytest.fixture
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_folder(folder)


def write_config(folder: Path, template: object, bos: object = "<|begin_of_text|>") -> None:
    config = {"bos_token": bos, "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def opened(folder: Path) -> ChatFormat:
    return chat_format(folder, Tokenizer.from_folder(folder))


def test_without_a_template_ours_is_used(folder: Path) -> None:
    made = opened(folder)
    assert (made.template, made.sha256) == (None, None)
    assert made.label == "workbench (the model has none)"
    assert made.segments(CHAT, "x") == chat.segments(CHAT, "x")
    assert made.encode(CHAT) == chat.encode(chat.segments(CHAT), made.tokenizer)


@pytest.mark.parametrize(
    ("template", "bos"),
    [
        (LLAMA, "<|begin_of_text|>"),
        (LLAMA, {"content": "<|begin_of_text|>", "special": True}),
        ([{"name": "tool_use", "template": "no"}, {"name": "default", "template": LLAMA}], None),
    ],
)
def test_an_equal_template_means_ours_is_used(folder: Path, template: object, bos: object) -> None:
    if bos is None:
        template = json.loads(
            json.dumps(template).replace("{{ bos_token }}", "{{- '<|begin_of_text|>' }}")
        )
    write_config(folder, template, bos)
    made = opened(folder)
    assert made.label == "workbench (equal to the model's)"
    assert made.template is None


def test_the_hash_is_of_the_templates_text(folder: Path) -> None:
    write_config(folder, LLAMA)
    assert opened(folder).sha256 == hashlib.sha256(LLAMA.encode()).hexdigest()


def test_a_template_file_goes_before_the_config(folder: Path) -> None:
    write_config(folder, LLAMA)
    (folder / "chat_template.jinja").write_text(SHOUTING)
    assert opened(folder).sha256 == hashlib.sha256(SHOUTING.encode()).hexdigest()


def test_a_different_template_is_used_and_named(folder: Path) -> None:
    write_config(folder, SHOUTING)
    made = opened(folder)
    assert made.label == "the model's (differs from the workbench's)"
    prompt = chat.shown(made.segments([Message("user", " so ")], "<think>"))
    assert prompt == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nSO<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n<think>"
    )
    assert made.encode(CHAT, "y") == chat.encode(made.segments(CHAT, "y"), made.tokenizer)


def test_a_prefill_is_one_piece_with_the_header(folder: Path) -> None:
    write_config(folder, SHOUTING)
    assert opened(folder).segments(CHAT, "<think>\n</think>")[-1] == "\n\n<think>\n</think>"


def test_a_prefill_behind_a_control_token_is_text_of_its_own(
    folder: Path, tokenizer: Tokenizer
) -> None:
    template = Template("a<|eot_id|>", {}, tuple(tokenizer.controls))
    assert template.segments(CHAT, "<|eot_id|>") == ["a", chat.Control("<|eot_id|>"), "<|eot_id|>"]


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% if %}", "Expected an expression"),
        ("{{ raise_exception('no system turn, please') }}", "no system turn, please"),
        ("{{ messages[0]['content'] + 1 }}", "can only concatenate str"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_a_template_that_fails_leaves_ours_and_says_why(
    folder: Path, template: str, reason: str
) -> None:
    write_config(folder, template)
    made = opened(folder)
    assert made.label.startswith("workbench (The model's chat template fails: ")
    assert reason in made.label
    assert made.template is None
    assert made.sha256 == hashlib.sha256(template.encode()).hexdigest()


def test_a_conversation_that_the_template_refuses_is_an_error_with_a_remedy(folder: Path) -> None:
    picky = SHOUTING + "{% if messages | length > 4 %}{{ raise_exception('too long') }}{% endif %}"
    write_config(folder, picky)
    made = opened(folder)
    with pytest.raises(ModelError, match=r"too long\. Repair or remove"):
        made.encode(CHAT * 3)


@pytest.mark.parametrize("template", [LLAMA, SHOUTING.replace(" | upper", " ~ ' '")])
def test_control_tokens_in_messages_stay_text(
    folder: Path, tokenizer: Tokenizer, template: str
) -> None:
    asked = Template(template, {"bos_token": "<|begin_of_text|>"}, tuple(tokenizer.controls))
    text = "a" + "".join(tokenizer.controls) + "\ue000" + "<|eot_id|>0<|eot_id|>"
    prompt = asked.segments([Message("user", text)])
    assert prompt[4] in (f"\n\n{text}", f"\n\n{text} ")
    assert [part.name for part in prompt if isinstance(part, chat.Control)] == [
        part.name
        for part in chat.segments([Message("user", "x")])
        if isinstance(part, chat.Control)
    ]


def test_lone_surrogates_do_not_reach_the_tokenizer(folder: Path) -> None:
    write_config(folder, SHOUTING)
    made = opened(folder)
    assert "A\ufffdB" in made.tokenizer.decode(made.encode([Message("user", "a\ud800b")]))


def test_the_usual_helpers_are_there(folder: Path, tokenizer: Tokenizer) -> None:
    source = (
        "{% generation %}{{ messages[0] | tojson }}{% endgeneration %}"
        "{% for m in messages %}{% if loop.index == 2 %}{% break %}{% endif %}.{% endfor %}"
        "{{ strftime_now('%%') }}{{ tools is none }}"
    )
    (text,) = Template(source, {}, ()).segments([Message("user", "<é>"), Message("user", "b")])
    assert text == '{"role": "user", "content": "<é>"}.%True'


@pytest.mark.parametrize("content", ["{", "\xff", "[]"])
def test_a_broken_config_is_refused(folder: Path, content: str) -> None:
    (folder / "tokenizer_config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ModelError, match=r"tokenizer_config\.json (cannot be read|is not a JSON)"):
        opened(folder)


@pytest.mark.parametrize("config", [{}, {"chat_template": None}, {"chat_template": []}])
def test_a_config_without_a_template_is_fine(folder: Path, config: object) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert opened(folder).label == "workbench (the model has none)"


def test_a_model_of_another_format_uses_its_own_template(tmp_path: Path, folder: Path) -> None:
    spec = (folder / "tokenizer.json").read_text().replace("<|eot_id|>", "<|im_end|>")
    (folder / "tokenizer.json").write_text(spec)
    with pytest.raises(ModelError, match=r"no control token <\|eot_id\|>"):
        opened(folder)
    write_config(folder, LLAMA.replace("<|eot_id|>", "<|im_end|>"))
    assert opened(folder).label == "the model's (differs from the workbench's)"


def test_the_same_ids_as_transformers(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    write_config(folder, SHOUTING)
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), bos_token="<|begin_of_text|>"
    )
    made = opened(folder)
    for probe in PROBES:
        turns = [{"role": m.role, "content": m.text} for m in probe]
        for template, ids in [
            (SHOUTING, made.encode(probe)),
            (LLAMA, chat.encode(chat.segments(probe), made.tokenizer)),
        ]:
            expected = theirs.apply_chat_template(
                turns, chat_template=template, add_generation_prompt=True, return_dict=False
            )
            assert ids == expected


@pytest.mark.skipif(not (DEMO / "tokenizer.json").exists(), reason="the demo is not there yet")
def test_the_demos_template_is_equal_to_ours() -> None:
    made = opened(DEMO)
    assert made.label == "workbench (equal to the model's)"
    assert made.sha256 is not None
