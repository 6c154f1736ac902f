"""Every network of the package timm, as timm:NAME: its last map, or a layer of its feature interface.

NAME may have a tag, which selects one of several weights. Size and normalisation of frames and the filter that resizes
them are the network's own. Its crop is not: the whole frame is seen. Maps of a transformer are its patch tokens,
normalised as its last ones, without class token and registers.
"""

import difflib
import socket
from urllib.parse import urlsplit
from urllib.request import getproxies

from visual_attention.util.extractors._network import (
    LAST,
    Loaded,
    check_layer,
    evaluation_mode,
    import_torch,
    misfit,
    normalised,
    without_operators,
)
from visual_attention.util.extras import import_extra

IMAGENET = 1000  # classes whose order is known
WITHOUT_NORM = ("Hiera", "HieraDet")  # whose maps timm does not normalise


def names():
    """Names that timm's networks with a feature interface and pretrained weights have, tags included."""
    timm, fit = _import(import_torch()), set()
    for module in timm.list_modules():
        kinds = vars(getattr(timm.models, module)).values()
        if any(isinstance(kind, type) and hasattr(kind, "forward_intermediates") for kind in kinds):
            fit |= set(timm.list_models(module=module, pretrained=True))
    return sorted(fit)


def load(torch, device, name, layer, hub_repo, weights):
    """A `Loaded` network. ValueError: no such network, layer or weights. OSError: the weights cannot be fetched."""
    timm = _import(torch)
    known = {*timm.list_models(), *timm.list_pretrained()}
    if name not in known:
        near = difflib.get_close_matches(name, sorted(known), 1)
        expected = f"expected {near[0]}, perhaps; " if near else ""
        raise ValueError(f"extractor timm:{name}: timm {timm.__version__} has no such network; {expected}--list timm")
    model = _model(timm, name, weights)
    if not hasattr(model, "forward_intermediates"):
        raise ValueError(f"extractor timm:{name}: timm gives no maps of it; expected one that --list timm prints")
    layers = [LAST, *(info["module"] for info in model.feature_info)]
    check_layer(f"timm:{name}", layer, layers)
    how = {"indices": [layers.index(layer) - 1], "norm": type(model).__name__ not in WITHOUT_NORM}  # -1 is the last
    config = timm.data.resolve_data_config({}, model=model)
    channels, height, width = config["input_size"]
    if channels != 3 or height != width:
        raise ValueError(
            f"extractor timm:{name}: sees frames of {channels} × {height} × {width}; expected 3 × K × K; choose another"
        )
    evaluation_mode(torch, model, device)

    @torch.inference_mode()
    def forward(frames):
        x = normalised(torch, frames, device, config["mean"], config["std"])
        if layer != LAST:
            return model.forward_intermediates(x, **how, stop_early=True, intermediates_only=True)[0], None
        final, (maps,) = model.forward_intermediates(x, **how)
        logits = model.forward_head(final) if model.num_classes == IMAGENET else None
        # Some networks have one more convolution after the last of their stages, such as EfficientNets.
        return final if torch.is_tensor(final) and final.shape[2:] == maps.shape[2:] else maps, logits

    return Loaded(model, forward, width, config["interpolation"])


def _model(timm, name, weights):
    if weights is None:
        if not timm.models.is_model_pretrained(name):
            raise ValueError(
                f"extractor timm:{name}: timm has no weights of it; give them by --weights FILE, or choose a network "
                "that --list timm prints"
            )
        _give_up_without_network()
        try:
            return timm.create_model(name, pretrained=True)
        except Exception as error:  # of many kinds, by the hub's client
            reason = str(error).strip().splitlines()[0]
            raise OSError(
                f"timm cannot get weights of {name} ({reason}); offline use --weights FILE, the model.safetensors of "
                f"timm/{name} at the Hugging Face hub"
            ) from error
    try:
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": weights, "custom_load": False})
    except Exception as error:  # of a file that is not its own, anything
        raise misfit(weights, error) from error


def _give_up_without_network():
    """The hub's client looks in its cache only, instead of trying for a minute, if the hub's name is unknown here."""
    from huggingface_hub import constants

    if not getproxies():
        try:
            socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
        except OSError:
            constants.HF_HUB_OFFLINE = True


def _import(torch):
    return without_operators(torch, lambda: import_extra("timm", "extractor timm:NAME needs timm", "extract"))
