"""How a detector of the study is scored: simulated, and from its artifact on this machine."""

from dataclasses import dataclass
from typing import Any

import torch

from edgewise.devices.local import LocalDevice
from edgewise.dispatch import Variant
from edgewise.graph.network import Network
from edgewise.inference import run_detector
from edgewise.presets import FLOAT32
from edgewise.spotting import Found, Judged, find, to_json
from edgewise.studies.yolov3.networks import SUPPRESSION, Job, decoder_of
from edgewise.study import Bench
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.target import Export
from edgewise.tasks.detection.agreement import agreement
from edgewise.tasks.detection.decoder import Decoder

_CHECKED = 8  # images that an artifact is verified on


@dataclass(frozen=True, eq=False)
class Scored:
    """What an artifact found, judged, and the facts of its file."""

    found: Found
    judged: Judged
    export: Export

    def facts(self) -> dict[str, Any]:
        """Of the file, as records hold them."""
        one = self.export
        return {
            "size_bytes": one.size_bytes,
            "digest": one.digest,
            "worst_code": one.worst,
            "free_running_code": one.free_running,
            "integer_mac_share": one.integer_share,
        }


def score(job: Job, network: Network, bench: Bench, name: str) -> Scored:
    """Write the artifact, verify it, and judge what it finds in the test images."""
    decoder = decoder_of(network)
    path = bench.scratch / f"{name}.onnx"
    batch = torch.from_numpy(next(job.calibration.batches(_CHECKED, network.contract)))
    export = OnnxTarget().export(network, path, batch)
    with LocalDevice() as device:
        found = run_detector(
            device, Variant(name, path), job.test, network.contract, bench.progress,
            (decoder, SUPPRESSION),
        )  # fmt: skip
    return Scored(found, judge(job, found, decoder), export)


def judge(job: Job, found: Found, decoder: Decoder) -> Judged:
    """What was found in the test images, held against what is there."""
    objects = job.test.objects
    assert objects is not None, "the data of this study have boxes"
    return Judged.of(found, objects, decoder.classes)


def score_float(job: Job, network: Network, bench: Bench) -> Scored:
    """The float detector's own artifact."""
    return score(job, FLOAT32.apply(network).network, bench, "float32")


def compare(job: Job, network: Network, bench: Bench, name: str, floats: Scored) -> dict[str, Any]:
    """All that a record says of a quantized detector, beside the float one on the same images."""
    ours = score(job, network, bench, name)
    decoder = decoder_of(network)
    simulated = find(network, job.test, (decoder, SUPPRESSION), bench.progress, f"simulate {name}")
    same = agreement(floats.found, ours.found)
    return {
        "artifact": to_json(ours.judged.estimates()),
        "less_float": to_json(ours.judged.less(floats.judged)),
        "simulation": judge(job, simulated, decoder).values(),
        "agreement": {"repeated": same.repeated, "of": same.of},
        "export": ours.facts(),
    }
