"""Matrices and lowest eigenvalues of Pauli sums, for checks on few qubits. NumPy in float64, and SciPy.

Terms with one flip mask x form one generalised permutation: column j holds a single entry, in row j ^ x. All
entries of such a group are one Walsh-Hadamard transform of its coefficients, indexed by z mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsim.pauli_words import QUARTER_TURNS

if TYPE_CHECKING:
    from jaxtyping import Complex, Float, Inexact, Int32

    from jaxsim.pauli_words import Masks

    Coefficients = Inexact[np.ndarray, " terms"]

DENSE_WIRES = 13  # 1 GiB of complex128
SPARSE_BYTES = 8 * 2**30
_EXACT_WIRES = 7


def walsh_hadamard(values: Inexact[np.ndarray, "2**n"]) -> Inexact[np.ndarray, "2**n"]:
    """out[j] = sum over k of (-1)**popcount(j & k) values[k], in n 2**n additions.

    >>> walsh_hadamard(np.array([1.0, 0.5, 0.0, 0.0])).tolist()
    [1.5, 0.5, 1.5, 0.5]
    """
    out = values.copy()
    half = 1
    while half < out.size:
        pairs = out.reshape(-1, 2, half)
        total = pairs[:, 0] + pairs[:, 1]
        np.subtract(pairs[:, 0], pairs[:, 1], out=pairs[:, 1])
        pairs[:, 0] = total
        half *= 2
    return out


def flip_groups(
    x: Masks, z: Masks, coefficients: Coefficients, num_wires: int
) -> tuple[Int32[np.ndarray, " groups"], Inexact[np.ndarray, "groups 2**n"]]:
    """The distinct flip masks, and for each the entries by column: M[j ^ flips[g], j] = entries[g, j].

    Real where the matrix is real (only even numbers of Y), else complex128.

    >>> x, z = np.int32([0, 1]), np.int32([1, 0])
    >>> flips, entries = flip_groups(x, z, np.array([1.0, 0.5]), 1)     # Z0 + 0.5 X0
    >>> flips.tolist(), entries.tolist()
    ([0, 1], [[1.0, -1.0], [0.5, 0.5]])
    """
    turns = np.bitwise_count(x & z) % 4
    weights = coefficients * QUARTER_TURNS[turns]
    if not np.any(np.imag(weights)):
        weights = np.real(weights)
    flips, group = np.unique(x, return_inverse=True)
    entries = np.zeros((flips.size, 2**num_wires), weights.dtype)
    np.add.at(entries, (group.reshape(-1), z), weights)
    for row in entries:
        row[:] = walsh_hadamard(row)
    return flips, entries


def dense_matrix(
    x: Masks, z: Masks, coefficients: Coefficients, num_wires: int
) -> Complex[np.ndarray, "2**n 2**n"]:
    """The matrix, complex128; basis index = sum of bit_q 2**q.

    Errors: ValueError above 13 qubits.

    >>> dense_matrix(np.int32([1]), np.int32([1]), np.array([1.0]), 1)[1, 0]    # Y|0> = i|1>
    np.complex128(1j)
    """
    if num_wires > DENSE_WIRES:
        raise ValueError(
            f"to_matrix: a dense matrix on {num_wires} qubits needs {16 * 4**num_wires / 2**30:,.0f} GiB; "
            f"at most {DENSE_WIRES} qubits are allowed. Use to_sparse."
        )
    columns = np.arange(2**num_wires)
    matrix = np.zeros((columns.size, columns.size), np.complex128)
    for flip, entries in zip(*flip_groups(x, z, coefficients, num_wires)):
        matrix[columns ^ flip, columns] = entries
    return matrix


def sparse_matrix(x: Masks, z: Masks, coefficients: Coefficients, num_wires: int) -> Any:
    """The matrix as a SciPy `csr_array`, float64 where it is real; stored zeros removed, columns sorted.

    Errors: ValueError above about 8 GiB.

    >>> sparse_matrix(np.int32([0]), np.int32([1]), np.array([1.0]), 1).nnz
    2
    """
    sparse = _scipy_sparse()
    groups = np.unique(x).size
    needed = groups * 2**num_wires * 24
    if needed > SPARSE_BYTES:
        raise ValueError(
            f"to_sparse: {num_wires} qubits and {groups} different flip masks need about "
            f"{needed / 2**30:,.0f} GiB; at most {SPARSE_BYTES / 2**30:.0f} GiB are allowed. Take fewer "
            f"qubits or terms."
        )
    flips, entries = flip_groups(x, z, coefficients, num_wires)
    rows = np.arange(2**num_wires, dtype=np.int32)[:, None]
    columns = rows ^ flips
    data = entries[np.arange(groups), columns]
    starts = np.arange(rows.size + 1, dtype=np.int64) * groups
    matrix = sparse.csr_array((data.reshape(-1), columns.reshape(-1), starts), shape=(rows.size, rows.size))
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def lowest_eigenpair(
    x: Masks, z: Masks, coefficients: Float[np.ndarray, " terms"], num_wires: int
) -> tuple[float, Complex[np.ndarray, "2**n"]]:
    """Lowest eigenvalue and a unit eigenvector (complex128) of a Hermitian sum.

    Diagonal sums by minimum, up to 7 qubits by dense eigenvectors, above by Lanczos iterations (ARPACK) to
    machine precision from a fixed start, so that equal input gives equal output.

    >>> energy, state = lowest_eigenpair(np.int32([1]), np.int32([0]), np.array([1.0]), 1)     # X0
    >>> round(energy, 12)
    -1.0
    """
    if not np.any(x):
        entries = flip_groups(x, z, coefficients, num_wires)[1][0]
        state = np.zeros(2**num_wires, np.complex128)
        state[np.argmin(entries)] = 1
        return float(entries.min()), state
    if num_wires <= _EXACT_WIRES:
        energies, states = np.linalg.eigh(dense_matrix(x, z, coefficients, num_wires))
        return float(energies[0]), states[:, 0]
    _scipy_sparse()
    from scipy.sparse.linalg import eigsh

    matrix = sparse_matrix(x, z, coefficients, num_wires)
    start = np.random.default_rng(0).standard_normal(2**num_wires)
    energies, states = eigsh(matrix, k=1, which="SA", v0=start.astype(matrix.dtype))
    return float(energies[0]), states[:, 0].astype(np.complex128)


def _scipy_sparse() -> Any:
    try:
        import scipy.sparse
    except ImportError as error:
        raise ImportError("to_sparse and ground_energy need SciPy: pip install scipy") from error
    return scipy.sparse
