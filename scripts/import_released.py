"""`visual-attention import` from a checkout: python scripts/import_released.py --help"""

from visual_attention.commands import run

if __name__ == "__main__":
    run("import")
