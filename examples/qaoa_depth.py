"""QAOA layer by layer: each depth starts from the angles of the one before; and the landscape of one layer.

python examples/qaoa_depth.py [directory for the pictures] [--layers 5]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import networkx as nx
import numpy as np
from matplotlib.figure import Figure

from ensembles import QAOA, adam
from ensembles.problems import MaxCut
from ensembles.programs import grow_depth, landscape


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", nargs="?", type=Path, default=Path("demo_output"))
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--graphs", type=int, default=16)
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)

    graphs = {f"graph {k}": nx.random_regular_graph(3, 10, seed=k) for k in range(given.graphs)}
    programs = {
        name: QAOA(MaxCut(graph), layers=1, optimizer=adam(0.05), steps=60) for name, graph in graphs.items()
    }
    scan = landscape(programs["graph 0"], "gamma[0]", "beta[0]", center=[0.0, 0.0], points=61)
    scan.plot(given.directory / "landscape.png", title="QAOA with one layer on a 3-regular graph of 10 nodes")
    value, (beta, gamma) = scan.lowest()
    print(f"lowest point of the grid: <cut> = {-value:.3f} at beta = {beta:.2f}, gamma = {gamma:.2f}")

    rounds = grow_depth(programs, given.layers, progress=False)
    ratios = np.array([[r.ratio for r in result.values()] for result in rounds])
    for depth, (row, result) in enumerate(zip(ratios, rounds), start=1):
        print(f"{depth} layers: mean ratio {row.mean():.3f}, {result.stats.compilations} compilations")

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    depths = np.arange(1, given.layers + 1)
    left.plot(depths, ratios, color="tab:blue", alpha=0.3)
    left.plot(depths, ratios.mean(axis=1), "o-", color="black", label=f"mean of {len(graphs)} graphs")
    left.set(xlabel="layers", ylabel="approximation ratio", xticks=depths)
    left.legend()
    betas, gammas = np.split(rounds[-1]["graph 0"].parameters, 2)
    right.plot(depths, gammas, "o-", label="gamma")
    right.plot(depths, betas, "o-", label="beta")
    right.set(xlabel="layer", ylabel="angle", title=f"angles found with {given.layers} layers", xticks=depths)
    right.legend()
    figure.savefig(given.directory / "qaoa_depth.png", dpi=110)


if __name__ == "__main__":
    main()
