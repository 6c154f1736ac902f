"""The named data sets: one module in this folder for each, which defines DATA_SET, a `DataSet`.

    DATA_SETS["hmdb51"].splits  # ("split1", "split2", "split3")

A new data set is a module here and its test. Commands, recipes, tables and extraction take it from `DATA_SETS`. Real
videos also need lists in data_lists/, which `visual-attention lists` makes by the module's rule.
"""

from visual_attention.util import registry
from visual_attention.util.data_sets._data_set import DataSet, VideoFiles

__all__ = ["DATA_SETS", "DataSet", "VideoFiles", "load_data_sets", "with_videos"]


def load_data_sets():
    """{name: DataSet} of all modules in this folder, in the order in which commands and tables show them."""
    data_sets = registry.entries(__name__, __path__, "DATA_SET")
    return {data_set.name: data_set for data_set in sorted(data_sets, key=lambda data_set: data_set.position)}


DATA_SETS = load_data_sets()


def with_videos():
    """{name: DataSet} of those that are real videos, which one downloads."""
    return {name: data_set for name, data_set in DATA_SETS.items() if data_set.files is not None}
