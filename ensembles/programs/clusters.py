"""Clusters of a weighted graph, none larger than a given size: where a large problem is cut into parts."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float64, Int32, Int64

__all__ = ["METHODS", "clusters", "inside_share"]

_DENSE_NODES = 256
"""Up to here the eigenvectors of a dense Laplacian are faster than an iteration."""

Nodes: TypeAlias = "Int64[np.ndarray, ' nodes']"
Weights: TypeAlias = Any  # scipy.sparse.csr_array, (n, n), symmetric


def clusters(weights: Weights, most: int, method: str = "growth", seed: int = 0) -> list[Nodes]:
    """Every node in one cluster of at most `most` nodes, with as much weight as possible inside clusters.

    Args:
        weights: (n, n) symmetric, entries >= 0, no diagonal.
        most: largest size, at least 1.
        method: a row of `METHODS`.
        seed: for methods that draw.

    Returns:
        clusters, each ascending, ordered by their first node. Clusters that are small enough to share a place do.

    Example:
        >>> import scipy.sparse
        >>> two_pairs = scipy.sparse.csr_array(np.kron(np.eye(2), [[0, 1], [1, 0]]))
        >>> [c.tolist() for c in clusters(two_pairs, 2)]
        [[0, 1], [2, 3]]
    """
    found = METHODS[method](weights, most, seed)
    merged = _merged(weights, [np.sort(np.asarray(c, np.int64)) for c in found], most)
    return sorted(merged, key=lambda c: int(c[0]))


def inside_share(
    pairs: Int32[np.ndarray, "pairs 2"],
    weights: Float64[np.ndarray, " pairs"],
    parts: Sequence[Nodes],
    n: int,
) -> float:
    """The share of the total |weight| of pairs that lies inside parts."""
    label = np.zeros(n, np.int64)
    for k, part in enumerate(parts):
        label[part] = k
    inside = label[pairs[:, 0]] == label[pairs[:, 1]]
    total = np.abs(weights).sum()
    return float(np.abs(weights[inside]).sum() / total) if total else 1.0


# methods ----------------------------------------------------------------------------------------------------


def _growth(weights: Weights, most: int, seed: int) -> list[Any]:
    """Clusters grown one after the other: each from the free node with the least weight to other free nodes, always by
    the node with the most weight into the cluster."""
    n = weights.shape[0]
    start, column, value = weights.indptr.tolist(), weights.indices.tolist(), weights.data.tolist()
    free, left = [True] * n, weights.sum(axis=1).tolist()
    heap = [(left[v], v) for v in range(n)]
    heapq.heapify(heap)
    found = []
    while heap:
        rest, seed_node = heapq.heappop(heap)
        if not free[seed_node] or rest != left[seed_node]:
            continue
        cluster: list[int] = []
        into: dict[int, float] = {seed_node: 0.0}
        while into and len(cluster) < most:
            node = max(into, key=lambda v: (into[v], -left[v], -v))
            del into[node]
            free[node] = False
            cluster.append(node)
            for k in range(start[node], start[node + 1]):
                other = column[k]
                left[other] -= value[k]
                if free[other]:
                    into[other] = into.get(other, 0.0) + value[k]
                    heapq.heappush(heap, (left[other], other))
        found.append(cluster)
    return found


def _halves(split: Callable[[Weights, int, int], tuple[Any, Any]]) -> Callable[..., list[Any]]:
    """Recursive bisection with a function that splits a graph in two, for (graph, most, seed)."""

    def recurse(weights: Weights, most: int, seed: int) -> list[Any]:
        found, waiting = [], [np.arange(weights.shape[0])]
        while waiting:
            nodes = waiting.pop()
            if len(nodes) <= most:
                found.append(nodes)
                continue
            waiting += [nodes[half] for half in split(weights[nodes][:, nodes], most, seed)]
        return found

    return recurse


def _by_fiedler_vector(weights: Weights, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A graph in two by the second eigenvector of its normalised Laplacian (Shi and Malik, IEEE TPAMI 22, 888 (2000)),
    at a place that leaves room for full parts."""
    import scipy.sparse.linalg

    n = weights.shape[0]
    scale = 1 / np.sqrt(np.maximum(weights.sum(axis=1), 1e-12))
    # The eigenvectors of a normalised Laplacian 1 - A, lowest first, are those of 1 + A, highest first.
    if n <= _DENSE_NODES:
        vector = np.linalg.eigh(scale[:, None] * weights.toarray() * scale)[1][:, -2] * scale
    else:
        matrix = scipy.sparse.diags_array(scale) @ weights @ scipy.sparse.diags_array(scale)
        start = np.random.default_rng(seed).normal(size=n)
        shifted = matrix + scipy.sparse.eye_array(n)
        try:
            _, vectors = scipy.sparse.linalg.eigsh(shifted, k=2, which="LA", v0=start, tol=1e-2)  # type: ignore[arg-type]
        except scipy.sparse.linalg.ArpackNoConvergence as error:
            vectors = error.eigenvectors
        vector = (vectors[:, 0] if vectors.shape[1] else start) * scale
    order = np.argsort(vector, kind="stable")
    parts = -(-n // most)
    first = min(parts // 2 * most, max(round(n * (parts // 2) / parts), n - (parts - parts // 2) * most))
    return order[:first], order[first:]


def _by_kernighan_lin(weights: Weights, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A graph in two halves by networkx's Kernighan-Lin bisection."""
    networkx = _networkx("kernighan_lin")
    graph = networkx.from_scipy_sparse_array(weights)
    halves = networkx.community.kernighan_lin_bisection(graph, weight="weight", seed=seed)
    first, second = (np.array(sorted(half), np.int64) for half in halves)
    return first, second


def _communities(weights: Weights, most: int, seed: int) -> list[Any]:
    """Louvain communities (Blondel et al., arXiv:0803.0476), those that are too large halved by Kernighan-Lin."""
    networkx = _networkx("community")
    graph = networkx.from_scipy_sparse_array(weights)
    found = []
    for community in networkx.community.louvain_communities(graph, weight="weight", seed=seed):
        nodes = np.array(sorted(community), np.int64)
        found += [nodes[part] for part in _halves(_by_kernighan_lin)(weights[nodes][:, nodes], most, seed)]
    return found


METHODS: dict[str, Callable[[Weights, int, int], list[Any]]] = {
    "growth": _growth,
    "community": _communities,
    "spectral": _halves(_by_fiedler_vector),
    "kernighan_lin": _halves(_by_kernighan_lin),
}
"""How clusters are found. "growth" takes nearly linear time and fills its clusters; "community" and
"kernighan_lin" need networkx; "spectral" needs eigenvectors of the whole graph first and suits up to some thousand
nodes."""


def _networkx(method: str) -> Any:
    try:
        import networkx
    except ImportError as error:
        raise ImportError(
            f"partition: method={method!r} needs networkx: pip install 'jaxsim-ensembles[graphs]'; or use 'growth'."
        ) from error
    return networkx


# small clusters ---------------------------------------------------------------------------------------------


def _merged(weights: Weights, found: list[Nodes], most: int) -> list[Nodes]:
    """Clusters that fit together put together: with the neighbour that they share most weight with, else with any."""
    label = np.zeros(weights.shape[0], np.int64)
    for k, nodes in enumerate(found):
        label[nodes] = k
    whole: dict[int, Nodes] = dict(enumerate(found))
    for k in sorted(whole, key=lambda k: (len(whole[k]), k)):
        while k in whole:
            nodes = whole[k]
            rows = weights[nodes]
            shared = np.bincount(label[rows.indices], rows.data, minlength=len(found))
            shared[k] = 0
            fitting = [
                int(j)
                for j in np.flatnonzero(shared)
                if int(j) in whole and len(whole[int(j)]) + len(nodes) <= most
            ]
            if not fitting:
                break
            best = max(fitting, key=lambda j: (shared[j], -j))
            whole[best] = np.sort(np.concatenate([whole[best], nodes]))
            label[nodes] = best
            del whole[k]
    # What is left of the small ones shares no weight: first fit, the largest first.
    bins: list[list[Nodes]] = []
    room: list[int] = []
    for nodes in sorted(whole.values(), key=lambda nodes: (-len(nodes), int(nodes[0]))):
        fits = next((k for k, r in enumerate(room) if r >= len(nodes)), None) if len(nodes) < most else None
        if fits is None:
            bins.append([nodes])
            room.append(most - len(nodes))
        else:
            bins[fits].append(nodes)
            room[fits] -= len(nodes)
    return [np.sort(np.concatenate(parts)) for parts in bins]
