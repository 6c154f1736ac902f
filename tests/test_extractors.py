"""The registry of extractors: a module added to its folder, without torch."""

import hashlib
import pickle

import numpy as np
import pytest

from visual_attention.util import extractors
from visual_attention.util.extractors import EXTRACTORS, find_extractor, load_extractor

TOY = """
from visual_attention.util.extractors import Network


class Maps:
    # what the extractor asks of torch's maps
    def __init__(self, values):
        self.values = values

    def flatten(self, start):
        return Maps(self.values.reshape(*self.values.shape[:start], -1))

    def transpose(self, *axes):
        return Maps(self.values.swapaxes(*axes))

    def cpu(self):
        return self

    def numpy(self):
        return self.values


def build(torch, device, hub_repo, weights):
    def forward(frames):  # maps (m, 3, 2, 2) are the frames themselves
        return Maps(frames.transpose(0, 3, 1, 2).astype("float32")), Maps(frames.mean((1, 2)))

    return forward


NETWORK = Network("toy", 3, build, weights_file=lambda hub_repo: hub_repo, n_locations=4, size=2)
"""


@pytest.fixture
def with_toy(tmp_path, monkeypatch):
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(extractors, "__path__", [*extractors.__path__, str(tmp_path)])
    monkeypatch.setattr(extractors, "EXTRACTORS", extractors.load_networks())

    class Torch:  # what loading asks of torch
        set_num_threads = staticmethod(lambda n: None)
        cuda = type("cuda", (), {"is_available": staticmethod(lambda: False)})

    monkeypatch.setattr(extractors, "import_torch", lambda: Torch)


def test_a_module_in_the_folder_is_an_extractor(with_toy, tmp_path):
    assert list(EXTRACTORS) == ["googlenet", "efficientnet-lite0"]
    assert list(extractors.EXTRACTORS) == ["googlenet", "efficientnet-lite0", "toy"]
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"weights")
    extractor = load_extractor("toy", weights=weights)
    assert pickle.loads(pickle.dumps(extractor)) == extractor
    frames = np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)
    np.testing.assert_array_equal(extractor(frames), frames.reshape(2, 4, 3))  # location 2 * row + column
    assert extractor(frames).dtype == np.float32 and extractor.classify(frames).shape == (2, 3)
    assert extractor.weights_digest() == hashlib.sha256(b"weights").hexdigest()[:8]
    with pytest.raises(ValueError, match=r"^frames are uint8 \(2, 3, 2, 3\); expected uint8 \(frames, 2, 2, 3\)$"):
        extractor(np.zeros((2, 3, 2, 3), np.uint8))
    with pytest.raises(
        ValueError, match="^a hub repository .* is of use to googlenet and hub:.*; leave it out for toy$"
    ):
        find_extractor("toy", hub_repo=tmp_path)


def test_digest_of_the_hubs_weights_is_in_their_name():
    assert find_extractor("googlenet").weights_digest() == "1378be20"
