"""`visual-attention extract` from a checkout: python scripts/extract_features.py --help"""

from visual_attention.commands import run

if __name__ == "__main__":
    run("extract")
