import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "catran_causalbench" / "__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)

# Where the repository is published; it is not yet. With an address, an index gets links to it.
REPOSITORY_URL = ""


def readme(repository: str) -> str:
    """Return the README as an index can show it whole: paths become links into the repository, or else plain text."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    if repository:
        text = re.sub(r"(!\[[^\]]*\])\((?!https?:)([^)]+)\)", rf"\1({repository}/raw/HEAD/\2)", text)
        return re.sub(r"(\[[^\]]*\])\((?!https?:)([^)]+)\)", rf"\1({repository}/blob/HEAD/\2)", text)
    text = re.sub(r"!\[[^\]]*\]\((?!https?:)[^)]+\)\n\n", "", text)
    return re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]+\)", r"\1", text)


setup(
    name="catran-causalbench",
    version=VERSION,
    description="CaTran for CausalBench: directed gene networks from Perturb-seq data by ultra-light attention",
    long_description=readme(REPOSITORY_URL),
    long_description_content_type="text/markdown",
    author="The catran-causalbench contributors",
    keywords="gene regulatory network, causal discovery, Perturb-seq, CRISPR screen, single-cell, CausalBench",
    project_urls={
        **(
            {"Source": REPOSITORY_URL, "Changelog": f"{REPOSITORY_URL}/blob/HEAD/CHANGELOG.md"}
            if REPOSITORY_URL
            else {}
        ),
        "CaTran": "https://openreview.net/forum?id=Wf0QRYUkhwV",
        "CausalBench": "https://github.com/causalbench/causalbench",
    },
    license="Apache-2.0",
    license_files=["LICENSE"],
    # The presets lie at the top of the repository and are installed as data of the package.
    packages=[*find_packages(include=["catran_causalbench*"]), "catran_causalbench.configs"],
    package_dir={"catran_causalbench.configs": "configs"},
    package_data={
        "catran_causalbench": ["py.typed"],
        "catran_causalbench.report": ["*.html.j2"],
        "catran_causalbench.configs": ["*.yaml"],
    },
    python_requires=">=3.10,<3.13",
    # Ranges in which this package and causalbench 1.1.2 work together; that one names too few limits of its own.
    # constraints.txt pins the versions that the tests ran with.
    install_requires=[
        "anndata>=0.11",
        "causalbench>=1.1.2",
        "cryptography>=41",  # the key of a sweep's own Dask cluster
        "dask[distributed]>=2024.2,<2024.3",  # arboreto in causalbench needs data frames before dask-expr
        "h5py>=3.8",
        "jinja2>=3.1",
        "lion-pytorch>=0.2.2",
        "matplotlib>=3.8",
        "networkx>=3",
        "numba>=0.59",
        "numpy>=1.26",
        "openpyxl>=3.1",  # causalbench reads the perturbation statistics of --do_filter through it
        "packaging>=22",
        "pandas>=2.2.3,<3",  # built for numpy 2; dask 2024.2 is older than pandas 3
        "psutil>=5.9",
        "pyarrow>=14.0.1",  # causalbench needs it, too, through dask
        "pytorch-lightning>=2.6,!=2.6.2,!=2.6.3,<3",  # 2.6 loads checkpoints without pickle; those two were malicious
        "pyyaml>=6",
        "rich>=13",
        "scanpy>=1.9",
        "scikit-learn>=1.3",
        "scipy>=1.11",
        "scprep>=1.1,<1.2",  # later ones force a pandas that was built for numpy 1
        "setuptools<81",  # causalbench imports pkg_resources, which later ones no longer have
        "tensorboard>=2.14",
        "threadpoolctl>=3.1",
        "torch>=2.6",  # before, a checkpoint could run code in spite of weights_only
        "torchmetrics<1.7",  # later ones import torchvision, which fails beside a CPU build of torch
        "typer>=0.12",
        "zarr>=2.18",
    ],
    extras_require={
        "docs": [
            "decoupler>=2",
            "furo>=2024.8",
            "ipykernel>=6",
            "myst-nb>=1.2,<2",
            "nbclient>=0.10",
            "sphinx>=8,<10",
        ],
        "magic": ["magic-impute>=3"],
        "dspin": ["dspin>=1.5"],
        "test": [
            "pytest>=8",
            "pytest-cov>=5",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "ipython>=8",
            "ruff>=0.9",
            "mypy>=1.13",
            "bandit[toml]>=1.8",
            "build>=1.2",
            "twine>=6",
            "triton>=3.3; platform_system == 'Linux'",  # its interpreter runs the GPU's kernels on a CPU
        ],
    },
    entry_points={"console_scripts": ["catran-causalbench = catran_causalbench.cli:app"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Bio-Informatics",
    ],
)
