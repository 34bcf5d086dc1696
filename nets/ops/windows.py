"""Windows around holes: rectangles that show a network all holes and their surroundings, with little area."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

Span = tuple[int, int]  # first pixel, and the one after the last
CALL = 96**2  # px that take as long as the part of a call that does not depend on the size


@dataclass(frozen=True)
class Window:
    """A rectangle around holes (`rows`, `columns`), and the larger one that the network sees."""

    rows: Span
    columns: Span
    seen_rows: Span
    seen_columns: Span

    @property
    def seen(self) -> tuple:
        """The index of what the network sees in (B, C, H, W)."""
        return (..., slice(*self.seen_rows), slice(*self.seen_columns))


class Grid:
    """How windows lie in a picture of `size` (height, width): on multiples of `step` px, their sides at most
    `tile` px, with `context` px around the holes where the picture has them.
    """

    def __init__(self, size: tuple[int, int], size_divisor: int, tile: int, overlap: int):
        """size_divisor: of the network. overlap: px, of neighboring windows."""
        self.size, self.tile, self.step = size, tile, size_divisor
        while self.step > max(1, tile // 4):  # a tile that the network must pad
            self.step //= 2
        most = (tile - self.step) // 2
        self.context = min(-(-overlap // (2 * self.step)) * self.step, most // self.step * self.step)

    def seen(self, span: Span, axis: int) -> Span:
        """The part of the picture that the network sees for holes in `span`."""
        first = max(0, (span[0] - self.context) // self.step * self.step)
        last = -(-(span[1] + self.context) // self.step) * self.step
        return first, min(last, self.size[axis])

    def length(self, first, last, axis: int):
        """Summed lengths of the tiles that show blocks `first` to `last` (arrays) along an axis, in px."""
        begin = np.maximum(first * self.step - self.context, 0)
        length = np.minimum(last * self.step + self.context, self.size[axis]) - begin
        return length + 2 * self.context * (self.tiles(length) - 1)

    def tiles(self, length):
        """How many tiles are needed for a window of this length."""
        return np.maximum(1, -((2 * self.context - length) // (self.tile - 2 * self.context)))

    def cost(self, spans) -> np.ndarray:
        """What the network costs for the blocks in these spans, ((first, last), (first, last)), in px."""
        return self.length(*spans[0], 0) * self.length(*spans[1], 1) + CALL

    def fits(self, spans) -> bool:
        return all(self.length(*span, axis) <= self.tile for axis, span in enumerate(spans))


def windows(holes: torch.Tensor, grid: Grid) -> list[Window]:
    """Windows that contain all holes, (H, W) bool, each hole pixel in the rectangle of exactly one."""
    step, (height, width) = grid.step, grid.size
    padded = torch.nn.functional.pad(holes, (0, -width % step, 0, -height % step))
    blocks = padded.unflatten(1, (-1, step)).any(2).unflatten(0, (-1, step)).any(1).cpu().numpy()
    found = []
    for rows, columns in boxes(blocks, grid):
        part = holes[rows[0] * step : rows[1] * step, columns[0] * step : columns[1] * step]
        rows = _shifted(_extent(part.any(1).cpu().numpy()), rows[0] * step)
        columns = _shifted(_extent(part.any(0).cpu().numpy()), columns[0] * step)
        found.append(Window(rows, columns, grid.seen(rows, 0), grid.seen(columns, 1)))
    return found


def boxes(blocks: np.ndarray, grid: Grid) -> list[tuple[Span, Span]]:
    """Rectangles (rows, columns) of blocks that contain all that are True: cut in two as long as that saves
    area, or a window would not fit into a tile.
    """
    waiting, done = [((0, blocks.shape[0]), (0, blocks.shape[1]))], []
    while waiting:
        rows, columns = waiting.pop()
        part = blocks[slice(*rows), slice(*columns)]
        if not part.any():
            continue
        rows, columns = _shifted(_extent(part.any(1)), rows[0]), _shifted(_extent(part.any(0)), columns[0])
        cut = _cut(blocks, rows, columns, grid)
        if cut is None:
            done.append((rows, columns))
        else:
            waiting += reversed(cut)
    return done


def _cut(blocks: np.ndarray, rows: Span, columns: Span, grid: Grid):
    """The two rectangles that cost least, or None if the whole costs less and fits into a tile."""
    part, best = blocks[slice(*rows), slice(*columns)], None
    for axis, (span, other) in enumerate(((rows, columns), (columns, rows))):
        if span[1] - span[0] < 2:
            continue
        costs, even = _costs(part if axis == 0 else part.T, span, other, axis, grid)
        index = np.lexsort((even, costs))[0]
        if best is None or costs[index] < best[0]:
            best = costs[index], axis, span[0] + 1 + int(index)
    spans = rows, columns
    if best is None or (grid.fits(spans) and best[0] >= grid.cost(spans)):
        return None
    _, axis, at = best
    first, second = list(spans), list(spans)
    first[axis], second[axis] = (spans[axis][0], at), (at, spans[axis][1])
    return [tuple(first), tuple(second)]


def _costs(part: np.ndarray, span: Span, other: Span, axis: int, grid: Grid):
    """The costs of cutting `part` before each of its rows but the first, and how far each cut is from even
    pieces. axis: of the picture, that the rows of `part` lie along.
    """
    count = len(part)
    places = np.arange(count)
    filled = part.any(1)
    last = np.maximum.accumulate(np.where(filled, places, -1))[:-1] + 1
    first = np.minimum.accumulate(np.where(filled, places, count)[::-1])[::-1][1:]
    front = np.logical_or.accumulate(part)[:-1]
    back = np.logical_or.accumulate(part[::-1])[::-1][1:]
    costs = 0
    for along, across in (((0 * last, last), front), ((first, 0 * first + count), back)):
        low, high = across.argmax(1), across.shape[1] - across[:, ::-1].argmax(1)
        spans = [(along[0] + span[0], along[1] + span[0]), (low + other[0], high + other[0])]
        costs = costs + grid.cost(spans if axis == 0 else spans[::-1])
    pieces = int(grid.tiles(np.array(count * grid.step + 2 * grid.context)))
    return costs, np.abs(places[1:] - count * max(1, pieces // 2) / max(2, pieces))


def _extent(filled: np.ndarray) -> Span:
    """From the first True to behind the last one."""
    return int(filled.argmax()), len(filled) - int(filled[::-1].argmax())


def _shifted(span: Span, by: int) -> Span:
    return span[0] + by, span[1] + by


def shares(found: list[Window], number: int, context: int, device) -> torch.Tensor | None:
    """The share of window `number` in the result at each pixel that it sees, (h, w): its weight among those
    of all windows, each falling linearly to 0 over `context` px around the edge of its rectangle. None if it
    is the only one there.
    """
    window, total, own = found[number], 0, None
    for index, other in enumerate(found):
        if index != number and not _near(window, other, context):
            continue
        down = _weights(window.seen_rows, other.rows, context, device)
        across = _weights(window.seen_columns, other.columns, context, device)
        weight = down[:, None] * across[None, :]
        own = weight if index == number else own
        total = total + weight
    return own / total.clamp_min(1e-6) if total is not own else None


def _near(window: Window, other: Window, context: int) -> bool:
    pairs = (window.seen_rows, other.rows), (window.seen_columns, other.columns)
    return all(a[0] < b[1] + context // 2 and b[0] - context // 2 < a[1] for a, b in pairs)


def _weights(seen: Span, span: Span, context: int, device) -> torch.Tensor:
    """Weights along one side: 1 inside, 1/2 at the ends of the span, 0 at half the context outside."""
    x = torch.arange(*seen, device=device, dtype=torch.float32) + 0.5
    ramp = torch.minimum(x - span[0], span[1] - x) / max(context, 1) + 0.5
    return ramp.clamp(0, 1)
