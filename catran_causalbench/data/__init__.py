"""From labels and a matrix, or a single-cell file, to one validated dataset."""
