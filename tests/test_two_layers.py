"""Two layers of a network: in one frame table, from extraction to batches, in the model, in pictures."""

import shutil
from dataclasses import dataclass

import h5py
import numpy as np
import pytest
from stub_extractor import Stub, make_clip, needs, needs_efficientnet
from test_extraction import hub  # noqa: F401  (a fixture)
from test_model import TINY, VARIANTS, make_batch, make_model, values

from visual_attention.experiment import budget
from visual_attention.experiment.data import check_data, data_options, load_coverage, load_part, load_parts
from visual_attention.experiment.parameters import trained_model
from visual_attention.experiment.runs import run_cell
from visual_attention.options import Options
from visual_attention.presentation import pictures, player
from visual_attention.util import drawing
from visual_attention.util.data_handler import DataHandler
from visual_attention.util.data_lists import write_class_names, write_lists
from visual_attention.util.embedded import DEPTH, Difficulty, extract_cubes, make_embedded, render_video
from visual_attention.util.entries import Entry
from visual_attention.util.extractors import EXTRACTORS, find_extractor
from visual_attention.util.features import extract
from visual_attention.util.frame_table import (
    FINE,
    FrameTable,
    FrameTableWriter,
    TwoLayerTable,
    write_virtual_table,
)

RNG = np.random.default_rng(0)
COARSE, FINER = RNG.random((20, 9, 4), "float32"), RNG.random((20, 16, 3), "float32")  # cubes of 20 frames
BOTH = np.concatenate([COARSE.reshape(20, -1), FINER.reshape(20, -1)], axis=1)


def make_part(folder, part="train", layout="location", fine=(16, 3)):
    folder.mkdir(exist_ok=True, parents=True)
    layers = (COARSE, FINER) if fine else (COARSE,)
    with FrameTableWriter(folder / f"{part}_features.h5", 9, 4, layout, "float32", fine=fine) as table:
        table.append(*(layer[:7] for layer in layers))
        table.append(*(layer[7:] for layer in layers))
    write_lists(folder, part, [f"{part}{k}" for k in range(4)], [5, 4, 6, 5], [0, 1, 0, 1])
    return folder / f"{part}_features.h5"


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("layout", ["location", "released"])
def test_both_layers_are_read_together(tmp_path, layout):
    """Also through a virtual table; and who reads one layer gets the coarse one."""
    path = make_part(tmp_path, layout=layout)
    write_virtual_table(tmp_path / "part.h5", path, [(12, 3), (2, 4)])
    table, part = TwoLayerTable(path), TwoLayerTable(tmp_path / "part.h5")
    np.testing.assert_array_equal(table.load(), BOTH)
    np.testing.assert_array_equal(part.read(0, 7), np.concatenate([BOTH[12:15], BOTH[2:6]]))
    np.testing.assert_array_equal(FrameTable(path).load(), COARSE)
    assert table.frame_bytes == BOTH[0].nbytes and (table.fine.n_locations, table.fine.depth) == (16, 3)


def test_a_changed_frame_of_the_fine_layer_is_detected(tmp_path):
    path = make_part(tmp_path)
    with h5py.File(path, "r+") as file:
        file["features_fine"][6, 5] = 0
    with pytest.raises(ValueError, match=f"^{path}: is damaged, frame 6 is not what was written; make it again$"):
        TwoLayerTable(path).read(4, 8)
    FrameTable(path).read(4, 8)


def test_layers_that_do_not_fit_are_refused(tmp_path):
    path = make_part(tmp_path, fine=None)
    with pytest.raises(ValueError, match=f"^{path}: has one layer of features; expected two; extract them by --layers"):
        TwoLayerTable(path)
    path = make_part(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["crc32_fine"]
        file["features_fine"].resize(19, axis=0)
    with pytest.raises(ValueError, match=f"^{path}: n_frames of its layers is 20 and 19; expected the same; make it "):
        TwoLayerTable(path)
    with pytest.raises(ValueError, match=r"cubes are \(3, 16, 4\); expected \(frames, 16, 3\)"):
        with FrameTableWriter(tmp_path / "new.h5", 9, 4, fine=(16, 3)) as table:
            table.append(COARSE[:3], np.zeros((3, 16, 4)))
    assert not (tmp_path / "new.h5").exists()


def test_batches_from_memory_from_windows_and_from_a_buffer_are_the_same(tmp_path):
    make_part(tmp_path)
    batches = []
    for memory_gb in (1, 1e-9, 12 * BOTH[0].nbytes / 1e9):
        data = DataHandler(tmp_path, "train", maxlen=3, ctx_dim=4, memory_gb=memory_gb, both=True)
        batches.append(list(data.batches(np.arange(data.n_windows), 4)))
    for from_memory, *others in zip(*batches, strict=True):
        frames, windows = from_memory.frames[from_memory.index], from_memory.windows
        np.testing.assert_array_equal(frames[:, : len(windows)], BOTH[data.index[:, windows]])
        for other in others:
            np.testing.assert_array_equal(other.frames[other.index], frames)


# ---------------------------------------------------------------- extraction


@dataclass(frozen=True)
class TwoLayerStub(Stub):
    """The stub's cubes; and those of a finer layer, (4, 4, 2), whose numbers are the frame's number + location / 32."""

    def __call__(self, frames):
        fine = frames.mean((1, 2, 3))[:, None, None] // 4 + np.arange(16)[:, None] / 32 + np.zeros(2)
        return super().__call__(frames), fine.astype("float32")


STUB = TwoLayerStub("stub", 5, fine=(16, 2))


@pytest.mark.parametrize("layout", ["location", "released"])
def test_extraction_of_two_layers_with_splits(tmp_path, layout):
    """Both layers in every table; the coarse ones are those of an extraction of one layer; other layers are refused."""
    entries = []
    for k, part in enumerate(("train", "valid", "test")):
        path = make_clip(tmp_path / "videos" / f"{k}.mp4", 4 + k, 30)
        entries += [Entry(path.name, part, path, k % 2, folder=split) for split in ("split1", "split2")]
    settings = {"workers": 1, "progress": False, "batch_size": 3, "layout": layout}
    extract(entries, tmp_path / "two", tmp_path / "videos", ["a", "b"], STUB, **settings)
    extract(entries, tmp_path / "one", tmp_path / "videos", ["a", "b"], Stub("stub", 5), **settings)
    for k, part in enumerate(("train", "valid", "test")):
        table = TwoLayerTable(tmp_path / "two" / "split2" / f"{part}_features.h5")
        np.testing.assert_array_equal(table.fine.load()[:, :, 0], np.arange(4 + k)[:, None] + np.arange(16) / 32)
        one = FrameTable(tmp_path / "one" / "split2" / f"{part}_features.h5")
        np.testing.assert_array_equal(table.coarse.load(), one.load())
        assert not one.has_fine and table.layout == layout
    with pytest.raises(FileExistsError, match="two: was made with --layers 2, not 1; remove it or choose another"):
        extract(entries, tmp_path / "two", tmp_path / "videos", ["a", "b"], Stub("stub", 5), **settings)
    with pytest.raises(FileExistsError, match="one: was made with --layers 1, not 2; remove it or choose another"):
        extract(entries, tmp_path / "one", tmp_path / "videos", ["a", "b"], STUB, **settings)


def frames_of_noise():
    return np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)


@needs_efficientnet
def test_efficientnet_at_two_strides():
    """The fine cubes are what the network's first eleven blocks make; the coarse ones are those of one layer."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    frames, extractor = frames_of_noise(), find_extractor("efficientnet-lite0", layers=2)
    coarse, fine = extractor(frames)
    np.testing.assert_array_equal(coarse, find_extractor("efficientnet-lite0")(frames))
    model = EfficientNet.from_name("efficientnet-lite0")
    weights = EXTRACTORS["efficientnet-lite0"].weights_file(None)
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    model.eval()
    with torch.inference_mode():
        x = (torch.from_numpy(frames).permute(0, 3, 1, 2) - 127.0) / 128
        x = model._relu(model._bn0(model._conv_stem(x))) if hasattr(model, "_relu") else model._swish(
            model._bn0(model._conv_stem(x)))  # fmt: skip
        for block in model._blocks[:11]:
            x = block(x)
    expected = x.numpy().reshape(2, 112, 196).transpose(0, 2, 1)
    assert fine.shape == (2, *extractor.fine) == expected.shape
    np.testing.assert_allclose(fine, expected, rtol=1e-3, atol=1e-3)


@needs("torch", "torchvision")
def test_googlenet_at_two_layers(hub):  # noqa: F811
    """inception4e and inception5b: the latter is what follows from the former by the rest of the network."""
    import torch

    folder, model = hub
    frames, extractor = frames_of_noise(), find_extractor("googlenet", folder, folder / "random.pth", layers=2)
    coarse, fine = extractor(frames)
    np.testing.assert_array_equal(coarse, find_extractor("googlenet", folder, folder / "random.pth")(frames))
    assert fine.shape == (2, 196, 832) == (2, *extractor.fine)
    with torch.inference_mode():
        x = torch.from_numpy(fine).transpose(1, 2).reshape(2, 832, 14, 14)
        x = model.inception5b(model.inception5a(model.maxpool4(x)))
    np.testing.assert_allclose(x.flatten(2).transpose(1, 2).numpy(), coarse, rtol=1e-3, atol=1e-4)


# ---------------------------------------------------------------- the model


@pytest.mark.parametrize("name", ["both_layers", "layer_then_place"])
def test_two_layers_equal_one_layer_of_their_projections(name):
    """The model of one layer, given the projected cubes as features, has the same glimpses and probabilities; and a
    layer is chosen as the equation says."""
    options = TINY.replace(**VARIANTS[name])
    model, batch = make_model(options), make_batch(options)
    probs, alpha = model.predict(batch)
    params, n = values(model), options.n_locations
    coarse, fine = np.split(batch.frames, [n * options.ctx_dim], axis=1)
    cubes = (coarse.reshape(-1, n, options.ctx_dim) @ params["decoder_V"],
             fine.reshape(-1, options.fine_locations, options.fine_dim) @ params["decoder_V_fine"])  # fmt: skip
    batch.frames = np.concatenate(cubes, axis=1)
    attention = options.attention if name == "both_layers" else "given"
    one = make_model(options.replace(resolutions="one", ctx_dim=options.common_dim, n_locations=alpha.shape[-1],
                                     attention=attention))  # fmt: skip
    for parameter, variable in one.tparams.items():
        variable.set_value(params[parameter])
    expected_probs, expected_alpha = one.predict(batch, given=alpha if attention == "given" else None)
    np.testing.assert_allclose(alpha, expected_alpha, rtol=1e-10)
    np.testing.assert_allclose(probs, expected_probs, rtol=1e-10)


def test_number_of_parameters():
    for name in ("both_layers", "layer_then_place"):
        options = TINY.replace(**VARIANTS[name])
        assert budget.n_params(options) == sum(value.size for value in values(make_model(options)).values())
        assert budget.flops(options) > budget.flops(options.replace(resolutions="one"))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"resolutions": "both"}, "option resolutions is 'both'; expected 'one', as the frame table has one"),
        ({"resolutions": "choose", "fine_locations": 4, "fine_dim": 2, "pooling": "cube"},
         "option resolutions is 'choose'; expected 'one' with pooling cube"),
        ({"resolutions": "two"}, "option resolutions is 'two'; expected one of one, both, choose"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Options(**changes)


# ---------------------------------------------------------------- training, on the embedded data set


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedded")
    return make_embedded(folder / "two", 3, (1, 1, 1), 1, fine=True, difficulty=Difficulty(heights=(40, 60)))


def test_embedded_data_of_two_layers(embedded, tmp_path):
    """The coarse layer is the default data set's; the finer one has the same features on cells of half the side."""
    make_embedded(tmp_path / "one", 3, (1, 1, 1), 1)
    make_embedded(tmp_path / "two", 3, (1, 1, 1), 1, fine=True)
    table = TwoLayerTable(tmp_path / "two" / "test_features.h5")
    np.testing.assert_array_equal(table.coarse.load(), FrameTable(tmp_path / "one" / "test_features.h5").load())
    assert (table.fine.n_locations, table.fine.depth) == (196, DEPTH)
    frames, _ = render_video(3, "walk/test_000")
    np.testing.assert_array_equal(extract_cubes(frames, 14), table.fine.read(0, len(frames)))
    patch = np.full((1, 224, 224, 3), 128, np.uint8)
    patch[:, 16 * 5 : 16 * 6, 16 * 9 : 16 * 10] = (230, 20, 20)  # vivid, exactly the cell in row 5 and column 9
    for grid, place in ((14, 5 * 14 + 9), (7, 2 * 7 + 4)):
        assert extract_cubes(patch, grid)[0].sum(axis=1).argmax() == place
    boxes = (np.load(folder / "test_boxes.npy") for folder in (tmp_path / "one", embedded))
    ordinary, small = (np.ptp(of_folder[:, 1::2], axis=1).mean() for of_folder in boxes)
    assert small < 0.7 * ordinary


def test_a_run_on_two_layers_and_its_pictures(embedded, tmp_path):
    changes = {"maxlen": 4, "dim": 8, "dim_out": 8, "n_layers_lstm": 1, "batch_size": 8, "max_epochs": 1,
               "training_stride": 9, "testing_stride": 9, "common_dim": 6, "attention": "mlp"}  # fmt: skip
    options = Options(**data_options(embedded) | changes, resolutions="choose")
    assert (options.n_locations, options.fine_locations, options.fine_dim) == (49, 196, DEPTH)
    data = load_parts(embedded, options)
    result = run_cell(options, tmp_path / "run", data)
    assert 0 < result["attention_on_figure"] < 1 and 0 < result["uniform_on_figure"] < 1
    coverage = load_coverage(data["test"])
    assert coverage.shape == (data["test"].table.n_frames, 245)
    model, test = trained_model(tmp_path / "run", "float32"), data["test"]
    watched = pictures.watch_video(model, test, 0, pictures.read_frames(test, 0))
    assert watched.alpha.shape[1] == 245
    one_row = pictures.WatchedVideo(**vars(watched) | {"alpha": watched.alpha[:, :49]}).strip()
    assert watched.strip().height - one_row.height == drawing.TILE + 4  # a row for each layer
    assert watched.movie().shape[2] == 3 * 224 + 2 * 4
    page = player.page("", {"attention_mlp_lambda0": model}, test, [0], lambda k: None)
    (seen,) = page["videos"][0]["models"]
    assert page["sides"] == [7, 14] and seen["alpha"]["shape"] == [len(watched.rows), 245] and len(seen["full"]) == 2
    assert page["models"][0]["reason"] == "A glimpse of two resolutions cannot be given by hand."
    with pytest.raises(ValueError, match="option fine_dim is 9; expected 64 for these data"):
        check_data(options.replace(fine_dim=9), test)


def test_data_of_two_layers_train_a_model_of_one_as_data_of_one_do(embedded, tmp_path):
    """To the bit."""
    changes = {"maxlen": 4, "dim": 8, "dim_out": 8, "n_layers_lstm": 1, "batch_size": 8, "max_epochs": 1,
               "training_stride": 9, "testing_stride": 9}  # fmt: skip
    shutil.copytree(embedded, tmp_path / "one")
    for part in ("train", "valid", "test"):
        with h5py.File(tmp_path / "one" / f"{part}_features.h5", "r+") as file:
            del file[f"features{FINE}"], file[f"crc32{FINE}"]
    for folder in (embedded, tmp_path / "one"):
        options = Options(**data_options(folder) | changes | {"fine_locations": 0, "fine_dim": 0})
        run_cell(options, tmp_path / f"run_{folder.name}", load_parts(folder, options))
    files = [(tmp_path / f"run_{name}" / "predictions.csv").read_bytes() for name in ("two", "one")]
    assert files[0] == files[1]


def test_both_maps_have_one_scale_of_brightness():
    """Equal weight per area is equally bright, and the map with less weight is darker."""
    alpha = np.concatenate([np.full((1, 49), 0.5 / 49), np.full((1, 196), 0.5 / 196)], axis=1)
    lights = [drawing.heat(*layer) for layer in drawing.maps(alpha, 49)]
    np.testing.assert_allclose(lights[0].astype(int), lights[1], atol=1)
    alpha[:, :49] *= 0.2
    coarse, fine = (drawing.heat(*layer).mean() for layer in drawing.maps(alpha, 49))
    assert coarse < fine
    one = np.full((1, 49), 1 / 49)
    ((part, full),) = drawing.maps(one, 49)
    assert part is one and full == drawing.full_light(one)


def test_a_folder_without_a_fine_layer_is_refused(tmp_path):
    for part in ("train", "valid", "test"):
        make_part(tmp_path, part, fine=None)
    write_class_names(tmp_path, ["a", "b"])
    assert "fine_dim" not in data_options(tmp_path)
    with pytest.raises(ValueError, match="train_features.h5: has one layer of features; expected two"):
        load_part(tmp_path, "train", Options(resolutions="both", fine_locations=16, fine_dim=3, n_actions=2, ctx_dim=4))
