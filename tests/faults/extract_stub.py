"""As scripts/extract_features.py, with a slow extractor that needs no network.

python tests/faults/extract_stub.py LISTS VIDEOS OUT {workers N | cluster ADDRESS}
"""

import sys
from pathlib import Path

from stub_extractor import Stub

from visual_attention.util.entries import entries_of_lists
from visual_attention.util.features import extract

SECONDS = 0.15  # per batch of 4 frames


def main(lists, videos, out, where, value):
    where = {where: int(value) if where == "workers" else value}
    entries, class_names = entries_of_lists(Path(lists), Path(videos))
    extract(entries, out, videos, class_names, Stub("stub", 5, seconds=SECONDS), batch_size=4, **where)


if __name__ == "__main__":
    from visual_attention.commands import exit_status

    exit_status.run(main, *sys.argv[1:])
