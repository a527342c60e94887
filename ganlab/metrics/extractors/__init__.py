"""Frozen networks that turn images into the features and class scores that metrics are made of."""

from ganlab.metrics.extractors.inception import Inception


def choose_extractor_name() -> str:
    """Returns `inception` where its weights lie on this machine, else `efflite0`."""
    return "inception" if Inception.is_available() else "efflite0"
