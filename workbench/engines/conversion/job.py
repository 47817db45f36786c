"""What is to be converted, and everything that can be refused before it begins.

::

    WORK/                   .NAME.converting beside the target, or where --work says
      request.json          the source, the bits, the calibration: what may be resumed
      convert.log           all that the converter printed, over all its starts
      calibration.parquet   of the embedded model: its own kind of texts
      measurement.json      of a job whose own record was lost, saved for the next
      job/                  the converter's: job_new.json, hidden states, finished matrices
      made/                 the folder as it becomes the target
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from workbench.engines.conversion import calibration
from workbench.errors import EngineError, InvalidInput, ModelError
from workbench.models.catalogue import locate
from workbench.models.config import QUANTIZED, read_config
from workbench.models.fitting import shape_of
from workbench.models.folder import ModelInfo, check
from workbench.models.memory import weights_for

HEAD_BITS = (2, 3, 4, 5, 6, 8)  # what ExLlamaV2 has a recipe for
_BITS = (2.0, 8.0)
_CPU_PARAMETERS = 200_000_000  # of these a CPU already takes hours
_STATES = 115 * 2048  # tokens of the converter's own calibration texts


@dataclass(frozen=True, slots=True)
class Job:
    """A conversion that may begin, or go on."""

    source: Path
    target: Path
    work: Path
    bits: float  # a weight, of all matrices but the head
    head_bits: int
    device: str  # cpu or cuda
    texts: calibration.Texts
    layers: int

    @property
    def modules(self) -> int:
        """How many ExLlamaV2 counts: the embedding, two a layer, the last norm, the head."""
        return 2 * self.layers + 3


def planned(
    source: str,
    target: Path,
    *,
    bits: float,
    head_bits: int = 6,
    work: Path | None = None,
    device: str | None = None,
    calibration_file: Path | None = None,
) -> Job:
    """A conversion, checked.

    Args:
        source: A model as ``catalogue.locate`` takes it, unquantised.
        target: The folder to be made; it must not exist, or be empty.
        bits: Bits a weight, 2 to 8.
        head_bits: Bits a weight of the head.
        work: Where the work in progress lies; default: beside the target.
        device: cpu or cuda; default: the GPU when there is one.
        calibration_file: Texts as Parquet, every row one; default: ExLlamaV2's own, for the
            embedded model its own kind.

    Raises:
        InvalidInput: Bits out of range, a target that is there, too little room on the disk.
        ModelError: No such model, not a Llama, or already quantised.
        EngineError: The device is not there, or far too slow for a model of this size.
    """
    if not (math.isfinite(bits) and _BITS[0] <= bits <= _BITS[1]):
        raise InvalidInput(f"{bits:g} bits a weight cannot be made.", remedy="Choose 2 to 8.")
    if head_bits not in HEAD_BITS:
        raise InvalidInput(
            f"The head cannot have {head_bits} bits a weight.",
            remedy=f"Choose {', '.join(map(str, HEAD_BITS[:-1]))} or {HEAD_BITS[-1]}.",
        )
    info = _unquantised(locate(source))
    chosen = _device(device, info)
    _check_free(target)
    place = (work or target.with_name(f".{target.name}.converting")).absolute()
    texts = calibration.chosen(info.folder, calibration_file, chosen)
    _check_room(info, bits, target, place)
    return Job(
        source=info.folder.absolute(),
        target=target.absolute(),
        work=place,
        bits=bits,
        head_bits=head_bits,
        device=chosen,
        texts=texts,
        layers=info.layers,
    )


def _unquantised(folder: Path) -> ModelInfo:
    info = check(folder)
    if info.quantization.startswith(QUANTIZED):
        raise ModelError(
            f"The weights of {folder} are {info.quantization} already.",
            remedy="Convert the model in fp16 or bf16.",
        )
    return info


def _device(asked: str | None, info: ModelInfo) -> str:
    has_gpu = torch.cuda.is_available()
    device = asked or ("cuda" if has_gpu else "cpu")
    if device not in ("cpu", "cuda", "cuda:0"):
        raise InvalidInput(f"There is no device {device!r}.", remedy="Choose cpu or cuda.")
    if device != "cpu" and not has_gpu:
        raise EngineError(
            "There is no CUDA GPU that torch can use.",
            remedy="`workbench doctor` says what is missing.",
        )
    if device == "cpu" and info.parameters > _CPU_PARAMETERS:
        raise EngineError(
            f"A CPU would take days for {info.parameters:,} parameters.",
            remedy="Convert it on a machine with a CUDA GPU, or download a converted one.",
        )
    return "cpu" if device == "cpu" else "cuda"


def _check_free(target: Path) -> None:
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InvalidInput(f"{target} is there already.", remedy="Choose a new folder.")


def _check_room(info: ModelInfo, bits: float, target: Path, work: Path) -> None:
    """The target's size once for the finished matrices and once for the folder, and the states."""
    weights = weights_for(shape_of(read_config(info.folder)), f"exl2-{bits}bpw")
    embedding = 2 * info.vocabulary * info.hidden
    states = 2 * _STATES * info.hidden * 2  # fp16, the last ones and those being written
    for place, needed in _needed(target, work, weights + embedding, states):
        free = shutil.disk_usage(place).free
        if free < needed:
            raise InvalidInput(
                f"The conversion needs {needed / 2**30:.1f} GiB in {place}, "
                f"where {free / 2**30:.1f} GiB are free.",
                remedy="Make room, or choose other disks for the target and with --work.",
            )


def _needed(target: Path, work: Path, size: int, states: int) -> Iterator[tuple[Path, int]]:
    there, here = _existing(target), _existing(work)
    if there.stat().st_dev == here.stat().st_dev:
        yield here, 2 * size + states
    else:
        yield here, 2 * size + states
        yield there, size


def _existing(place: Path) -> Path:
    """The nearest folder above that exists."""
    return next(folder for folder in place.absolute().parents if folder.is_dir())
