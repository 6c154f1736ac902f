"""Pretrained networks that turn frames into cubes: one module in this folder for each, which defines NETWORK.

    extractor = load_extractor("efficientnet-lite0")
    cubes = extractor(frames)  # (m, 224, 224, 3) uint8 -> (m, 49, 1280) float32

A new extractor is a module here and its test. torch is imported only when a network is loaded: training, which reads
frame tables, does not need it.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visual_attention.util import registry
from visual_attention.util.extractors._imagenet import class_names, top5
from visual_attention.util.extractors._network import SIZE, Network, import_torch

__all__ = ["EXTRACTORS", "SIZE", "Extractor", "Network", "class_names", "find_extractor", "has_gpu", "load_extractor",
           "load_networks", "top5"]  # fmt: skip

PAPER = "googlenet"  # comes first in help and messages


def load_networks():
    """{name: Network} of all modules in this folder."""
    networks = {network.name: network for network in registry.entries(__name__, __path__, "NETWORK")}
    return {name: networks[name] for name in sorted(networks, key=lambda name: (name != PAPER, name))}


EXTRACTORS = load_networks()


@dataclass(frozen=True)
class Extractor:
    """A network in use: `extractor(frames)` returns cubes, `extractor.classify(frames)` ImageNet logits.

    Frames are (m, size, size, 3) uint8 RGB; cubes (m, L, depth) float32, location i = row * K + column, L = K²; logits
    (m, 1000) float32. fine: (L_2, D_2) of a second layer, or None; with it, a call returns a tuple, the cubes of both.
    It holds names only, so it can be sent to other processes; each loads the network once, at its first use. On a CPU
    the network runs on one core. Then sums are the same wherever a video is extracted, and several processes use
    several cores better than one process does.
    """

    name: str
    depth: int
    hub_repo: Path | None = None
    weights: Path | None = None
    n_locations: int = 49
    size: int = SIZE
    fine: tuple[int, int] | None = None

    def __call__(self, frames):
        maps, _, *fine = self._run(frames)
        return (_cubes(maps), _cubes(*fine)) if self.fine else _cubes(maps)

    def classify(self, frames):
        _, logits, *_ = self._run(frames)
        return logits.cpu().numpy()

    def load(self):
        """Loads the network now; ValueError, OSError or ModuleNotFoundError says what is missing and how to get it."""
        return _load(self)

    def weights_file(self):
        """The file of the weights; None: torch hub fetches them."""
        return self.weights or EXTRACTORS[self.name].weights_file(self.hub_repo)

    def weights_digest(self):
        """The beginning of the SHA-256 of the weights."""
        path = self.weights_file()
        if path is None:
            return EXTRACTORS[self.name].hub_digest
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:8]

    def _run(self, frames):
        sides = (self.size, self.size, 3)
        if frames.dtype != np.uint8 or frames.shape[1:] != sides:
            raise ValueError(
                f"frames are {frames.dtype} {frames.shape}; expected uint8 (frames, {', '.join(map(str, sides))})"
            )
        return self.load()(frames)


def _cubes(maps):
    return np.ascontiguousarray(maps.flatten(2).transpose(1, 2).cpu().numpy())  # (m, D, K, K) -> (m, L, D)


def find_extractor(name, hub_repo=None, weights=None, layers=1):
    """The extractor with this name; its network is loaded at its first use, on the GPU if torch sees one.

    hub_repo: folder with a copy of the network's repository of torch hub, instead of the hub; the weights must then be
    given or lie in torch's cache. weights: file of a state dict, instead of the pretrained weights. layers: 1, or 2 for
    a finer layer, too.

    ValueError, FileNotFoundError: no such extractor, folder or file.
    """
    if name not in EXTRACTORS:
        raise ValueError(f"extractor is {name!r}; expected one of {', '.join(EXTRACTORS)}")
    network = EXTRACTORS[name]
    if hub_repo is not None and network.hub is None:
        users = " and ".join(other.name for other in EXTRACTORS.values() if other.hub)
        raise ValueError(f"a hub repository ({hub_repo}) is of use to {users} only; leave it out for {name}")
    hub_repo, weights = (None if path is None else Path(path).resolve() for path in (hub_repo, weights))
    if hub_repo is not None and not Path(hub_repo, "hubconf.py").is_file():
        raise FileNotFoundError(f"{hub_repo}: has no hubconf.py; expected a copy of the repository {network.hub}")
    if weights is not None and not weights.is_file():
        raise FileNotFoundError(f"{weights}: no such file; expected the network's weights, a state dict (.pth)")
    if layers == 2 and network.fine is None:
        users = " and ".join(other.name for other in EXTRACTORS.values() if other.fine)
        raise ValueError(f"option --layers is 2; expected 1 with {name}; two layers of {users} are known")
    fine = network.fine if layers == 2 else None
    return Extractor(name, network.depth, hub_repo, weights, network.n_locations, network.size, fine)


def load_extractor(name, hub_repo=None, weights=None):
    """Like `find_extractor`, but with the network loaded; the errors of `Extractor.load` too."""
    extractor = find_extractor(name, hub_repo, weights)
    extractor.load()
    return extractor


@functools.cache
def _load(extractor):
    """The function that `Network.build` returns for this extractor."""
    torch = import_torch()
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return EXTRACTORS[extractor.name].build(torch, device, extractor.hub_repo, extractor.weights_file())


def has_gpu():
    """Whether torch sees a GPU."""
    return import_torch().cuda.is_available()
