"""Adapters to the programs and files of CausalBench."""

from pathlib import Path

PLUGIN_FILE = Path(__file__).parents[1] / "plugin.py"  # what causalbench_run --inference_function_file_path loads
