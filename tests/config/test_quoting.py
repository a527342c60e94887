"""A text of any characters as a word of a shell, and as a value in Hydra's grammar."""

import subprocess
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ganlab.config.quoting import override, parsed, quoted, with_quotes

TEXTS = (
    *("a=b", "Läufe", "my #1", "it's", 'say "x"', 'it\'s "x"\\', "a\\b", "a\\", "a\\'b", "\\\\"),
    *(
        "${x}",
        "\\${x}",
        "$HOME",
        "`ls`",
        "!x",
        "a,b",
        "(a)",
        "[a]",
        "{a: 1}",
        "a;b&c",
        "*",
        "'",
        '"',
        " a ",
        "a\nb",
    ),
    *("1e3", "1_0", "true", "null", "a~b", "~user"),
)


@pytest.mark.parametrize("text", TEXTS)
def test_text_stays_what_it_is(text: str) -> None:
    """Catches: a quote or a backslash that ends the value or gets lost; a number; an interpolation."""
    read = parsed(override("key", text))
    assert read is not None
    assert OmegaConf.create({"key": read.value()}).key == text


def test_words_of_a_shell_stay_what_they_are() -> None:
    """All in one shell. Catches: a word that the shell expands, splits or ends."""
    words = " ".join(quoted("key", text) for text in TEXTS)
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {words}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\0")[:-1] == [override("key", text) for text in TEXTS]


def test_what_needs_no_quotes_has_none() -> None:
    """Catches: quotes around everything, which nobody reads."""
    assert quoted("run_dir", "runs/a b-1") == "'run_dir=runs/a b-1'"
    assert quoted("seed", "runs/1e3") == "seed=runs/1e3"


def test_home_is_written_out() -> None:
    """Catches: advice that makes a folder called ~."""
    assert quoted("run_dir", "~/x") == f"run_dir={Path.home()}/x"
    assert override("a", "file://~/x") == f"a=file://{Path.home()}/x"


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        *(
            ("007", "007"),
            ("1e3", '"1e3"'),
            ("1_0", '"1_0"'),
            ("true", '"true"'),
            ("null", "null"),
            ("a", "a"),
        ),
        ("[001,1e3, null,'1',\"2\",a b]", '[001,"1e3", "null",\'1\',"2",a b]'),
        ("choice(1,a)", 'choice("1",a)'),
    ],
)
def test_numbers_in_the_place_of_texts_get_quotes(typed: str, read: str) -> None:
    """Catches: quotes within quotes, a function's name or a null of its own that becomes a text."""
    assert with_quotes(typed) == read
