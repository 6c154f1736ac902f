"""The embedded data set: its bytes, its pictures, its boxes, its cubes."""

import json
import shutil

import numpy as np
import pytest

from visual_attention.util import drawing
from visual_attention.util.data_lists import PARTS, read_class_names, read_lists
from visual_attention.util.embedded import (
    ACTIONS,
    DEPTH,
    Difficulty,
    extract_cubes,
    files,
    make_embedded,
    movement,
    render_video,
    video_name,
    videos,
)
from visual_attention.util.embedded.figure import dress
from visual_attention.util.frame_table import FrameTable

TINY = (1, 1, 1)  # videos a class


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_embedded(tmp_path_factory.mktemp("embedded") / "set", seed=3, videos_per_class=TINY, workers=2)


def test_same_seed_same_bytes_whatever_the_workers(tiny, tmp_path):
    again = make_embedded(tmp_path / "again", seed=3, videos_per_class=TINY, workers=1)
    assert contents(again) == contents(tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]  # nothing temporary is left


def test_files(tiny):
    assert json.loads((tiny / "dataset.json").read_text())["videos_per_class"] == list(TINY)
    assert read_class_names(tiny, len(ACTIONS)) == list(ACTIONS)
    for part, count in zip(PARTS, TINY, strict=True):
        lists = read_lists(tiny, part, len(ACTIONS))
        assert lists.filenames == [video_name(part, number, action) for action in ACTIONS for number in range(count)]
        np.testing.assert_array_equal(lists.labels, np.repeat(np.arange(len(ACTIONS)), count))
        table = FrameTable(tiny / f"{part}_features.h5")
        boxes = np.load(tiny / f"{part}_boxes.npy")
        assert len(boxes) == table.n_frames == lists.frame_numbers.sum()
        assert (table.n_locations, table.depth, table.dtype, boxes.dtype) == (49, DEPTH, np.float32, np.int16)
        assert table.fps == 15
        cubes = table.load()
        assert np.isfinite(cubes).all() and cubes.min() >= 0 and 0.5 < cubes.max() < 10
    lengths = read_lists(tiny, "train").frame_numbers
    assert 11 <= lengths.min() < 15 < lengths.max() <= 32


def test_redrawn_from_its_name_as_it_was_written(tiny):
    lists = read_lists(tiny, "test")
    video = ACTIONS.index("wheel_left")
    start = lists.frame_numbers[:video].sum()
    frames, boxes = render_video(3, lists.filenames[video])
    assert frames.shape == (lists.frame_numbers[video], 224, 224, 3) and frames.dtype == np.uint8
    stop = start + len(frames)
    np.testing.assert_array_equal(extract_cubes(frames), FrameTable(tiny / "test_features.h5").read(start, stop))
    np.testing.assert_array_equal(boxes, np.load(tiny / "test_boxes.npy")[start:stop])


def test_a_set_that_is_there_is_left_alone_and_another_is_an_error(tiny, tmp_path):
    before = (tiny / "train_features.h5").stat().st_mtime_ns
    assert make_embedded(tiny, seed=3, videos_per_class=TINY) == tiny
    assert (tiny / "train_features.h5").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r'set: exists, but is not .*"seed": 4.*; found: .*"seed": 3.*\. Delete it or'):
        make_embedded(tiny, seed=4, videos_per_class=TINY)
    shutil.copytree(tiny, tmp_path / "cut", ignore=shutil.ignore_patterns("test_boxes.npy"))
    with pytest.raises(ValueError, match=r"cut: exists, .*; found: it lacks test_boxes.npy\. Delete it or"):
        make_embedded(tmp_path / "cut", seed=3, videos_per_class=TINY)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="it lacks class_names.txt, dataset.json"):
        make_embedded(tmp_path, seed=3)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_error_on_the_way_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(files.FrameTableWriter, "append", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make_embedded(tmp_path / "set", videos_per_class=(1, 1, 1), workers=1)
    assert not list(tmp_path.iterdir())


def test_seeds_parts_and_numbers_share_no_picture():
    names = [(0, "wave/train_000"), (1, "wave/train_000"), (0, "wave/train_001"), (0, "wave/valid_000")]
    names += [(0, "wave/test_000"), (0, "jack/train_000")]
    first = [render_video(seed, name)[0][0].astype(int) for seed, name in names]
    for k, frame in enumerate(first):
        for other in first[:k]:
            assert np.abs(frame - other).mean() > 10  # of 255; noise alone would not do that


def test_unknown_names_are_errors():
    for name in ("walk", "fly/test_000", "walk/exam_000", "walk/test_"):
        with pytest.raises(ValueError, match=f"'{name}' is no video of the embedded data set; expected a name such as"):
            render_video(0, name)


@pytest.mark.parametrize("name", ["walk/test_000", "jack/test_000", "squat_drop/test_000"])
def test_boxes_are_tight_around_the_figure(name, monkeypatch):
    frames, boxes = render_video(0, name)
    monkeypatch.setattr(videos, "draw_figure", lambda *args: None)
    without, _ = render_video(0, name)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= 224).all() and (boxes[:, :2] < boxes[:, 2:]).all()
    for changed, box in zip((frames != without).any(axis=3), boxes, strict=True):
        x, y = np.flatnonzero(changed.any(axis=0)), np.flatnonzero(changed.any(axis=1))
        drawn = np.array([x[0], y[0], x[-1] + 1, y[-1] + 1])
        slack = (drawn - box) * [1, 1, -1, -1]  # pixels between the box and what is drawn in it
        assert slack.min() >= 0 and slack.max() <= 2


@pytest.mark.parametrize("one, other", movement.BACKWARDS.items())
def test_pairs_of_actions_differ_only_in_their_order(one, other):
    turns = np.arange(24) / 24
    body, _ = dress(np.random.default_rng(0))

    def joints(action):  # (24, n)
        skeleton = movement.skeleton(movement.pose(action, turns), action in movement.SIDE_VIEW, body)
        points = [point for _, strokes in skeleton for a, b, _ in strokes for point in (a, b)]
        return np.concatenate(points, axis=1)

    a, b = joints(one), joints(other)
    backwards = -np.arange(24) % 24
    np.testing.assert_allclose(a, b[backwards], atol=1e-9)
    for shift in range(24):  # but at no phase are they the same movement
        assert np.abs(a - np.roll(b, shift, axis=0)).max() > 0.1  # of the figure's height


def boxes_of(**difficulty):
    """Boxes of 16 videos, all frames: (n, 4)."""
    names = [video_name("train", k, action) for action in ACTIONS for k in (0, 1)]
    return [render_video(0, name, Difficulty(**difficulty))[1].astype(int) for name in names]


def test_figures_stay_in_the_picture_and_move_smoothly():
    boxes = boxes_of()
    heights = np.array([np.median(box[:, 3] - box[:, 1]) for box in boxes])
    assert 50 < heights.min() < 100 < heights.max() < 190
    assert max(np.abs(np.diff(box.sum(axis=1) / 4)).max() for box in boxes) < 24  # pixels from frame to frame


def test_the_spread_says_how_far_from_the_centre_figures_are():
    def deviation(spread):  # of the middle of the feet's row and of the columns, from the centre
        centres = [(box[:, :2] + box[:, 2:]) / 2 for box in boxes_of(heights=(60, 60), spread=spread)]
        return np.concatenate(centres) - 112

    centre, usual, anywhere = (deviation(spread) for spread in (0, 0.5, 1))
    # without spread what remains is sway, and limbs that reach to one side
    assert np.abs(centre).max() < 25 and np.abs(centre.mean(axis=0)).max() < 8
    assert centre.std(axis=0).max() < 10 < usual.std(axis=0).min() < 0.7 * anywhere.std(axis=0).min()
    assert np.abs(anywhere).max() < 95


def test_heights_and_distractors(monkeypatch):
    small, large = (np.concatenate(boxes_of(heights=(height, height))) for height in (40, 120))
    ratio = (large[:, 3] - large[:, 1]).mean() / (small[:, 3] - small[:, 1]).mean()
    assert 2.6 < ratio < 3.2
    drawn = []
    monkeypatch.setattr(videos, "distractor", lambda *args: lambda canvas, t, camera: drawn.append(t))
    frames, _ = render_video(0, "walk/test_000", Difficulty(distractors=(6, 6)))
    assert len(drawn) == 6 * len(frames)


def test_difficulty_is_part_of_the_data_set_and_its_default_is_not(tiny, tmp_path):
    assert json.loads((tiny / "dataset.json").read_text()).keys() == {
        "name", "source", "version", "seed", "videos_per_class",
    }  # fmt: skip
    hard = Difficulty(heights=(40, 60), spread=1.0)
    folder = make_embedded(tmp_path / "hard", seed=3, videos_per_class=(1, 1, 1), workers=1, difficulty=hard)
    about = json.loads((folder / "dataset.json").read_text())
    assert (about["heights"], about["spread"]) == ([40, 60], 1) and "distractors" not in about
    n = read_lists(folder, "test").frame_numbers
    np.testing.assert_array_equal(n, read_lists(tiny, "test").frame_numbers)  # difficulty changes no length
    expected, _ = render_video(3, "jack/test_000", hard)
    np.testing.assert_array_equal(drawing.video_frames(folder, "jack/test_000", int(n[2])), expected)
    (folder / "dataset.json").write_text(json.dumps(about | {"spread": 7}))
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match=r"dataset.json: spread of the embedded data set is 7; expected a number from"):
        drawing.video_frames(folder, "jack/test_000", int(n[2]))


@pytest.mark.parametrize(
    "difficulty", [{"heights": (0, 50)}, {"heights": (90, 50)}, {"distractors": (-1, 2)}, {"spread": float("nan")}]
)
def test_impossible_difficulties_are_errors(difficulty):
    with pytest.raises(ValueError, match=f"^{next(iter(difficulty))} of the embedded data set is .*; expected"):
        Difficulty(**difficulty)


def test_a_cell_lights_its_own_place():
    rng = np.random.default_rng(0)
    row, column = 2, 5
    frames = np.full((1, 224, 224, 3), 128, np.uint8)
    plain = extract_cubes(frames)
    frames[:, 32 * row : 32 * row + 32, 32 * column : 32 * column + 32] = rng.integers(0, 256, (32, 32, 3))
    change = np.abs(extract_cubes(frames) - plain)[0].sum(axis=1).reshape(7, 7)
    assert np.unravel_index(change.argmax(), (7, 7)) == (row, column)
    rows, columns = np.nonzero(change > 1e-6)
    assert np.abs(rows - row).max() <= 1 and np.abs(columns - column).max() <= 1


def test_cubes_look_at_each_frame_by_itself():
    frames, _ = render_video(0, "punch/valid_000")
    cubes = extract_cubes(frames)
    assert cubes.shape == (len(frames), 49, DEPTH) and cubes.dtype == np.float32
    np.testing.assert_array_equal(extract_cubes(frames[[7, 2]]), cubes[[7, 2]])
    for plain in (0, 255):
        blank = extract_cubes(np.full((1, 224, 224, 3), plain, np.uint8))
        assert np.isfinite(blank).all() and np.abs(blank).max() < 1e-3


def test_a_single_cell_tells_whether_it_shows_the_figure():
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    edges = np.arange(7) * 32

    def cells(part, count):
        cubes, covered = [], []
        for action in ACTIONS:
            for number in range(count):
                frames, boxes = (values[::8] for values in render_video(0, video_name(part, number, action)))
                start, stop = boxes[:, None, :2], boxes[:, None, 2:]
                shared = np.minimum(stop, edges[:, None] + 32) - np.maximum(start, edges[:, None])  # (n, 7, x and y)
                shared = np.clip(shared, 0, None) / 32
                cubes.append(extract_cubes(frames))
                covered.append((shared[:, :, None, 1] * shared[:, None, :, 0]).reshape(-1, 49))
        return np.concatenate(cubes).reshape(-1, DEPTH), np.concatenate(covered).ravel() > 0.5

    x, y = cells("train", 2)
    classifier = LogisticRegression(max_iter=300).fit(x, y)
    x, y = cells("test", 1)
    assert roc_auc_score(y, classifier.decision_function(x)) > 0.9
