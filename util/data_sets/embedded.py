"""The embedded data set: videos that a program draws, so that everything runs on a machine without any other data.

Its figures, scenes and features are in util/embedded/, which is imported only when they are needed.
"""

from visual_attention.util.data_sets._data_set import RELEASED_UCF11, DataSet

# Sizes that suit a small data set and two cores.
SIZES = {"ctx_dim": 64, "dim": 64, "dim_out": 64, "batch_size": 32, "training_stride": 3}


def make(folder, workers=None):
    from visual_attention.util.embedded import make_embedded

    make_embedded(folder, workers=workers)


def render(seed, name, **about):
    from visual_attention.util.embedded import render_video

    return render_video(seed, name, **about)[0]


DATA_SET = DataSet(
    name="embedded",
    title="embedded",
    position=100,
    n_actions=8,
    # Fifteen epochs are only some 450 updates of so small a data set: a higher rate is needed to get far in them.
    paper_options={**SIZES, "lrate": 3e-3},
    released_options={**SIZES, **RELEASED_UCF11},
    make=make,
    render=render,
)
