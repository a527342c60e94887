"""`ganlab data check`: classes with their numbers, and a command that works when it is pasted into a shell."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganlab import cli
from ganlab.data.__main__ import command
from ganlab.errors import ConfigurationError, StorageError


def save(folder: Path, *names: str, size: tuple[int, int] = (8, 8)) -> Path:
    """Saves images of noise, each another."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        exif = Image.Exif()
        if name.startswith("turned"):
            exif[0x0112] = 6
        Image.fromarray(pixels).save(folder / name, exif=exif)
    return folder


def advice(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Returns what a shell makes of the words of the advised command."""
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("train on it: ")]
    pasted = line.removeprefix("train on it: python -m ganlab.train ")
    assert pasted != line
    # In a shell that would take `[64,32]` for a pattern, and stop where nothing matches it.
    script = f"shopt -s failglob; printf '%s\\0' {pasted}"
    return subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout.split(
        "\0"
    )[:-1]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "plain",
            "a b (1)",
            "\u00fcml\u00e4ut",
            "a#b",
            "lr=0.1",
            "it's",
            'say "x"',
            "[ab]",
            "{a,b}",
            "a,b",
            "$HOME",
            "${HOME}",
        ),
        *(
            "a\\b",
            'a\\"b',
            "end\\",
            "~",
            "x:y",
            "a;b&c|d",
            "*",
            "`ls`",
            "!x",
            "null",
            "1e3",
            "-x",
            "100%",
            "a\\${b}",
        ),
    ],
)
def test_the_command_works_for_every_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Catches: no quotes for the shell, none for Hydra, an interpolation; `null` and `1e3` read as other types."""
    save(tmp_path / name, "a.png")
    for path in (str(tmp_path / name), f"./{name}"):
        monkeypatch.chdir(tmp_path)
        command(["check", path])
        config = cli.compose_config(*advice(capsys))
        assert Path(config["data"]["root"]).expanduser().absolute() == tmp_path / name
        assert config["data"]["source"]["path"] == config["data"]["root"]


def test_the_size_is_that_of_upright_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: height and width of a photograph before its rotation."""
    command(["check", str(save(tmp_path, "turned1.jpg", "turned2.jpg", size=(16, 8)))])
    assert "data.image_size=[16,8]" in advice(capsys)


def test_the_batch_is_no_larger_than_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: a command that is refused as it stands."""
    command(["check", str(save(tmp_path / "few", "a.png", "b.png", "c.png"))])
    assert cli.compose_config(*advice(capsys))["data"]["batch_size"] == 3
    command(["prepare", str(tmp_path / "few"), f"out={tmp_path / 'few.zip'}", "image_size=8", "channels=1"])
    data = cli.compose_config(*advice(capsys))["data"]
    assert (data["batch_size"], data["channels"], data["name"]) == (3, 1, "image_zip")


def test_classes_are_shown_with_their_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: classes without names; two classes of one name taken for one."""
    folder = save(tmp_path / "it", "dog/a.png", "cat/b.png", "dog/c.png")
    command(["check", str(folder)])
    printed = capsys.readouterr().out
    assert "  classes: 2, of 1 to 2 images, from folders\n    0 cat: 1\n    1 dog: 2\n" in printed
    (folder / "dataset.json").write_text(
        '{"labels": [["dog/a.png", 0], ["cat/b.png", 1], ["dog/c.png", 2]], "class_names": ["a", "a", "b", "c"]}'
    )
    command(["check", str(folder)])
    printed = capsys.readouterr().out
    assert "classes: 4, of 0 to 1 images, from dataset.json\n    0 a: 1\n    1 a: 1\n    2 b: 1\n" in printed
    assert "data.num_classes=4" in printed


def test_many_classes_are_cut_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: a million lines for a million classes that have no image."""
    folder = save(tmp_path / "it", "a.png", "b.png")
    (folder / "dataset.json").write_text('{"labels": [["a.png", 0], ["b.png", 999999]]}')
    command(["check", str(folder)])
    printed = capsys.readouterr().out
    assert printed.count("\n") < 12
    assert "    999999 999999: 1\n" in printed


def test_what_exists_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: a folder called lr=0.1 taken for an option; the path only where it comes first."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "lr=0.1", "a.png")
    save(tmp_path / "json=x", "a.png")
    command(["check", "lr=0.1/"])
    command(["check", f"json={tmp_path / 'report.json'}", "lr=0.1"])
    command(["check", "json=x"])
    assert capsys.readouterr().out.count("1 images, 0 of them broken") == 3
    assert (tmp_path / "report.json").exists()
    with pytest.raises(ConfigurationError, match="needs the PATH"):
        command(["check", "lr=0.2"])


def test_a_report_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """Catches: FileNotFoundError."""
    with pytest.raises(StorageError, match=r"json=.*cannot be written"):
        command(["check", str(save(tmp_path, "a.png")), f"json={tmp_path / 'nowhere' / 'x.json'}"])
