"""YOLOv3 as darknet's yolov3-voc.cfg has it: Darknet-53, a feature pyramid, three maps.

Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement".
"""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from edgewise.models.blocks import Anchors, Block, Head, Upward, decoder, scaled

_STAGES = (64, 128, 256, 512, 1024)  # channels at strides 2, 4, 8, 16 and 32
_SCALES = (512, 256, 128)  # channels that the neck gives at strides 32, 16 and 8

# Of yolov3-voc.cfg, for an input of 416x416.
_ANCHORS = (
    ((116, 90), (156, 198), (373, 326)),
    ((30, 61), (62, 45), (59, 119)),
    ((10, 13), (16, 30), (33, 23)),
)


class YOLOv3(nn.Module):
    """Takes images (n, 3, h, w), sides a multiple of 32, gives three maps, coarsest first.

    Each map is (n, anchors * (5 + classes), h / stride, w / stride) at strides 32, 16, 8; an
    anchor's values are x, y, width, height, objectness and classes, all raw.

    width: multiplier of every layer's channels but the outputs', at least one channel each;
    repeats: residual blocks of the five stages; anchors: (width, height) in pixels of the input,
    of each map; spread: of centres over their cells, see the decoder.
    """

    edgewise_regions = {  # noqa: RUF012
        "backbone": ("backbone",),
        "neck": ("neck",),
        "head": ("head",),
    }
    edgewise_outputs = ("head.*.output",)  # what quantization leaves in float by default

    def __init__(
        self,
        width: float = 1.0,
        repeats: Sequence[int] = (1, 2, 8, 8, 4),
        classes: int = 20,
        anchors: Anchors = _ANCHORS,
        spread: float = 1.0,
    ) -> None:
        super().__init__()
        self.edgewise_decoder = decoder(anchors, classes, spread)
        self.backbone = Darknet53(width, repeats)
        self.neck = Neck(width)
        self.head = nn.ModuleList(
            Head(scaled(channels, width), scaled(2 * channels, width), classes, len(each))
            for channels, each in zip(_SCALES, anchors, strict=True)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.neck(self.backbone(images))
        return tuple(head(each) for head, each in zip(self.head, features, strict=True))

    def darknet_order(self) -> tuple[nn.Module, ...]:
        """Its parts in the order in which darknet runs them, and files of darknet hold them."""
        parts: list[nn.Module] = [self.backbone]
        for number, (block, head) in enumerate(zip(self.neck.blocks, self.head, strict=True)):
            if number:
                parts.append(self.neck.upward[number - 1])
            parts += [block, head]
        return tuple(parts)


class Darknet53(nn.Module):
    """Takes images (n, 3, h, w), gives features at strides 8, 16 and 32 in that order."""

    def __init__(self, width: float, repeats: Sequence[int]) -> None:
        super().__init__()
        channels = scaled(32, width)
        self.stem = Block(3, channels, 3)
        self.stages = nn.ModuleList()
        for base, count in zip(_STAGES, repeats, strict=True):
            wide = scaled(base, width)
            inner = scaled(base // 2, width)
            residuals = (Residual(wide, inner) for _ in range(count))
            self.stages.append(nn.Sequential(Block(channels, wide, 3, stride=2), *residuals))
            channels = wide

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features, found = self.stem(images), []
        for stage in self.stages:
            features = stage(features)
            found.append(features)
        return tuple(found[-3:])


class Residual(nn.Module):
    """Adds to (n, channels, h, w) what a 1x1 block to `inner` channels and a 3x3 one make of it."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.narrow = Block(channels, inner, 1)
        self.wide = Block(inner, channels, 3)

    def forward(self, features: Tensor) -> Tensor:
        return features + cast(Tensor, self.wide(self.narrow(features)))


class Neck(nn.Module):
    """A feature pyramid (Lin et al. 2017): each scale sees all that are coarser.

    Takes features at strides 8, 16 and 32, gives (n, 512 | 256 | 128 times width, h, w) at strides
    32, 16 and 8.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        sizes = [(scaled(base, width), scaled(2 * base, width)) for base in _SCALES]
        beside = [scaled(base // 2, width) for base in _SCALES[:-1]]
        finer = [scaled(_STAGES[3], width), scaled(_STAGES[2], width)]
        inputs = [scaled(_STAGES[4], width), *map(sum, zip(beside, finer, strict=True))]
        self.blocks = nn.ModuleList(
            _five(count, *size) for count, size in zip(inputs, sizes, strict=True)
        )
        self.upward = nn.ModuleList(
            Upward(narrow, up) for (narrow, _), up in zip(sizes, beside, strict=False)
        )

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        fine, middle, coarse = features
        found = [self.blocks[0](coarse)]
        for block, upward, finer in zip(self.blocks[1:], self.upward, (middle, fine), strict=True):
            found.append(block(upward(found[-1], finer)))
        return tuple(found)


def _five(inputs: int, narrow: int, wide: int) -> nn.Sequential:
    return nn.Sequential(
        Block(inputs, narrow, 1),
        Block(narrow, wide, 3),
        Block(wide, narrow, 1),
        Block(narrow, wide, 3),
        Block(wide, narrow, 1),
    )
