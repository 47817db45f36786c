"""Random weights in the shape of a model: the shape is exact, every format loads and answers."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from workbench.cli.app import run
from workbench.engines.exllama import ExllamaEngine
from workbench.errors import InvalidInput, ModelError
from workbench.models.fitting import subject
from workbench.models.memory import Shape, weights_for
from workbench.models.synthesis import FORMATS, synthesise
from workbench.models.synthesis.folder import write
from workbench.models.synthesis.matrices import SCALE, exl2, gptq, mixture, plain
from workbench.models.synthesis.pool import Pool
from workbench.models.synthesis.recipe import Recipe, recipe
from workbench.models.synthesis.tokenizer import build, control_id
from workbench.models.tokenizer import Tokenizer
from workbench.records import Chunk, EngineSpec, Finished, Message, Request, Sampling

SMALL = Shape(
    layers=2,
    hidden=128,
    intermediate=256,
    heads=4,
    kv_heads=2,
    head_dim=32,
    vocabulary=1024,
    tied=False,
)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool(numbers=2**20)


@pytest.fixture(scope="module", params=FORMATS)
def folder(
    request: pytest.FixtureRequest, pool: Pool, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    made = tmp_path_factory.mktemp("synthetic") / request.param
    write(Recipe(SMALL, 2048, request.param, 4.0), made, pool)
    return made


# --- what is written ------------------------------------------------------------------------------


def test_the_shape_is_that_of_the_8b() -> None:
    plan = recipe("nemotron-nano-8b", "fp16", 4.0)
    told = plan.config()
    sizes = ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads")
    assert [told[name] for name in sizes] == [32, 4096, 32, 8]
    assert (told["intermediate_size"], told["vocab_size"], told["head_dim"]) == (14336, 128256, 128)
    assert told["eos_token_id"] == [128001, 128008, 128009]
    assert told["bos_token_id"] == 128000
    assert told["synthetic"] is True
    layer = sum(rows * columns for _, (rows, columns) in plan.matrices())
    norms = (2 * 32 + 1) * 4096
    assert 32 * layer + 2 * 128256 * 4096 + norms == 8_030_261_248


def test_every_format_is_accepted_and_takes_what_the_plan_says(folder: Path) -> None:
    found = subject(str(folder))
    assert found.weights == pytest.approx(weights_for(SMALL, found.quantization), rel=0.05)
    config = json.loads((folder / "config.json").read_text())
    assert config["synthetic"] is True
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == {f.name for f in folder.glob("*.safetensors")}


def test_every_format_loads_and_answers(folder: Path) -> None:
    engine = ExllamaEngine(EngineSpec(model=str(folder), device="cpu", cache_tokens=1024))
    assert engine.spec.synthetic
    request = Request((Message("user", "Größe?"),), sampling=Sampling(max_tokens=8, min_tokens=8))
    ticket, events = engine.submit(request), []
    while not (events and isinstance(events[-1], Finished)):
        news = engine.step()
        events += [event for number, event in news if number == ticket]
    ids = [token for event in events if isinstance(event, Chunk) for token in event.ids]
    logits = engine.logits(engine.encode([Message("user", "Hi")]))
    engine.close()
    assert len(ids) == 8
    assert torch.isfinite(logits).all()
    assert logits.std() > 0.01


@pytest.mark.parametrize("make", [plain, gptq, exl2])
def test_values_are_of_one_scale(make: object, pool: Pool) -> None:
    tensors = make(pool, "x", (256, 512), 4.0)  # type: ignore[operator]
    if make is plain:
        values = tensors["x.weight"]
    else:
        from workbench.engines.portable_matrix import exl2 as read_exl2
        from workbench.engines.portable_matrix import gptq as read_gptq

        if make is gptq:
            parts = (tensors[f"x.{name}"] for name in ("qweight", "qzeros", "scales"))
            values = read_gptq(*parts, None)
        else:
            names = ("q_weight", "q_scale", "q_scale_max", "q_groups")
            words, scale, most, table = (tensors[f"x.{name}"] for name in names)
            values = read_exl2(words, scale, most / 256, table, None)
    assert float(values.float().std()) == pytest.approx(SCALE, rel=0.1)
    assert abs(float(values.float().mean())) < SCALE / 4


@pytest.mark.parametrize("bits", [2.0, 2.5, 3.0, 3.7, 4.0, 4.65, 5.0, 6.0, 7.0, 8.0])
def test_a_mixture_has_the_bits_that_were_asked_for(bits: float) -> None:
    widths = mixture(bits, 32, 128)
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) <= 2
    measured = sum(widths) / 32 + 4 / 128
    assert measured == pytest.approx(bits, abs=0.04)


def test_the_same_seed_writes_the_same(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 1), ("other", 2)):
        write(Recipe(SMALL, 2048, "exl2", 3.0), tmp_path / name, Pool(seed, 2**18))
    one, two, other = (
        load_file(tmp_path / name / "model-00001.safetensors") for name in ("one", "two", "other")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_pool_does_not_repeat_within_a_matrix() -> None:
    values = Pool(numbers=2**16).normal((256, 256), 1.0)
    assert len({tuple(row.tolist()) for row in values}) == 256


# --- the tokenizer --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large() -> Tokenizer:
    return Tokenizer(build(128_256))


def test_it_has_exactly_the_ids_of_llama_3(large: Tokenizer) -> None:
    assert large.size == 128_256
    assert large.control_id("<|begin_of_text|>") == 128_000
    assert large.control_id("<|eot_id|>") == control_id("<|eot_id|>", 128_256) == 128_009
    assert len(large.controls) == 256


@given(text=st.text(max_size=40))
def test_it_writes_what_it_reads(large: Tokenizer, text: str) -> None:
    clean = text.encode("utf-8", "replace").decode()
    ids = large.encode_text(clean)
    assert large.decode(ids) == clean
    assert all(token < 128_000 for token in ids), "text is never a control token"


# --- what cannot be -------------------------------------------------------------------------------


def test_a_folder_that_holds_something_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(InvalidInput, match="there already"):
        synthesise(tmp_path, layers=1, vocabulary=1024)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"like": "demo"}, "not known"),
        ({"form": "fp4"}, "no format"),
        ({"form": "exl2", "bits": 9.0}, "no weight format"),
        ({"form": "exl2", "vocabulary": 1000}, "64 divides"),
        ({"vocabulary": 100}, "too small"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        synthesise(tmp_path / "new", layers=1, **settings)  # type: ignore[arg-type]
    assert refused.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")(2**30, 0, 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ModelError, match=r"15\.\d GiB are needed .* 1\.0 are free"):
        synthesise(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_what_is_cut_short_leaves_nothing(
    tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(Recipe(SMALL, 2048, "fp16", 16), tmp_path / "new", pool, stop)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new"
    arguments = ["models", "synthesise", str(folder), "--format", "exl2", "--bpw", "3"]
    monkeypatch.setattr("workbench.models.synthesis.folder.recipe", _small)
    assert run([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["quantization"], told["synthetic"]) == ("exl2-3.0bpw", True)
    assert run(arguments) == 2
    assert "there already" in capsys.readouterr().err


def _small(like: str, form: str, bits: float, layers: int | None, vocabulary: int | None) -> Recipe:
    return Recipe(SMALL, 2048, form, bits)
