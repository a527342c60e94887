"""The configuration of a run: what may be typed, how it is composed and checked, and which run it names."""

from typing import TYPE_CHECKING

from ganlab.moved import earlier_names

if not TYPE_CHECKING:
    __getattr__ = earlier_names(__name__, "ganlab.config.schema")
