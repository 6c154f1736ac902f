"""Networks of torch hub that offer patch tokens, as hub:OWNER/REPO:NAME, such as DINOv2: all tokens of a block.

Frames are 224 x 224, with ImageNet's normalisation. Tokens are normalised as the last block's, without class token and
registers.
"""

import os

from visual_attention.util.extractors._network import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    LAST,
    Loaded,
    check_layer,
    evaluation_mode,
    load_weights,
    normalised,
)


def load(torch, device, name, layer, hub_repo, weights):
    """A `Loaded` network. ValueError: no such layer or weights, or no tokens. OSError: it cannot be fetched."""
    repo, _, entry = name.rpartition(":")
    if repo.count("/") != 1:
        raise ValueError(
            f"extractor hub:{name}: expected hub:OWNER/REPO:NAME, such as hub:facebookresearch/dinov2:dinov2_vits14"
        )
    where, source = (repo, "github") if hub_repo is None else (os.fspath(hub_repo), "local")
    try:
        # Without validation, a cached repository is used without asking GitHub.
        model = torch.hub.load(where, entry, source=source, skip_validation=True, pretrained=weights is None)
    except Exception as error:  # of anybody's Python files, anything
        raise OSError(
            f"torch hub cannot load {entry} from {where} ({error}); offline use --hub-repo DIR, a copy of {repo}, and "
            "--weights FILE"
        ) from error
    if not hasattr(model, "get_intermediate_layers"):
        raise ValueError(f"extractor hub:{name}: offers no patch tokens (get_intermediate_layers); choose another")
    if weights is not None:
        load_weights(torch, model, weights)
    blocks = [f"blocks.{k}" for k in range(len(model.blocks))]
    check_layer(f"hub:{name}", layer, [LAST, *blocks])
    number = len(blocks) - 1 if layer == LAST else blocks.index(layer)
    evaluation_mode(torch, model, device)

    @torch.inference_mode()
    def forward(frames):
        x = normalised(torch, frames, device, IMAGENET_MEAN, IMAGENET_STD)
        return model.get_intermediate_layers(x, [number], reshape=True, norm=True)[0], None

    return Loaded(model, forward)
