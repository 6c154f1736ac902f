"""What the modules of pretrained networks share."""

from collections.abc import Callable
from dataclasses import dataclass

from visual_attention.util.extras import import_extra

SIZE = 224  # pixels, the side of the frames that a network sees


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


def import_torch():
    """The module torch, which only extraction needs. ModuleNotFoundError says how to install it."""
    return import_extra("torch", "extraction needs torch", "extract")


def frames_to_tensor(torch, frames, device):
    """Frames (m, size, size, 3) uint8 as torch has them, (m, 3, size, size) on the device, still uint8."""
    return torch.from_numpy(frames).to(device).permute(0, 3, 1, 2)


def load_weights(torch, model, path, leave_out=()):
    """Loads a state dict without the names that begin with `leave_out`. ValueError: it does not fit the model."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict({name: value for name, value in state.items() if not name.startswith(leave_out)})
    except Exception as error:  # of a file that is not its own, torch raises anything from EOFError to UnpicklingError
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{path}: is not the state dict of this network ({reason}); get it again") from error


def evaluation_mode(torch, model, device):
    """The model on the device, ready for inference; channels_last was measured to be faster."""
    return model.eval().to(device, memory_format=torch.channels_last)
