"""Figures of a fitted network: its strongest edges, its attention, and its training losses."""
