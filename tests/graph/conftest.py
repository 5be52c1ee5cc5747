"""Networks of every structure that channels pass, each as small as it can be."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from own_forward import Own, conv
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.preprocess import natural
from edgewise.graph.capture import capture
from edgewise.graph.network import Network


class Constant(nn.Module):
    """A tensor that is learned, and one that is not."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.randn(*shape))
        self.register_buffer("fixed", torch.rand(*shape) + 0.5)


def head(channels: int) -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                         nn.Linear(4 * channels, 3))  # fmt: skip


def _excited(own: Any, x: Tensor) -> Tensor:
    x = F.relu(own.norm(own.one(x)))
    gate = F.relu(own.down(F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)))
    return own.head(x * torch.sigmoid(own.up(gate)).view(-1, 6, 1, 1))  # type: ignore[no-any-return]


def _gated(own: Any, x: Tensor) -> Tensor:
    values, gate = own.one(x).chunk(2, 1)
    return own.head(values * torch.sigmoid(gate))  # type: ignore[no-any-return]


def _parted(own: Any, x: Tensor) -> Tensor:
    first, second, third = torch.split(F.relu(own.one(x)), [2, 3, 4], 1)
    swapped = torch.cat([third, own.two(second), first], 1)
    return own.head(swapped[:, 1:6] + own.three(swapped)[:, -7:-2])  # type: ignore[no-any-return]


def _dense(own: Any, x: Tensor) -> Tensor:
    x = own.stem(x)
    for norm, layer in ((own.norm1, own.one), (own.norm2, own.two)):
        x = torch.cat([x, layer(F.relu(norm(x)))], 1)
    return own.head(own.norm3(x))  # type: ignore[no-any-return]


def _tokens(own: Any, x: Tensor) -> Tensor:
    tokens = own.patches(x).flatten(2).transpose(1, 2) + own.place.values
    tokens = own.down(F.hardswish(own.up(tokens))) + tokens
    return own.head(tokens.permute(0, 2, 1).unflatten(2, (4, 4)))  # type: ignore[no-any-return]


def _constants(own: Any, x: Tensor) -> Tensor:
    x = own.slope(own.one(x)) * own.scale.fixed + own.shift.values
    x = F.pad(torch.sigmoid(x - 0.3), (1, 1, 1, 1), value=0.7)
    return own.head(own.two(F.leaky_relu(own.alone(x) * own.single.values)))  # type: ignore[no-any-return]


def _shuffled(own: Any, x: Tensor) -> Tensor:
    count, _, high, wide = (x := own.one(x)).shape
    x = x.view(count, 2, 3, high, wide).transpose(1, 2).reshape(count, 6, high, wide)
    return own.head(own.three(F.relu(own.two(x))))  # type: ignore[no-any-return]


def _looked_at(own: Any, x: Tensor) -> Tensor:
    x = F.relu(own.one(x))
    place = torch.sigmoid(own.place(torch.cat([x.mean(1, keepdim=True), x.amax(1, True)], 1)))
    return own.head(own.two(x) * place)  # type: ignore[no-any-return]


def _odd(own: Any, x: Tensor) -> Tensor:
    x = own.two(torch.softmax(own.one(x), 1))
    x = own.three(x[:, ::2] + F.group_norm(own.four(x), 2))
    return own.head(x * x.select(1, 0).unsqueeze(1).expand(-1, 6, -1, -1))  # type: ignore[no-any-return]


def _moved(own: Any, x: Tensor) -> Tensor:
    x = F.interpolate(own.one(x)[:, :, 1:-1], scale_factor=2.0)
    x = own.down(F.gelu(own.up(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2).contiguous()
    wide = x.mean((2, 3)).unsqueeze(-1).unsqueeze(-1).expand(-1, 5, 12, 16)
    return own.head(torch.maximum(x, wide).clamp(-1, 2))  # type: ignore[no-any-return]


STRUCTURES: Mapping[str, Callable[[], nn.Module]] = {
    "excited": lambda: Own(
        _excited, one=conv(3, 6, 3), norm=nn.BatchNorm2d(6), down=nn.Linear(6, 4),
        up=nn.Linear(4, 6), head=head(6),
    ),
    "gated": lambda: Own(_gated, one=conv(3, 8, 3), head=head(4)),
    "parted": lambda: Own(
        _parted, one=conv(3, 9, 1), two=conv(3, 4, 1), three=conv(10, 8, 1), head=head(5)
    ),
    "dense": lambda: Own(
        _dense, stem=conv(3, 4, 3), norm1=nn.BatchNorm2d(4), one=conv(4, 3, 3, padding=1),
        norm2=nn.BatchNorm2d(7), two=conv(7, 3, 1), norm3=nn.BatchNorm2d(10), head=head(10),
    ),
    "features": lambda: nn.Sequential(
        conv(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 7, bias=False), nn.BatchNorm1d(7),
        nn.ReLU(), nn.Dropout(), nn.Linear(7, 3),
    ),
    "groups": lambda: nn.Sequential(
        conv(3, 8, 3), nn.ReLU(), conv(8, 12, 3, groups=4, bias=False), nn.BatchNorm2d(12),
        nn.ReLU(), conv(12, 6, 1, groups=2), head(6),
    ),
    "multiplied": lambda: nn.Sequential(
        conv(3, 4, 3), nn.ReLU6(), conv(4, 8, 3, groups=4), nn.BatchNorm2d(8), nn.ReLU6(),
        conv(8, 5, 1), head(5),
    ),
    "transposed": lambda: nn.Sequential(
        conv(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 6, 2, 2), nn.BatchNorm2d(6), nn.ReLU(),
        nn.ConvTranspose2d(6, 4, 3, groups=2), nn.ReLU(),
        nn.ConvTranspose2d(4, 8, 2, groups=4, bias=False), head(8),
    ),
    "tokens": lambda: Own(
        _tokens, patches=conv(3, 5, 2, stride=2), place=Constant(1, 16, 5), up=nn.Linear(5, 7),
        down=nn.Linear(7, 5), head=head(5),
    ),
    "constants": lambda: Own(
        _constants, one=conv(3, 6, 3), slope=nn.PReLU(6), scale=Constant(1, 6, 1, 1),
        shift=Constant(6, 1, 1), alone=conv(6, 6, 3, groups=6), single=Constant(1),
        two=conv(6, 4, 1), head=head(4),
    ),
    "twice": lambda: Own(
        lambda own, x: own.head(own.same(F.relu(own.same(own.one(x))))),
        one=conv(3, 5, 3), same=conv(5, 5, 3, padding=1), head=head(5),
    ),
    "with images": lambda: Own(
        lambda own, x: own.head(torch.cat([own.one(x) + x, own.two(x)], 1)),
        one=conv(3, 3, 1), two=conv(3, 4, 1), head=head(7),
    ),
    "shuffled": lambda: Own(
        _shuffled, one=conv(3, 6, 3), two=conv(6, 5, 1), three=conv(5, 5, 1), head=head(5)
    ),
    "looked at": lambda: Own(
        _looked_at, one=conv(3, 5, 3), place=conv(2, 1, 3, padding=1), two=conv(5, 4, 1),
        head=head(4),
    ),
    "odd": lambda: Own(
        _odd, one=conv(3, 4, 3), two=conv(4, 8, 1), four=conv(8, 4, 1), three=conv(4, 6, 1),
        head=head(6),
    ),
    "moved": lambda: Own(
        _moved, one=conv(3, 5, 1), up=nn.Linear(5, 8), down=nn.Linear(8, 5), head=head(5)
    ),
}  # fmt: skip


def _made(name: str) -> Network:
    torch.manual_seed(list(STRUCTURES).index(name))
    module = STRUCTURES[name]().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.3, 2.0)
            nn.init.normal_(part.bias, 0, 0.5)
    return capture(module, natural((3, 8, 8)), name)


@pytest.fixture(scope="session")
def structure() -> Callable[[str], Network]:
    """A network of one structure by name, captured once: for reading only."""
    known: dict[str, Network] = {}

    def find(name: str) -> Network:
        if name not in known:
            known[name] = _made(name)
        return known[name]

    return find


@pytest.fixture(scope="session", params=list(STRUCTURES))
def structured(request: pytest.FixtureRequest, structure: Callable[[str], Network]) -> Network:
    """A network of every structure in turn."""
    return structure(str(request.param))
