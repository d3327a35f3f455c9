"""A grid of arms and seeds, as runs that share what they have in common and evaluations of what comes of them.

Everything a sweep does is a command of the toolkit that a user could type, in a process of its own. No torch here.
"""
