"""`visual-attention figures` from a checkout: python scripts/figures.py --help"""

from visual_attention.commands import run

if __name__ == "__main__":
    run("figures")
