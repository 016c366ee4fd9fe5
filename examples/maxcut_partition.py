"""MaxCut on a graph far too large for its qubits: cut into parts, a QAOA for each, stitched by beam search.

    python examples/maxcut_partition.py [directory for the picture] [--nodes 600] [--qubits 12]

With --nodes 10000 it takes a minute or so on two cores.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import networkx as nx
import numpy as np
from matplotlib.figure import Figure

from ensembles import ProgramEnsemble, adam
from ensembles.problems import MaxCut
from ensembles.programs import Partition, PartitionedSolution, partition


def greedy_cut(graph: nx.Graph) -> int:
    """The plain greedy cut: nodes in order, each to the side that cuts more edges to placed neighbours."""
    side: dict[int, int] = {}
    cut = 0
    for node in sorted(graph):
        placed = [sum(side.get(other) == s for other in graph[node]) for s in (0, 1)]
        side[node] = 0 if placed[1] >= placed[0] else 1
        cut += placed[1 - side[node]]
    return cut


def neighbouring_parts(graph: nx.Graph, parts: Partition, count: int) -> list[int]:
    """The nodes of some parts that share many edges."""
    chosen, rest = list(parts.parts[0].tolist()), [set(part.tolist()) for part in parts.parts[1:]]
    for _ in range(min(count - 1, len(rest))):
        best = max(rest, key=lambda part: sum(other in part for node in chosen for other in graph[node]))
        rest.remove(best)
        chosen += best
    return chosen


def draw(
    graph: nx.Graph, parts: Partition, solution: PartitionedSolution, cuts: dict[str, float], path: Path
) -> None:
    """Some of the parts with their two sides, and the cuts."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    some = graph.subgraph(neighbouring_parts(graph, parts, 5))
    layout = nx.kamada_kawai_layout(some)
    side = dict(zip(parts.problem.variables, solution.bits.tolist()))
    member = {int(node): k for k, part in enumerate(parts.parts) for node in part}
    edges = {
        "cut, inside a part": ("tab:blue", lambda u, v: side[u] != side[v] and member[u] == member[v]),
        "cut, between parts": ("tab:green", lambda u, v: side[u] != side[v] and member[u] != member[v]),
        "not cut": ("tab:red", lambda u, v: side[u] == side[v]),
    }
    for label, (colour, belongs) in edges.items():
        chosen = [edge for edge in some.edges if belongs(*edge)]
        nx.draw_networkx_edges(some, layout, edgelist=chosen, edge_color=colour, ax=left, label=label)
    colours = ["black" if side[node] else "white" for node in some]
    nx.draw_networkx_nodes(some, layout, node_color=colours, edgecolors="black", node_size=30, ax=left)
    left.set_title(f"5 of {len(parts)} parts")
    left.legend(fontsize="small")
    left.axis("off")
    bars = right.barh(list(cuts), list(cuts.values()), color=["tab:gray", "tab:blue", "tab:orange"])
    right.bar_label(bars, padding=3)
    right.set_xlim(0, 1.15 * max(cuts.values()))
    right.invert_yaxis()
    right.set_xlabel(f"edges cut, of {graph.number_of_edges()}")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", nargs="?", type=Path, default=Path("demo_output"))
    parser.add_argument("--nodes", type=int, default=600)
    parser.add_argument("--qubits", type=int, default=12)
    parser.add_argument("--steps", type=int, default=60)
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    graph = nx.random_regular_graph(3, given.nodes, seed=1)

    started = time.perf_counter()
    parts = partition(MaxCut(graph), given.qubits)
    print(parts)
    ensemble = ProgramEnsemble(parts.programs(layers=2, optimizer=adam(0.1), steps=given.steps))
    print(ensemble.plan())
    result = ensemble.run(seed=7)
    solution = parts.stitch(result)
    seconds = time.perf_counter() - started
    improved = solution.improved_by_single_flips()

    greedy = greedy_cut(graph)
    exact = np.mean([r.objective == r.optimum for r in result.values()])
    print(result.stats)
    print(f"{exact:.0%} of the parts: the most probable bitstring is a best one of the part.")
    print(
        f"greedy {greedy}, stitched {solution.objective:g} ({solution.objective / greedy:.3f} x) in {seconds:.1f} s"
    )
    print(f"after a classical local search besides: {improved.objective:g} ({improved.method})")
    cuts = {
        "greedy": greedy,
        "QAOA of parts,\nstitched": solution.objective,
        "and single flips": improved.objective,
    }
    draw(graph, parts, solution, cuts, given.directory / "maxcut_partition.png")


if __name__ == "__main__":
    main()
