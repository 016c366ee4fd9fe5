"""Which engine runs a program: its type decides."""

from __future__ import annotations

from types import ModuleType

from jaxsim.engines import fused, layered, rotations

__all__ = ["ENGINES", "Program", "engine_name", "engine_of"]

Program = layered.Program | rotations.Program | fused.Program

ENGINES: dict[str, ModuleType] = {"layered": layered, "rotations": rotations, "fused": fused}

_NAMES: dict[type, str] = {module.Program: name for name, module in ENGINES.items()}


def engine_name(program: Program) -> str:
    """The engine that runs the program."""
    return _NAMES[type(program)]


def engine_of(program: Program) -> ModuleType:
    """The module with `initial_state`, `run` and `reverse` for the program."""
    return ENGINES[engine_name(program)]
