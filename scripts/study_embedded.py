"""`visual-attention study` from a checkout: python scripts/study_embedded.py --help"""

from visual_attention.commands import run

if __name__ == "__main__":
    run("study")
