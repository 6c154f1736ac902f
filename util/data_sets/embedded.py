"""The embedded data set: videos that a program draws, so that everything runs on a machine without any other data.

Its figures, scenes and features are in util/embedded/, which is imported only when they are needed.
"""

import dataclasses

from visual_attention.util.data_sets._data_set import RELEASED_UCF11, DataSet

# Sizes that suit a small data set and two cores. Windows of 15 frames take half as long as the paper's 30. One LSTM
# layer and small batches bring validation near its end within 15 epochs, some 700 updates.
SIZES = {
    "ctx_dim": 64,
    "dim": 64,
    "dim_out": 64,
    "n_layers_lstm": 1,
    "maxlen": 15,
    "fps": 15,
    "training_stride": 2,
    "testing_stride": 2,
    "batch_size": 16,
}


def make(folder, workers=None):
    from visual_attention.util.embedded import make_embedded

    make_embedded(folder, workers=workers)


def render(about, name):
    from visual_attention.util.embedded import Difficulty, render_video

    changed = {field.name: about[field.name] for field in dataclasses.fields(Difficulty) if field.name in about}
    return render_video(about["seed"], name, Difficulty(**changed))[0]


DATA_SET = DataSet(
    name="embedded",
    title="embedded",
    position=100,
    n_actions=8,
    # Fifteen epochs are only some 700 updates of so small a data set: a higher rate is needed to get far in them.
    paper_options={**SIZES, "lrate": 3e-3},
    released_options={**SIZES, **RELEASED_UCF11},
    make=make,
    render=render,
)
