"""`visual-attention classify` from a checkout: python scripts/classify_videos.py --help"""

from visual_attention.commands import run

if __name__ == "__main__":
    run("classify")
