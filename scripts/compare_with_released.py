"""`visual-attention compare` from a checkout: python scripts/compare_with_released.py --help"""

from visual_attention.commands import run

if __name__ == "__main__":
    run("compare")
