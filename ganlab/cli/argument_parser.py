"""Hydra 1.3 on Python 3.14: a help text that is no string until it is printed."""

import argparse
import sys
from functools import cache
from typing import Any


@cache
def let_hydra_describe_its_flags() -> None:
    """Lets Hydra 1.3 make its parser of flags on Python 3.14 and later.

    There argparse formats each help text when its flag is declared, and refuses what is no string. Hydra declares
    `--shell-completion` with an object that only becomes one when it is printed, and so could not start at all.
    """
    if sys.hexversion < 0x030E0000:
        return
    parser: Any = argparse.ArgumentParser
    check_help = parser._check_help

    def check_strings(parser: argparse.ArgumentParser, action: argparse.Action) -> None:
        if action.help is None or isinstance(action.help, str):
            check_help(parser, action)

    parser._check_help = check_strings
