"""``python -m catran_causalbench``."""

from catran_causalbench.command_line import app

app()
