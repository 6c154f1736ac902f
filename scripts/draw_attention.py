"""`visual-attention draw` from a checkout: python scripts/draw_attention.py --help"""

from visual_attention.commands import run

if __name__ == "__main__":
    run("draw")
