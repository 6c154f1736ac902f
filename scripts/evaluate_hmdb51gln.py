"""Trains and tests a model on HMDB-51 with the paper's settings.

With --recipe released, it uses the settings of the released program's script of this name. If run again, it
continues, or prints the result.

python scripts/evaluate_hmdb51gln.py --data data/hmdb51/split1 --recipe released
"""

from pathlib import Path

from visual_attention.commands import run

if __name__ == "__main__":
    run("train", __doc__, "hmdb51", Path("data/hmdb51/split1"))
