"""How close an artifact's outputs are to the float network's, where no class says what is right.

Sums of squares of every image are kept, so that memory does not grow with the size of outputs and
every figure follows from them.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.data.npz import from_npz, to_npz
from edgewise.errors import DataError

Floats = NDArray[np.float32]
Sums = NDArray[np.float64]  # (images, outputs)
Outputs = Sequence[Floats]  # each (images, ...)

_LEAST = float(np.finfo(np.float64).tiny)  # of a signal that is all zeros


@dataclass(frozen=True, eq=False)
class Energies:
    """Sums of squares over the values of each output for each image, float64 (images, outputs).

    signal: of the float network; artifact, simulation: of what these are off it; apart: of what the
    artifact is off the simulation; answers: uint8 (images, 32), SHA-256 of the artifact's outputs.
    """

    signal: Sums
    artifact: Sums
    simulation: Sums
    apart: Sums
    answers: NDArray[np.uint8]

    @staticmethod
    def of(network: Outputs, simulation: Outputs, artifact: Outputs) -> "Energies":
        """Of a batch by three executors; raises DataError where their outputs differ in shape."""
        shapes = [[one.shape for one in outputs] for outputs in (network, simulation, artifact)]
        if shapes[0] != shapes[1] or shapes[0] != shapes[2]:
            raise DataError(f"outputs of unlike shapes cannot be compared: {shapes}.")
        return Energies(
            _squares(network),
            _squares(_less(artifact, network)),
            _squares(_less(simulation, network)),
            _squares(_less(artifact, simulation)),
            digests(artifact),
        )

    @staticmethod
    def joined(parts: Sequence["Energies"]) -> "Energies":
        """Of one batch after the other."""
        names = [field.name for field in fields(Energies)]
        return Energies(*(np.concatenate([getattr(one, name) for one in parts]) for name in names))

    def figures(self) -> list[dict[str, float | None]]:
        """Of each output the signal to noise in dB, over all images; None where nothing is off.

        artifact_db, simulation_db: to the float network; apart_db: artifact to simulation.
        """
        signal = self.signal.sum(axis=0)
        kinds = {"artifact_db": self.artifact, "simulation_db": self.simulation,
                 "apart_db": self.apart}  # fmt: skip
        ratios = {name: _decibels(signal, noise.sum(axis=0)) for name, noise in kinds.items()}
        return [
            {name: each[place] for name, each in ratios.items()} for place in range(len(signal))
        ]

    def to_bytes(self) -> bytes:
        """As a file of arrays."""
        return to_npz(asdict(self))

    @staticmethod
    def from_bytes(content: bytes) -> "Energies":
        """What `to_bytes` wrote; raises DataError where the file is another or damaged."""
        stored = from_npz(content)
        if missing := {field.name for field in fields(Energies)} - set(stored):
            raise DataError(f"these are no energies of outputs: without {', '.join(missing)}.")
        return Energies(*(stored[field.name] for field in fields(Energies)))


def digests(outputs: Outputs) -> NDArray[np.uint8]:
    """Of all outputs of each image: uint8 (images, 32)."""
    found = [hashlib.sha256(b"".join(rows)).digest() for rows in _rows(outputs)]
    return np.frombuffer(b"".join(found), np.uint8).reshape(-1, 32)


def _rows(outputs: Outputs) -> Iterator[list[bytes]]:
    for place in range(len(outputs[0])):
        yield [np.ascontiguousarray(one[place], np.float32).tobytes() for one in outputs]


def _less(first: Outputs, second: Outputs) -> list[Sums]:
    return [a.astype(np.float64) - b for a, b in zip(first, second, strict=True)]


def _squares(outputs: Sequence[NDArray[Any]]) -> Sums:
    return np.stack(
        [np.square(one.reshape(len(one), -1).astype(np.float64)).sum(axis=1) for one in outputs],
        axis=1,
    )


def _decibels(signal: Sums, noise: Sums) -> list[float | None]:
    return [
        None if off == 0 else float(10 * (np.log10(max(of, _LEAST)) - np.log10(off)))
        for of, off in zip(signal, noise, strict=True)
    ]
