"""Turns configuration into objects: what trains, scores and records a run."""

from typing import TYPE_CHECKING

from ganlab.moved import earlier_names

if not TYPE_CHECKING:
    __getattr__ = earlier_names(__name__, "ganlab.build.run", "ganlab.build.restored")
