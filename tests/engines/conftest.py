from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest
import torch
from safetensors.torch import load_file, save_file

from workbench.models.catalogue import CATALOGUE
from workbench.models.folder import check
from workbench.models.tokenizer import Tokenizer

pytest.register_assert_rewrite("tests.engines.contract")


@pytest.fixture(scope="session")
def stops(model_folder: Path) -> frozenset[int]:
    config = json.loads((model_folder / "config.json").read_text())
    return frozenset(config["eos_token_id"])


@pytest.fixture(scope="session")
def thinker_stops() -> frozenset[int]:
    """Of the embedded model, which thinks; the random one does not."""
    folder = CATALOGUE["demo"].folder
    assert folder is not None
    return frozenset(check(folder).eos_ids)


@pytest.fixture(scope="session")
def poisoned_folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random model with NaN in the embedding of ``§``, which it never writes itself."""
    folder = tmp_path_factory.mktemp("poisoned") / "model"
    copytree(model_folder, folder)
    token = Tokenizer.from_folder(folder).encode_text("§")[-1]
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"][token] = float("nan")
    weights["lm_head.weight"][token] = 0.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors are small here: a second thread only waits for its core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
