"""`visual-attention train` from a checkout: python scripts/train.py --help"""

from visual_attention.commands import run

if __name__ == "__main__":
    run("train")
