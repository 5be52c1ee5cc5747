"""YOLOv3-tiny as darknet's yolov3-tiny.cfg has it: max pooling, no residuals, two maps.

Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement".
"""

from typing import cast

from torch import Tensor, nn

from edgewise.models.blocks import Anchors, Block, Head, Upward, decoder, scaled

_FINE = (16, 32, 64, 128, 256)  # channels at strides 1, 2, 4, 8 and 16

# Those that the published weights were trained with, for an input of 416x416: with the finer map's
# of some versions of yolov3-tiny.cfg, both maps find the same object at two sizes.
_ANCHORS = (((81, 82), (135, 169), (344, 319)), ((23, 27), (37, 58), (81, 82)))


class YOLOv3Tiny(nn.Module):
    """Takes images (n, 3, h, w), sides a multiple of 32, gives two maps, coarsest first.

    Each map is (n, anchors * (5 + classes), h / stride, w / stride) at strides 32 and 16; an
    anchor's values are x, y, width, height, objectness and classes, all raw.

    width: multiplier of every layer's channels but the outputs', at least one channel each;
    anchors: (width, height) in pixels of the input, of each map; spread: of centres over their
    cells, see the decoder.
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
        classes: int = 80,
        anchors: Anchors = _ANCHORS,
        spread: float = 1.0,
    ) -> None:
        super().__init__()
        self.edgewise_decoder = decoder(anchors, classes, spread)
        self.backbone = Backbone(width)
        self.neck = Neck(width)
        coarse, fine = scaled(256, width), scaled(128, width) + scaled(256, width)
        hidden = scaled(512, width), scaled(256, width)
        self.head = nn.ModuleList(
            Head(inputs, inner, classes, len(each))
            for inputs, inner, each in zip((coarse, fine), hidden, anchors, strict=True)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.neck(*self.backbone(images))
        return tuple(head(each) for head, each in zip(self.head, features, strict=True))

    def darknet_order(self) -> tuple[nn.Module, ...]:
        """Its parts in the order in which darknet runs them, and files of darknet hold them."""
        coarse, fine = self.head
        return (self.backbone, self.neck.block, coarse, self.neck.upward, fine)


class Backbone(nn.Module):
    """Takes images (n, 3, h, w), gives features at strides 16 and 32 in that order."""

    def __init__(self, width: float) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        channels = 3
        for base in _FINE:
            parts += [Block(channels, scaled(base, width), 3), nn.MaxPool2d(2)]
            channels = scaled(base, width)
        self.fine = nn.Sequential(*parts[:-1])
        self.coarse = nn.Sequential(
            parts[-1],
            Block(channels, scaled(512, width), 3),
            PoolInPlace(),
            Block(scaled(512, width), scaled(1024, width), 3),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(images)
        return fine, self.coarse(fine)


class PoolInPlace(nn.Module):
    """The largest of each position and its right and lower neighbours, where there are any.

    darknet's max pooling of size 2 and stride 1, which keeps the size.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2, stride=1, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.pool(features))[:, :, 1:, 1:]


class Neck(nn.Module):
    """Takes features at strides 16 and 32, gives those that the heads take at strides 32 and 16."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.block = Block(scaled(1024, width), scaled(256, width), 1)
        self.upward = Upward(scaled(256, width), scaled(128, width))

    def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        narrow = self.block(coarse)
        return narrow, self.upward(narrow, fine)
