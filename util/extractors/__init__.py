"""Pretrained networks that turn frames into cubes: one module in this folder for each, which defines NETWORK.

    extractor = load_extractor("efficientnet-lite0")
    cubes = extractor(frames)  # (m, 224, 224, 3) uint8 -> (m, 49, 1280) float32

Families have one module for many networks, whose names have a prefix: timm:NAME and hub:OWNER/REPO:NAME. Their cubes
are of any K and D. A new extractor is a module here and its test. torch is imported only when a network is loaded:
training, which reads frame tables, does not need it.
"""

import functools
import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visual_attention.util import registry
from visual_attention.util.extractors._imagenet import class_names, top5
from visual_attention.util.extractors._network import LAST, SIZE, Network, import_torch, shape_of, state_digest

__all__ = ["EXTRACTORS", "FAMILIES", "SIZE", "Extractor", "Network", "class_names", "find_extractor", "has_gpu",
           "list_networks", "load_extractor", "load_networks", "top5"]  # fmt: skip

PAPER = "googlenet"  # comes first in help and messages
FAMILIES = {"timm": "timm:NAME", "hub": "hub:OWNER/REPO:NAME"}  # prefix of names, which has a module _<prefix> -> form


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
    """L and D of a second, finer layer"""
    layer: str | None = None
    """of a family's network"""
    interpolation: str = "bicubic"
    """filter by which frames are resized"""
    digest: str | None = None
    """beginning of the SHA-256 of a family's weights"""
    weights_gb: float = 0.0
    """memory of a family's weights"""
    frame_gb: float = 0.013
    """memory for every frame of a batch; that of EfficientNet-Lite0, measured"""

    def __call__(self, frames):
        maps, _, *fine = self._run(frames)
        return (_cubes(maps), _cubes(*fine)) if self.fine else _cubes(maps)

    def classify(self, frames):
        _, logits, *_ = self._run(frames)
        return None if logits is None else logits.cpu().numpy()

    @property
    def shapes(self):
        """(L, D) of each layer that it writes."""
        return [(self.n_locations, self.depth)] + ([self.fine] if self.fine else [])

    def frame_bytes(self, dtype):
        """Bytes of a frame's features in a table."""
        return sum(n_locations * depth for n_locations, depth in self.shapes) * np.dtype(dtype).itemsize

    def load(self):
        """Loads the network now; ValueError, OSError or ModuleNotFoundError says what is missing and how to get it."""
        return _load(self.name, self.layer, self.hub_repo, self.weights)

    def origin(self):
        """{attribute: value} for files of its cubes: its name, and what else decides which cubes a family's gives."""
        of_family = {"layer": self.layer, "weights": self.digest, "interpolation": self.interpolation}
        return {"extractor": self.name} | (of_family if self.layer else {})

    def weights_digest(self):
        """The beginning of the SHA-256 of the weights."""
        if self.digest:
            return self.digest
        path = self.weights or EXTRACTORS[self.name].weights_file(self.hub_repo)
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


def find_extractor(name, hub_repo=None, weights=None, layer=None, layers=1):
    """The extractor with this name. Its network is loaded at its first use, on the GPU if torch sees one; a family's is
    loaded now, because only then it shows what its cubes are.

    hub_repo: folder with a copy of the network's repository of torch hub, instead of the hub; the weights must then be
    given or lie in torch's cache. weights: file of a state dict, instead of the pretrained weights. layer: name of a
    layer of a family's network; if not given, the last. layers: 1, or 2 for a finer layer, too.

    ValueError, FileNotFoundError: no such extractor, layer, folder or file; a layer whose map is not square.
    """
    family = name.partition(":")[0] if ":" in name else None
    if name not in EXTRACTORS and family not in FAMILIES:
        raise ValueError(f"extractor is {name!r}; expected one of {', '.join([*EXTRACTORS, *FAMILIES.values()])}")
    network = EXTRACTORS.get(name)
    if hub_repo is not None and family != "hub" and (network is None or network.hub is None):
        users = " and ".join([other.name for other in EXTRACTORS.values() if other.hub] + [FAMILIES["hub"]])
        raise ValueError(f"a hub repository ({hub_repo}) is of use to {users} only; leave it out for {name}")
    hub_repo, weights = (None if path is None else Path(path).resolve() for path in (hub_repo, weights))
    if hub_repo is not None and not Path(hub_repo, "hubconf.py").is_file():
        copy = network.hub if network else name.removeprefix("hub:").rpartition(":")[0]
        raise FileNotFoundError(f"{hub_repo}: has no hubconf.py; expected a copy of the repository {copy}")
    if weights is not None and not weights.is_file():
        raise FileNotFoundError(f"{weights}: no such file; expected the network's weights, a state dict (.pth)")
    if layers == 2 and (network is None or network.fine is None):
        users = " and ".join(other.name for other in EXTRACTORS.values() if other.fine)
        raise ValueError(f"option --layers is 2; expected 1 with {name}; two layers of {users} are known")
    if network is None:
        return _find_in_family(name, hub_repo, weights, layer or LAST)
    if layer is not None:
        users = " and ".join(FAMILIES.values())
        raise ValueError(f"a layer ({layer}) is of use to {users} only; leave it out for {name}")
    fine = network.fine if layers == 2 else None
    return Extractor(name, network.depth, hub_repo, weights, network.n_locations, network.size, fine)


def _find_in_family(name, hub_repo, weights, layer):
    loaded = _load_of_family(name, layer, hub_repo, weights)
    torch = import_torch()
    shape, digest = shape_of(torch, name, loaded), state_digest(torch, loaded.model)
    return Extractor(
        name,
        shape.depth,
        hub_repo,
        weights,
        shape.n_locations,
        loaded.size,
        layer=layer,
        interpolation=loaded.interpolation,
        digest=digest,
        weights_gb=shape.weights_gb,
        frame_gb=shape.frame_gb,
    )


def load_extractor(name, hub_repo=None, weights=None, layer=None):
    """Like `find_extractor`, but with the network loaded; the errors of `Extractor.load` too."""
    extractor = find_extractor(name, hub_repo, weights, layer)
    extractor.load()
    return extractor


def list_networks(family):
    """The names of a family's networks that can be extractors. ValueError: the family has no list."""
    if family != "timm":
        raise ValueError(f"--list is {family!r}; expected timm, the only one with a list of its networks")
    return [f"timm:{name}" for name in _family(family).names()]


def _family(prefix):
    return importlib.import_module(f"{__name__}._{prefix}")


@functools.cache
def _load(name, layer, hub_repo, weights):
    """The function of frames that `Network.build` returns."""
    if name not in EXTRACTORS:
        return _load_of_family(name, layer, hub_repo, weights).forward
    torch, device = _torch_and_device()
    network = EXTRACTORS[name]
    return network.build(torch, device, hub_repo, weights or network.weights_file(hub_repo))


@functools.cache
def _load_of_family(name, layer, hub_repo, weights):
    family, _, rest = name.partition(":")
    return _family(family).load(*_torch_and_device(), rest, layer, hub_repo, weights)


def _torch_and_device():
    torch = import_torch()
    torch.set_num_threads(1)
    return torch, "cuda" if torch.cuda.is_available() else "cpu"


def has_gpu():
    """Whether torch sees a GPU."""
    return import_torch().cuda.is_available()
