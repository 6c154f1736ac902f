"""Trains and tests a model on HMDB-51: with the paper's settings, or, by --recipe released, with those of the released
program's script of this name. Started again, it continues, or tells the result.

python scripts/evaluate_hmdb51gln.py --data data/hmdb51/split1 --recipe released
"""

from pathlib import Path

from visual_attention import command_line

if __name__ == "__main__":
    command_line.run(command_line.train_command, __doc__, "hmdb51", Path("data/hmdb51/split1"))
