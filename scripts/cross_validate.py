"""`visual-attention cross-validate` from a checkout: python scripts/cross_validate.py --help"""

from visual_attention.commands import run

if __name__ == "__main__":
    run("cross-validate")
