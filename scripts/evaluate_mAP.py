"""Trains and tests a model on Hollywood2: with the paper's settings, or, by --recipe released, with those of the
released program's script of this name. Started again, it continues, or tells the result.

python scripts/evaluate_mAP.py --data data/hollywood2 --recipe released
"""

from pathlib import Path

from visual_attention import command_line

if __name__ == "__main__":
    command_line.run(command_line.train_command, __doc__, "hollywood2", Path("data/hollywood2"))
