"""Trains one model on the data set in a folder and tests it. Started again, it continues, or tells the result.

python scripts/train.py --data data/embedded --run runs/mine --data-set embedded --seed 3
"""

from visual_attention import command_line

if __name__ == "__main__":
    command_line.run(command_line.train_command, __doc__)
