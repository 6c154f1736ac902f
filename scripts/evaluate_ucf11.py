"""Trains and tests a model on UCF-11: with the paper's settings, or, by --recipe released, with those of the released
program's script of this name. Started again, it continues, or tells the result.

python scripts/evaluate_ucf11.py --data data/ucf11 --recipe released
"""

from pathlib import Path

from visual_attention import command_line

if __name__ == "__main__":
    command_line.run(command_line.train_command, __doc__, "ucf11", Path("data/ucf11"))
