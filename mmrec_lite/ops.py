"""What the equations stand on: columns on one scale, rows' best columns, softmax of some, InfoNCE in tiles."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import torch
import torch.utils.checkpoint
from torch import Tensor

from mmrec_lite import parallel

__all__ = [
    "CHUNK_ELEMENTS",
    "by_row_and_count",
    "constant_columns",
    "full_precision",
    "masked_softmax",
    "multiplies_bfloat16",
    "nearly_nearest",
    "pairwise_infonce",
    "standardized",
    "top_columns",
    "unit_rows",
]

CHUNK_ELEMENTS = 2**23  # one block of similarities: 32 MiB in float32, a few blocks live at a time
TILE = 1536  # a side of the square tiles: 9 MiB in float32, small enough for a cache, large enough for fast products


def full_precision(x: Tensor) -> torch.autocast:
    """A `with` block that leaves products as wide as their factors, also where training in mixed precision runs."""
    return torch.autocast(x.device.type, enabled=False)


@functools.cache
def multiplies_bfloat16(device: str) -> bool:
    """Whether a kind of device ("cpu", "cuda") has a unit for 16-bit products.

    A processor without one takes tens of times as long for them as for 32-bit ones. On a processor oneDNN says whether
    it takes such products (x86 from AVX-512 on, Arm's BF16), on CUDA the compute capability (8.0 and more).
    """
    if device == "cuda" and torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= (8, 0)
    if device != "cpu":
        return True
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # PyTorch built without oneDNN has no fast ones either
        return False


def top_columns(scores: Tensor, k: int) -> Tensor:
    """Return each row's k best columns, best first, ties by the lower column.

    Shapes: (B, N) -> (B, k) int64. ``torch.topk`` alone leaves the order of ties open.
    """
    n = scores.shape[1]
    values, index = scores.topk(min(k + 1, n), dim=1)
    if n > k:
        tied = values[:, k] == values[:, k - 1]  # the cut goes through equal scores: topk chose any of them
        values, index = values[:, :k], index[:, :k]
        if bool(tied.any()):
            index = index.clone()
            index[tied] = _lowest_of_equal(scores[tied], values[tied], index[tied])
            values = scores.gather(1, index)
    index, by_column = index.sort(dim=1)
    order = torch.sort(values.gather(1, by_column), dim=1, descending=True, stable=True).indices
    return index.gather(1, order)


def _lowest_of_equal(scores: Tensor, values: Tensor, index: Tensor) -> Tensor:
    """Replace columns that equal the row's last value by the lowest such: (T, N), (T, k), (T, k) -> (T, k).

    Sorting the whole rows would do it, too, and take ten times as long.
    """
    n, k = scores.shape[1], index.shape[1]
    cut, place = values[:, -1:], torch.arange(k, device=index.device)
    from_the_left = torch.arange(n, 0, -1, dtype=torch.int32, device=index.device)
    lowest = torch.where(scores == cut, from_the_left, 0).topk(k, dim=1).indices
    above = (~(values <= cut)).sum(dim=1, keepdim=True)  # the best come first
    return torch.where(place < above, index, lowest.gather(1, (place - above).clamp(min=0)))


def _tiles(n: int, symmetric: bool):
    """Yield the tiles of an (n, n) matrix as two slices; of a symmetric one only those on and above the diagonal.

    Of several processes each gets its share of the tiles; what they add up must be added up over the processes.
    """
    corners = [(r, c) for r in range(0, n, TILE) for c in range(r if symmetric else 0, n, TILE)]
    for r, c in parallel.dealt(corners):
        yield slice(r, min(r + TILE, n)), slice(c, min(c + TILE, n))


class _Exponentials:
    """Tiles of exp(x_i . y_j / temperature) for unit rows, written into `scratch` (2, TILE^2), in whose dtype they are.

    The cosine is at most 1, so no exponential is above exp(1 / temperature), and the caller keeps that below e^30.
    """

    def __init__(self, x: Tensor, y: Tensor, temperature: float, scratch: Tensor):
        dtype = scratch.dtype
        self.x, self.y = (x / temperature).to(dtype), y.to(dtype)
        self.buffer, self.weights = scratch
        self.ones = self.x.new_ones(TILE, 1)
        self.same = x is y
        self.narrow = dtype.itemsize <= 2  # too few digits to take the positives out of a sum again

    def tile(self, rows: slice, cols: slice) -> Tensor:
        """Return one tile of exponentials; the next call overwrites it."""
        out = _view(self.buffer, rows, cols)
        torch.mm(self.x[rows], self.y[cols].T, out=out)
        out.exp_()
        if rows == cols and (self.same or self.narrow):
            out.fill_diagonal_(0)  # an item is not its own negative
        return out

    def _sum(self, tile: Tensor, dim: int) -> Tensor:
        if tile.dtype.itemsize > 2:
            return tile.sum(dim)
        # A product with ones: the processor adds 16-bit numbers up in float32 there, and several times faster.
        matrix = tile if dim == 1 else tile.T
        return (matrix @ self.ones[: matrix.shape[1]]).squeeze(1)

    def sums(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return the row sums and the column sums, (n,) each; of x against itself the diagonal is left out."""
        rows_total, cols_total = self.x.new_zeros(2, len(self.x), dtype=dtype)
        for rows, cols in _tiles(len(self.x), self.same):
            tile = self.tile(rows, cols)
            rows_total[rows] += self._sum(tile, 1)
            if not self.same or rows != cols:
                (rows_total if self.same else cols_total)[cols] += self._sum(tile, 0)
        return parallel.total(rows_total), parallel.total(cols_total)

    def weighted(self, p: Tensor, q: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return W y and W^T x for W_ij = E_ij (p_i + q_j), the gradients of sum_i p_i E_ij + sum_j q_j E_ij."""
        scale = len(x)  # p and q are of the order 1 / n^2; scaled they keep their digits in 16 bits too
        multiply = self._weigh_tile if self.x.dtype.itemsize > 2 else self._weigh_vectors
        grad_x, grad_y = multiply(p * scale, q * scale, x, y)
        return parallel.total(grad_x) / scale, parallel.total(grad_y) / scale

    def _weigh_tile(self, p: Tensor, q: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh the tile, then multiply: fewest multiplications, for a processor that is slow at them."""
        grad_x, grad_y = torch.zeros_like(x), torch.zeros_like(y)
        narrow_x, narrow_y, p, q = (t.to(self.x.dtype) for t in (x, y, p, q))
        for rows, cols in _tiles(len(x), self.same):
            weights = torch.add(p[rows, None], q[cols], out=_view(self.weights, rows, cols))
            weights *= self.tile(rows, cols)
            grad_x[rows] += weights @ narrow_y[cols]
            if not self.same or rows != cols:
                (grad_x if self.same else grad_y)[cols] += weights.T @ narrow_x[rows]
        return grad_x, grad_y

    def _weigh_vectors(self, p: Tensor, q: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Multiply by weighted vectors: W y = p (E y) + E (q y). Twice the products, but no pass over a tile.

        In 16 bits a product costs less than the pass.
        """
        grad_x, grad_y = torch.zeros_like(x), torch.zeros_like(y)
        right = torch.cat([y, q[:, None] * y], dim=1).to(self.x.dtype)
        left = torch.cat([x, p[:, None] * x], dim=1).T.contiguous().to(self.x.dtype)
        for rows, cols in _tiles(len(x), self.same):
            tile = self.tile(rows, cols)
            plain, weighted = (tile @ right[cols]).chunk(2, dim=1)
            grad_x[rows] += torch.addcmul(weighted, p[rows, None], plain)
            if not self.same or rows != cols:
                plain, weighted = (left[:, rows] @ tile).T.chunk(2, dim=1)
                (grad_x if self.same else grad_y)[cols] += torch.addcmul(weighted, q[cols, None], plain)
        return grad_x, grad_y


def _view(buffer: Tensor, rows: slice, cols: slice) -> Tensor:
    """Return the buffer's start in a tile's shape."""
    height, width = rows.stop - rows.start, cols.stop - cols.start
    return buffer[: height * width].view(height, width)


def unit_rows(x: Tensor) -> Tensor:
    """Scale every row to length 1; a zero row stays zero, and its gradient finite.

    Shapes: (..., d) -> (..., d), half precision comes back as float32.
    """
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(norm > 0, norm, 1.0)


def by_row_and_count(r: np.ndarray, c: np.ndarray, shared: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort entries by row, the largest count first, ties by the lower column.

    As one number an entry, where 63 bits hold it: sorted several times as fast as three columns.
    """
    counts = shared.astype(np.int64)
    most = int(counts.max(initial=0))
    low, middle = int(c.max(initial=0)).bit_length(), most.bit_length()
    if int(r.max(initial=0)).bit_length() + middle + low > 63:
        order = np.lexsort((c, -shared, r))
        return r[order], c[order], shared[order]
    keys = ((r << middle | (most - counts)) << low) | c
    keys.sort()
    counts = most - (keys >> low & ((1 << middle) - 1))
    return keys >> (low + middle), keys & ((1 << low) - 1), counts.astype(shared.dtype)


def constant_columns(x: Tensor) -> Tensor:
    """Tell which columns are constant, or differ in the last digits alone: (N, d) -> (d,) bool.

    By the range, not by the standard deviation: that of a constant is whatever its mean was rounded by.
    """
    low, high = x.aminmax(dim=0)
    return high - low <= 4 * torch.finfo(x.dtype).eps * torch.maximum(low.abs(), high.abs())


def standardized(features: Tensor, present: Tensor) -> Tensor:
    """Bring every column to mean 0 and variance 1 over the items that have the modality; the others stay zero.

    Shapes: features (I, d), present (I,) bool -> (I, d). A column becomes 0 that is constant, or differs in the last
    digits alone.
    """
    own = features[present]
    if not len(own):
        return features
    constant = constant_columns(own)
    scaled = (features - own.mean(dim=0)) / torch.where(constant, 1.0, own.std(dim=0, correction=0))
    return scaled.masked_fill(constant, 0.0) * present[:, None]


def masked_softmax(logits: Tensor, present: Tensor | None, dim: int) -> Tensor:
    """Softmax over what is present; 0 elsewhere, and everywhere where nothing is. `present` broadcasts to logits."""
    if present is None:
        return logits.softmax(dim=dim)
    # The lowest finite number instead of -inf: where nothing is present, the softmax would be NaN.
    return logits.masked_fill(~present, torch.finfo(logits.dtype).min).softmax(dim=dim) * present


def nearly_nearest(unit: Tensor, k: int, self_loops: bool, seed: int = 0) -> Tensor:
    """Return about the k nearest rows (I, k) by cosine of unit rows (I, d), in time that grows as I log I.

    Nearest-neighbour descent (Dong et al., WWW 2011) by pynndescent, the same list on every call. A row that it finds
    too few neighbours for (its graph falls apart among many equal or zero rows) is searched exactly. A row stands first
    in its own list, or not at all.
    """
    from pynndescent import NNDescent

    n = len(unit)
    points = np.ascontiguousarray(unit.numpy(force=True))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Failed to correctly find n_neighbors")
        found, _ = NNDescent(
            points, metric="euclidean", n_neighbors=k + 1, random_state=seed, compressed=False
        ).neighbor_graph  # on rows of one length the Euclidean order is that of the cosine
    near = torch.from_numpy(found.astype(np.int64))
    own = torch.arange(n)[:, None]
    order = torch.argsort((near == own).to(torch.int8), dim=1, stable=True)  # the row itself goes to the end
    near = near.gather(1, order)[:, :k]
    missing = ((near < 0) | (near == own)).any(dim=1).nonzero().squeeze(1)
    step = max(1, CHUNK_ELEMENTS // n)
    for rows in missing.split(step):
        block = (unit[rows] @ unit.T).scatter_(1, rows[:, None].to(unit.device), -torch.inf)
        near[rows] = top_columns(block, k).cpu()
    if self_loops:
        near = torch.cat([own, near[:, : k - 1]], dim=1)
    return near.to(unit.device)


class _PairwiseInfoNCE(torch.autograd.Function):
    """Eq. 10-12 of MICRO over all pairs of rows, with the gradient made in the forward pass.

    The scalar's gradient is known up to a factor as soon as the partition sums are, so nothing quadratic is kept for
    the backward pass. Blocks that are symmetric are computed once for both triangles, and the block of the fused view
    against itself once for all modalities.
    """

    @staticmethod
    def forward(
        ctx, views: Tensor, fused: Tensor, temperature: float, symmetric: bool, dtype: torch.dtype, each: float
    ) -> Tensor:
        m, n, _ = views.shape
        scratch = views.new_empty(2, TILE * TILE, dtype=dtype)  # one for all: fresh memory costs its first touch
        cross = [_Exponentials(view, fused, temperature, scratch) for view in views]
        inside = [_Exponentials(view, view, temperature, scratch) for view in views]
        own = _Exponentials(fused, fused, temperature, scratch) if symmetric else None
        positive = torch.linalg.vecdot(views, fused) / temperature  # (M, N)
        diagonal = positive.exp()
        alone = 1.0 if cross[0].narrow else 1.0 - each  # the positives count once; in wide sums they are `each` times
        own_sums = own.sums(views.dtype)[0] if own else None
        weight = (0.5 if symmetric else 1.0) / (m * n)
        loss = views.new_zeros(())
        to_fused, from_fused = [], []  # 1 / partition sum of both directions, per modality
        for i in range(m):
            rows, cols = cross[i].sums(views.dtype)
            rows = each * (rows + inside[i].sums(views.dtype)[0]) + alone * diagonal[i]
            loss += weight * (rows.log() - positive[i]).sum()
            to_fused.append(weight / rows)
            if symmetric:
                cols = each * (cols + own_sums) + alone * diagonal[i]
                loss += weight * (cols.log() - positive[i]).sum()
            from_fused.append(weight / cols if symmetric else torch.zeros_like(rows))
        if any(ctx.needs_input_grad[:2]):
            pull = weight * (2 if symmetric else 1)
            grad_views, grad_fused = -pull * fused.expand_as(views), -pull * views.sum(dim=0)
            for i in range(m):
                p, q = to_fused[i], from_fused[i]
                a, b = cross[i].weighted(each * p, each * q, views[i], fused)
                pair = (alone * (p + q) * diagonal[i])[:, None]
                grad_views[i] += a + inside[i].weighted(each * p, each * p, views[i], views[i])[0] + pair * fused
                grad_fused += b + pair * views[i]
            if symmetric:
                q = torch.stack(from_fused).sum(dim=0)
                grad_fused += own.weighted(each * q, each * q, fused, fused)[0]
            ctx.save_for_backward(grad_views / temperature, grad_fused / temperature)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor):
        views, fused = ctx.saved_tensors
        return grad * views, grad * fused, None, None, None, None


def pairwise_infonce(
    views: Tensor,
    fused: Tensor,
    temperature: float,
    symmetric: bool = True,
    dtype: torch.dtype | None = None,
    each: float = 1.0,
) -> Tensor:
    """Return the mean InfoNCE of every view against the fused rows, all other rows being negatives.

    Shapes: views (M, N, d), fused (N, d), unit or zero rows -> scalar. Every negative counts `each` times in the
    partition sum. ``dtype`` is the arithmetic of the products and exponentials (default: that of the input); sums,
    losses and gradients stay in the input's, in mixed precision as well. Low temperatures take a slower path with a
    maximum per row: those below 1/30, whose exponentials could leave the range of float32, and with `each` > 1 those
    below 0.1, where a positive taken out of a sum `each` times as large would take that sum's digits along.
    """
    if dtype == torch.float16:
        raise ValueError("pairwise_infonce: float16 cannot hold the exponentials, take torch.bfloat16 or torch.float32")
    with full_precision(views):
        if temperature * 30 >= 1 and (each == 1 or temperature >= 0.1):
            return _PairwiseInfoNCE.apply(views, fused, temperature, symmetric, dtype or views.dtype, each)
        return _stable_infonce(views, fused, temperature, symmetric, each)


def _stable_infonce(views: Tensor, fused: Tensor, temperature: float, symmetric: bool, each: float) -> Tensor:
    """`pairwise_infonce` by log-sum-exp, at any temperature."""
    n = len(fused)
    step = max(1, CHUNK_ELEMENTS // (2 * n))
    total = views.new_zeros(())
    for view in views:
        for anchor, other in ((view, fused), (fused, view))[: 2 if symmetric else 1]:
            for start in range(0, n, step):
                total = total + torch.utils.checkpoint.checkpoint(
                    _stable_rows, anchor, other, temperature, each, start, step, use_reentrant=False
                )
    return total / (n * len(views) * (2 if symmetric else 1))


def _stable_rows(anchor: Tensor, other: Tensor, temperature: float, each: float, start: int, step: int) -> Tensor:
    """Return the summed -log of Eq. 11 for the anchors from ``start``, by log-sum-exp."""
    block = anchor[start : start + step]
    here = torch.arange(len(block), device=block.device)
    weight = block.new_full((len(block), len(anchor)), each).log()
    inside = block @ anchor.T / temperature + weight.index_put((here, here + start), weight.new_tensor(-torch.inf))
    cross = block @ other.T / temperature
    weighted = cross + weight.index_put((here, here + start), weight.new_tensor(0.0))
    partition = torch.logsumexp(torch.cat([weighted, inside], dim=1), dim=1)
    return (partition - cross[here, here + start]).sum()
