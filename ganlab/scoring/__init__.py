"""What a generator is worth: all metrics in one pass over its samples."""

from typing import TYPE_CHECKING

from ganlab.moved import earlier_names

if not TYPE_CHECKING:
    __getattr__ = earlier_names(__name__, "ganlab.scoring.generators")
