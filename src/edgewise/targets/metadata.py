"""What an artifact says of itself: how images become its input, and its outputs objects."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewise.data.preprocess import Preprocessing
from edgewise.errors import DataError, ModelError
from edgewise.graph.network import Network
from edgewise.tasks.detection.decoder import Decoder

CONTRACT_KEY = "edgewise.preprocessing"
DECODER_KEY = "edgewise.decoder"

Texts = Mapping[str, str]  # JSON by name


def metadata_of(network: Network) -> dict[str, Any]:
    """What an artifact of a network is to say, by name."""
    said: dict[str, Any] = {CONTRACT_KEY: network.contract.to_json()}
    if network.decoder is not None:
        said[DECODER_KEY] = dict(network.decoder)
    return said


def contract_in(texts: Texts, path: Path) -> Preprocessing:
    """The preprocessing contract; raises ModelError where an artifact says none."""
    try:
        return Preprocessing.from_json(json.loads(texts[CONTRACT_KEY]))
    except (KeyError, ValueError, DataError) as error:
        raise ModelError(
            f"{path} holds no preprocessing contract; only artifacts that edgewise wrote do."
        ) from error


def decoder_in(texts: Texts, path: Path) -> Decoder | None:
    """How its outputs become objects; None for an artifact that finds none.

    Raises ModelError where what it says is no decoder.
    """
    if DECODER_KEY not in texts:
        return None
    try:
        return Decoder.from_json(json.loads(texts[DECODER_KEY]))
    except (ValueError, DataError) as error:
        raise ModelError(f"{path} does not say how its outputs become objects: {error}") from error
