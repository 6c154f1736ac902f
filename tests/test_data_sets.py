"""The registry of data sets: recipes built from it, the paper's and the released program's names, a module added."""

import dataclasses

import pytest

from visual_attention.experiment import released
from visual_attention.options import MODELS, RECIPES, Options, recipe
from visual_attention.util import data_sets
from visual_attention.util.data_sets import DATA_SETS, with_videos

SMALL = {"n_actions": 8, "ctx_dim": 64, "dim": 64, "dim_out": 64, "n_layers_lstm": 1, "maxlen": 15, "fps": 15,
         "training_stride": 2, "testing_stride": 2, "batch_size": 16}  # fmt: skip
PROGRAM = {"attention": "mlp", "n_layers_lstm": 1, "n_layers_init": 1, "dropout": "released", "cost": "released",
           "init": "released", "video_score": "vote"}  # fmt: skip
ADAM = {"optimizer": "adam_released", "lrate": 1e-4, "last_n": 30}
WIDE = {"n_actions": 51, "dim": 1024, "dim_out": 1024}
UCF101 = {"n_actions": 101}
DIFFERENCES = {  # recipe and data set -> what differs from the defaults of Options
    ("paper", "ucf11"): {},
    ("paper", "hmdb51"): WIDE,
    ("paper", "hollywood2"): {"n_actions": 12, "multilabel": True},
    ("paper", "ucf101"): {**WIDE, **UCF101},
    ("paper", "embedded"): {**SMALL, "lrate": 3e-3},
    ("released", "ucf11"): {**PROGRAM, **ADAM},
    ("released", "hmdb51"): {**PROGRAM, **WIDE, "n_layers_att": 3, "optimizer": "sgd", "lrate": 1e-5, "last_n": 16},
    ("released", "hollywood2"): {**PROGRAM, "n_actions": 12, "multilabel": True, "optimizer": "sgd", "lrate": 1e-4,
                                 "last_n": 16},
    ("released", "ucf101"): {**PROGRAM, **ADAM, **UCF101},
    ("released", "embedded"): {**PROGRAM, **SMALL, **ADAM},
}  # fmt: skip


@pytest.mark.parametrize("name, data_set", DIFFERENCES)
def test_options_of_a_recipe(name, data_set):
    for model, changes in MODELS.items():
        options, default = (dataclasses.asdict(o) for o in (recipe(name, data_set, model), Options()))
        expected = {**DIFFERENCES[name, data_set], **changes}
        assert options == default | expected


def test_every_data_set_has_options_in_every_recipe():
    assert list(DATA_SETS)[:3] == ["ucf11", "hmdb51", "hollywood2"]
    for name, changes in RECIPES.items():
        assert list(changes) == list(DATA_SETS)
        for data_set, values in changes.items():
            assert {"n_actions", "multilabel"} <= values.keys() and recipe(name, data_set).n_actions > 1
    assert "embedded" not in with_videos() and set(with_videos()) < set(DATA_SETS)


def test_numbers_and_names_of_the_paper_and_the_released_program():
    """Table 1, row λ = 0; Table 2, the same model with one digit."""
    scores = {d.name: d.table1["attention_lambda0"] for d in DATA_SETS.values() if d.table1}
    assert scores == {"ucf11": 84.96, "hmdb51": 41.31, "hollywood2": 43.91}
    for data_set in DATA_SETS.values():
        assert set(data_set.table1) <= set(MODELS)
        assert data_set.metric == ("mAP" if recipe("paper", data_set.name).multilabel else "accuracy")
        if data_set.table2:
            assert data_set.table2["soft_attention"] == round(data_set.table1["attention_lambda0"], 1)
        if data_set.released_name:
            options = released.from_released({"dataset": data_set.released_name})
            assert options.multilabel == data_set.multilabel


TOY = """
from visual_attention.util.data_sets import DataSet

DATA_SET = DataSet("toy", "Toy", 2.5, 7, paper_options={"dim": 9})
"""


def test_a_module_in_the_folder_is_a_data_set(tmp_path, monkeypatch):
    (tmp_path / "toy.py").write_text(TOY)
    (tmp_path / "_shared.py").write_text("raise AssertionError('not to be imported')\n")
    monkeypatch.setattr(data_sets, "__path__", [*data_sets.__path__, str(tmp_path)])
    loaded = data_sets.load_data_sets()
    assert list(loaded) == ["ucf11", "hmdb51", "toy", *list(DATA_SETS)[2:]]
    assert loaded["toy"].options("paper") == {"n_actions": 7, "multilabel": False, "dim": 9}
    assert loaded["toy"].options("released") == {"n_actions": 7, "multilabel": False, **ADAM}
    assert loaded["toy"].list_folders == ("toy",)
