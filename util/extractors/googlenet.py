"""GoogLeNet of torch hub at inception5b, cubes of 7 x 7 x 1024: the paper's network, as far as PyTorch has it.

Its finer layer is inception4e, 14 x 14 x 832.
"""

import functools
import os
from pathlib import Path

from visual_attention.util.extractors._network import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Network,
    evaluation_mode,
    import_torch,
    load_weights,
    normalised,
    without_operators,
)

HUB = "pytorch/vision:v0.15.2"  # the last release whose Python files run without compiled operators of the same torch
WEIGHTS = "googlenet-1378be20.pth"


def weights_file(hub_repo):
    """The file in torch's cache, if the repository is a local folder. FileNotFoundError: it is not there."""
    if hub_repo is None:
        return None
    path = Path(import_torch().hub.get_dir(), "checkpoints", WEIGHTS)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; with --hub-repo give {WEIGHTS} by --weights FILE")
    return path


def build(torch, device, hub_repo, weights):
    repo, source = (HUB, "github") if hub_repo is None else (os.fspath(hub_repo), "local")
    # The arguments that torch hub itself uses with its weights. The auxiliary heads serve training only.
    kwargs = {"weights": "IMAGENET1K_V1"}
    if weights is not None:
        kwargs = {"weights": None, "transform_input": True, "aux_logits": False, "init_weights": False}
    try:
        # Without validation, a cached repository is used without asking GitHub.
        load = functools.partial(torch.hub.load, repo, "googlenet", source=source, skip_validation=True, **kwargs)
        model = without_operators(torch, load)
    except (OSError, RuntimeError, ImportError) as error:
        raise OSError(
            f"torch hub cannot load googlenet from {repo} ({error}); offline use --hub-repo DIR, a copy of {HUB}, "
            "and --weights FILE"
        ) from error
    if weights is not None:
        load_weights(torch, model, weights, leave_out=("aux1.", "aux2."))
    evaluation_mode(torch, model, device)

    tapped = {}
    for name in ("inception4e", "inception5b"):
        layer = getattr(model, name)
        layer.register_forward_hook(lambda module, inputs, output, name=name: tapped.update({name: output}))

    @torch.inference_mode()
    def forward(frames):
        # transform_input turns this normalisation into that of the weights
        logits = model(normalised(torch, frames, device, IMAGENET_MEAN, IMAGENET_STD))
        return tapped.pop("inception5b"), logits, tapped.pop("inception4e")

    return forward


NETWORK = Network(
    name="googlenet",
    depth=1024,
    build=build,
    weights_file=weights_file,
    fine=(196, 832),
    hub=HUB,
    hub_digest=WEIGHTS.split("-")[1].removesuffix(".pth"),  # torch names the file so
)
