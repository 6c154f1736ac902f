"""Experiments with the model: data and training of a run, its folder, its evaluation, and runs side by side."""
