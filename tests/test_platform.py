"""The installed JAX must calculate correctly: jax 0.10.2 silently does not on CPU (jax issue 39103)."""

from __future__ import annotations

import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest
from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


@pytest.mark.parametrize(("dtype", "rows"), [("float64", 16385), ("float32", 32769)])
def test_a_batched_matrix_vector_product_is_right_in_its_last_row(dtype, rows):
    """Row i is (i, 0, 0), so ||I row||**2 is i**2; jax 0.10.2 gives 266342400 for i = 16384."""
    with jax.enable_x64(dtype == "float64"):
        matrix = np.eye(3, dtype=dtype)
        batch = np.zeros((rows, 3), dtype)
        batch[:, 0] = np.arange(rows)
        squared_norms = np.asarray(jax.jit(jax.vmap(lambda row: ((matrix @ row) ** 2).sum()))(batch))

    expected = np.arange(rows, dtype=np.float64) ** 2
    wrong = np.flatnonzero(np.abs(squared_norms - expected) > 1e-6 * np.maximum(expected, 1))
    assert wrong.size == 0, (
        f"jax {jax.__version__} calculates wrongly on this machine: of {rows} rows ({dtype}) "
        f"{wrong.tolist()} are {squared_norms[wrong].tolist()} instead of {expected[wrong].tolist()}. "
        "Install another version of jax and jaxlib."
    )


@pytest.mark.parametrize("package", ["jax", "jaxlib"])
def test_the_faulty_version_is_never_installed(package):
    dependencies = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    (requirement,) = [r for r in map(Requirement, dependencies) if r.name == package]
    assert not requirement.specifier.contains("0.10.2")
    assert requirement.specifier.contains("0.10.1")
    assert requirement.specifier.contains("0.12.0.1")
