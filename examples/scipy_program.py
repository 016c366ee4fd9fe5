"""Programs that are ordinary Python: SciPy's optimisers, and a loop of one's own, side by side with a compiled program.

    python examples/scipy_program.py [--small]

Every program blocks in ``evaluate`` as if it were alone. What the programs ask for at the same time goes to the
simulator in one call.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import networkx as nx
import numpy as np
from rich.console import Console

from ensembles import (
    QAOA,
    VQE,
    Evaluate,
    HostedProgram,
    ProgramEnsemble,
    adam,
    differential_evolution,
    scipy_minimize,
)
from ensembles.problems import MaxCut, molecule, tfim
from jaxsim import ansatz

console = Console()


class SPSA(HostedProgram):
    """Simultaneous perturbation: two energies a step for any number of parameters (Spall, IEEE TAC 37, 332, 1992)."""

    def __init__(self, circuit: Any, observable: Any, *, steps: int) -> None:
        super().__init__(circuit, observable)
        self.number_of_steps = steps

    def run(self, evaluate: Evaluate) -> dict[str, Any]:
        x = evaluate.initial_parameters
        for k in range(self.number_of_steps):
            sign = evaluate.random.choice([-1.0, 1.0], size=len(x))
            width, rate = 0.2 / (k + 1) ** 0.1, 0.3 / (k + 20) ** 0.6
            up, down = evaluate(np.stack([x + width * sign, x - width * sign]))
            x = x - rate * (up - down) / (2 * width) * sign
        return {"parameters": x, "value": evaluate(x)}


class SampledQAOA(QAOA):
    """QAOA with a thousand samples at the end."""

    def run(self, evaluate: Evaluate) -> dict[str, Any]:
        found = super().run(evaluate)
        bits = evaluate.sample(found["parameters"], shots=1000)
        texts = Counter("".join(map(str, shot[::-1])) for shot in bits.tolist())
        return {**found, "most_common": texts.most_common(1)[0]}


def main(small: bool = False) -> None:
    steps = 20 if small else 200
    h2 = molecule("H2", bond_length=0.735)
    uccsd, layered = ansatz.uccsd(4, 2), ansatz.hardware_efficient(4, 2)
    graphs = [nx.random_regular_graph(3, 8, seed=k) for k in range(2 if small else 8)]
    programs = {
        "H2, L-BFGS-B": VQE(uccsd, h2.hamiltonian, optimizer=scipy_minimize("L-BFGS-B", maxiter=steps)),
        "H2, Nelder-Mead": VQE(uccsd, h2.hamiltonian, optimizer=scipy_minimize("Nelder-Mead", maxiter=steps)),
        "H2, evolution": VQE(uccsd, h2.hamiltonian, optimizer=differential_evolution(maxiter=steps // 5)),
        "H2, Adam (compiled)": VQE(uccsd, h2.hamiltonian, optimizer=adam(0.1), steps=steps),
        "chain, SPSA": SPSA(layered, tfim(4), steps=steps),
    }
    programs |= {
        f"graph {k}": SampledQAOA(MaxCut(graph), layers=2, optimizer=scipy_minimize("COBYLA", maxiter=30))
        for k, graph in enumerate(graphs)
    }
    ensemble = ProgramEnsemble(programs)
    console.print(ensemble.plan())
    result = ensemble.run(seed=7)
    console.print(str(result), highlight=False)
    console.print(
        f"H2 exactly: {h2.exact_energy:.8f}; most common samples of graph 0: {result['graph 0'].most_common}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="fewer steps and graphs")
    main(parser.parse_args().small)
