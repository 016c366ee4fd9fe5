"""Operators: X, Y, Z, I and their sums. A `PauliSum` is a pytree of two bit masks and a coefficient per term.

>>> H = Z(0) @ Z(1) + 0.5 * X(2)
>>> H
1.0*Z0 Z1 + 0.5*X2
>>> H.x_mask.tolist(), H.z_mask.tolist(), H.coefficients.tolist()
([0, 4], [3, 0], [1.0, 0.5])
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from jax.tree_util import GetAttrKey, register_pytree_with_keys_class

from jaxsim import pauli_text, pauli_words, spectra
from jaxsim.leaves import (
    aligned,
    coefficient_leaf,
    first_complex,
    frozen,
    is_real,
    known,
    mask_leaf,
    scalar_leaf,
)

if TYPE_CHECKING:
    from jaxtyping import Array, Complex, Float, Inexact, Int32

    Masks = Int32[np.ndarray | Array, " terms"]

    Coefficients = Inexact[np.ndarray | Array, " terms"]

__all__ = ["I", "PauliSum", "X", "Y", "Z", "anticommutator", "commutator"]


@register_pytree_with_keys_class
class PauliSum:
    """A sum of Pauli words with coefficients; immutable; a pytree with three leaves and no static part.

    Term k is `coefficients[k]` times the Hermitian word `i**popcount(x & z) X^x Z^z` of its masks: bit q of
    `x_mask[k]` says X or Y on wire q, bit q of `z_mask[k]` Z or Y. Masks are int32 of shape (terms,): at most
    30 qubits. Concrete coefficients are NumPy float64 or complex128 of shape (terms,); traced ones stay the
    JAX value they are. Sums and products keep every term, so that the number of terms never depends on
    values; `simplify`, powers and commutators merge equal words. `*` of two sums is `@`, the product.

    Usually built from X, Y, Z, I, `from_list`, `from_sparse`, `from_terms`.

    Errors: ValueError for shapes that differ, no terms, masks of more than 30 bits, coefficients that are NaN
    or infinite; TypeError for masks that are not integers, coefficients that are not numbers.

    >>> PauliSum([0, 4], [3, 0], [1.0, 0.5])
    1.0*Z0 Z1 + 0.5*X2
    """

    __slots__ = ("coefficients", "x_mask", "z_mask")
    x_mask: Masks
    z_mask: Masks
    coefficients: Coefficients

    # NumPy numbers on the left leave `2.0 * X(0)` to __rmul__.
    __array_ufunc__ = None

    def __init__(self, x_mask: Any, z_mask: Any, coefficients: Any) -> None:
        leaves = mask_leaf(x_mask, "x_mask"), mask_leaf(z_mask, "z_mask"), coefficient_leaf(coefficients)
        shapes = [leaf.shape for leaf in leaves]
        if len(set(shapes)) > 1 or len(shapes[0]) != 1:
            raise ValueError(
                f"PauliSum: x_mask, z_mask and coefficients must have one shape (terms,), but have the "
                f"shapes {shapes[0]}, {shapes[1]} and {shapes[2]}."
            )
        if shapes[0] == (0,):
            raise ValueError("PauliSum: at least one term is needed; the zero operator is written 0 * I().")
        for name, leaf in zip(_LEAVES, leaves):
            object.__setattr__(self, name, leaf)
        _refuse_nan(self)

    def tree_flatten_with_keys(self) -> tuple[tuple[tuple[Any, Any], ...], None]:
        return tuple((GetAttrKey(name), getattr(self, name)) for name in _LEAVES), None

    def tree_flatten(self) -> tuple[tuple[Any, ...], None]:
        return tuple(getattr(self, name) for name in _LEAVES), None

    @classmethod
    def tree_unflatten(cls, _: None, leaves: Iterable[Any]) -> PauliSum:
        # JAX puts tracers, shapes and plain objects here: nothing is checked.
        new = object.__new__(cls)
        for name, leaf in zip(_LEAVES, leaves):
            object.__setattr__(new, name, leaf)
        return new

    def _with(self, coefficients: Any) -> PauliSum:
        return PauliSum.tree_unflatten(None, (self.x_mask, self.z_mask, frozen(coefficients)))

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError("A PauliSum is immutable; use with_coefficients(...) or build a new one.")

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return _make, (self.x_mask, self.z_mask, self.coefficients)

    def __copy__(self) -> PauliSum:
        return self

    def __deepcopy__(self, memo: Any) -> PauliSum:
        return self

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("A PauliSum is not an array; use to_matrix(), or its coefficients.")

    # ---------------------------------------------------------------- text in and out

    @classmethod
    def from_list(cls, terms: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> PauliSum:
        """Sum of dense labels with coefficients; the rightmost character acts on qubit 0, as in Qiskit.

        Errors: ValueError for labels of different lengths, of more than 30 characters, or with other letters
        than I, X, Y, Z.

        >>> PauliSum.from_list([("XIZ", 0.5), ("IYI", 2)])
        0.5*Z0 X2 + 2.0*Y1
        """
        labels, coefficients = pauli_text.columns(
            terms, 2, "from_list", "(label, coefficient), such as ('XIZ', 0.5)"
        )
        return cls(*pauli_text.masks_of_labels(labels, "from_list"), coefficients)

    @classmethod
    def from_sparse(cls, terms: Iterable[tuple[str, Sequence[int], Any]]) -> PauliSum:
        """Sum of (label, wires, coefficient): character k of the label acts on wires[k].

        Errors: ValueError where label and wires differ in length, a wire occurs twice or is not in 0 to 29.

        >>> PauliSum.from_sparse([("ZX", [0, 3], 0.5), ("", [], 1.0)])
        0.5*Z0 X3 + 1.0*I
        """
        row = "(label, wires, coefficient), such as ('ZX', [0, 3], 0.5)"
        labels, wires, coefficients = pauli_text.columns(terms, 3, "from_sparse", row)
        return cls(*pauli_text.masks_of_sparse_labels(labels, wires, "from_sparse"), coefficients)

    @classmethod
    def from_terms(cls, terms: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> PauliSum:
        """Sum of words written as letters with wires; "I" or "" is the identity.

        Errors: ValueError for text that is no word, a wire twice in a word or not in 0 to 29.

        >>> PauliSum.from_terms({"Z0 X3": 0.5, "I": -1.0})
        0.5*Z0 X3 - 1.0*I
        """
        texts, coefficients = pauli_text.columns(
            terms, 2, "from_terms", "(word, coefficient), such as ('Z0 X3', 0.5)"
        )
        factors = (pauli_text.factors_of_text(text, "from_terms") for text in texts)
        return cls(*pauli_text.masks_of_factors(factors, "from_terms"), coefficients)

    def to_list(self, num_wires: int | None = None) -> list[tuple[str, Any]]:
        """Dense labels with coefficients, in Qiskit's order: what `SparsePauliOp.from_list` reads.

        Coefficients are Python numbers, or JAX scalars where traced. `num_wires` defaults to the highest
        wire + 1.

        >>> (Z(0) @ X(2)).to_list(4)
        [('IXIZ', 1.0)]
        """
        x, z = _masks(self, "to_list")
        labels = pauli_text.labels_of_masks(x, z, self._width(num_wires, "to_list"))
        values = known(self.coefficients)
        return list(zip(labels, self.coefficients if values is None else values.tolist()))

    @property
    def words(self) -> tuple[str, ...]:
        """The terms' words as text.

        >>> (Z(0) @ Z(3) + 2).words
        ('Z0 Z3', 'I')
        """
        x, z = _masks(self, "words")
        return tuple(map(pauli_text.word_of_masks, x.tolist(), z.tolist()))

    def to_json(self) -> str:
        """The sum as JSON text, exact to the last bit; `from_json` reads it.

        Errors: TypeError where masks or coefficients are traced.

        >>> (0.5 * Z(0)).to_json()
        '{"type": "jaxsim.PauliSum", "version": 1, "words": ["Z0"], "coefficients": [0.5]}'
        """
        return pauli_text.json_text(self.words, _values(self, "to_json"))

    @classmethod
    def from_json(cls, data: str | Mapping[str, Any]) -> PauliSum:
        """The sum written by `to_json`, given as text or as the dict it stands for.

        Errors: ValueError for other data.

        >>> PauliSum.from_json((0.5 * Z(0)).to_json())
        0.5*Z0
        """
        return cls.from_terms(zip(*pauli_text.terms_of_json(data)))

    def __repr__(self) -> str:
        x, z, values = map(known, (self.x_mask, self.z_mask, self.coefficients))
        # JAX makes PauliSums of tracers, gradients and stacks, too.
        masks = [mask for mask in (x, z) if mask is not None and mask.ndim == 1 and mask.dtype.kind == "i"]
        if len(masks) < 2 or (values is not None and values.ndim != 1):
            return f"PauliSum(x_mask={_describe(self.x_mask)}, coefficients={_describe(self.coefficients)})"
        return pauli_text.sum_text(masks[0], masks[1], values)

    # ---------------------------------------------------------------- terms

    @property
    def num_terms(self) -> int:
        """Number of terms, equal words counted separately.

        >>> (X(0) + X(0)).num_terms
        2
        """
        return self.x_mask.shape[-1]

    @property
    def num_wires(self) -> int:
        """Highest wire that carries X, Y or Z, plus 1; 0 for multiples of the identity.

        >>> (Z(0) @ Z(3)).num_wires
        4
        """
        x, z = _masks(self, "num_wires")
        return int(np.bitwise_or.reduce(x | z)).bit_length()

    def __len__(self) -> int:
        return self.num_terms

    def __getitem__(self, which: Any) -> PauliSum:
        """Some terms as a sum: `H[0]`, `H[2:5]`, `H[mask]`; an empty choice raises ValueError."""
        picked = np.atleast_1d(np.arange(self.num_terms)[which])
        if not picked.size:
            raise ValueError(
                f"PauliSum: {which!r} picks none of {self.num_terms} terms; at least one is needed."
            )
        leaves, _ = self.tree_flatten()
        return _make(*(aligned(leaf).values[0][picked] for leaf in leaves))

    def __iter__(self) -> Iterator[PauliSum]:
        return (self[k] for k in range(self.num_terms))

    def with_coefficients(self, coefficients: Any) -> PauliSum:
        """The same words with other coefficients, shape (terms,); differentiable where they are JAX values.

        Errors: ValueError for another shape, NaN or infinity.

        >>> (X(0) + Z(1)).with_coefficients([0.5, 2.0])
        0.5*X0 + 2.0*Z1
        """
        leaf = coefficient_leaf(coefficients)
        if leaf.shape != (self.num_terms,):
            raise ValueError(
                f"with_coefficients: one coefficient a term is needed, shape ({self.num_terms},), but the "
                f"shape is {leaf.shape}."
            )
        return _refuse_nan(self._with(leaf))

    def check_wires(self, num_wires: int) -> None:
        """Nothing if the sum fits on `num_wires` qubits, else ValueError; traced masks pass unchecked.

        >>> Z(2).check_wires(3)
        """
        if known(self.x_mask) is None or known(self.z_mask) is None:
            return
        if self.num_wires > num_wires:
            qubits = "1 qubit (0)" if num_wires == 1 else f"{num_wires} qubits (0 to {num_wires - 1})"
            raise ValueError(
                f"The observable acts on wire {self.num_wires - 1} but the circuit has {qubits}; use a "
                f"circuit of at least {self.num_wires} qubits, or leave out the terms on higher wires."
            )

    # ---------------------------------------------------------------- properties of the operator

    @property
    def is_diagonal(self) -> bool:
        """True if every word is made of I and Z only, zero coefficients counted.

        >>> (Z(0) @ Z(1) + 3).is_diagonal, X(0).is_diagonal
        (True, False)
        """
        return not np.any(_masks(self, "is_diagonal")[0])

    @property
    def is_hermitian(self) -> bool:
        """True if the merged words have real coefficients, to 1e-10 of the largest; real dtypes always are.

        Errors: TypeError for traced complex coefficients, whose values are not known.

        >>> (X(0) @ Z(1)).is_hermitian, (X(0) @ Y(0)).is_hermitian
        (True, False)
        """
        if is_real(self.coefficients):
            return True
        _values(self, "is_hermitian")
        return first_complex(_values(self.simplify(), "is_hermitian")) is None

    def real_coefficients(self) -> Float[np.ndarray | Array, " terms"]:
        """The coefficients as reals: NumPy float64, or the traced value; what expectation values need.

        Imaginary parts up to 1e-10 of the largest coefficient are taken for rounding and dropped.

        Errors: ValueError for a complex coefficient, TypeError for traced complex coefficients.

        >>> (1j * X(0) @ Y(0)).real_coefficients()
        array([-1.])
        """
        values = known(self.coefficients)
        if is_real(self.coefficients):
            return self.coefficients if values is None else values
        if values is None:
            raise TypeError(
                "Expectation values need real coefficients, but these are traced and complex, so that their "
                "values are not known here; pass the real part: H.with_coefficients(H.coefficients.real)."
            )
        k = first_complex(values)
        if k is not None:
            raise ValueError(
                f"Expectation values need real coefficients, but {_term_name(self, k)} has "
                f"{pauli_text.number_text(values[k])}. Merge equal words with simplify(), or take the "
                f"Hermitian part 0.5 * (H + H.adjoint())."
            )
        return frozen(np.real(values).copy())

    def require_real(self) -> PauliSum:
        """The same sum with `real_coefficients()`; the same errors.

        >>> (1j * X(0) @ Y(0)).require_real()
        -1.0*Z0
        """
        return self._with(self.real_coefficients())

    def equivalent(self, other: PauliSum, tolerance: float = 1e-10) -> bool:
        """True if the operators are equal: every word's coefficient to `tolerance`, in any order and merging.

        >>> (X(0) + Z(1)).equivalent(Z(1) + 0.5 * X(0) + 0.5 * X(0))
        True
        """
        return bool(np.all(np.abs(_values((self - other).simplify(), "equivalent")) <= tolerance))

    def __eq__(self, other: object) -> bool:
        """Equal words and coefficients, in the same order; `equivalent` compares operators."""
        if not isinstance(other, PauliSum):
            return NotImplemented
        pairs = [(getattr(self, name), getattr(other, name)) for name in _LEAVES]
        if all(mine is theirs for mine, theirs in pairs):
            return True
        if any(known(leaf) is None for pair in pairs for leaf in pair):
            raise TypeError(
                "PauliSum: traced observables cannot be compared; compare them outside jit, grad and vmap."
            )
        return all(np.array_equal(mine, theirs) for mine, theirs in pairs)

    def __hash__(self) -> int:
        x, z = _masks(self, "hash")
        # -0.0 equals 0.0 and 1.0 equals 1+0j, so their bytes must.
        values = _values(self, "hash").astype(np.complex128) + 0.0
        return hash((x.tobytes(), z.tobytes(), values.tobytes()))

    # ---------------------------------------------------------------- algebra

    def __add__(self, other: Any) -> PauliSum:
        if type(other) is int and other == 0:
            return self  # sum(...) starts from it
        if not isinstance(other, PauliSum):
            number = scalar_leaf(other, "+")
            if number is None:
                return NotImplemented
            other = I() * number
        leaves = zip(self.tree_flatten()[0], other.tree_flatten()[0])
        return _make(*(xp.concatenate(pair) for pair, xp in (aligned(*pair) for pair in leaves)))

    __radd__ = __add__

    def __neg__(self) -> PauliSum:
        return self._with(-aligned(self.coefficients).values[0])

    def __pos__(self) -> PauliSum:
        return self

    def __sub__(self, other: Any) -> PauliSum:
        if not isinstance(other, PauliSum) and scalar_leaf(other, "-") is None:
            return NotImplemented
        return self + (-other)

    def __rsub__(self, other: Any) -> PauliSum:
        return -self + other

    def __mul__(self, other: Any) -> PauliSum:
        if isinstance(other, PauliSum):
            return self @ other
        number = scalar_leaf(other, "*")
        if number is None:
            return NotImplemented
        (number, values), _ = aligned(number, self.coefficients)
        return _refuse_nan(self._with(number * values))

    def __rmul__(self, other: Any) -> PauliSum:
        product = self.__mul__(other)
        if product is NotImplemented:
            raise TypeError(
                f"A PauliSum can be multiplied by a number, a JAX scalar or a PauliSum, but not by "
                f"{type(other).__name__}. Coefficients that come later are data: with_coefficients(values)."
            )
        return product

    def __truediv__(self, other: Any) -> PauliSum:
        number = scalar_leaf(other, "/")
        if number is None:
            return NotImplemented
        if known(number) is not None and number == 0:
            raise ZeroDivisionError("PauliSum: division by zero; the divisor must be a number other than 0.")
        (number, values), _ = aligned(number, self.coefficients)
        return _refuse_nan(self._with(values / number))

    def __matmul__(self, other: Any) -> PauliSum:
        if not isinstance(other, PauliSum):
            return NotImplemented
        left, right = np.indices((self.num_terms, other.num_terms)).reshape(2, -1)
        return _products(self, other, left, right)

    def __pow__(self, exponent: Any) -> PauliSum:
        if isinstance(exponent, bool) or not isinstance(exponent, numbers.Integral) or exponent < 0:
            raise ValueError(f"PauliSum: an exponent must be an integer >= 0, but {exponent!r} was given.")
        power, square, rest = I(), self, int(exponent)
        while rest:
            power = (power @ square).simplify() if rest & 1 else power
            rest >>= 1
            square = (square @ square).simplify() if rest else square
        return power

    def adjoint(self) -> PauliSum:
        """The adjoint: conjugated coefficients, as words are Hermitian.

        >>> (1j * X(0)).adjoint()
        -1j*X0
        """
        return self._with(aligned(self.coefficients).values[0].conj())

    def transpose(self) -> PauliSum:
        """The transposed matrix: words with an odd number of Y change sign.

        >>> (Y(0) + X(1)).transpose()
        -1.0*Y0 + 1.0*X1
        """
        x, z = _masks(self, "transpose")
        (signs, values), _ = aligned(1.0 - 2.0 * pauli_words.parity(x & z), self.coefficients)
        return self._with(signs * values)

    def conjugate(self) -> PauliSum:
        """The complex conjugate of the matrix, entry by entry.

        >>> (1j * Y(0)).conjugate()
        1j*Y0
        """
        return self.adjoint().transpose()

    def simplify(self, *, drop_zeros: bool = False, tolerance: float = 0.0) -> PauliSum:
        """Equal words merged, in order of first appearance.

        Zero coefficients are kept, so that the number of terms depends on the words only. With `drop_zeros`,
        terms of |coefficient| <= `tolerance` go (0 * I stays if all do).

        Errors: TypeError for traced masks, or `drop_zeros` with traced coefficients; ValueError for a
        `tolerance` without `drop_zeros`.

        >>> (X(0) + Z(1) - X(0)).simplify()
        0.0*X0 + 1.0*Z1
        >>> (X(0) + Z(1) - X(0)).simplify(drop_zeros=True)
        1.0*Z1
        """
        if tolerance and not drop_zeros:
            raise ValueError(
                "simplify: a tolerance says which terms drop_zeros=True drops; give both or neither."
            )
        x, z = _masks(self, "simplify")
        first, group = pauli_words.equal_words(x, z)
        (values,), xp = aligned(self.coefficients)
        merged = _make(x[first], z[first], pauli_words.sum_groups(values, group, xp))
        if not drop_zeros:
            return _refuse_nan(merged)
        kept = np.abs(_values(merged, "simplify(drop_zeros=True)")) > tolerance
        return merged[kept] if kept.any() else 0 * I()

    # ---------------------------------------------------------------- matrices and spectra, for checks

    def to_matrix(self, num_wires: int | None = None) -> Complex[np.ndarray, "2**n 2**n"]:
        """The dense matrix, complex128, shape (2**n, 2**n), basis index = sum of bit_q 2**q.

        `num_wires` defaults to the highest wire + 1.

        Errors: ValueError if the sum acts outside `num_wires`, or above 13 qubits; TypeError for traced sums.

        >>> Y(0).to_matrix().tolist()
        [[0j, -1j], [1j, 0j]]
        """
        return spectra.dense_matrix(*self._numbers("to_matrix"), self._width(num_wires, "to_matrix"))

    def to_sparse(self, num_wires: int | None = None) -> Any:
        """The matrix as a SciPy `csr_array`, complex128, stored zeros removed.

        Errors: as `to_matrix`, the limit being about 8 GiB; ImportError without SciPy.

        >>> (X(0) @ X(1)).to_sparse(3).nnz
        8
        """
        width = self._width(num_wires, "to_sparse")
        return spectra.sparse_matrix(*self._numbers("to_sparse"), width).astype(np.complex128)

    def diagonal(self, num_wires: int | None = None) -> Float[np.ndarray, "2**n"]:
        """The diagonal of a diagonal sum, float64, shape (2**n,), by a fast Walsh-Hadamard transform.

        Errors: ValueError if a word has X or Y, a merged coefficient is complex, or the sum acts outside
        `num_wires`; TypeError for traced sums.

        >>> (Z(0) + 0.5 * Z(1)).diagonal().tolist()
        [1.5, -0.5, 0.5, -1.5]
        """
        width = self._width(num_wires, "diagonal")
        if not self.is_diagonal:
            k = int(np.argmax(_masks(self, "diagonal")[0] != 0))
            raise ValueError(
                f"diagonal: the sum is not diagonal; term {k} is {self.words[k]}, and only I and Z are "
                f"allowed. Use to_matrix."
            )
        return spectra.flip_groups(*self._hermitian("diagonal"), width)[1][0]

    def ground_energy(self, num_wires: int | None = None) -> float:
        """The lowest eigenvalue, by a sparse eigensolver (SciPy) to machine precision; dense up to 7 qubits.

        Errors: ValueError for sums that are not Hermitian, act outside `num_wires`, or need above 8 GiB.

        >>> round((X(0) + Z(0)).ground_energy(), 12)
        -1.414213562373
        """
        return self.ground_state(num_wires)[0]

    def ground_state(self, num_wires: int | None = None) -> tuple[float, Complex[np.ndarray, "2**n"]]:
        """The lowest eigenvalue and a unit eigenvector, complex128, shape (2**n,); errors as `ground_energy`.

        >>> (Z(0) + Z(1)).ground_state()[1].real.tolist()
        [0.0, 0.0, 0.0, 1.0]
        """
        width = self._width(num_wires, "ground_energy")
        return spectra.lowest_eigenpair(*self._hermitian("ground_energy"), width)

    def _numbers(self, caller: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return *_masks(self, caller), _values(self, caller)

    def _hermitian(self, caller: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        _values(self, caller)
        return self.simplify(drop_zeros=True).require_real()._numbers(caller)

    def _width(self, num_wires: int | None, caller: str) -> int:
        needed = self.num_wires
        if num_wires is None:
            return needed
        if isinstance(num_wires, bool) or not isinstance(num_wires, numbers.Integral):
            raise TypeError(f"{caller}: num_wires must be an integer, but {num_wires!r} was given.")
        if not needed <= num_wires <= pauli_words.MAX_WIRES:
            raise ValueError(
                f"{caller}: num_wires must be from {needed} (the wires this observable acts on) to "
                f"{pauli_words.MAX_WIRES}, but {num_wires} was given."
            )
        return int(num_wires)


_LEAVES = ("x_mask", "z_mask", "coefficients")


def X(wire: int) -> PauliSum:
    """Pauli X on a wire, 0 to 29, as a sum of one term.

    >>> X(0) @ Y(0)
    1j*Z0
    """
    return _single("X", wire)


def Y(wire: int) -> PauliSum:
    """Pauli Y on a wire, 0 to 29, as a sum of one term.

    >>> Y(0) @ Z(0)
    1j*X0
    """
    return _single("Y", wire)


def Z(wire: int) -> PauliSum:
    """Pauli Z on a wire, 0 to 29, as a sum of one term.

    >>> sum(0.5 * Z(q) for q in range(3))
    0.5*Z0 + 0.5*Z1 + 0.5*Z2
    """
    return _single("Z", wire)


def I(wire: int | None = None) -> PauliSum:  # noqa: E743
    """The identity as a sum of one term; the wire is checked and has no other effect.

    >>> I() + 2
    1.0*I + 2.0*I
    """
    return _single("I", 0 if wire is None else wire)


def commutator(a: PauliSum, b: PauliSum) -> PauliSum:
    """a b - b a, equal words merged; only pairs of words that anticommute contribute. 0 * I if none do.

    Errors: TypeError for traced masks.

    >>> commutator(X(0), Y(0))
    2j*Z0
    """
    return _twice_products(a, b, "commutator", anticommuting=True)


def anticommutator(a: PauliSum, b: PauliSum) -> PauliSum:
    """a b + b a, equal words merged; only pairs of words that commute contribute. 0 * I if none do.

    Errors: TypeError for traced masks.

    >>> anticommutator(X(0), X(0) + Y(0))
    2.0*I
    """
    return _twice_products(a, b, "anticommutator", anticommuting=False)


def _single(letter: str, wire: Any) -> PauliSum:
    bit = 1 << pauli_text.checked_wire(wire, letter)
    x = np.full(1, bit * (letter in "XY"), np.int32)
    z = np.full(1, bit * (letter in "YZ"), np.int32)
    return _make(x, z, np.ones(1))


def _products(a: PauliSum, b: PauliSum, left: np.ndarray, right: np.ndarray) -> PauliSum:
    """Term left[k] of `a` times term right[k] of `b`, for every k."""
    (x1, z1), (x2, z2) = _masks(a, "@"), _masks(b, "@")
    x, z, turns = pauli_words.multiply(x1[left], z1[left], x2[right], z2[right])
    # Real as long as every phase is: (Z0 + Z1)**2 stays float64.
    phases = pauli_words.QUARTER_TURNS[turns] if np.any(turns % 2) else 1.0 - turns
    (one, two, phases), _ = aligned(a.coefficients, b.coefficients, phases)
    return _refuse_nan(_make(x, z, one[left] * two[right] * phases))


def _twice_products(a: PauliSum, b: PauliSum, caller: str, *, anticommuting: bool) -> PauliSum:
    if not (isinstance(a, PauliSum) and isinstance(b, PauliSum)):
        raise TypeError(
            f"{caller}: two PauliSums are needed, but {type(a).__name__} and {type(b).__name__} were given."
        )
    x1, z1 = (mask[:, None] for mask in _masks(a, caller))
    left, right = np.nonzero(pauli_words.anticommute(x1, z1, *_masks(b, caller)) == anticommuting)
    return (2 * _products(a, b, left, right)).simplify() if left.size else 0 * I()


def _make(*leaves: Any) -> PauliSum:
    """A sum of leaves known to be good and used by nobody else."""
    return PauliSum.tree_unflatten(None, map(frozen, leaves))


def _refuse_nan(terms: PauliSum) -> PauliSum:
    values = known(terms.coefficients)
    if values is not None and not np.isfinite(values).all():
        k = int(np.argmin(np.isfinite(values)))
        raise ValueError(
            f"PauliSum: the coefficient of {_term_name(terms, k)} is {values[k]}; coefficients must be "
            f"finite numbers."
        )
    return terms


def _term_name(terms: PauliSum, k: int) -> str:
    x, z = known(terms.x_mask), known(terms.z_mask)
    word = None if x is None or z is None else pauli_text.word_of_masks(int(x[k]), int(z[k]))
    return f"term {k}" if word is None else f"term {k} ({word})"


def _masks(terms: PauliSum, caller: str) -> tuple[np.ndarray, np.ndarray]:
    x, z = known(terms.x_mask), known(terms.z_mask)
    if x is None or z is None or x.ndim != 1:
        reason = "they are traced" if x is None or z is None else f"they are a stack of shape {x.shape}"
        raise TypeError(
            f"{caller}: the words (bit masks) of this PauliSum are needed, but {reason}. Build the words "
            f"outside jit and vmap, and pass only coefficients in: H.with_coefficients(values)."
        )
    return x, z


def _values(terms: PauliSum, caller: str) -> np.ndarray:
    values = known(terms.coefficients)
    if values is None:
        raise TypeError(
            f"{caller}: concrete coefficients are needed, but these are traced; call it outside jit, grad "
            f"and vmap."
        )
    return values


def _describe(leaf: Any) -> str:
    shaped = hasattr(leaf, "shape") and hasattr(leaf, "dtype")
    return f"{leaf.dtype}{list(leaf.shape)}" if shaped else repr(leaf)
