"""As the console command, by a Python that is chosen: python -m visual_attention.commands NAME ..."""

from visual_attention.commands import main

if __name__ == "__main__":
    main()
