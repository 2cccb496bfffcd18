"""Item and user graphs of the four papers: built in chunks, kept sparse, propagated by sparse products.

Every graph is a ``torch.sparse_csr`` tensor. No function here ever holds a dense item-by-item matrix, not even for
its gradient.
"""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from mmrec_lite.memory import require_memory
from mmrec_lite.ops import CHUNK_ELEMENTS, by_row_and_count, full_precision, nearly_nearest, top_columns, unit_rows
from mmrec_lite.options import check_option

# Said once by PyTorch about every CSR tensor; a student can do nothing about it.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")

__all__ = [
    "bipartite_graph",
    "cooccurrence_graph",
    "csr_graph",
    "edges",
    "from_scipy",
    "knn_graph",
    "mix_graphs",
    "nearest_rows",
    "normalize_graph",
    "propagate",
    "transpose_graph",
]

NORMS = ("sym", "row", "row_sqrt")
SEARCHES = ("exact", "approximate")


class _ToCSR(torch.autograd.Function):
    """Weights -> CSR tensor. PyTorch's own gradient of this step makes the dense matrix; this one reads the edges."""

    @staticmethod
    def forward(ctx, values: Tensor, crow: Tensor, col: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(crow, col)
        return torch.sparse_csr_tensor(crow, col, values, size, check_invariants=False)

    @staticmethod
    def backward(ctx, grad: Tensor):
        crow, col = ctx.saved_tensors
        if grad.layout == torch.sparse_csr:
            return grad.values(), None, None, None
        return grad[_row_of_edge(crow), col], None, None, None


class _FromCSR(torch.autograd.Function):
    """CSR tensor -> weights, with a gradient that stays sparse."""

    @staticmethod
    def forward(ctx, graph: Tensor) -> Tensor:
        ctx.pattern = graph.crow_indices(), graph.col_indices(), tuple(graph.shape)
        return graph.values().clone()

    @staticmethod
    def backward(ctx, grad: Tensor):
        crow, col, size = ctx.pattern
        return torch.sparse_csr_tensor(crow, col, grad, size, check_invariants=False)


def _row_of_edge(crow: Tensor) -> Tensor:
    """Return the row every edge of a CSR pattern starts in, (edges,)."""
    return torch.repeat_interleave(torch.arange(len(crow) - 1, device=crow.device), crow.diff())


def csr_graph(crow: Tensor, col: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Put row pointers, columns and weights into one sparse CSR tensor.

    Shapes: crow (rows + 1,), col (edges,), values (edges,) -> (rows, cols). Gradients flow to ``values``.
    """
    return _ToCSR.apply(values, crow, col, size)


def edges(graph: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a CSR graph's edges as rows, columns and weights, each (edges,), in row order."""
    values = _FromCSR.apply(graph) if graph.requires_grad else graph.values()
    return _row_of_edge(graph.crow_indices()), graph.col_indices(), values


def nearest_rows(unit: Tensor, k: int, self_loops: bool) -> Tensor:
    """Return the k nearest rows (I, k) by cosine; an item stands first in its own list, or not at all."""
    n = unit.shape[0]
    step = max(1, CHUNK_ELEMENTS // n)
    out = torch.empty(n, k, dtype=torch.int64, device=unit.device)
    for start in range(0, n, step):
        block = unit[start : start + step] @ unit.T
        own = torch.arange(block.shape[0], device=unit.device)
        block[own, own + start] = torch.inf if self_loops else -torch.inf
        out[start : start + step] = top_columns(block, k)
    return out


def _edge_dots(x: Tensor, y: Tensor, crow: Tensor, col: Tensor) -> Tensor:
    """Return x_i . y_j for every edge (i, j) of a CSR pattern, (edges,), in chunks of edges."""
    rows = _row_of_edge(crow)
    out = torch.empty(len(col), dtype=x.dtype, device=x.device)
    step = max(1, CHUNK_ELEMENTS // x.shape[1])
    for s in range(0, len(col), step):
        out[s : s + step] = torch.linalg.vecdot(x[rows[s : s + step]], y[col[s : s + step]])
    return out


class _EdgeDot(torch.autograd.Function):
    """Dot products of the row pairs an edge list names, (edges,), at the memory of the rows and not of the edges."""

    @staticmethod
    def forward(ctx, x: Tensor, crow: Tensor, col: Tensor) -> Tensor:
        ctx.save_for_backward(x, crow, col)
        return _edge_dots(x, x, crow, col)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, crow, col = ctx.saved_tensors
        graph = csr_graph(crow, col, grad.contiguous(), (len(x), len(x)))
        return _product(graph, x) + _product(transpose_graph(graph), x), None, None


def knn_graph(x: Tensor, k: int, self_loops: bool = True, method: str = "exact") -> Tensor:
    """Connect every item with its k most similar items by the cosine of their features.

    Shapes: x (I, d) -> sparse CSR (I, I), directed, at most k entries a row, weights in [0, 1]: negative cosines are
    set to zero and zeros are not stored. An item is its own best neighbour and counts as one of the k;
    ``self_loops=False`` leaves it out. Ties go to the lower index. A zero feature row gets an empty graph row.
    Gradients flow from the weights to ``x``; which edges exist is a constant.

    ``method="approximate"`` finds most of the k nearest in a time that hardly grows faster than I, where the exact
    search grows as I^2: for catalogues beyond some 100,000 items (measured in tests/benchmarks). It needs pynndescent,
    which umap-learn brings; a process's first search compiles it, for half a minute. The weights of the edges it
    finds are exact.

    Raises ``ValueError`` when k is not in [1, I), x is not a finite matrix or the method is another one.

    Source: MICRO Eq. 1-2. Differs from the released code, which keeps negative weights.
    """
    if x.ndim != 2 or not x.is_floating_point():
        raise ValueError(f"knn_graph: x must be a float matrix (items, features), got {tuple(x.shape)} {x.dtype}")
    check_option("knn_graph", "method", method, SEARCHES)
    n = x.shape[0]
    if not 1 <= k < n:
        raise ValueError(f"knn_graph: k = {k}, but it must be at least 1 and below the number of items ({n})")
    if x.device.type == "cpu":
        require_memory(
            60 * n * k + 4 * x.numel(),
            f"knn_graph: {n * k:,} edges among {n:,} items",
            "Take a smaller k, or fewer items.",
        )
    unit = unit_rows(x)
    with torch.no_grad(), full_precision(unit):
        if not bool(torch.isfinite(unit).all()):
            row = int((~torch.isfinite(unit).all(dim=1)).nonzero()[0, 0])
            raise ValueError(f"knn_graph: row {row} of x has NaN or infinite values; repair or mask that item")
        search = nearest_rows if method == "exact" else nearly_nearest
        col = search(unit, k, self_loops).sort(dim=1).values.reshape(-1)
        crow = torch.arange(0, n * k + 1, k, device=x.device)
    weights = _EdgeDot.apply(unit, crow, col)
    with torch.no_grad():
        keep = weights > 0
        ends = torch.cat([crow.new_zeros(1), keep.cumsum(0)])
        crow = ends[crow]
    return csr_graph(crow, col[keep], weights[keep].clamp(max=1), (n, n))


def normalize_graph(graph: Tensor, norm: str = "sym") -> Tensor:
    """Divide a graph's weights by the degrees D, the row sums of the graph.

    Shapes: CSR (N, N) -> CSR (N, N), the same edges. ``"sym"``: D^-1/2 G D^-1/2, with the row sums on both sides also
    of a directed graph; ``"row"``: D^-1 G; ``"row_sqrt"``: D^-1/2 G. A row whose sum is zero stays zero.
    Raises ``ValueError`` for another norm or a negative weight (a negative degree has no square root).

    Source: MICRO Eq. 3 ("sym"); MCPTR Eq. 1-2 ("row_sqrt", where D of a 0/1 graph is the number of neighbours).
    """
    check_option("normalize_graph", "norm", norm, NORMS)
    rows, cols, values = edges(graph)
    if values.numel() and bool((values.detach() < 0).any()):
        raise ValueError("normalize_graph: the graph has negative weights; clamp them to zero first")
    degree = values.new_zeros(graph.shape[0]).index_add(0, rows, values)
    positive = degree > 0
    safe = torch.where(positive, degree, 1.0)
    scale = torch.where(positive, safe.reciprocal() if norm == "row" else safe.rsqrt(), 0.0)
    scaled = values * scale[rows]
    if norm == "sym":
        if graph.shape[0] != graph.shape[1]:
            raise ValueError(f"normalize_graph: 'sym' needs a square graph, got {tuple(graph.shape)}")
        scaled = scaled * scale[cols]
    return csr_graph(graph.crow_indices(), cols, scaled, tuple(graph.shape))


def mix_graphs(initial: Tensor, learned: Tensor | None, lam: float) -> Tensor:
    """Return lam * initial + (1 - lam) * learned, the skip connection of the learned graph.

    Shapes: CSR (I, I), CSR (I, I) -> CSR (I, I) on the union of the edges. ``lam = 1`` returns the initial graph (the
    learned one may then be None), ``lam = 0`` the learned one. Gradients flow to both graphs' weights.
    Raises ``ValueError`` for lam outside [0, 1] or different sizes.

    Source: MICRO Eq. 5.
    """
    if not 0 <= lam <= 1:
        raise ValueError(f"mix_graphs: lam = {lam}, but it is a share and must lie in [0, 1]")
    if lam == 1:
        return initial
    if learned is None or learned.shape != initial.shape:
        raise ValueError("mix_graphs: with lam < 1 a learned graph of the initial graph's size is needed")
    if lam == 0:
        return learned
    n, m = initial.shape
    (rows_a, cols_a, values_a), (rows_b, cols_b, values_b) = edges(initial), edges(learned)
    keys = torch.cat([rows_a * m + cols_a, rows_b * m + cols_b])
    union, place = torch.unique(keys, return_inverse=True)
    weights = torch.cat([lam * values_a, (1 - lam) * values_b])
    values = weights.new_zeros(len(union)).index_add(0, place, weights)
    counts = torch.bincount(torch.div(union, m, rounding_mode="floor"), minlength=n)
    crow = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return csr_graph(crow, union % m, values, (n, m))


def bipartite_graph(
    users: Tensor | np.ndarray,
    items: Tensor | np.ndarray,
    n_users: int,
    n_items: int,
    norm: str = "sym",
    self_loops: bool = False,
) -> Tensor:
    """Build the user-item graph that LightGCN and NGCF propagate over.

    Shapes: users, items (edges,) int -> CSR (U + I, U + I), users first. ``norm="row", self_loops=True`` is
    D^-1 (A + I), what the released MICRO uses. Repeated pairs count once. A node without edges has an empty row.
    Raises ``ValueError`` for ids out of range.

    Source: LightGCN Eq. 3 and 7 (D^-1/2 A D^-1/2).
    """
    u = np.asarray(users, dtype=np.int64)
    i = np.asarray(items, dtype=np.int64)
    for name, ids, n in (("user", u, n_users), ("item", i, n_items)):
        if ids.size and (ids.min() < 0 or ids.max() >= n):
            raise ValueError(f"bipartite_graph: {name} ids must lie in [0, {n}), got {ids.min()} to {ids.max()}")
    size = n_users + n_items
    own = np.arange(size if self_loops else 0)
    rows = np.concatenate([u, i + n_users, own])
    cols = np.concatenate([i + n_users, u, own])
    matrix = sp.coo_array((np.ones(len(rows), np.float32), (rows, cols)), shape=(size, size)).tocsr()
    matrix.data[:] = 1.0
    return normalize_graph(from_scipy(matrix), norm)


def cooccurrence_graph(
    rows: Tensor | np.ndarray,
    cols: Tensor | np.ndarray,
    n_rows: int,
    n_cols: int,
    max_neighbors: int | None = 50,
    weighted: bool = False,
) -> Tensor:
    """Connect two rows that share a column: two users with a common item, or two items with a common user.

    Shapes: rows, cols (edges,) int, the training interactions -> CSR (rows, rows) without self-loops. Popular columns
    would make it dense, so each row keeps the ``max_neighbors`` rows it shares most with (ties: the lower index;
    None keeps all). Weights are 1, or the number of shared columns with ``weighted``. Memory stays bounded: the
    product is formed for a block of rows at a time. Its time is the sum of the columns' squared lengths: a few columns
    with thousands of rows can take most of it.

    Source: MCPTR sections 3.3 and 3.4 (the user-user and item-item graphs).
    """
    pairs = (np.asarray(rows, dtype=np.int64), np.asarray(cols, dtype=np.int64))
    seen = sp.coo_array((np.ones(len(pairs[0]), np.float32), pairs), shape=(n_rows, n_cols)).tocsr()
    seen.data[:] = 1.0
    by_column = seen.T.tocsr()
    work = np.concatenate([[0], np.cumsum(seen @ np.diff(by_column.indptr))])  # upper bound of entries up to a row
    # None keeps every entry of the product; an edge is a row, a column and a count, copied once on the way to CSR.
    kept = min(int(work[-1]), n_rows * min(n_rows, max_neighbors or n_rows))
    require_memory(
        52 * kept + 32 * min(int(work[-1]), CHUNK_ELEMENTS),
        f"cooccurrence_graph: up to {kept:,} edges among {n_rows:,} rows",
        "Keep fewer with max_neighbors (50 is usual), or drop the most popular columns.",
    )
    parts, start = [], 0
    while start < n_rows:
        stop = max(start + 1, int(np.searchsorted(work, work[start] + CHUNK_ELEMENTS, side="right")) - 1)
        parts.append(_strongest((seen[start:stop] @ by_column).tocoo(), start, max_neighbors))
        start = stop
    r, c, shared = (np.concatenate(column) for column in zip(*parts, strict=True))
    values = shared if weighted else np.ones_like(shared)
    return from_scipy(sp.coo_array((values, (r, c)), shape=(n_rows, n_rows)).tocsr())


def _strongest(block: sp.coo_array, start: int, limit: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns and counts of each row's strongest entries, the diagonal left out."""
    off = block.row + start != block.col
    r, c, shared = block.row[off].astype(np.int64), block.col[off].astype(np.int64), block.data[off]
    r, c, shared = by_row_and_count(r, c, shared)
    r += start
    if limit is not None and len(r):
        rank = np.arange(len(r)) - np.searchsorted(r, r, side="left")
        keep = rank < limit
        r, c, shared = r[keep], c[keep], shared[keep]
    return r, c, shared


def from_scipy(matrix: sp.csr_array) -> Tensor:
    """Turn a SciPy CSR matrix into a float32 ``torch.sparse_csr`` tensor, columns sorted in each row."""
    matrix.sort_indices()
    crow, col = (torch.from_numpy(part.astype(np.int64)) for part in (matrix.indptr, matrix.indices))
    return csr_graph(crow, col, torch.from_numpy(matrix.data.astype(np.float32)), matrix.shape)


def transpose_graph(graph: Tensor) -> Tensor:
    """Return the transposed graph as CSR; gradients are not tracked.

    A backward pass multiplies by the transpose. Who propagates over one constant graph many times makes it once and
    hands it to ``propagate``.
    """
    rows, cols, values = edges(graph.detach())
    order = torch.argsort(cols, stable=True)
    counts = torch.bincount(cols, minlength=graph.shape[1])
    crow = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return csr_graph(crow, rows[order], values[order], (graph.shape[1], graph.shape[0]))


def _product(graph: Tensor, x: Tensor) -> Tensor:
    """graph @ x, in 32 bits at least: there is no sparse product of 16 bits on a CPU. The result is as wide as x."""
    wide = torch.promote_types(torch.promote_types(graph.dtype, x.dtype), torch.float32)
    with full_precision(x):
        return (graph.to(wide) @ x.to(wide)).to(x.dtype)


class _ConstantProduct(torch.autograd.Function):
    """graph @ x for a graph without gradient, with the transpose at hand for the backward pass."""

    @staticmethod
    def forward(ctx, graph: Tensor, transpose: Tensor, x: Tensor) -> Tensor:
        ctx.transpose = transpose
        return _product(graph, x)

    @staticmethod
    def backward(ctx, grad: Tensor):
        return None, None, _product(ctx.transpose, grad.contiguous())


class _WeightedProduct(torch.autograd.Function):
    """graph @ x with a gradient for the edges' weights too; PyTorch's own makes a dense matrix for that."""

    @staticmethod
    def forward(ctx, values: Tensor, x: Tensor, crow: Tensor, col: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(values, x, crow, col)
        ctx.size = size
        return _product(csr_graph(crow, col, values, size), x)

    @staticmethod
    def backward(ctx, grad: Tensor):
        values, x, crow, col = ctx.saved_tensors
        grad = grad.contiguous()
        to_values = _edge_dots(grad, x, crow, col) if ctx.needs_input_grad[0] else None
        graph = csr_graph(crow, col, values, ctx.size)
        to_x = _product(transpose_graph(graph), grad) if ctx.needs_input_grad[1] else None
        return to_values, to_x, None, None, None


def propagate(graph: Tensor, x: Tensor, layers: int, pool: str = "last", transpose: Tensor | None = None) -> Tensor:
    """Send node vectors along the edges of a graph: x <- graph @ x, ``layers`` times.

    Shapes: CSR (N, N), x (N, d) -> (N, d). ``pool="last"`` returns the last layer, ``"mean"`` the mean of the layers
    0..L. ``layers = 0`` returns x. ``transpose`` (see ``transpose_graph``; the graph itself if it is symmetric)
    makes the backward pass of a constant graph about as fast as the forward pass.

    Source: MICRO Eq. 6 ("last"); LightGCN Eq. 3-4 and MCPTR Eq. 1-2 ("mean").
    """
    check_option("propagate", "pool", pool, ("last", "mean"))
    if graph.shape[1] != x.shape[0]:
        raise ValueError(f"propagate: the graph has {graph.shape[1]} nodes, but x has {x.shape[0]} rows")
    constant = not graph.requires_grad
    if constant and transpose is None and x.requires_grad and layers:
        transpose = transpose_graph(graph)
    total = x
    for _ in range(layers):
        if constant:
            x = _ConstantProduct.apply(graph, transpose, x)
        else:
            pattern = graph.crow_indices(), graph.col_indices(), tuple(graph.shape)
            x = _WeightedProduct.apply(edges(graph)[2], x, *pattern)
        total = total + x if pool == "mean" else total
    return total / (layers + 1) if pool == "mean" else x
