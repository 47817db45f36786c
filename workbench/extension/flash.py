"""Whether flash-attn can be imported: where it is broken, ``import exllamav2`` breaks with it."""

from __future__ import annotations

from importlib import import_module

MODULES = ("flash_attn", "flash_attn_2_cuda")  # in the order in which ExLlamaV2 imports them


def flash_attn_error() -> str | None:
    """Why an installed flash-attn cannot be imported; ``None``: it can, or is not there."""
    try:
        for module in MODULES:
            import_module(module)
    except ModuleNotFoundError:  # the one error that ExLlamaV2 survives by itself
        return None
    except Exception as error:  # built for another torch, it raises whatever its loader raises
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
    return None
