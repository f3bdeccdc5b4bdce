"""The precision of a run: bfloat16 is several times slower than float32 on processors without instructions for it."""

from __future__ import annotations

import platform

import torch


def usable(wanted: str, on_cpu: bool) -> tuple[str, str]:
    """Return the `mixed_precision` to train in, and a notice if it is not the wanted one, else "".

    wanted: as in `TrainConfig`. "auto" becomes bf16 on a GPU and float32 ("no") on a CPU.
    """
    if wanted == "auto":
        return ("no" if on_cpu else "bf16"), ""
    if wanted == "bf16" and on_cpu and not _fast_bfloat16():
        return "no", "this CPU has no instructions for bfloat16, so the run is in float32, which is faster here"
    return wanted, ""


def _fast_bfloat16() -> bool:
    """Return whether the CPU multiplies matrices of bfloat16 faster than of float32, as far as PyTorch can tell.

    Where PyTorch does not ask the processor, as on ARM, the recipe's word stands.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    checks = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    known = [check for check in checks if check is not None]
    return not known or any(check() for check in known)
