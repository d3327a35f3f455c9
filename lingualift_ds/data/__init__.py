"""Everything that turns files into training records: JSON lines, lexicons, code-switching.

The modules here that only handle text import no torch, so that the command line starts at once.
"""
