"""Ready-made circuits: hardware-efficient layers, brickwork, QAOA, unitary coupled cluster.

All have open parameters, numbered in time order within each `ParameterVector`. Building one twice with equal
arguments gives circuits of one structure, so they share compiled calls.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsim import gates
from jaxsim.circuit import MAX_WIRES, Circuit, from_structure
from jaxsim.lowering.forms import Memory
from jaxsim.mixers import MIXERS, Mixer
from jaxsim.observables import PauliSum
from jaxsim.parameters import ParameterVector

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = [
    "BLOCKS",
    "MIXERS",
    "PATTERNS",
    "brick",
    "excitations",
    "hardware_efficient",
    "hartree_fock",
    "linear_ramp",
    "qaoa",
    "uccsd",
]

Pairs = Sequence[tuple[int, int]]
Placement = tuple[
    gates.Gate, tuple[Sequence[int], ...]
]  # a row, and for each of its wires where the copies go


# layers of table gates --------------------------------------------------------------------------------------


def _chain(n: int) -> Pairs:
    return [(q, q + 1) for q in range(n - 1)]


PATTERNS = {
    "chain": _chain,
    "ring": lambda n: [*_chain(n), (n - 1, 0)] if n > 2 else _chain(n),
    "brick": lambda n: [*_chain(n)[::2], *_chain(n)[1::2]],
    "full": lambda n: list(combinations(range(n), 2)),
}
"""Where the entanglers of a layer go: pattern -> function from the number of qubits to pairs."""

BLOCKS: dict[str, tuple[tuple[str, tuple[int, ...]], ...]] = {
    "su4": (
        *(("u", (0,)), ("u", (1,))),
        *(("rxx", (0, 1)), ("ryy", (0, 1)), ("rzz", (0, 1))),
        *(("u", (0,)), ("u", (1,))),
    ),
    "u_cz": (("u", (0,)), ("u", (1,)), ("cz", (0, 1))),
}
"""Named two-qubit blocks of `brick`: gates of the table and which of the brick's two wires they act on."""


def hardware_efficient(
    n: int,
    layers: int,
    rotations: Sequence[str] = ("ry", "rz"),
    entangler: str = "cx",
    pattern: str = "chain",
    *,
    parameters: str = "theta",
    final_rotations: bool = False,
) -> Circuit:
    """Layers of rotations on every qubit, then of entanglers (Kandala et al., arXiv:1704.05050).

    Returns a circuit with parameters ``theta[0], theta[1], ...`` in time order: layer by layer, in a layer
    rotation by rotation, then the entangler's own angles if it has any; within one of these gate by gate, in
    a gate angle by angle. With the defaults, ``theta.reshape(layers, 2, n)[l, r, q]`` is the angle (radians)
    of rotation r on qubit q in layer l.

    Args:
        n: number of qubits, 1 to 30.
        layers: 0 or more.
        rotations: one-qubit gates of the table, in time order; those without angles ("h", "sx") are fine too.
        entangler: a two-qubit gate of the table; "rzz", "crx" and others bring parameters of their own.
        pattern: "chain" (0, 1), (1, 2), ...; "ring": and (n-1, 0) last, from 3 qubits on; "brick": the even
            bonds (0, 1), (2, 3), ..., then the odd ones; "full": every pair a < b. Controls come first.
        parameters: name of the parameter vector.
        final_rotations: whether the rotations come once more at the end.

    Raises:
        TypeError: n or layers are not integers.
        ValueError: n or layers out of range, unknown rotation, entangler or pattern.

    Example:
        >>> from jaxsim.ansatz import hardware_efficient
        >>> hardware_efficient(4, 2)
        Circuit(4 qubits, 22 gates: ry 8, rz 8, cx 6, 16 parameters)
        >>> hardware_efficient(4, 1, ["rx"], "rzz", "ring").num_parameters
        8
    """
    n = _integer("hardware_efficient", "the number of qubits", n, 1, MAX_WIRES)
    layers = _integer("hardware_efficient", "layers", layers, 0)
    names = (rotations,) if isinstance(rotations, str | gates.Gate) else tuple(rotations)
    turns: list[Placement] = [
        (_row("hardware_efficient", "a rotation", name, 1), (range(n),)) for name in names
    ]
    two_qubit = _row("hardware_efficient", "the entangler", entangler, 2)
    pairs = _choice("hardware_efficient", "pattern", pattern, PATTERNS)(n)
    layer = [*turns, (two_qubit, _columns(pairs))]
    return _placed(n, [*layer * layers, *(turns if final_rotations else [])], parameters)


def brick(n: int, layers: int, gate: str = "su4", *, parameters: str = "theta") -> Circuit:
    """Brickwork: two-qubit blocks on the even bonds, the odd bonds, the even bonds, and so on.

    Layer l has them on (s, s+1), (s+2, s+3), ... with s = l % 2; on 2 qubits always with s = 0. Blocks:

    - "su4": any two-qubit unitary, 15 angles: u on both wires, rxx, ryy, rzz, u on both wires (the Cartan
      decomposition, Kraus and Cirac, arXiv:quant-ph/0011050);
    - "u_cz": u on both wires, then cz; 6 angles, any one-qubit gates between the cz of successive layers;
    - or a two-qubit gate of the table by name, such as "xx_plus_yy", which conserves the number of ones.

    Returns a circuit with parameters ``theta[0], theta[1], ...`` in time order: layer by layer, in a layer
    gate by gate of the block, each from the lowest brick to the highest with all its angles.

    Args:
        n: number of qubits, 2 to 30.
        layers: 0 or more.
        gate: the block.
        parameters: name of the parameter vector.

    Raises:
        TypeError: n or layers are not integers.
        ValueError: n or layers out of range, unknown block.

    Example:
        >>> from jaxsim.ansatz import brick
        >>> brick(5, 2, "u_cz")
        Circuit(5 qubits, 12 gates: u 8, cz 4, 24 parameters)
        >>> brick(4, 1).num_parameters
        30
    """
    n = _integer("brick", "the number of qubits", n, 2, MAX_WIRES)
    layers = _integer("brick", "layers", layers, 0)
    block = BLOCKS.get(gate) if isinstance(gate, str) else None
    if block is None:
        row = _row("brick", "the block", gate, 2, also=BLOCKS)
        steps = [(row, (0, 1))]
    else:
        steps = [(gates.gate(name), wires) for name, wires in block]
    placements: list[Placement] = []
    for layer in range(layers):
        columns = _columns(_chain(n)[layer % 2 if n > 2 else 0 :: 2])
        placements += [(row, tuple(columns[w] for w in wires)) for row, wires in steps]
    return _placed(n, placements, parameters)


def _columns(pairs: Pairs) -> tuple[Sequence[int], Sequence[int]]:
    return [a for a, _ in pairs], [b for _, b in pairs]


def _placed(n: int, placements: Sequence[Placement], parameters: str) -> Circuit:
    """The circuit of these gates; parameters are handed out in time order."""
    placements = [(row, columns) for row, columns in placements if len(columns[0])]
    theta = ParameterVector(parameters, sum(len(row.angles) * len(columns[0]) for row, columns in placements))
    circuit, start = Circuit(n), 0
    for row, columns in placements:
        shape = (len(columns[0]), len(row.angles))
        stop = start + shape[0] * shape[1]
        circuit.append(row, tuple(theta[start:stop].reshape(shape).T), columns)
        start = stop
    return circuit


# QAOA -------------------------------------------------------------------------------------------------------


def qaoa(
    cost: Any,
    layers: int,
    mixer: str | Callable[[Circuit, Any], Any] = "x",
    *,
    initial_state: Any = None,
    num_wires: int | None = None,
) -> Circuit:
    """The quantum approximate optimisation algorithm (Farhi, Goldstone, Gutmann, arXiv:1411.4028).

    Starts from |+...+>; layer k is exp(-i gamma[k] C), then the mixer, exp(-i beta[k] sum_q X_q). The cost is data and
    each cost layer one gate, so all costs on as many qubits share a structure and a compiled call.

    Returns a circuit with parameters ``beta[0], ..., gamma[0], ...``: a flat array of values has all betas
    first, as names are sorted. `linear_ramp` gives values to start from.

    Args:
        cost: the diagonal of C, (2**n,) real, NumPy or JAX; or a diagonal PauliSum; or a problem with
            ``n_qubits`` and ``diagonal()``, such as MaxCut.
        layers: 0 or more.
        mixer: "x"; "xy_ring" or "xy_complete", which conserve the number of ones (`jaxsim.mixers` has the table);
            or a function (circuit, beta) that appends a layer.
        initial_state: where to start instead: a circuit without parameters, or amplitudes (2**n,), such as
            `jaxsim.mixers.dicke_state` for mixers that conserve the number of ones, which need one.
        num_wires: for a PauliSum: the number of qubits, by default the highest wire + 1.

    Raises:
        TypeError: `layers` is not an integer, or `cost` is complex or none of the above.
        ValueError: `layers` is negative, `cost` is not diagonal or its length is no power of 2, unknown
            mixer, a mixer without the initial state that it needs.

    Example:
        >>> import jaxsim as js
        >>> from jaxsim.ansatz import linear_ramp, qaoa
        >>> C = sum(0.5 * (js.I() - js.Z(q) @ js.Z((q + 1) % 4)) for q in range(4))
        >>> c = qaoa(C, 2)
        >>> c
        Circuit(4 qubits, 14 gates: h 4, evolve_diagonal 2, rx 8, 4 parameters)
        >>> gammas, betas = linear_ramp(2)
        >>> round(float(js.expectation(c.bind({"gamma": gammas, "beta": betas}), C)), 2)  # of 4 edges
        2.78
    """
    layers = _integer("qaoa", "layers", layers, 0)
    row = Mixer(mixer, False, "") if callable(mixer) else _choice("qaoa", "mixer", mixer, MIXERS)
    n, energies = _diagonal(cost, num_wires)
    if initial_state is None and isinstance(mixer, str) and not row.keeps_weight:
        # All costs on n qubits have the gates in common.
        plain = _PLAIN.recall((n, layers, mixer), lambda: _plain(n, energies, layers, row))
        return plain.with_operands([energies] if layers else [])
    circuit = Circuit(n)
    if isinstance(initial_state, Circuit):
        if initial_state.parameters:
            raise ValueError("qaoa: the initial state is a circuit without parameters; bind them first.")
        circuit.compose(initial_state)
    elif initial_state is not None:
        circuit.initialize(initial_state)
    elif row.keeps_weight:
        raise ValueError(
            f"qaoa: the mixer {mixer!r} conserves the number of ones, so it needs a state with the right number to "
            f"start from, for example initial_state=jaxsim.mixers.dicke_state({n}, {n // 2})."
        )
    else:
        circuit.h(range(n))
    return _with_layers(circuit, energies, layers, row)


def _with_layers(circuit: Circuit, energies: Any, layers: int, mixer: Mixer) -> Circuit:
    """The circuit, and layers of cost and mixer after it."""
    gamma, beta = ParameterVector("gamma", layers), ParameterVector("beta", layers)
    for k in range(layers):
        circuit.evolve_diagonal(gamma[k], energies)
        mixer.append(circuit, beta[k])
    return circuit


def _plain(n: int, energies: Any, layers: int, mixer: Mixer) -> Circuit:
    """The gates from |+...+> on, without the array of the cost, which may be large."""
    circuit = _with_layers(Circuit(n).h(range(n)), energies, layers, mixer)
    return from_structure(circuit.structure, (circuit.angles, (None,) * len(circuit.operands)))


_PLAIN = Memory(64)


def linear_ramp(
    layers: int, dt: float = 0.75
) -> tuple[Float64[np.ndarray, " layers"], Float64[np.ndarray, " layers"]]:
    """Start values (gammas, betas) for `qaoa` that maximise <C>: an annealing schedule in `layers` steps.

    Returns two arrays (layers,) in radians: gammas[k] = s dt rising, betas[k] = (1 - s) dt falling, with
    s = (k + 1/2) / layers. Both are positive: step k is a Trotter step of
    exp(-i dt ((1 - s) sum_q X_q + s C)), |+...+> is the *highest* state of sum_q X_q, and slow changes lead
    it to the highest state of C. To minimise C give -gammas. Steps of 0.75 to 1 suit cuts with weights near
    1; where <C> falls as layers are added, take smaller ones.

    The ramp as a start for QAOA: Sack and Serbyn, Quantum 5, 491 (2021).

    Args:
        layers: 0 or more.
        dt: length of a step.

    Raises:
        TypeError: `layers` is not an integer.
        ValueError: `layers` is negative.

    Example:
        >>> from jaxsim.ansatz import linear_ramp
        >>> linear_ramp(3, dt=0.6)
        (array([0.1, 0.3, 0.5]), array([0.5, 0.3, 0.1]))
    """
    layers = _integer("linear_ramp", "layers", layers, 0)
    s = (np.arange(layers) + 0.5) / max(layers, 1)
    return s * dt, (1 - s) * dt


def _diagonal(cost: Any, num_wires: int | None) -> tuple[int, Any]:
    """The number of qubits, and the energies of the basis states."""
    if isinstance(cost, PauliSum):
        if not cost.is_diagonal:
            raise ValueError(
                "qaoa: the cost must be diagonal, a sum of words of I and Z, but it has words with X or Y; "
                "for such an operator build the layers from pauli_rotation."
            )
        n = max(1, cost.num_wires) if num_wires is None else num_wires
        return n, cost.diagonal(n)
    if num_wires is not None:
        raise ValueError("qaoa: num_wires goes with a PauliSum; a diagonal or a problem knows its qubits.")
    if hasattr(cost, "n_qubits") and callable(getattr(cost, "diagonal", None)):
        cost = cost.diagonal()
    shape = np.shape(cost)
    if not hasattr(cost, "dtype"):
        cost = np.asarray(cost)
    if cost.dtype.kind not in "biuf":
        raise TypeError(
            "qaoa: the cost is a real diagonal of shape (2**n,), a diagonal PauliSum, or a problem with "
            f"n_qubits and diagonal(), but an array of dtype {cost.dtype} was given."
        )
    n = shape[0].bit_length() - 1 if len(shape) == 1 else 0
    if n < 1 or shape != (2**n,):
        raise ValueError(
            f"qaoa: the diagonal of a cost on n qubits has shape (2**n,), n >= 1, but {shape} was given."
        )
    return n, cost


# unitary coupled cluster ------------------------------------------------------------------------------------


def hartree_fock(n_qubits: int, n_electrons: int) -> Circuit:
    """The Hartree-Fock state in the Jordan-Wigner encoding: X on the first `n_electrons` qubits.

    Spin orbitals are interleaved, lowest orbital first: qubit 2k is orbital k with spin up, 2k + 1 with spin
    down.

    Returns a circuit without parameters.

    Raises:
        TypeError: arguments that are not integers.
        ValueError: `n_qubits` is odd or not in 2 to 30, `n_electrons` not in 0 to `n_qubits`.

    Example:
        >>> from jaxsim.ansatz import hartree_fock
        >>> hartree_fock(4, 2)
        Circuit(4 qubits, 2 gates: x 2)
    """
    n, electrons = _orbitals("hartree_fock", n_qubits, n_electrons)
    return Circuit(n).x(range(electrons))


def excitations(n_qubits: int, n_electrons: int) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """The excitations of `uccsd`: entry k says which spin orbitals theta[k] empties and which it fills.

    Returns pairs (occupied, virtual) of ascending qubits, those that conserve the number of electrons of each
    spin: all doubles, then all singles, in lexicographic order.

    Arguments and errors as for `hartree_fock`.

    Example:
        >>> from jaxsim.ansatz import excitations
        >>> excitations(4, 2)
        (((0, 1), (2, 3)), ((0,), (2,)), ((1,), (3,)))
    """
    n, electrons = _orbitals("excitations", n_qubits, n_electrons)
    return tuple(
        (occupied, virtual)
        for size in (2, 1)
        for occupied, virtual in product(
            combinations(range(electrons), size), combinations(range(electrons, n), size)
        )
        if sum(q % 2 for q in occupied) == sum(q % 2 for q in virtual)
    )


def uccsd(n_qubits: int, n_electrons: int, *, parameters: str = "theta") -> Circuit:
    """Unitary coupled cluster with singles and doubles, first-order Trotter, from the Hartree-Fock state.

    For each of the `excitations`, in their order, exp(theta_k (T - T^dagger)) with T = a^dag_a a_i or
    T = a^dag_a a^dag_b a_j a_i, i < j occupied, a < b virtual, Jordan-Wigner encoded as in `hartree_fock`.
    Conserves the number of electrons and S_z. An excitation is exact: its Pauli words (2 for a single, 8 for
    a double) commute, and each is one pauli_rotation (Romero et al., arXiv:1701.02691).

    Doubles come first: on the Hartree-Fock determinant itself singles have no first-order effect on the
    energy (Brillouin's theorem); after the doubles they relax the orbitals of the correlated state. The order
    of Trotterised factors matters (Grimsley et al., arXiv:1910.10329).

    Returns a circuit with one parameter an excitation, in radians; all zero gives the Hartree-Fock state.

    Arguments and errors as for `hartree_fock`; `parameters` names the parameter vector.

    Example:
        >>> from jaxsim.ansatz import uccsd
        >>> uccsd(4, 2)
        Circuit(4 qubits, 14 gates: x 2, pauli_rotation 12, 3 parameters)
    """
    n, electrons = _orbitals("uccsd", n_qubits, n_electrons)
    circuit = Circuit(n).x(range(electrons))
    found = excitations(n, electrons)
    for theta, (occupied, virtual) in zip(ParameterVector(parameters, len(found)), found):
        wires, factors = _excitation_words(occupied, virtual)
        for word, factor in factors.items():
            circuit.pauli_rotation(factor * theta, word, wires)
    return circuit


def _excitation_words(
    occupied: tuple[int, ...], virtual: tuple[int, ...]
) -> tuple[tuple[int, ...], dict[str, float]]:
    """The wires of an excitation, and its words with the factors from its parameter to their rotation angles.

    On its site a ladder operator is a = (X + iY)/2 or a^dag = (X - iY)/2, with Z on all lower wires. In a
    product from the highest wire down, the Z of higher operators stand left of lower ones, where Z a = a and
    Z a^dag = -a^dag; Z survives on the wires between the 1st and 2nd, and the 3rd and 4th sites. A word's
    coefficient c is a sign * prod(+-i for each Y) / 2**sites, and T - T^dagger keeps twice the imaginary
    ones: the words with an odd number of Y. The factor exp(theta 2i Im(c) P) is a rotation by -4 Im(c) theta.
    """
    created = set(virtual)
    order = (*virtual, *reversed(occupied))  # as T is written: a^dag_a a^dag_b a_j a_i
    sites = sorted(order)
    # Operators on different sites anticommute: sorting them, highest first, costs the permutation's sign.
    sign = (-1) ** sum(a < b for a, b in combinations(order, 2))
    sign *= (-1) ** sum(site in created and (len(sites) - 1 - k) % 2 for k, site in enumerate(sites))
    between = [q for low, high in zip(sites[::2], sites[1::2]) for q in range(low + 1, high)]
    factors = {}
    for letters in product("XY", repeat=len(sites)):
        ys = [site for site, letter in zip(sites, letters) if letter == "Y"]
        if len(ys) % 2:
            turns = len(ys) + 2 * sum(site in created for site in ys)  # powers of i: +1 for a, -1 for a^dag
            imaginary = sign * (1 if turns % 4 == 1 else -1) / 2 ** len(sites)
            factors["".join(letters) + "Z" * len(between)] = -4 * imaginary
    return (*sites, *between), factors


# arguments --------------------------------------------------------------------------------------------------


def _integer(caller: str, what: str, value: Any, least: int, most: int | None = None) -> int:
    allowed = f"an integer from {least} to {most}" if most is not None else f"an integer, {least} or more"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{caller}: {what} must be {allowed}, but {value!r} was given.")
    number = int(value)
    if number < least or (most is not None and number > most):
        raise ValueError(f"{caller}: {what} must be {allowed}, but {number} was given.")
    return number


def _orbitals(caller: str, n_qubits: Any, n_electrons: Any) -> tuple[int, int]:
    n = _integer(caller, "n_qubits", n_qubits, 2, MAX_WIRES)
    if n % 2:
        raise ValueError(
            f"{caller}: n_qubits must be even, as every orbital has a qubit for spin up and one for spin "
            f"down, but {n} was given."
        )
    electrons = _integer(caller, "n_electrons", n_electrons, 0)
    if electrons > n:
        raise ValueError(f"{caller}: {electrons} electrons do not fit in {n} spin orbitals, one each.")
    return n, electrons


def _choice(caller: str, what: str, name: Any, table: dict[str, Any]) -> Any:
    if not isinstance(name, str) or name not in table:
        raise ValueError(f"{caller}: {what}={name!r} is not known; choose one of {', '.join(table)}.")
    return table[name]


def _row(caller: str, what: str, name: Any, num_wires: int, also: Iterable[str] = ()) -> gates.Gate:
    """The row of a gate on so many wires."""
    try:
        row = gates.gate(name)
    except (ValueError, TypeError):
        row = None
    if row is None or row.num_wires != num_wires:
        allowed = [*also, *(g.name for g in gates.GATES.values() if g.num_wires == num_wires)]
        raise ValueError(
            f"{caller}: {what} must be a gate on {num_wires} wire{'s' * (num_wires > 1)}, but {name!r} was "
            f"given; choose one of {', '.join(allowed)}."
        )
    return row
