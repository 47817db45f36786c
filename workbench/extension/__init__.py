"""ExLlamaV2's compiled extension: whether it is here, and building it where it is not.

ExLlamaV2 comes as source from PyPI and compiles itself when it is first imported: minutes
of silence, in a folder that several torches share, behind a lock that a killed build leaves
for ever. Here the same compilation runs in a process of its own, is followed object by
object, and is kept in a folder for exactly this torch, CUDA, Python and GPU.
"""

from workbench.extension.building import build, cores_here, cost
from workbench.extension.flash import flash_attn_error
from workbench.extension.headers import Headers, cuda_home, headers
from workbench.extension.place import NAME, Place, place_here
from workbench.extension.providing import installed, load, provide

__all__ = [
    "NAME",
    "Headers",
    "Place",
    "build",
    "cores_here",
    "cost",
    "cuda_home",
    "flash_attn_error",
    "headers",
    "installed",
    "load",
    "place_here",
    "provide",
]
