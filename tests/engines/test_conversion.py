"""Conversions by ExLlamaV2's own converter on the CPU: told, stopped, resumed, finished."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.conftest import random_llama
from workbench.cli.app import run
from workbench.engines import natives
from workbench.engines.conversion import __main__ as child
from workbench.engines.conversion import job as jobs
from workbench.engines.conversion.calibration import Texts
from workbench.engines.conversion.job import Job, planned
from workbench.engines.conversion.progress import Reader, Step, last_word, status
from workbench.engines.conversion.running import convert
from workbench.engines.exllama import ExllamaEngine
from workbench.errors import EngineError, InvalidInput, ModelError, WorkbenchError
from workbench.models.catalogue import CATALOGUE
from workbench.models.demo.documents import EQUATIONS, document
from workbench.models.folder import ModelInfo
from workbench.records import EngineSpec

from .packing import exl2_values

FEW = Texts(None, demo=True, length=128, rows=2, measured=1)


@pytest.fixture(scope="session")
def demo() -> Path:
    folder = CATALOGUE["demo"].folder
    assert folder is not None
    return folder


@pytest.fixture(scope="session")
def small(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One random layer with the embedded model's tokenizer, and files that must not come along."""
    folder = tmp_path_factory.mktemp("small") / "model"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(demo / name, folder)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32}
    config = json.loads((demo / "config.json").read_text()) | sizes
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text("Figures of the unquantised model.")
    save_file(random_llama(config), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def small_job(source: Path, target: Path) -> Job:
    return replace(planned(str(source), target, bits=5.0), texts=FEW)


# --- a small conversion, from the first start to the end ------------------------------------------


class Stopping:
    """Stands where a user watches, and presses Ctrl-C when a pass has come to a module."""

    def __init__(self, name: str, module: int) -> None:
        self.steps: list[Step] = []
        self.name, self.module = name, module

    def __call__(self, step: Step) -> None:
        self.steps.append(step)
        if step.name == self.name and step.module == self.module:
            raise KeyboardInterrupt

    def passes(self) -> list[str]:
        return list(dict.fromkeys(step.name for step in self.steps))


def test_stopped_killed_and_resumed_it_ends_in_a_whole_model(small: Path, tmp_path: Path) -> None:
    job = small_job(small, tmp_path / "made" / "small-5.0")
    record = job.work / "job" / "job_new.json"

    first = Stopping("quantising", 3)
    with pytest.raises(KeyboardInterrupt):
        convert(job, first)
    assert "measuring what each choice of bits costs" in first.passes()
    assert not job.target.exists()
    assert json.loads(record.read_text())["progress"] == "quant"

    record.write_text(record.read_text()[:40])  # as a kill leaves it that comes while it is written
    second = Stopping("quantising", 3)
    with pytest.raises(KeyboardInterrupt):
        convert(job, second)
    assert "measuring what each choice of bits costs" not in second.passes()

    third = Stopping("nothing", 0)
    info = convert(job, third)
    assert third.passes()[0] == "quantising"
    assert third.steps[-1].done == 1.0
    assert info.quantization == "exl2-5.0bpw"
    assert info.synthetic
    assert not job.work.exists()
    names = {file.name for file in job.target.iterdir()}
    assert {"config.json", "tokenizer.json", "generation_config.json"} < names
    assert "README.md" not in names
    with pytest.raises(InvalidInput, match="is there already"):
        small_job(small, job.target)
    assert agreement(small, job.target).argmax > 0.4  # random weights: by chance it is 0.002


def test_ctrl_c_in_a_terminal_leaves_the_command_that_goes_on(small: Path, tmp_path: Path) -> None:
    target = tmp_path / "made here"
    command = ["models", "convert", str(small), str(target), "--bpw", "4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench.cli", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "reading texts" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert f"workbench models convert {small} '{target}' --bpw 4" in said
    assert not target.exists()
    assert (tmp_path / ".made here.converting" / "convert.log").is_file()


def test_a_converter_that_fails_is_quoted_and_its_log_named(small: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(small, broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.embed_tokens.weight"].fill_(float("nan"))
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    job = small_job(broken, tmp_path / "made")
    with pytest.raises(EngineError, match=r"Measurement/inference error \(2\)") as refused:
        convert(job, lambda step: None)
    assert str(job.work / "convert.log") in refused.value.remedy
    assert "inference error" in (job.work / "convert.log").read_text()


def test_texts_that_are_no_parquet(tmp_path: Path) -> None:
    texts = tmp_path / "texts.parquet"
    texts.write_text("no such thing as Parquet")
    with pytest.raises(InvalidInput, match="no Parquet file"):
        planned("demo", tmp_path / "made", bits=4.0, calibration_file=texts)


def test_a_work_folder_serves_one_request(small: Path, tmp_path: Path) -> None:
    job = small_job(small, tmp_path / "made")
    job.work.mkdir()
    (job.work / "request.json").write_text('{"source": "elsewhere"}')
    with pytest.raises(InvalidInput, match="holds another conversion"):
        convert(job, lambda step: None)


class TestOnAGpu:
    """The child as it begins on a GPU: nothing of torch is replaced, the extension is there."""

    def begin(self, monkeypatch: pytest.MonkeyPatch, provide: Callable[..., None]) -> list[str]:
        started: list[str] = []
        monkeypatch.setattr(child.extension, "provide", provide)
        monkeypatch.setattr(child.extension, "flash_attn_error", lambda: None)
        monkeypatch.setattr(child.runpy, "run_module", lambda *a, **k: started.extend(sys.argv))
        monkeypatch.setattr(sys, "argv", ["child", "cuda", "-o", "here"])
        child.main()
        return started

    def test_the_extension_comes_first_and_its_building_is_told(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        move = Tensor.to
        started = self.begin(monkeypatch, lambda torch, toolkit, tell: tell(3, 12))
        assert started == [child.CONVERTER, "-o", "here"]
        assert Tensor.to is move
        step = Reader(5, lambda: 0.0).read(capsys.readouterr().out)
        assert step is not None
        assert (step.name, step.done) == ("building ExLlamaV2's extension", 0.25)

    def test_without_one_it_says_why(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail(*args: object) -> None:
            raise EngineError("There is no compiler.", remedy="Install g++.")

        with pytest.raises(SystemExit):
            self.begin(monkeypatch, fail)
        said = capsys.readouterr().out.splitlines()
        assert last_word(said) == "There is no compiler. Install g++."


# --- the embedded model, whose answers can be checked ---------------------------------------------


def texts_not_trained_on(count: int) -> list[str]:
    source = Random("conversion")
    made = [document(source, EQUATIONS) for _ in range(count)]
    return [one.prompt + one.completion for one in made]


def agreement(plain: Path, quantised: Path) -> SimpleNamespace:
    """How often both models' likeliest tokens agree, and how far their distributions are apart."""
    first, second = (logits(folder) for folder in (plain, quantised))
    p, q = first.log_softmax(-1), second.log_softmax(-1)
    return SimpleNamespace(
        argmax=float((first.argmax(-1) == second.argmax(-1)).double().mean()),
        divergence=float((p.exp() * (p - q)).sum(-1).mean()),
    )


def logits(folder: Path) -> Tensor:
    engine = ExllamaEngine(EngineSpec(model=str(folder), device="cpu", cache_tokens=2048))
    tokenizer = engine._loaded.tokenizer
    rows = [tokenizer.encode_text(text) for text in texts_not_trained_on(8)]
    parts = [engine._loaded.logits(ids, 2048) for ids in rows]
    engine.close()
    return torch.cat(parts).double()


def measurement(info: ModelInfo) -> dict[str, object]:
    """What the converter would have measured, if every option's error were 2^-bits."""
    natives.load("cpu")
    from exllamav2.conversion.qparams import qparams_attn, qparams_mlp

    names = {
        "self_attn": (qparams_attn, ("q_proj", "k_proj", "v_proj", "o_proj")),
        "mlp": (qparams_mlp, ("gate_proj", "up_proj", "down_proj")),
    }
    shapes = dict.fromkeys(("gate_proj", "up_proj"), (info.hidden, info.intermediate))
    shapes |= {"down_proj": (info.intermediate, info.hidden)}
    shapes |= dict.fromkeys(("k_proj", "v_proj"), (info.hidden, info.kv_heads * info.head_dim))
    shapes |= dict.fromkeys(("q_proj", "o_proj"), (info.hidden, info.heads * info.head_dim))
    table: dict[str, object] = {"model.norm.norm": None, "lm_head.linear": None}
    for layer in range(info.layers):
        for block, (options, parts) in names.items():
            table[f"model.layers.{layer}.{block}"] = [
                {
                    "accuracy": 1 - 2.0 ** -option[0].bpw(shapes[parts[0]]),
                    "total_bits": sum(
                        o.total_bits(shapes[part]) for o, part in zip(option, parts, strict=True)
                    ),
                    **{part: o.get_dict() for o, part in zip(option, parts, strict=True)},
                }
                for option in options
            ]
    return {"measurement": table, "last_module_idx": 2 * info.layers + 2}


@pytest.fixture(scope="session")
def eight_bits(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model at 8 bits a weight; what each choice costs is given, not measured."""
    job = planned("demo", tmp_path_factory.mktemp("eight") / "demo-8.0", bits=8.0, head_bits=8)
    job.work.mkdir()
    made = measurement(jobs.check(demo))
    (job.work / "measurement.json").write_text(json.dumps(made))
    job = replace(job, texts=replace(job.texts, rows=4, length=256))
    convert(job, lambda step: None)
    return job.target


def test_eight_bits_answer_as_sixteen_do(demo: Path, eight_bits: Path) -> None:
    found = agreement(demo, eight_bits)
    assert found.argmax > 0.97
    assert found.divergence < 0.01


def test_the_converters_matrices_are_read_bit_by_bit_as_an_independent_reader_does(
    demo: Path, eight_bits: Path
) -> None:
    (file,) = eight_bits.glob("*.safetensors")
    packed, plain = load_file(file), load_file(demo / "model.safetensors")
    name = "model.layers.1.self_attn.k_proj"
    ours = {key.rsplit(".", 1)[1]: value for key, value in packed.items() if key.startswith(name)}
    table = {bits for bits, _ in ours["q_groups"].view(-1, 2).tolist()}
    values = exl2_values(ours)
    runtime = natives.load("cpu")
    config = runtime.library.ExLlamaV2Config(str(eight_bits))
    model = runtime.library.ExLlamaV2(config)
    model.load(lazy=True)
    module = model.modules_dict[name]
    module.load(device_context=False)
    assert table == {8}
    assert np.array_equal(module.get_weight_tensor_dq().numpy(), values)
    difference = values.astype(float) - plain[f"{name}.weight"].T.double().numpy()
    assert np.abs(difference).max() < 0.02


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1.9, 8.5, float("nan"), float("inf"), -4.0])
def test_bits_out_of_range(tmp_path: Path, bits: float) -> None:
    with pytest.raises(InvalidInput, match="bits a weight"):
        planned("demo", tmp_path / "made", bits=bits)


@pytest.mark.parametrize(
    ("settings", "kind", "match"),
    [
        ({"head_bits": 7}, InvalidInput, "head cannot have 7"),
        ({"device": "tpu"}, InvalidInput, "no device 'tpu'"),
        ({"calibration_file": Path("none.parquet")}, InvalidInput, "no file none.parquet"),
    ],
    ids=["head", "device", "texts"],
)
def test_wrong_settings(
    tmp_path: Path, settings: dict[str, object], kind: type[WorkbenchError], match: str
) -> None:
    with pytest.raises(kind, match=match) as refused:
        planned("demo", tmp_path / "made", bits=4.0, **settings)  # type: ignore[arg-type]
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"quantization_config": {"quant_method": "exl2", "bits": 4.0}}, "exl2-4.0bpw already"),
        ({"architectures": ["MistralForCausalLM"]}, "MistralForCausalLM"),
    ],
    ids=["quantised", "not a Llama"],
)
def test_sources_that_cannot_be_converted(
    small: Path, tmp_path: Path, change: dict[str, object], match: str
) -> None:
    folder = tmp_path / "source"
    shutil.copytree(small, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=match):
        planned(str(folder), tmp_path / "made", bits=4.0)


def test_too_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=2**20)
    monkeypatch.setattr(jobs.shutil, "disk_usage", lambda place: usage)
    with pytest.raises(InvalidInput, match="GiB are free"):
        planned("demo", tmp_path / "made", bits=4.0)


def test_a_large_model_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_CPU_PARAMETERS", 1000)
    with pytest.raises(EngineError, match="A CPU would take days"):
        planned("demo", tmp_path / "made", bits=4.0, device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_no_gpu(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no CUDA GPU"):
        planned("demo", tmp_path / "made", bits=4.0, device="cuda")


def test_the_command_refuses_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    code = run(["models", "convert", "demo", str(tmp_path / "there"), "--bpw", "4"])
    said = capsys.readouterr().err
    assert code == 2
    assert said.count("\n") == 1
    assert "is there already. Choose a new folder." in said


# --- what is told ---------------------------------------------------------------------------------


@pytest.fixture
def reader() -> Callable[[str], Step | None]:
    times = iter((0.0, 10.0))  # when the pass begins, and when it is first asked how long yet
    return Reader(11, lambda: next(times)).read


def test_a_pass_is_told_by_module_and_with_what_is_left(
    reader: Callable[[str], Step | None],
) -> None:
    reader(status("Measuring", 0.0))
    step = reader(" -- Layer: model.layers.0 (Attention)")
    assert step is not None
    assert (step.module, step.modules, step.at) == (2, 11, "model.layers.0")
    assert step.left_s is None
    step = reader(status("Measuring", 0.2))
    assert step is not None
    assert step.module == 4
    assert step.left_s == pytest.approx(4 * 10)  # a fifth took one tick of ten seconds
    assert str(step).startswith("measuring what each choice of bits costs, module 4 of 11, about")


@pytest.mark.parametrize(
    "line",
    [
        "[STATUS]{broken[/STATUS]",
        '[STATUS]{"stage": "Measuring"}[/STATUS]',
        status("Mining", 0.5),
        '[STATUS]{"stage": "Measuring", "completion": "much"}[/STATUS]',
        " -- Layer: before any pass",
        "",
    ],
)
def test_lines_that_tell_nothing(reader: Callable[[str], Step | None], line: str) -> None:
    assert reader(line) is None


def test_names_cannot_act_on_the_terminal(reader: Callable[[str], Step | None]) -> None:
    reader(status("Quantizing", 0.0))
    step = reader(" -- Layer: \x1b]0;title\x07\u202eevil (Attention)")
    assert step is not None
    assert "\x1b" not in str(step)
    assert "\u202e" not in str(step)


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ([" -- Layer: x", " ## Quantization error (2)", ""], "Quantization error (2)"),
        ([" ** Error: Corrupted job"], "Error: Corrupted job"),
        (
            ["Traceback (most recent call last):", '  File "a.py", line 1', "    x", "OSError: no"],
            "OSError: no",
        ),
        ([], "it said nothing"),
        (["ValueError: \x1b[2J" + "a" * 999], "ValueError: ␛[2J" + "a" * 183 + "…"),
    ],
    ids=["complaint", "corrupted", "traceback", "nothing", "hostile"],
)
def test_the_last_word(lines: list[str], word: str) -> None:
    assert last_word(lines) == word
