"""The main job: three ensembles of variational programs, each trained in a handful of compiled calls.

(a) The dissociation curve of H2: 41 bond lengths x 4 random starts, a UCCSD ansatz trained with Adam.
(b) MaxCut by QAOA with two layers on 64 random 3-regular graphs of 10 nodes.
(c) A search for a circuit: 64 ansaetze, each with gates and CX networks of its own, for a spin chain.

    python examples/main_job.py [directory for the pictures]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import networkx as nx
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from ensembles import QAOA, VQE, EnsembleResult, ProgramEnsemble, adam
from ensembles.problems import MaxCut, bond_lengths, molecule, tfim
from jaxsim import Circuit, ParameterVector, ansatz

SEEDS = range(4)
CHEMICAL_ACCURACY = 1.6e-3  # Hartree

console = Console()


def hydrogen_curve() -> ProgramEnsemble:
    """A VQE for every bond length and every random start; only the coefficients of the Hamiltonians differ."""
    uccsd = ansatz.uccsd(n_qubits=4, n_electrons=2)
    return ProgramEnsemble(
        {
            (f"r={length}", seed): VQE(
                uccsd, molecule("H2", bond_length=length).hamiltonian, optimizer=adam(0.1), steps=150
            )
            for length in bond_lengths("H2")
            for seed in SEEDS
        }
    )


def cuts_of_graphs() -> ProgramEnsemble:
    """A QAOA for every graph; the graphs differ, the compiled call does not."""
    graphs = {f"graph {k}": nx.random_regular_graph(3, 10, seed=k) for k in range(64)}
    return ProgramEnsemble(
        {
            name: QAOA(MaxCut(graph), layers=2, optimizer=adam(0.05), steps=150)
            for name, graph in graphs.items()
        }
    )


def random_circuit(seed: int, num_wires: int = 8, layers: int = 3) -> Circuit:
    """Rotations about random axes, then CX gates between random pairs, layer by layer."""
    rng = np.random.default_rng(seed)
    theta = ParameterVector("theta", 2 * num_wires * layers)
    circuit = Circuit(num_wires)
    for layer in np.arange(len(theta)).reshape(layers, num_wires, 2):
        for wire, (first, second) in enumerate(layer.tolist()):
            outer, inner = rng.permutation(["rx", "ry", "rz"])[:2]
            getattr(circuit, inner)(theta[first], wire)
            getattr(circuit, outer)(theta[second], wire)
        for _ in range(num_wires):
            circuit.cx(*rng.permutation(num_wires)[:2].tolist())
    return circuit


def search_for_a_circuit() -> ProgramEnsemble:
    """64 different circuits for one Hamiltonian: structure is data, so they share their compiled calls."""
    hamiltonian = tfim(8)
    return ProgramEnsemble(
        {
            f"circuit {k}": VQE(random_circuit(k), hamiltonian, optimizer=adam(0.05), steps=150)
            for k in range(64)
        }
    )


def circuit_table(result: EnsembleResult) -> Table:
    """The best and the worst circuits."""
    exact = tfim(8).ground_energy()
    table = Table(
        title=f"64 different circuits for the transverse-field Ising chain (ground state {exact:.4f})"
    )
    for heading in ("circuit", "energy", "above the ground state"):
        table.add_column(heading, justify="right")
    ranked = sorted(result.items(), key=lambda item: item[1].value)
    for name, best in [*ranked[:4], *ranked[-2:]]:
        table.add_row(name, f"{best.value:.4f}", f"{best.value - exact:.4f}")
    return table


def best_energies(result: EnsembleResult) -> dict[float, float]:
    """The lowest energy over the random starts, for every bond length."""
    return {length: min(result[f"r={length}", seed].value for seed in SEEDS) for length in bond_lengths("H2")}


def energy_table(energies: dict[float, float]) -> Table:
    """Some of the bond lengths against Hartree-Fock and the exact energy."""
    table = Table(title="H2: best of 4 starts, energies in Hartree")
    for heading in ("bond length / Å", "Hartree-Fock", "VQE", "exact", "error / mHa"):
        table.add_column(heading, justify="right")
    for length, energy in list(energies.items())[::5]:
        h2 = molecule("H2", bond_length=length)
        error = 1e3 * (energy - h2.exact_energy)
        table.add_row(
            f"{length:.3f}",
            f"{h2.hartree_fock_energy:.6f}",
            f"{energy:.6f}",
            f"{h2.exact_energy:.6f}",
            f"{abs(error):.3f}",
        )
    return table


def cut_table(result: EnsembleResult) -> Table:
    """Some of the graphs: what QAOA expects to cut, the most probable cut, and the largest there is."""
    table = Table(title="MaxCut on 3-regular graphs of 10 nodes, QAOA with 2 layers")
    for heading in ("graph", "expected cut", "most probable cut", "largest cut", "ratio"):
        table.add_column(heading, justify="right")
    for name, best in list(result.items())[::8]:
        table.add_row(name, f"{best.expected:.3f}", f"{best.cut:g}", f"{best.optimum:g}", f"{best.ratio:.3f}")
    return table


def plot_curve(energies: dict[float, float], path: Path) -> None:
    """The dissociation curve, and how far it is from the exact one."""
    lengths = list(energies)
    molecules = [molecule("H2", bond_length=length) for length in lengths]
    exact = [h2.exact_energy for h2 in molecules]
    figure = Figure(figsize=(7, 6), layout="constrained")
    curve, error = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    curve.plot(
        lengths, [h2.hartree_fock_energy for h2 in molecules], "--", color="tab:gray", label="Hartree-Fock"
    )
    curve.plot(lengths, exact, color="black", label="exact (STO-3G)")
    curve.plot(lengths, list(energies.values()), "o", color="tab:blue", label="VQE, best of 4 starts")
    curve.set(ylabel="energy / Hartree", title="H2 dissociation: 164 programs in one compiled call")
    curve.legend()
    differences = [max(1e3 * (e - x), 1e-4) for e, x in zip(energies.values(), exact, strict=True)]
    error.semilogy(lengths, differences, "o", color="tab:blue")
    error.axhline(1e3 * CHEMICAL_ACCURACY, color="tab:red", linestyle=":", label="chemical accuracy")
    error.set(xlabel="bond length / Å", ylabel="error / mHa")
    error.legend()
    figure.savefig(path, dpi=120)


def train(title: str, ensemble: ProgramEnsemble) -> EnsembleResult:
    """Prints the plan, runs the ensemble, prints what it took."""
    console.rule(title)
    console.print(ensemble.plan())
    result = ensemble.run(seed=7)
    console.print(str(result.stats))
    return result


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()

    hydrogen = train("H2 dissociation curve: 41 bond lengths x 4 starts", hydrogen_curve())
    energies = best_energies(hydrogen)
    console.print(energy_table(energies))
    errors = [energy - molecule("H2", bond_length=r).exact_energy for r, energy in energies.items()]
    reached = sum(error <= CHEMICAL_ACCURACY for error in errors)
    console.print(f"{reached} of {len(errors)} bond lengths within chemical accuracy (1.6 mHa); "
                  f"largest error {1e3 * max(errors):.3f} mHa.")  # fmt: skip

    graphs = train("MaxCut on 64 graphs", cuts_of_graphs())
    console.print(cut_table(graphs))
    ratios = [best.ratio for best in graphs.values()]
    found = sum(best.cut == best.optimum for best in graphs.values())
    console.print(f"Mean approximation ratio {sum(ratios) / len(ratios):.3f}; the most probable cut is the largest one "
                  f"for {found} of {len(graphs)} graphs.")  # fmt: skip

    circuits = train("64 programs, each with a circuit of its own", search_for_a_circuit())
    console.print(circuit_table(circuits))

    plot_curve(energies, directory / "h2_curve.png")
    graphs.plot(directory / "qaoa_convergence.png")
    console.rule("done")
    parts = (hydrogen, graphs, circuits)
    programs = sum(len(part) for part in parts)
    compilations = sum(part.stats.compilations for part in parts)
    calls = sum(part.stats.calls for part in parts)
    console.print(
        f"{programs} programs, {compilations} compilations, {calls} calls, {time.perf_counter() - started:.1f} s.\n"
        f"Pictures: {directory / 'h2_curve.png'}, {directory / 'qaoa_convergence.png'}\n\n"
        "What to try next:\n"
        "  - print(result) for a table of all programs; result['graph 0'].history for its losses\n"
        "  - your own graphs: QAOA(MaxCut([('a', 'b', 2.5), ('b', 'c')]), layers=3, ...)\n"
        "  - another molecule: molecule('LiH', bond_length=1.6), ansatz.uccsd(10, 2)\n"
        "  - learning rates as a sweep: they are data and share the call\n"
        "  - BatchConfig(max_batch_size=16): more calls, the same numbers to the last bit"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo_output"))
