"""The texts that a conversion is calibrated on: rounding errors weigh as those activations say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import pandas as pd

from workbench.errors import InvalidInput
from workbench.models.catalogue import CATALOGUE
from workbench.models.demo.documents import EQUATIONS, document

_PARQUET = b"PAR1"  # what such a file begins with
_DOCUMENTS = 200  # about 18,000 tokens of the embedded model's


@dataclass(frozen=True, slots=True)
class Texts:
    """Which texts, and how many of their tokens; ``None``: as many as ExLlamaV2's default."""

    file: Path | None  # Parquet, every row a text; None: ExLlamaV2's own, or the demo's
    demo: bool = False
    length: int | None = None  # tokens a row
    rows: int | None = None  # that the matrices are rounded on …
    measured: int | None = None  # … and that the options are tried on


def chosen(source: Path, file: Path | None, device: str) -> Texts:
    """The texts for a model.

    Raises:
        InvalidInput: There is no such file, or it is no Parquet.
    """
    length = 512 if device == "cpu" else None
    if file is not None:
        _check(file)
        return Texts(file.absolute(), length=length)
    embedded = CATALOGUE["demo"].folder
    if embedded is not None and source.resolve() == embedded.resolve():
        return Texts(None, demo=True, length=512, rows=8, measured=4)
    return Texts(None, length=length)


def _check(file: Path) -> None:
    remedy = "Give a Parquet file of texts, every row one."
    if not file.is_file():
        raise InvalidInput(f"There is no file {file}.", remedy=remedy)
    with file.open("rb") as stream:
        if stream.read(len(_PARQUET)) != _PARQUET:
            raise InvalidInput(f"{file} is no Parquet file.", remedy=remedy)


def arguments(texts: Texts, work: Path) -> list[str]:
    """The converter's options for them; the demo's texts are written to the work folder."""
    file = texts.file
    if texts.demo:
        file = work / "calibration.parquet"
        write_demo_texts(file)
    options = {"-c": file, "-r": texts.rows, "-mr": texts.measured}
    options |= {"-l": texts.length, "-ml": texts.length}
    return [part for name, value in options.items() if value for part in (name, str(value))]


def write_demo_texts(file: Path) -> None:
    """Prompts with their answers as the embedded model learnt them, none of them held out."""
    source = Random("calibration")
    made = (document(source, EQUATIONS) for _ in range(_DOCUMENTS))
    texts = pd.DataFrame({"text": [one.prompt + one.completion for one in made]})
    texts.to_parquet(file, engine="pyarrow")
