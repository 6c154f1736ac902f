"""The ImageNet classes of a picture, which show whether a network's weights are the right ones."""

import importlib
from pathlib import Path

import numpy as np

from visual_attention.util.extractors._network import import_torch, without_operators


def class_names():
    """Names of ImageNet's thousand classes in the order of the logits; None without a usable torchvision."""
    try:
        models = without_operators(import_torch(), lambda: importlib.import_module("torchvision.models"))
    except (ImportError, RuntimeError):  # not installed, or of another time than torch
        return None
    return models.GoogLeNet_Weights.IMAGENET1K_V1.meta["categories"]


def top5(extractor, path):
    """The five likeliest classes of a picture: (number, name or None, probability), likeliest first.

    FileNotFoundError, ValueError: the file does not exist or is not a picture, or the network has not these classes.
    """
    from PIL import Image

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a picture")
    sides = (extractor.size, extractor.size)
    try:
        with Image.open(path) as image:
            picture = np.asarray(image.convert("RGB").resize(sides, Image.Resampling.BICUBIC))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's, of a damaged file
        raise ValueError(f"{path}: is not a picture; expected a JPEG, a PNG or the like ({error})") from error
    logits = extractor.classify(picture[None].copy())
    if logits is None:
        raise ValueError(
            f"extractor {extractor.name}: layer {extractor.layer!r} gives no ImageNet classes; --top5 expects a whole "
            "network with a thousand; leave --layer out, or choose another"
        )
    logits = logits[0].astype(float)
    probs = np.exp(logits - logits.max())
    probs /= probs.sum()
    names = class_names()
    return [(int(k), names and names[k], float(probs[k])) for k in np.argsort(-probs)[:5]]
