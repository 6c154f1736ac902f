"""`visual-attention recipes` from a checkout: python scripts/show_recipes.py --help"""

from visual_attention.commands import run

if __name__ == "__main__":
    run("recipes")
