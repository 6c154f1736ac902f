"""`visual-attention table2` from a checkout: python scripts/table2.py --help"""

from visual_attention.commands import run

if __name__ == "__main__":
    run("table2")
