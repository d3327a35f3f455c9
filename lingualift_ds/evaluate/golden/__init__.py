"""Tiny models with fixed weights, and what came of them once: does this machine compute what was computed there?"""
