from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from workbench.errors import ModelError
from workbench.models.folder import check, inspect
from workbench.models.weights import weights_sha256

DEMO = Path(__file__).parents[2] / "workbench" / "models" / "demo"
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 512,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "eos_token_id": [1, 4],
}
LAYER = {
    "input_layernorm": (16,),
    "self_attn.q_proj": (32, 16),
    "self_attn.k_proj": (16, 16),
    "self_attn.v_proj": (16, 16),
    "self_attn.o_proj": (16, 32),
    "post_attention_layernorm": (16,),
    "mlp.gate_proj": (24, 16),
    "mlp.up_proj": (24, 16),
    "mlp.down_proj": (16, 24),
}
SHAPES = {
    "model.embed_tokens.weight": (512, 16),
    **{f"model.layers.{i}.{k}.weight": shape for i in (0, 1) for k, shape in LAYER.items()},
    "model.norm.weight": (16,),
    "lm_head.weight": (512, 16),
}
Edit = Callable[[dict[str, Any]], object]


def tensors(dtype: type = np.float16) -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.ones(shape, dtype) for name, shape in SHAPES.items()}


@pytest.fixture
def folder(tokenizer_folder: Path, tmp_path: Path) -> Path:
    """A sound model folder."""
    made = tmp_path / "model"
    shutil.copytree(tokenizer_folder, made)
    (made / "config.json").write_text(json.dumps(CONFIG))
    (made / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 4, 5]}))
    save_file(tensors(), made / "model.safetensors")
    return made


def edit(folder: Path, change: Edit) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def refused(folder: Path, message: str, remedy: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        check(folder)
    assert remedy in caught.value.remedy


def write_header(file: Path, header: dict[str, Any], data: int) -> None:
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))


# --- sound folders ------------------------------------------------------------------------------


def test_a_sound_folder_is_described(folder: Path) -> None:
    info = check(folder)
    assert info == inspect(folder)
    assert (info.architecture, info.layers, info.hidden) == ("LlamaForCausalLM", 2, 16)
    assert (info.heads, info.kv_heads, info.head_dim, info.intermediate) == (4, 2, 8, 24)
    assert (info.vocabulary, info.context) == (512, 256)
    assert (info.rope.theta, info.rope.kind) == (500000.0, "llama3")
    assert info.quantization == "fp16"
    assert info.parameters == sum(map(prod, SHAPES.values()))
    assert info.bytes == (folder / "model.safetensors").stat().st_size
    assert info.eos_ids == (1, 4, 5)
    assert info.template_sha256 is None
    assert (info.synthetic, info.warnings) == (False, ())


def test_sizes_that_may_be_left_out(folder: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        del config["num_key_value_heads"], config["head_dim"]
        config["num_attention_heads"] = 2

    edit(folder, change)
    info = inspect(folder)
    assert (info.kv_heads, info.head_dim) == (2, 8)


def test_a_tied_head_is_counted_once(folder: Path) -> None:
    made = tensors()
    del made["lm_head.weight"]
    save_file(made, folder / "model.safetensors")
    edit(folder, lambda config: config.update(tie_word_embeddings=True))
    assert check(folder).parameters == sum(map(prod, SHAPES.values())) - 512 * 16


def test_the_hash_of_the_template_is_the_templates(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    assert check(folder).template_sha256 == hashlib.sha256(b"{{ messages }}").hexdigest()


def test_synthetic_weights_say_so(folder: Path) -> None:
    edit(folder, lambda config: config.update(synthetic=True))
    assert check(folder).synthetic


def test_other_precisions_are_named(folder: Path) -> None:
    save_file(tensors(np.float32), folder / "model.safetensors")
    assert check(folder).quantization == "fp32"
    header, place = {}, 0
    for name, shape in SHAPES.items():
        offsets = [place, place := place + 2 * prod(shape)]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": offsets}
    write_header(folder / "model.safetensors", header, place)
    info = check(folder)
    assert info.quantization == "bf16"
    assert info.warnings == ("The weights are bf16; ExLlamaV2 computes in fp16.",)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"quant_method": "exl2", "bits": 4.0, "head_bits": 6}, "exl2-4.0bpw"),
        ({"quant_method": "exl2", "bits": 4.65}, "exl2-4.65bpw"),
        ({"quant_method": "exl2"}, "exl2"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq-4bit"),
    ],
)
def test_quantized_weights_are_named(folder: Path, settings: object, name: str) -> None:
    made = tensors()
    for module in [m for m in SHAPES if "proj" in m]:
        packed = np.ones((2, 2), np.int32)
        made[module.replace(".weight", ".q_weight" if "exl2" in name else ".qweight")] = packed
        del made[module]
    save_file(made, folder / "model.safetensors")
    edit(folder, lambda config: config.update(quantization_config=settings))
    info = check(folder)
    assert info.quantization == name
    assert info.parameters == sum(map(prod, SHAPES.values()))


def test_shards_are_read_together(folder: Path) -> None:
    made = tensors()
    (folder / "model.safetensors").unlink()
    halves = {"a.safetensors": dict(list(made.items())[:9])}
    halves["b.safetensors"] = {k: v for k, v in made.items() if k not in halves["a.safetensors"]}
    index = {"weight_map": {name: file for file, part in halves.items() for name in part}}
    for file, part in halves.items():
        save_file(part, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert check(folder).bytes == sum(f.stat().st_size for f in folder.glob("*.safetensors"))
    (folder / "b.safetensors").unlink()
    refused(folder, r"lacks the shards b\.safetensors", "Download the model again")


def test_without_a_generation_config_the_eos_ids_are_the_configs(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    info = check(folder)
    assert info.eos_ids == (1, 4)
    assert info.warnings == (
        "There is no generation_config.json; the end-of-sequence ids are those of config.json.",
    )


@pytest.mark.skipif(not (DEMO / "model.safetensors").exists(), reason="the demo is not there yet")
def test_the_demo_is_sound() -> None:
    info = check(DEMO)
    assert info.bytes <= 8_000_000
    assert info.quantization == "fp16"
    assert info.head_dim in (64, 128)
    assert not info.warnings
    assert info.template_sha256 is not None


# --- folders that are refused -------------------------------------------------------------------


def test_no_such_folder(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "There is no folder .*nowhere", "workbench models list")


def test_a_file_is_no_folder(folder: Path) -> None:
    refused(folder / "config.json", "is a file", "the folder that holds config.json")


def test_a_folder_without_a_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    refused(folder, r"has no config\.json", "as it comes from Hugging Face")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\0"])
def test_a_broken_config(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    refused(folder, r"config\.json (cannot be read|is not a JSON object)", "Download the file")


@pytest.mark.parametrize("architectures", [["DeciLMForCausalLM"], ["MistralForCausalLM"]])
def test_another_architecture(folder: Path, architectures: list[str]) -> None:
    edit(folder, lambda config: config.update(architectures=architectures))
    message = f"is a {architectures[0]}, which ExLlamaV2 would load as a Llama"
    refused(folder, message, "LlamaForCausalLM")
    assert any(message in warning for warning in inspect(folder).warnings)


@pytest.mark.parametrize("value", [None, [], "LlamaForCausalLM", [1], ["A", "B"]])
def test_no_architecture(folder: Path, value: object) -> None:
    edit(folder, lambda config: config.update(architectures=value))
    refused(folder, "does not name one architecture", '["LlamaForCausalLM"]')


@pytest.mark.parametrize("value", [None, 0, -1, 2.5, "16", True])
@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "vocab_size"])
def test_a_size_that_is_missing_or_impossible(folder: Path, key: str, value: object) -> None:
    edit(folder, lambda config: config.update({key: value}))
    refused(folder, f"{key} is (missing|{value!r})", "a whole number above 0")


@pytest.mark.parametrize(
    ("change", "message", "remedy"),
    [
        ({"num_key_value_heads": 3}, "4 attention heads cannot share 3", "num_key_value_heads"),
        ({"hidden_act": "gelu"}, "activation is gelu", "silu"),
        ({"model_max_length": 128}, "model_max_length is 128", "Remove model_max_length"),
        ({"max_sequence_length": 9}, "gives the context twice", "Remove max_sequence_length"),
        ({"rope_theta": "high"}, "rope_theta in config.json is 'high'", "a number"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantized with awq", "exl2 or gptq"),
    ],
)
def test_keys_that_would_be_misread(
    folder: Path, change: dict[str, Any], message: str, remedy: str
) -> None:
    edit(folder, lambda config: config.update(change))
    refused(folder, message, remedy)


def test_no_norm_epsilon(folder: Path) -> None:
    edit(folder, lambda config: config.pop("rms_norm_eps"))
    refused(folder, "has no rms_norm_eps", "Add it")


def test_a_folder_without_a_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    refused(folder, r"has no tokenizer\.json", "Copy it")


def test_a_tokenizer_larger_than_the_model(folder: Path) -> None:
    made = tensors()
    made["model.embed_tokens.weight"] = made["lm_head.weight"] = np.ones((100, 16), np.float16)
    save_file(made, folder / "model.safetensors")
    edit(folder, lambda config: config.update(vocab_size=100))
    refused(folder, "The tokenizer has [0-9]+ tokens, the model only 100", "the same model")


@pytest.mark.parametrize("ids", [None, [], [512], "</s>"])
def test_no_usable_end_of_sequence(folder: Path, ids: object) -> None:
    (folder / "generation_config.json").unlink()
    edit(folder, lambda config: config.update(eos_token_id=ids))
    refused(folder, "it would never stop", "eos_token_id in generation_config.json")


# --- rope ---------------------------------------------------------------------------------------


def to_transformers_5(config: dict[str, Any]) -> None:
    scaling = config.pop("rope_scaling")
    config["rope_parameters"] = {"rope_theta": config.pop("rope_theta"), **scaling}


def test_the_new_rope_keys_alone_are_refused_with_the_old_ones_spelt_out(folder: Path) -> None:
    edit(folder, to_transformers_5)
    with pytest.raises(ModelError, match="rope_parameters") as caught:
        check(folder)
    _, _, keys = caught.value.remedy.partition("Add to config.json: ")
    edit(folder, lambda config: config.update(json.loads(f"{{{keys}}}")))
    assert check(folder).rope.kind == "llama3"


def test_the_new_rope_keys_that_mean_the_defaults_are_fine(folder: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        del config["rope_scaling"], config["rope_theta"]
        config["rope_parameters"] = {"rope_theta": 10000, "rope_type": "default"}

    edit(folder, change)
    rope = check(folder).rope
    assert (rope.theta, rope.scaling, rope.kind) == (10000.0, None, None)


def test_old_and_new_rope_keys_that_differ_are_refused(folder: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        old = dict(config["rope_scaling"])
        to_transformers_5(config)
        config |= {"rope_theta": 500000.0, "rope_scaling": {**old, "factor": 32.0}}

    edit(folder, change)
    refused(folder, "rope_parameters", '"factor": 8.0')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_type": "dynamic"}, "does not know the rope scaling 'dynamic'"),
        ({"type": "llama3"}, "both type and rope_type"),
        ({"low_freq_factor": ...}, "llama3 rope scaling in config.json lacks low_freq_factor"),
    ],
)
def test_scaling_that_exllamav2_cannot_read(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    def apply(config: dict[str, Any]) -> None:
        scaling = {**config["rope_scaling"], **change}
        config["rope_scaling"] = {k: v for k, v in scaling.items() if v is not ...}

    edit(folder, apply)
    refused(folder, message, "")


# --- weights ------------------------------------------------------------------------------------


def test_a_folder_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, r"has no weights \(\*\.safetensors\)", "convert it to safetensors")


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1])
def test_truncated_weights(folder: Path, keep: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    refused(folder, r"model\.safetensors is incomplete or damaged", "Download the file again")


@pytest.mark.parametrize("garbage", [b"\xff" * 400, b"<html>not found</html>" * 9])
def test_corrupt_weights(folder: Path, garbage: bytes) -> None:
    (folder / "model.safetensors").write_bytes(garbage)
    refused(folder, "is incomplete or damaged", "Download the file again")


def test_a_tensor_that_reaches_outside_the_file(folder: Path) -> None:
    header = {"lm_head.weight": {"dtype": "F16", "shape": [4], "data_offsets": [0, 80]}}
    write_header(folder / "model.safetensors", header, 8)
    refused(folder, "is incomplete or damaged", "Download the file again")


def test_a_type_that_exllamav2_cannot_read(folder: Path) -> None:
    header, place = {}, 0
    for name, shape in SHAPES.items():
        offsets = [place, place := place + prod(shape)]
        header[name] = {"dtype": "F8_E4M3", "shape": shape, "data_offsets": offsets}
    write_header(folder / "model.safetensors", header, place)
    refused(folder, "stored as F8_E4M3, which ExLlamaV2 cannot read", "fp16, bf16, fp32")


def test_missing_tensors(folder: Path) -> None:
    made = load_file(folder / "model.safetensors")
    del made["model.layers.1.mlp.up_proj.weight"]
    save_file(made, folder / "model.safetensors")
    refused(folder, r"lack model\.layers\.1\.mlp\.up_proj\. ", "Download the missing file")
    edit(folder, lambda config: config.update(num_hidden_layers=3))
    refused(folder, r"lack model\.layers\.1\.mlp\.up_proj and 9 more", "config.json")


def test_tensors_of_another_size(folder: Path) -> None:
    edit(folder, lambda config: config.update(vocab_size=600))
    refused(
        folder,
        r"embed_tokens and 1 more: the weights are 512 × 16, config\.json says 600 × 16",
        "the same model",
    )


def test_a_tensor_that_is_there_twice(folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder / "copy.safetensors")
    refused(folder, r"is in both copy\.safetensors and model\.safetensors", "only one set")


# --- the hash of the weights --------------------------------------------------------------------


def test_the_whole_hash_is_that_of_sha256sum(folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder / "a.safetensors")
    (folder / "a.safetensors").open("ab").write(b"x")
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("a.safetensors", "model.safetensors")
    ]
    assert weights_sha256(folder) == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_a_sample_says_so_and_sees_sizes_headers_and_ends(tmp_path: Path) -> None:
    seen = set()
    for size, change in [(9_000_000, None), (9_000_001, None), (9_000_000, 8_999_999)]:
        data = bytearray(size)
        if change is not None:
            data[change] = 1
        save_file({"a": np.frombuffer(data, np.uint8)}, tmp_path / "model.safetensors")
        sampled = weights_sha256(tmp_path, whole=False)
        assert sampled == weights_sha256(tmp_path, whole=False)
        assert sampled.startswith("sampled:")
        seen.add(sampled)
    assert len(seen) == 3


def test_a_sample_of_a_small_file_is_complete(folder: Path) -> None:
    before = weights_sha256(folder, whole=False)
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert weights_sha256(folder, whole=False) != before
