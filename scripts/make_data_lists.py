"""`visual-attention lists` from a checkout: python scripts/make_data_lists.py --help"""

from visual_attention.commands import run

if __name__ == "__main__":
    run("lists")
