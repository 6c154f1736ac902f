"""A fixed extractor: the cube of a frame from its colours and edges, without a network."""

from functools import reduce
from itertools import product

import numpy as np
from scipy.ndimage import uniform_filter

GRID, FINE_GRID = 7, 14  # K, cells along a side of a cube; of the finer cube
# D: edges and amount of vivid colour, and grey edges, in each of 2x2 sub-cells; colours; neighbours
DEPTH = 4 * (8 + 1 + 4) + 4 + 8


def _pool(maps, n):
    """Means of maps (m, 112, 112) over an n x n grid, (m, n, n). The near half of a neighbour counts a quarter."""
    size = 56 // n  # pixels along a side of a block, half a cell
    rows = reduce(np.add, (maps[:, k::size] for k in range(size)))
    blocks = reduce(np.add, (rows[:, :, k::size] for k in range(size)))
    blocks = blocks.transpose(1, 2, 0)  # (2 n, 2 n, m)
    for _ in range(2):  # rows, then, transposed, columns
        pairs = blocks[0::2] + blocks[1::2]
        pairs[1:] += 0.25 * blocks[1:-1:2]
        pairs[:-1] += 0.25 * blocks[2::2]
        blocks = pairs.transpose(1, 0, 2)
    return blocks.transpose(2, 0, 1) / (2.5 * size) ** 2


def _edges(channel, bins, n):
    """Gradient energy of a channel (m, 112, 112) by orientation: (m, n, n, bins).

    Bins are soft: a gradient g at angle θ adds |g| max(0, cos 2(θ − kπ/bins))² to bin k.
    """
    gx, gy = np.zeros_like(channel), np.zeros_like(channel)
    down = channel[:, :-2] + 2 * channel[:, 1:-1] + channel[:, 2:]
    right = channel[:, :, :-2] + 2 * channel[:, :, 1:-1] + channel[:, :, 2:]
    gx[:, 1:-1, 1:-1] = down[:, :, 2:] - down[:, :, :-2]
    gy[:, 1:-1, 1:-1] = right[:, 2:] - right[:, :-2]
    xx, yy = gx * gx, gy * gy
    size = np.sqrt(xx + yy) + 1e-6
    root = size * np.sqrt(size)  # divided by it, the squares below are |g| cos²
    cosine, sine = (xx - yy) / root, 2 * gx * gy / root
    energies = [None] * bins
    for k in range(bins // 2):
        angle = 2 * np.pi * k / bins
        toward = float(np.cos(angle)) * cosine + float(np.sin(angle)) * sine
        energies[k] = _pool(np.maximum(toward, 0) ** 2, n)
        energies[k + bins // 2] = _pool(np.minimum(toward, 0) ** 2, n)
    return np.stack(energies, axis=-1)


def extract_cubes(frames, grid=GRID):
    """Cubes (n, K², DEPTH) float32, not negative, of frames (n, 224, 224, 3) uint8; location i = K·row + column.

    grid: K, 7 or 14.

    Each frame is seen by itself, as by a network for single pictures. There are no matrix products, whose last digits
    depend on the number of threads: the same frames give the same bytes. The shape and amount of vivid colour in each
    quarter of a cell (limbs) are strongest. Grey edges and colours, which depend on scene and clothes, are weaker. The
    last eight numbers say how vivid the neighbours of a vivid cell are, that is, where the body continues.
    """
    # Four frames at a time fit into the cache.
    return np.concatenate([_extract(frames[k : k + 4], grid) for k in range(0, len(frames), 4)])


def _extract(frames, K):
    m, n = len(frames), 2 * K
    rows = frames[:, 0::2].astype(np.uint16) + frames[:, 1::2]
    red, green, blue = np.float32(1 / (4 * 255)) * (rows[:, :, 0::2] + rows[:, :, 1::2]).transpose(3, 0, 1, 2)
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    vivid = np.clip(5 * ((high - low) / (high + 0.05) - 0.35), 0, 1)  # 0 below a saturation of 0.35, 1 above 0.55
    amount, grey = _pool(vivid, n), _edges((red + green + blue) / 3, 4, n)
    around = uniform_filter(grey.sum(axis=-1, keepdims=True), (1, 3, 3, 1))  # local contrast
    grey = 0.2 * grey / (around + 0.1)
    cells = np.concatenate([3 * _edges(vivid, 8, n), 3 * amount[..., None], grey], axis=-1)  # (m, n, n, 13)
    cells = cells.reshape(m, K, 2, K, 2, 13).transpose(0, 1, 3, 2, 4, 5).reshape(m, K, K, 52)

    opponents = (red - green, green - red, (red + green) / 2 - blue, blue - (red + green) / 2)
    colours = np.stack([_halve(_pool(np.maximum(colour, 0), n)) for colour in opponents], axis=-1)
    amount = _halve(amount)
    padded = np.pad(amount, ((0, 0), (1, 1), (1, 1)))
    near = [padded[:, i : i + K, j : j + K] for i, j in product(range(3), range(3)) if (i, j) != (1, 1)]
    surroundings = 3 * np.sqrt(np.stack(near, axis=-1) * amount[..., None])
    cube = np.concatenate([cells, colours, surroundings], axis=-1)
    return cube.reshape(m, K * K, DEPTH).astype(np.float32)


def _halve(maps):
    """Means of 2x2 squares: (m, 2 K, 2 K) to (m, K, K)."""
    return (maps[:, 0::2, 0::2] + maps[:, 0::2, 1::2] + maps[:, 1::2, 0::2] + maps[:, 1::2, 1::2]) / 4
