"""Packaging of lingualift_ds: ranges here, exact versions in constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(r'__version__ = "(.+?)"', (here / "lingualift_ds/__init__.py").read_text()).group(1)

setup(
    name="lingualift_ds",
    version=version,
    description="LinguaLIFT on DeepSpeed: reasoning in low-resource languages from English training data",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["lingualift_ds", "lingualift_ds.*"]),
    package_data={
        "lingualift_ds": ["miniature/lexicons/*.txt", "evaluate/harness/tasks/*.yaml", "evaluate/golden/*.json"]
    },
    python_requires=">=3.11",
    install_requires=[
        "torch>=2.9",
        "deepspeed>=0.19.4",
        "transformers>=5.10,<6",
        "datasets>=4.0",
        "pyarrow>=17",
        "tokenizers>=0.22",
        "safetensors>=0.5",
        "numpy>=1.26",
        "packaging>=23",
        "pyyaml>=6.0",
        "regex>=2024.5",
        "sentencepiece>=0.2",
        "ijson>=3.3",
        "rich>=13.8",
        "simplemma>=1.1",
        "py3langid>=0.3",
    ],
    extras_require={
        "flash": ["flash-attn>=2.7"],
        "eval": ["lm-eval>=0.4.13", "accelerate>=1.2"],
        "lora": ["peft>=0.18"],
        "plots": ["matplotlib>=3.9"],
        "dev": ["pytest>=8.0", "pytest-xdist>=3.6", "hypothesis>=6.100", "ruff>=0.8"],
    },
    entry_points={
        "console_scripts": ["lingualift-ds=lingualift_ds.cli.main:main"],
        "lm_eval.models": ["lingualift = lingualift_ds.evaluate.harness.lm:LinguaLiftLM"],
    },
)
