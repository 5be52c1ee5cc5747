"""One compression while it runs: what was asked for, the captured network, and where results go."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise import store
from edgewise.data.dataset import Split
from edgewise.errors import UsageError
from edgewise.graph.network import Network
from edgewise.pipeline.request import Request
from edgewise.progress import Progress


@dataclass(frozen=True)
class Work:
    """One compression while it runs. folder: of the bundle that is being made."""

    request: Request
    network: Network
    folder: Path
    progress: Progress

    @property
    def test(self) -> Split:
        return self.request.data.split("test").head(self.request.test_images)

    @property
    def calibration(self) -> Split:
        """Raises UsageError where more images were asked for than there are."""
        split, wanted = self.request.data.split("calibration"), self.request.calibration_images
        if wanted is not None and wanted > len(split):
            raise UsageError(
                f"{self.request.data.name} has {len(split)} calibration images, not {wanted}; ask "
                "for so many or fewer."
            )
        return split.head(wanted)

    def inputs(self, **digests: str) -> dict[str, str]:
        """What a record's result was made from."""
        return {**self.request.model.inputs, **digests}

    def save(self, record: store.Record, name: str) -> str:
        """Write a record; returns its path in the bundle."""
        path = f"records/{name}.json"
        record.save(self.folder / path)
        return path

    def head(self) -> Mapping[str, Any]:
        """What every record of scores says first."""
        return {
            "split": self.test.name,
            "images": len(self.test),
            "data": self.request.data.name,
            "device": self.request.device.url,
        }
