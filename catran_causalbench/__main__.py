"""``python -m catran_causalbench``."""

from catran_causalbench.cli import app

app()
