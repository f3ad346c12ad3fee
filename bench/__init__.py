"""Benchmarks of sutra and its peers. See README.md for units, commands and method."""
