"""Why the extension cannot be built or loaded, and the command that mends it."""

from __future__ import annotations

import re

CONDA = "conda env create -f environment.yml"
BUILD = "workbench doctor --build"
# From PyPI it comes as source, without a library that was compiled for another torch.
REINSTALL = 'pip install --force-reinstall --no-deps "exllamav2==0.3.2"'
COMPILER = "sudo apt-get install g++ (or your system's own way), or " + CONDA
NINJA = "pip install ninja"

# What a build says, and what mends it; the first that fits.
_REMEDIES: tuple[tuple[str, str], ...] = (
    (
        r"(cusparse|cublas\w*|cusolver\w*|curand\w*)\.h",
        "workbench doctor (names the packages with it), or " + CONDA,
    ),
    (r"Python\.h", "sudo apt-get install python3-dev, or " + CONDA),
    (r"Ninja is required|No such file or directory: 'ninja'", NINJA),
    (
        r"unsupported GNU version|maximum required version by CUDA",
        "export CC=gcc-13 CXX=g++-13 (with that compiler installed), or " + CONDA,
    ),
    (
        r"Unsupported gpu architecture|Unknown CUDA arch",
        "Install the CUDA toolkit that torch was built for (12.8 or newer knows every card up to "
        "the RTX 50 series) and set CUDA_HOME, or " + CONDA,
    ),
    (
        r"mismatches the version",
        "Install the CUDA toolkit that torch was built for and set CUDA_HOME, or " + CONDA,
    ),
    (
        r"CUDA_HOME|nvcc not found|nvcc: not found|nvcc'",
        "Install the CUDA toolkit and set CUDA_HOME, or " + CONDA,
    ),
    (r"ended by SIG(INT|TERM|HUP)", BUILD + ", which goes on where it stopped"),
    (r"Killed|SIGKILL|out of memory|Cannot allocate memory", "MAX_JOBS=2 " + BUILD),
    (r"No space left", "TORCH_EXTENSIONS_DIR=/a/larger/disk " + BUILD),
    (r"Permission denied|Read-only", "TORCH_EXTENSIONS_DIR=/a/folder/you/can/write " + BUILD),
    (r"c\+\+|g\+\+|cc1plus", COMPILER),
)


def header_packages(cuda: str | None) -> str:
    """The command that brings the CUDA headers that a bare toolkit lacks.

    Args:
        cuda: Torch's. From 13 on the packages have no suffix.
    """
    suffix = "-cu12" if (cuda or "").startswith("12.") else ""
    names = (f"nvidia-{name}{suffix}" for name in ("cusparse", "cublas", "cusolver", "curand"))
    return f"pip install {' '.join(names)} (the build finds them there), or {CONDA}"


def remedy_for(error: str | None) -> str:
    """The command that mends what a build or an import said."""
    for pattern, remedy in _REMEDIES:
        if error is not None and re.search(pattern, error):
            return remedy
    return "workbench doctor"
