"""Bad input: a third of the campaign's cases, the rows of its page, and the rules behind the cases."""

import random

import h5py
import numpy as np
import pytest
from faults import bad_input

from visual_attention.commands import command_line
from visual_attention.commands.train import TrainArguments
from visual_attention.util import checks
from visual_attention.util.data_lists import count_classes, write_class_names, write_lists
from visual_attention.util.frame_table import FrameTable

FAULTS = list(bad_input.faults())


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A data set of videos with its runs, and the folder that the campaign copies them to."""
    pytest.importorskip("av")
    return bad_input.bases(tmp_path_factory.mktemp("bad_input"))


@pytest.mark.parametrize("group", sorted({fault.group for fault in FAULTS}))
def test_a_third_of_the_campaign(base, group):
    runnable = [fault for fault in FAULTS if fault.group == group and bad_input.can_run(fault)]
    cases = [
        bad_input.as_case(fault, bad_input.tried(fault, *base))
        for fault in random.Random(1).sample(runnable, -(-len(runnable) // 3))
    ]
    broken = [f"{case.what}: {case.outcome}" for case in cases if not case.ok]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("what", ["label 1.0", "NaN in a frame", "`model.npz` with NaN"])
def test_console_command_gives_the_same_errors(base, what):
    (fault,) = (fault for fault in FAULTS if fault.what == what)
    case = bad_input.as_case(fault, bad_input.tried_outside(fault, *base))
    assert case.ok, case.outcome


def test_page_lists_exactly_the_cases():
    """The page has one row per case, in order, and no other rows."""
    rows = [line for line in bad_input.PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [line for line in rows if line not in ("| case | answer |", "| --- | --- |")]
    assert len(rows) == len(FAULTS) >= 60
    for line, fault in zip(rows, FAULTS, strict=True):
        assert line.startswith(bad_input.row(fault, "").removesuffix(" |").rstrip()), line


# ---------------------------------------------------------------- numbers of classes


def make_labels(folder, **labels):
    for part, part_labels in labels.items():
        write_lists(folder, part, [f"{part}{k}" for k in range(len(part_labels))], None, part_labels)
    return folder


def test_classes_are_counted_over_all_parts(tmp_path):
    """A part may lack a class: class 2 has only a training video, class 3 only a test video."""
    assert count_classes(make_labels(tmp_path, train=[0, 1, 2], valid=[0, 1], test=[0, 3])) == 4
    write_class_names(tmp_path, ["a", "b", "c", "d", "e", "f"])
    assert count_classes(tmp_path) == 6


def test_gap_in_class_numbers_is_an_error_unless_classes_are_named(tmp_path):
    make_labels(tmp_path, train=[0, 1, 7], valid=[0, 1], test=[0, 1])
    with pytest.raises(
        ValueError, match="train_labels.txt, line 3: label 7, but no video of any part has label 2; exp"
    ):
        count_classes(tmp_path)
    write_class_names(tmp_path, "abcdefgh")
    assert count_classes(tmp_path) == 8
    (tmp_path / "class_names.txt").unlink()
    with pytest.raises(ValueError, match="test_labels.txt, line 1: label 2, but no video of any part has label 0"):
        count_classes(make_labels(tmp_path, train=[1, 1], valid=[1], test=[2]))  # labels counted from 1


def test_several_labels_are_counted_by_columns(tmp_path):
    assert count_classes(make_labels(tmp_path, train=np.array([[0, 1, 0, 0]]))) == 4


@pytest.mark.parametrize("text", ["-1", "+1", "1.0", "1e3", "1_0", "١", "²", "0x1", "", "2147483648", "9" * 5000])
def test_not_a_whole_number(text):
    assert checks.whole_number(text) is None


@pytest.mark.parametrize("text, value", [("0", 0), (" 7 ", 7), ("007", 7), ("2147483647", 2**31 - 1)])
def test_whole_number(text, value):
    assert checks.whole_number(text) == value and checks.whole_number(text, value + 1) is None


# ---------------------------------------------------------------- shapes of frame tables


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    "axes, depth_source",
    [
        ("nld", "attribute"),
        ("nld", "--ctx-dim"),
        ("ndl", "attribute"),
        ("ndkk", "--ctx-dim"),
        ("nkkd", "attribute"),
        ("nd", "attribute"),
    ],
)
def test_tables_of_other_shapes_give_the_same_cubes(tmp_path, axes, depth_source, dtype):
    cubes = np.random.default_rng(0).random((6, 9, 4)).astype(dtype)
    channels_first = cubes.swapaxes(1, 2)
    shapes = {
        "nld": cubes,
        "ndl": channels_first,
        "ndkk": channels_first.reshape(6, 4, 3, 3),
        "nkkd": cubes.reshape(6, 3, 3, 4),
    }
    with h5py.File(tmp_path / "t.h5", "w") as file:
        features = file.create_dataset("features", data=shapes.get(axes, channels_first.reshape(6, 36)), chunks=True)
        if depth_source == "attribute":
            features.attrs["ctx_dim"] = 4
    table = FrameTable(tmp_path / "t.h5", None if depth_source == "attribute" else 4)
    assert (table.n_frames, table.n_locations, table.depth) == (6, 9, 4)
    np.testing.assert_array_equal(table.load(), cubes)
    np.testing.assert_array_equal(table.read(2, 5), cubes[2:5])
    table.expect(2, 5)


def test_layout_decides_if_either_axis_may_be_the_depth(tmp_path):
    cubes = np.random.default_rng(0).random((5, 4, 4)).astype("float32")
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["features"] = cubes
    with pytest.raises(ValueError, match="its second and its last axis may be the feature depth 4; set the attribute"):
        FrameTable(tmp_path / "t.h5", 4)
    for layout, expected in (("location", cubes), ("released", cubes.swapaxes(1, 2))):
        with h5py.File(tmp_path / "t.h5", "r+") as file:
            file["features"].attrs["layout"] = layout
        np.testing.assert_array_equal(FrameTable(tmp_path / "t.h5", 4).load(), expected)


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    "word", ["--ctx_dim", "--ctx-dim=7", "--no_use_dropout", "--help", "-h", "--floatX", "-1", "--"]
)
def test_known_options_are_accepted(word):
    command_line._check_names(TrainArguments, ["--data", "x", word, "3"])


def test_error_on_a_misspelt_option_names_the_nearest():
    for word, expected in (
        ("--ctx-dmi=3", "--ctx-dim, "),
        ("--max_epoch", "--max-epochs, "),
        ("--zzz", "--help lists"),
    ):
        with pytest.raises(ValueError, match=f"option {word} is unknown; expected {expected}"):
            command_line._check_names(TrainArguments, [word])
