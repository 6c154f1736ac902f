"""What the rules of several data sets share: reading official split files, and making lists."""

from collections import Counter, defaultdict

import numpy as np

from visual_attention.util.data_lists import DataLists, check_inside_root, text_lines

VALID_SHARE = 0.16  # of the training videos, for validation; a whole number of UCF-11's 975


def read_official_file(path, values, expected):
    """{clip: value} from a file whose lines have the name of a clip, white space and one of `values`, as int.

    If `values` is empty, lines have a name alone, and the value is None. expected: the form of a line, for messages.
    ValueError or FileNotFoundError names the file and line.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, though the official files beside it are there; get it again")
    clips = {}
    for k, line in enumerate(text_lines(path)):
        words = line.rsplit(maxsplit=1) if values else line.split()
        if not words:
            continue
        place = f"{path}, line {k + 1}"
        if len(words) != 1 + bool(values) or (values and words[1] not in values):
            raise ValueError(f"{place}: {line!r}; expected {expected}")
        clip = words[0].strip()
        check_inside_root(place, clip)
        if clip in clips:
            raise ValueError(f"{place}: {clip!r} stands there twice; get the file again")
        clips[clip] = int(words[1]) if values else None
    return clips


def check_presence(official_names, names):
    """ValueError if the official files name a video that is not in `names`."""
    lacking = sorted(set(official_names) - set(names))
    if lacking:
        raise ValueError(f"the official files name {len(lacking)} videos that are not there, the first {lacking[0]}")


def single_label_lists(labels):
    """DataLists of {name of a video: class number}."""
    return DataLists(list(labels), None, np.array(list(labels.values())))


def valid_groups(training, group_of):
    """Groups of training videos that become valid: each is taken if no class then has more than VALID_SHARE of its
    videos.

    training: {name of a video: class}; group_of: name -> group. Groups with the most classes come first, as they are
    hard to fit in later; among equals, the order is that of their names.
    """
    videos, of_class = defaultdict(Counter), Counter(training.values())
    for name, label in training.items():
        videos[group_of(name)][label] += 1
    taken, valid = Counter(), set()
    for group in sorted(videos, key=lambda group: (-len(videos[group]), group)):
        if all(taken[label] + n <= round(VALID_SHARE * of_class[label]) for label, n in videos[group].items()):
            taken.update(videos[group])
            valid.add(group)
    return valid
