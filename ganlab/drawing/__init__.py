"""Samples as people look at them."""

from typing import TYPE_CHECKING

from ganlab.moved import earlier_names

if not TYPE_CHECKING:
    __getattr__ = earlier_names(__name__, "ganlab.drawing.pictures")
