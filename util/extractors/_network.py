"""What the modules of pretrained networks share."""

import functools
import hashlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from visual_attention.util.extras import import_extra

SIZE = 224  # pixels, the side of the frames that a network sees
LAST = "last"  # the layer of a family's network that is not chosen
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WORKING = 3  # memory of a pass relative to the largest input and output of a module; measured: 1.6 to 3.0


@dataclass(frozen=True)
class Network:
    """A pretrained network that can be an extractor. A module of this package defines one as NETWORK."""

    name: str
    """name of the extractor on the command line and in files"""
    depth: int
    """D, depth of its cubes"""
    build: Callable
    """(torch, device, hub_repo, weights file) -> function of frames (m, size, size, 3) uint8, which returns torch's
    maps (m, D, K, K) and ImageNet logits (m, 1000); and maps of the finer layer, if `fine` says that there is one"""
    weights_file: Callable
    """(hub_repo) -> file of the pretrained weights; None: torch hub fetches them itself"""
    n_locations: int = 49
    """L = K², locations of its cubes"""
    size: int = SIZE
    """pixels, the side of its frames"""
    fine: tuple[int, int] | None = None
    """locations and depth of a second, finer layer, for extraction of two layers"""
    hub: str | None = None
    """the repository of torch hub that it comes from"""
    hub_digest: str | None = None
    """beginning of the SHA-256 of the weights that torch hub fetches"""


@dataclass(frozen=True)
class Loaded:
    """A network of a family, such as all of timm, in memory: only there can its cubes be known."""

    model: object
    """torch's module, with its weights"""
    forward: Callable
    """as of `Network.build`; logits are None where the network has no ImageNet classes"""
    size: int = SIZE
    """pixels, the side of its frames"""
    interpolation: str = "bicubic"
    """filter by which its frames are resized"""


@dataclass(frozen=True)
class Shape:
    """What a pass of a black frame through a network shows."""

    n_locations: int
    """L = K², locations of its cubes"""
    depth: int
    """D, depth of its cubes"""
    weights_gb: float
    """memory of its weights"""
    frame_gb: float
    """further memory for every frame of a batch, roughly"""


def import_torch():
    """The module torch, which only extraction needs. ModuleNotFoundError says how to install it."""
    return import_extra("torch", "extraction needs torch", "extract")


def frames_to_tensor(torch, frames, device):
    """Frames (m, size, size, 3) uint8 as torch has them, (m, 3, size, size) on the device, still uint8."""
    return torch.from_numpy(frames).to(device).permute(0, 3, 1, 2)


def normalised(torch, frames, device, mean, std):
    """Frames (m, size, size, 3) uint8 as a network's input, (m, 3, size, size) float32. mean, std: of each colour."""
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (mean, std))
    return (frames_to_tensor(torch, frames, device) / 255 - mean) / std


def load_weights(torch, model, path, leave_out=()):
    """Loads a state dict without the names that begin with `leave_out`. ValueError: it does not fit the model."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict({name: value for name, value in state.items() if not name.startswith(leave_out)})
    except Exception as error:  # of a file that is not its own, torch raises anything from EOFError to UnpicklingError
        raise misfit(path, error) from error


def misfit(path, error):
    """The ValueError of a file that is no state dict of a network, with the first keys that do not fit."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    if lines[0].startswith("Error(s) in loading"):  # then torch has a line for missing keys, for others, for each shape
        lines = lines[1:4]
    reason = re.sub('("[^"]*"(?:, "[^"]*"){2}), "[^"]*"(?:, "[^"]*")*', r"\1, …", " ".join(lines))
    reason = re.sub(r"torch\.Size\((.*?)\)", r"\1", reason).replace("(s)", "s")
    return ValueError(f"{path}: is not the state dict of this network ({reason.rstrip('. ')}); get it again")


def shape_of(torch, name, loaded):
    """The `Shape` of a `Loaded` network. ValueError: its maps are none, or not square."""
    largest = 0

    def watch(module, inputs, output):
        nonlocal largest
        tensors = [x for x in (*inputs, output) if torch.is_tensor(x)]
        largest = max(largest, sum(x.numel() * x.element_size() for x in tensors))

    hooks = [module.register_forward_hook(watch) for module in loaded.model.modules()]
    maps, _ = loaded.forward(np.zeros((1, loaded.size, loaded.size, 3), np.uint8))
    for hook in hooks:
        hook.remove()
    if maps.ndim != 4 or maps.shape[2] != maps.shape[3]:
        found = " × ".join(map(str, maps.shape[1:]))
        raise ValueError(f"extractor {name}: its layer gives {found}; expected a square map, D × K × K; choose another")
    weights = sum(x.numel() * x.element_size() for x in loaded.model.state_dict().values())
    return Shape(maps.shape[2] ** 2, maps.shape[1], weights / 1e9, WORKING * largest / 1e9)


def state_digest(torch, model):
    """The beginning of the SHA-256 of a model's weights, whatever file they are from."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:8]


def check_layer(name, layer, layers):
    """ValueError unless a network has the layer."""
    if layer not in layers:
        raise ValueError(f"extractor {name}: has no layer {layer!r}; expected one of {', '.join(layers)}")


def without_operators(torch, load):
    """load(), which imports torchvision, even one that was built for another torch.

    PyPI's torchvision is built for CUDA. Beside torch's CPU build it has its models, which is all that is needed, but
    no operators of its own, and so it cannot be imported. It can, once they are declared.
    """
    while True:
        try:
            with warnings.catch_warnings():
                # a torchvision that was built for another torch still has its models
                warnings.filterwarnings("ignore", message="Failed to load image Python extension")
                return load()
        except RuntimeError as error:
            lacking = re.fullmatch(r"operator torchvision::(\w+) does not exist", str(error))
            if not lacking:
                raise
            _operators(torch).define(f"{lacking[1]}() -> ()")


@functools.cache  # declarations end with this object
def _operators(torch):
    return torch.library.Library("torchvision", "FRAGMENT")


def evaluation_mode(torch, model, device):
    """The model on the device, ready for inference; channels_last was measured to be faster."""
    return model.eval().to(device, memory_format=torch.channels_last)
