"""`portrait`: one person's mask from colour histograms and a portrait-shaped prior; tensor operations, no weights."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.filters import GuidedFilter, cells, channel_sum, gaussian_blur, logarithm, spatial_mean

SIDE = 288  # the contract's mask resolution, also the working resolution
COARSE = 4  # connected regions are found at 1/4 of it
BINS = 16  # histogram bins per colour channel
STEPS = 4  # later steps change under 1 % of the pixels


class ColourSegmenter(nn.Module):
    """Figure and ground of a portrait by expectation–maximisation.

    A face-coloured region places a prior of a head above shoulders. Each step fits colour histograms and local mean
    colours to figure and ground, then re-estimates the figure from both and the prior: the two-class model of
    GrabCut (Rother et al., 2004) with histograms for mixtures and a guided filter for the graph cut. What is
    connected to the head and shoulders stays, and holes in it are filled.

    It ignores the prompt and cannot detect that there is no person: SCORE only tells how distinct the figure is.
    """

    x: Tensor
    y: Tensor
    border: Tensor

    def __init__(self) -> None:
        super().__init__()
        centres = (torch.arange(SIDE) + 0.5) / SIDE
        self.register_buffer("x", centres.reshape(1, 1, 1, SIDE), persistent=False)
        self.register_buffer("y", centres.reshape(1, 1, SIDE, 1), persistent=False)
        side = SIDE // COARSE
        border = torch.zeros(1, 1, side, side)
        border[..., 0, :] = 1.0
        # The lower edge cuts a body, and often so do the sides near it: ground enters only above.
        border[..., : side * 5 // 6, 0] = 1.0
        border[..., : side * 5 // 6, -1] = 1.0
        self.register_buffer("border", border, persistent=False)

    def forward(
        self, segment_pixels: Tensor, tokens: Tensor, token_mask: Tensor, thresholds: Tensor, aspect: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Segment a batch of photos.

        Args:
            segment_pixels: uint8 [B,3,1008,1008], sRGB.
            tokens: int64 [B,32], the prompt; not used.
            token_mask: int64 [B,32]; not used.
            thresholds: float32 [B,2], score and mask threshold, 0–1.
            aspect: float32 [B,1]; not used.

        Returns:
            alpha float32 [B,1,288,288] in 0–1 · score float32 [B,1] in 0–1 · box float32 [B,4], x0 y0 x1 y1 in 0–1 ·
            count int32 [B,1], 1 where the score is above its threshold, else 0.
        """
        levels = shrink(segment_pixels.float())
        image = levels / 255.0
        along_edges = GuidedFilter(image, COARSE, 1e-3)
        prior = self.head_and_shoulders(image)
        logit = separate(image, colour_bins(levels), prior, along_edges)
        alpha = self.connect(torch.sigmoid(2.5 * along_edges(logit)), prior)
        # A blur before the threshold removes teeth and fringes from the outline.
        alpha = gaussian_blur(along_edges(alpha), 2.5, border="replicate").clamp(0.0, 1.0)
        figure = (alpha > thresholds[:, 1].reshape(-1, 1, 1, 1)).float()
        # The mean certainty of the figure's pixels, from 0 for a probability of 0.5 to 1 for a probability of 1.
        certainty = (2.0 * alpha - 1.0).clamp(0.0, 1.0)
        score = spatial_mean(certainty * figure) / spatial_mean(figure).clamp(min=1e-6)
        score = score.reshape(-1, 1)
        count = (score > thresholds[:, :1]).to(torch.int32)
        return alpha, score, bounding_box(figure), count

    def head_and_shoulders(self, image: Tensor) -> Tensor:
        """Place the prior on the face: log-odds of the figure, float [B,1,288,288] in −6 to 6."""
        red, green, blue = image.chunk(3, dim=1)
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        chroma_blue, chroma_red = 0.564 * (blue - luma), 0.713 * (red - luma)
        # Skin of every tone lies near one point of the chroma plane (Hsu, Abdel-Mottaleb and Jain, 2002).
        skin = torch.exp(-(((chroma_red - 0.085) / 0.045) ** 2) - ((chroma_blue + 0.06) / 0.05) ** 2)
        expected = torch.exp(-(((self.x - 0.5) / 0.18) ** 2) - ((self.y - 0.33) / 0.16) ** 2)
        weight = gaussian_blur(skin * torch.sigmoid(20.0 * (luma - 0.25)) * expected + 1e-4, 6.0) ** 2
        total = spatial_mean(weight)
        face_x = spatial_mean(weight * self.x) / total
        face_y = spatial_mean(weight * self.y) / total

        head = self.ellipse(face_x, face_y - 0.02, 0.155, 0.26)
        neck = self.ellipse(face_x, face_y + 0.28, 0.13, 0.30)
        shoulders = self.ellipse(0.35 + 0.3 * face_x, torch.full_like(face_y, 1.08), 0.48, 0.50)
        # The largest of the three, smoothly: log-sum-exp.
        inside = torch.log(torch.exp(8.0 * head) + torch.exp(8.0 * neck) + torch.exp(8.0 * shoulders)) / 8.0
        return torch.where(inside > 0.0, 14.0 * inside, 5.0 * inside).clamp(-6.0, 6.0)

    def ellipse(self, x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
        """Return 1 at an ellipse's centre, 0 on its rim, below 0 outside."""
        return 1.0 - torch.sqrt(((self.x - x) / width) ** 2 + ((self.y - y) / height) ** 2)

    def connect(self, alpha: Tensor, prior: Tensor) -> Tensor:
        """Keep what is connected to the head and shoulders and fill its holes; alpha in and out [B,1,288,288]."""
        figure = cells(alpha, COARSE)
        # Closing fills narrow notches, as at hats and hair where light and dark alternate.
        figure = -F.max_pool2d(-F.max_pool2d(figure, 3, 1, 1), 3, 1, 1)
        eroded = -F.max_pool2d(-figure, 5, 1, 2)
        core = cells(torch.sigmoid(prior), COARSE)
        # Figure grows from the core, ground from the border: two channels of one flood.
        region = torch.cat((eroded, 1.0 - figure), dim=1)
        seed = torch.cat((core, self.border.expand_as(core)), dim=1)
        grown = flood(torch.minimum(seed, region), region)
        connected = F.max_pool2d(grown[:, :1], 7, 1, 3)
        outside = grown[:, 1:]
        filled = torch.minimum(connected, 1.0 - F.max_pool2d(outside, 3, 1, 1))
        both = F.interpolate(torch.cat((connected, filled), dim=1), (SIDE, SIDE), mode="bilinear", align_corners=False)
        return torch.maximum(torch.minimum(alpha, both[:, :1]), both[:, 1:])


def shrink(pixels: Tensor) -> Tensor:
    """Average float [B,3,1008,1008] over cells of 3.5 × 3.5 pixels: [B,3,288,288].

    Seven pixels make two cells, so one strided convolution with four kernels is exact; a resize's coordinates round
    differently from runtime to runtime.
    """
    first = torch.tensor([1.0, 1.0, 1.0, 0.5, 0.0, 0.0, 0.0])
    halves = (first, first.flip(0))
    kernels = torch.stack([torch.outer(row, column) for row in halves for column in halves]) / 3.5**2
    averaged = F.conv2d(pixels, kernels.unsqueeze(1).repeat(3, 1, 1, 1).to(pixels), stride=7, groups=3)
    return F.pixel_shuffle(averaged, 2)


def separate(image: Tensor, bins: Tensor, prior: Tensor, along_edges: GuidedFilter) -> Tensor:
    """Run the EM steps; return the figure's log-odds, float [B,1,288,288]."""
    probability = torch.sigmoid(prior)
    figure = ((probability - 0.55) / 0.4).clamp(0.0, 1.0)
    ground = ((0.45 - probability) / 0.4).clamp(0.0, 1.0)
    logit = prior
    for _ in range(STEPS):
        ratio = histogram(bins, figure) / histogram(bins, ground)
        globally = logarithm(ratio.clamp(math.exp(-3.0), math.exp(3.0))).gather(1, bins).reshape_as(prior)
        logit = prior + along_edges(0.9 * globally + 0.5 * local_evidence(image, figure, ground))
        figure = torch.sigmoid(logit)
        ground = 1.0 - figure
    return logit


def colour_bins(levels: Tensor) -> Tensor:
    """Return each pixel's colour bin, int64 [B,H·W], of float [B,3,H,W] in 0–255."""
    # shrink's levels are multiples of 1/49. With bins that begin between two multiples, every runtime finds the same
    # bin, however it rounds.
    level = (levels + 1.0 / 98.0) / (256 // BINS)
    red, green, blue = level.to(torch.int64).chunk(3, dim=1)
    return ((red * BINS + green) * BINS + blue).reshape(levels.shape[0], -1)


def histogram(bins: Tensor, weight: Tensor) -> Tensor:
    """Return a smoothed, normalised colour histogram, float [B,BINS³], weighted by [B,1,H,W]; above 0 everywhere."""
    flat = weight.reshape(weight.shape[0], -1)
    counts = torch.zeros_like(flat[:, : BINS**3]).scatter_add(1, bins, flat)
    cube = counts.reshape(-1, 1, BINS, BINS, BINS)
    binomial = torch.tensor([0.0625, 0.25, 0.375, 0.25, 0.0625]).to(weight)
    cube = F.conv3d(cube, binomial.reshape(1, 1, 5, 1, 1), padding=(2, 0, 0))
    cube = F.conv3d(cube, binomial.reshape(1, 1, 1, 5, 1), padding=(0, 2, 0))
    cube = F.conv3d(cube, binomial.reshape(1, 1, 1, 1, 5), padding=(0, 0, 2))
    counts = cube.reshape(-1, BINS**3) + 0.05
    total = spatial_mean(weight).reshape(-1, 1) * SIDE**2 + 0.05 * BINS**3
    return counts / total


def local_evidence(image: Tensor, figure: Tensor, ground: Tensor) -> Tensor:
    """Log-odds, within ±4, that a pixel's colour is nearer to the figure's local mean than to the ground's."""
    variance = 2.0 * 0.15**2
    figure_mean, figure_share = local_mean(image, figure)
    ground_mean, ground_share = local_mean(image, ground)
    to_ground = channel_sum((image - ground_mean) ** 2)
    to_figure = channel_sum((image - figure_mean) ** 2)
    # 0 where one of the two is not near.
    both_near = (torch.minimum(figure_share, ground_share) / 0.1).clamp(0.0, 1.0)
    return ((to_ground - to_figure) / variance).clamp(-4.0, 4.0) * both_near


def local_mean(image: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean colour [B,3,H,W] around each pixel (σ = 24 px of 288) and the share of the weight there."""
    pooled = cells(torch.cat((image * weight, weight), dim=1), 8)
    blurred = gaussian_blur(pooled, 3.0)
    mean = blurred[:, :3] / (blurred[:, 3:] + 1e-3)
    both = F.interpolate(torch.cat((mean, blurred[:, 3:]), dim=1), (SIDE, SIDE), mode="bilinear", align_corners=False)
    return both[:, :3], both[:, 3:]


def flood(seed: Tensor, region: Tensor) -> Tensor:
    """Grow `seed` inside `region` (both 0–1) a pixel a step, once across (Vincent, 1993)."""
    for _ in range(SIDE // COARSE):
        seed = torch.minimum(F.max_pool2d(seed, 3, 1, 1), region)
    return seed


def bounding_box(figure: Tensor) -> Tensor:
    """Return x0 y0 x1 y1 in 0–1, float32 [B,4], of a 0/1 mask [B,1,H,W]; all zero for an empty one."""
    columns = (figure.amax(2)).reshape(figure.shape[0], -1)
    rows = (figure.amax(3)).reshape(figure.shape[0], -1)
    return torch.stack((*extent(columns), *extent(rows)), dim=1)[:, (0, 2, 1, 3)]


def extent(present: Tensor) -> tuple[Tensor, Tensor]:
    """First and one past the last position of 1 in each row of a 0/1 tensor [B,N], as shares of N."""
    size = present.shape[1]
    position = torch.arange(size, dtype=torch.float32).to(present.device)
    empty = 1.0 - present
    first = (position + empty * size).amin(1)
    last = ((position + 1.0) * present).amax(1)
    return torch.minimum(first, last) / size, last / size
