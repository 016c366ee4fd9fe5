"""Circuits and observables from Qiskit. Needs it installed: ``pip install 'jaxsim-ensembles[qiskit]'``."""

from __future__ import annotations

from typing import Any

from jaxsim.circuit import MAX_WIRES, Circuit
from jaxsim.classical import Bit
from jaxsim.interop.qiskit_instructions import NOTHING, Importer
from jaxsim.observables import PauliSum

__all__ = ["from_qiskit", "observable_from_qiskit", "qubits_in_use", "terms_from_qiskit"]


def _qiskit() -> Any:
    try:
        import qiskit
    except ImportError:
        raise ImportError("this needs Qiskit: pip install 'jaxsim-ensembles[qiskit]'.") from None
    return qiskit


def qubits_in_use(circuit: Any) -> tuple[int, ...]:
    """The qubits of a Qiskit circuit that something acts on, ascending.

    Barriers, delays, and measurements into bits that nothing else writes, of qubits that are 0, do not count.
    """
    place = {qubit: k for k, qubit in enumerate(circuit.qubits)}
    used: set[int] = set()
    written: dict[Any, list[int]] = {}
    for instruction in circuit.data:
        wires = [place[qubit] for qubit in instruction.qubits]
        if instruction.operation.name == "measure":
            written.setdefault(instruction.clbits[0], []).extend(wires)
        elif instruction.operation.name not in NOTHING:
            used.update(wires)
    for wires in written.values():
        if len(wires) > 1:
            used.update(wires)
    return tuple(sorted(used))


def from_qiskit(circuit: Any, *, keep_idle: bool | None = None, max_iterations: int = 1000) -> Circuit:
    """A Qiskit circuit as a `Circuit`.

    Qubit k becomes wire k. Parameters keep their names, and become arguments in the order of ``circuit.parameters``;
    registers keep their names and order.

    Args:
        circuit: Qiskit's QuantumCircuit.
        keep_idle: whether qubits that nothing acts on become wires. None: if the circuit has at most 30 qubits. Without
            them wire k is ``qubits_in_use(circuit)[k]``.
        max_iterations: the most times that a while loop runs.

    Raises:
        ImportError: Qiskit is not installed.
        TypeError: no QuantumCircuit.
        ValueError: more than 30 qubits in use, an instruction or angle that has no counterpart here.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from jaxsim.interop.qiskit import from_qiskit
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1), bell.measure_all()
        >>> from_qiskit(bell)
        Circuit(2 qubits, 2 bits, 5 gates: h 1, cx 1, barrier 1, measure 2)
    """
    qiskit = _qiskit()
    if not isinstance(circuit, qiskit.QuantumCircuit):
        raise TypeError(f"from_qiskit takes a QuantumCircuit, but a {type(circuit).__name__} was given.")
    if keep_idle is None:
        keep_idle = circuit.num_qubits <= MAX_WIRES
    wires = tuple(range(circuit.num_qubits)) if keep_idle else qubits_in_use(circuit) or (0,)
    if not 1 <= len(wires) <= MAX_WIRES or not circuit.num_qubits:
        used = "" if keep_idle else " in use"
        raise ValueError(f"the circuit has {len(wires)} qubits{used}; 1 to {MAX_WIRES} are possible.")
    place = {qubit: k for k, qubit in enumerate(circuit.qubits)}
    here = {wire: k for k, wire in enumerate(wires)}
    result = Circuit(len(wires))
    qubits = {qubit: here[k] for qubit, k in place.items() if k in here}
    Importer(result, max_iterations).body(circuit, qubits, _registers(circuit, result))
    return result


def _registers(circuit: Any, result: Circuit) -> dict[Any, Bit]:
    """Adds the registers of a circuit, and says which bit each of its bits is."""
    bits: dict[Any, Bit] = {}
    for register in circuit.cregs:
        shared = [bit for bit in register if bit in bits]
        if shared:
            raise ValueError(
                f"register {register.name!r} shares bits with another one; registers must not overlap."
            )
        bits.update(zip(register, result.register(register.name, register.size)))
    loose = [bit for bit in circuit.clbits if bit not in bits]
    if loose:
        name = "loose"
        while any(register.name == name for register in circuit.cregs):
            name += "_"
        bits.update(zip(loose, result.register(name, len(loose))))
    return bits


def observable_from_qiskit(observable: Any) -> PauliSum:
    """A Qiskit operator (SparsePauliOp, SparseObservable, Pauli, PauliList of one) as a `PauliSum`.

    Raises:
        TypeError: another kind of operator.
        ValueError: more than 30 qubits.

    Example:
        >>> from qiskit.quantum_info import SparsePauliOp
        >>> observable_from_qiskit(SparsePauliOp(["ZZ", "IX"], [1.0, 0.5]))
        1.0*Z0 Z1 + 0.5*X0
    """
    return PauliSum.from_list(terms_from_qiskit(observable))


def terms_from_qiskit(observable: Any) -> list[tuple[str, Any]]:
    """A Qiskit operator as pairs (label, coefficient), with real coefficients if all of them are.

    Raises:
        TypeError: another kind of operator.
    """
    _qiskit()
    from qiskit.quantum_info import SparsePauliOp

    sparse = type(observable).__name__ == "SparseObservable"
    try:
        read = SparsePauliOp.from_sparse_observable if sparse else SparsePauliOp
        terms = list(read(observable).to_list())
    except Exception:
        raise TypeError(
            f"an observable is a PauliSum or Qiskit's SparsePauliOp or Pauli, but a {type(observable).__name__} was "
            "given."
        ) from None
    if any(complex(c).imag for _, c in terms):
        return terms
    return [(label, complex(c).real) for label, c in terms]
