"""`visual-attention table1` from a checkout: python scripts/table1.py --help"""

from visual_attention.commands import run

if __name__ == "__main__":
    run("table1")
