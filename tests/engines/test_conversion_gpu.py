"""A conversion on a GPU, and the real kernels beside the portable reading of the same file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from workbench.engines.conversion.job import planned
from workbench.engines.conversion.running import convert
from workbench.engines.exllama import ExllamaEngine
from workbench.models.tokenizer import Tokenizer
from workbench.records import EngineSpec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

TEXT = "What is 47 + 38 - 12? The answer is \\boxed{73}. " * 8
PORTABLE = """
import sys, torch
from workbench.engines.exllama import ExllamaEngine
from workbench.records import EngineSpec
folder, ids, file = sys.argv[1:]
engine = ExllamaEngine(EngineSpec(model=folder, device="cpu", cache_tokens=2048))
torch.save(engine._loaded.logits([int(i) for i in ids.split(",")], 2048), file)
"""


@pytest.mark.parametrize("bits", [4.0, 8.0])
def test_the_kernels_compute_what_the_portable_matrices_say(tmp_path: Path, bits: float) -> None:
    job = planned("demo", tmp_path / "made", bits=bits, device="cuda")
    info = convert(job, lambda step: None)
    assert info.quantization == f"exl2-{bits}bpw"
    ids = Tokenizer.from_folder(job.target).encode_text(TEXT)[:256]
    file = tmp_path / "logits.pt"
    listed = ",".join(map(str, ids))
    subprocess.run([sys.executable, "-c", PORTABLE, str(job.target), listed, str(file)], check=True)
    engine = ExllamaEngine(EngineSpec(model=str(job.target), device="cuda:0", cache_tokens=2048))
    ours, theirs = torch.load(file), engine._loaded.logits(ids, 2048).float().cpu()
    engine.close()
    assert (ours.argmax(-1) == theirs.argmax(-1)).double().mean() > 0.98
    assert (ours - theirs).abs().mean() < 0.02 * ours.abs().mean()
