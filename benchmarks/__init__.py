"""Measurements of the toolkit: what is measured, on what, and how to repeat it. Not installed with the package."""
