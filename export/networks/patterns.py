"""The ten shadow patterns: gray textures drawn once at export, from a seed; 1 is full shadow, 0 full light."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from export.networks.filters import gaussian_blur

SIDE = 256  # side of a texture
OVERSAMPLING = 2  # drawn at twice that and averaged, so that edges are smooth


class Canvas:
    """Coordinates in 0–1 of every pixel, and the random numbers of one texture."""

    def __init__(self, seed: int, side: int = SIDE * OVERSAMPLING) -> None:
        centres = (torch.arange(side) + 0.5) / side
        self.side = side
        self.x = centres.reshape(1, side).expand(side, side)
        self.y = centres.reshape(side, 1).expand(side, side)
        self.generator = torch.Generator().manual_seed(seed)

    def between(self, low: float, high: float) -> float:
        """One uniform number."""
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def noise(self, cells: int, octaves: int = 1) -> Tensor:
        """Smooth noise in about −1 to 1 with `cells` features across, each octave twice as fine and half as strong."""
        total = torch.zeros(self.side, self.side)
        for octave in range(octaves):
            count = cells * 2**octave + 3
            coarse = torch.rand((1, 1, count, count), generator=self.generator) * 2.0 - 1.0
            fine = F.interpolate(coarse, (self.side, self.side), mode="bicubic", align_corners=False)
            total = total + fine[0, 0] * 0.5**octave
        return total

    def box(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        """Rows and columns of the pixels in a box: what is small need not be computed everywhere."""
        edges = (min(self.side, max(0, math.floor(edge * self.side))) for edge in (left, top, right, bottom))
        first_column, first_row, last_column, last_row = edges
        return slice(first_row, last_row + 1), slice(first_column, last_column + 1)


def soft_step(distance: Tensor, width: float) -> Tensor:
    """1 where distance < 0, 0 where it exceeds `width`, smooth between them."""
    t = (1.0 - distance / width).clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def tree_foliage(canvas: Canvas) -> Tensor:
    """Leaves in clumps, with the round spots of light that a canopy lets through."""
    clumps = canvas.noise(4, octaves=3)
    shadow = torch.zeros_like(clumps)
    for _ in range(700):
        x, y = canvas.between(-0.05, 1.05), canvas.between(-0.05, 1.05)
        column, row = (min(canvas.side - 1, max(0, int(value * canvas.side))) for value in (x, y))
        if float(clumps[row, column]) < canvas.between(-0.7, 0.3):
            continue  # between the clumps there are few leaves
        angle, length = canvas.between(0.0, math.pi), canvas.between(0.03, 0.065)
        reach = 1.05 * length  # √1.1, where the leaf ends
        leaf = canvas.box(x - reach, y - reach, x + reach, y + reach)
        right, down = canvas.x[leaf] - x, canvas.y[leaf] - y
        along = right * math.cos(angle) + down * math.sin(angle)
        across = down * math.cos(angle) - right * math.sin(angle)
        # A leaf is the overlap of two circles: pointed at both ends.
        outline = across.abs() / (0.42 * length) + (along / length) ** 2
        shadow[leaf] = torch.maximum(shadow[leaf], soft_step(outline - 0.9, 0.2) * canvas.between(0.75, 1.0))
    return shadow


def venetian_blinds(canvas: Canvas) -> Tensor:
    """Horizontal slats with gaps of light, and two cords."""
    slats = canvas.between(9.0, 14.0)
    phase = (canvas.y + 0.004 * canvas.noise(2)) * slats
    offset = (phase - phase.floor() - 0.5).abs()
    shadow = soft_step(offset - canvas.between(0.26, 0.34), 0.06)
    for cord in (0.2, 0.8):
        x = cord + canvas.between(-0.05, 0.05)
        shadow = torch.maximum(shadow, soft_step((canvas.x - x).abs() - 0.004, 0.004) * 0.8)
    return shadow


def window(canvas: Canvas) -> Tensor:
    """Light through panes: a leaning frame with glazing bars, wall around it."""
    lean = canvas.between(-0.15, 0.15)
    left, right = canvas.between(0.08, 0.16), canvas.between(0.84, 0.92)
    top, bottom = canvas.between(0.05, 0.12), canvas.between(0.88, 0.95)
    x = (canvas.x + lean * (canvas.y - 0.5) - left) / (right - left)
    y = (canvas.y - top) / (bottom - top)

    def bars(position: Tensor, count: int, width: float) -> Tensor:
        cell = position * count
        return soft_step((cell - cell.round()).abs() - width * count, 0.006 * count)

    wall = torch.maximum(soft_step(torch.minimum(x, 1.0 - x), 0.02), soft_step(torch.minimum(y, 1.0 - y), 0.02))
    return torch.maximum(wall, torch.maximum(bars(x, 2, 0.022), bars(y, 3, 0.016)))


def branch(canvas: Canvas) -> Tensor:
    """Bare twigs: segments that fork and become thinner, from two branches."""
    shadow = torch.zeros_like(canvas.x)
    start = [(-0.05, canvas.between(0.2, 0.5), canvas.between(-0.3, 0.3)), (1.05, canvas.between(0.5, 0.9), 3.3)]
    twigs = [(x, y, angle, 0.24, 0.016) for x, y, angle in start]
    while twigs:
        x, y, angle, length, width = twigs.pop()
        end_x, end_y = x + length * math.cos(angle), y + length * math.sin(angle)
        reach = width + 0.006
        twig = canvas.box(min(x, end_x) - reach, min(y, end_y) - reach, max(x, end_x) + reach, max(y, end_y) + reach)
        right, down = canvas.x[twig] - x, canvas.y[twig] - y
        t = ((right * (end_x - x) + down * (end_y - y)) / length**2).clamp(0.0, 1.0)
        distance = torch.hypot(right - t * (end_x - x), down - t * (end_y - y))
        shadow[twig] = torch.maximum(shadow[twig], soft_step(distance - width * (1.0 - 0.3 * t), 0.006))
        if length > 0.045:
            for turn in (canvas.between(0.1, 0.7), -canvas.between(0.1, 0.7)):
                twigs.append((end_x, end_y, angle + turn, length * canvas.between(0.66, 0.8), width * 0.66))
    return shadow


def curtain(canvas: Canvas) -> Tensor:
    """Soft vertical folds of cloth."""
    warp = 0.03 * canvas.noise(3) + 0.02 * canvas.noise(2) * canvas.y
    phase = 2.0 * math.pi * canvas.between(5.0, 8.0) * (canvas.x + warp)
    folds = 0.7 * torch.sin(phase) + 0.3 * torch.sin(2.7 * phase + canvas.between(0.0, 6.0))
    return (0.5 + 1.2 * folds).clamp(0.0, 1.0)


def fence(canvas: Canvas) -> Tensor:
    """Pointed pickets on two rails."""
    count = canvas.between(6.0, 9.0)
    cell = canvas.x * count + canvas.between(0.0, 1.0)
    offset = (cell - cell.floor() - 0.5).abs() / count
    half = canvas.between(0.28, 0.34) / count
    tip = canvas.between(0.10, 0.2)
    point = (half - (canvas.y - tip) * 0.8).clamp(min=0.0)  # narrows to nothing above the shoulder
    shadow = soft_step(offset - (half - point).clamp(min=-0.01), 0.006) * (canvas.y > tip).float()
    for rail in (0.38, 0.78):
        shadow = torch.maximum(shadow, soft_step((canvas.y - rail).abs() - 0.022, 0.006))
    return shadow


def voronoi(canvas: Canvas) -> Tensor:
    """Irregular cells with broad dark seams, as through leaded glass: in a face there are several."""
    across = torch.arange(10) / 8.0 - 0.0625  # the outermost cells begin beyond the edge
    shift = (torch.rand((2, 10, 10), generator=canvas.generator) - 0.5) * 0.12
    x = (across.reshape(1, 10) + shift[0]).reshape(-1, 1, 1)
    y = (across.reshape(10, 1) + shift[1]).reshape(-1, 1, 1)
    first = second = torch.full_like(canvas.x, math.inf)
    for distance in map(torch.hypot, canvas.x - x, canvas.y - y):
        second = torch.minimum(second, torch.maximum(first, distance))
        first = torch.minimum(first, distance)
    return soft_step(second - first - 0.02, 0.025)


def lattice(canvas: Canvas) -> Tensor:
    """Diagonal laths crossing, as in a garden trellis."""
    count, half = canvas.between(6.0, 9.0), canvas.between(0.14, 0.2)
    shadow = torch.zeros_like(canvas.x)
    for along in (canvas.x + canvas.y, canvas.x - canvas.y):
        cell = along * count
        shadow = torch.maximum(shadow, soft_step((cell - cell.floor() - 0.5).abs() - half, 0.05))
    return shadow


def cloud(canvas: Canvas) -> Tensor:
    """Patches with soft edges, small enough that a face has both light and shadow."""
    return (0.5 + 2.0 * canvas.noise(8, octaves=3)).clamp(0.0, 1.0)


def screen(canvas: Canvas) -> Tensor:
    """A pierced panel: round holes of light in staggered rows."""
    count = canvas.between(9.0, 13.0)
    row = (canvas.y * count).floor()
    x = canvas.x * count + 0.5 * (row % 2.0)
    offset = torch.hypot(x - x.floor() - 0.5, canvas.y * count - row - 0.5)
    return 1.0 - soft_step(offset - canvas.between(0.27, 0.33), 0.06)


PATTERNS = (tree_foliage, venetian_blinds, window, branch, curtain, fence, voronoi, lattice, cloud, screen)


def draw(pattern: Callable[[Canvas], Tensor], seed: int) -> Tensor:
    """Draw one texture, float [SIDE,SIDE] in 0–1."""
    return F.avg_pool2d(pattern(Canvas(seed))[None, None], OVERSAMPLING)[0, 0].clamp(0.0, 1.0)


def blurred(texture: Tensor, sigmas: tuple[float, ...]) -> Tensor:
    """Blur a texture once per σ in pixels, uint8 [len(sigmas),SIDE,SIDE]; edges mirror, as sampling past them does."""
    levels = [gaussian_blur(texture[None, None], sigma)[0, 0] if sigma > 0 else texture for sigma in sigmas]
    return (torch.stack(levels) * 255.0).round().to(torch.uint8)
