"""Runs, the folders that `convoy train` leaves: reading them, groups over seeds, curves, tables, pictures, pages.

Needs Python's standard library alone, but for drawing.py (matplotlib)."""
