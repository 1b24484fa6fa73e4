"""Templates of the Liquid language, as LiquidJS renders them for Segment."""

from streams.mapping.liquid.compiler import compile_liquid
from streams.mapping.liquid.values import LiquidError

__all__ = ["LiquidError", "compile_liquid"]
