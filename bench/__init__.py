"""How fast the pipeline is, as ratios: ``python -m bench`` (see README.md in this folder)."""
