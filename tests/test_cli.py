"""What a person sees who mistypes: one line that names the key and what is allowed, and the exit status."""

import subprocess
import sys
from pathlib import Path

import pytest

from ganlab import __main__ as console
from ganlab import evaluate, sample, train

TINY = ("trainer=smoke", "logger=none", "model.generator.channels=4", "model.discriminator.channels=4")


def ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: object, *arguments: str
) -> tuple[int, str]:
    """Runs a command in this process; returns exit status and standard error."""
    monkeypatch.setattr(sys, "argv", ["ganlab", *arguments])
    status = 0
    try:
        verb.main()  # type: ignore[attr-defined]
    except SystemExit as ended:
        status = int(ended.code or 0)
    return status, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["n_critc=2"], 2, ["n_critc: no such key", "n_critic"]),
        (["budget.gsteps=2"], 2, ["budget.gsteps: no such key", "budget.g_steps"]),
        (["modle=sngan"], 2, ["modle: no such key", "model"]),
        (["model=sngn"], 2, ["model=sngn: no such option", "did you mean sngan", "dcgan"]),
        (
            ["model=dcgan", "model.generator.chanels=2"],
            2,
            ["model.generator.chanels", "model.generator.channels"],
        ),
        (["n_critic=many"], 2, ["n_critic: got 'many'", "integer"]),
        (["trainer=cpu", "trainer.precision=16-mixed"], 2, ["16-mixed needs a GPU", "bf16-mixed"]),
        (["+nonsense=1"], 2, ["nonsense: no such key"]),
        (["model.generator.channels=wide"], 2, ["model.generator.channels: got", "wide"]),
        (["+model.generator.depth=3"], 2, ["model.generator.depth", "takes no such argument"]),
        (["optimizer.lr=fast"], 2, ["optimizer.", "fast"]),
        (["model=sngan", "data=digits", "data.image_size=30"], 2, ["30", "32"]),
        (["data.batch_size=4000"], 3, ["data.batch_size=4000", "1500"]),
        (["model=sngan_conv", "data=ring2d"], 2, ["1x1", "data.image_size"]),
        (["data=image_zip", "data.root=/nowhere.zip"], 3, ["/nowhere.zip"]),
        (["data=image_folder"], 2, ["data.root", "missing"]),
        (["trainer.accelerator=gpu"], 2, ["trainer"]),
        (["trainer=cpu", "trainer.sync_batchnorm=true"], 2, ["trainer.sync_batchnorm=true", "GPU"]),
        (["seed=0,1", "-m", "--cfg", "job"], 2, ["--cfg job", "without -m"]),
    ],
)
def test_fault_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    status: int,
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    # Typed words come last, so that they win.
    base = [
        word for word in TINY if not (word == "trainer=smoke" and any("trainer=" in a for a in arguments))
    ]
    got, error = ends(monkeypatch, capsys, train, *base, *arguments)
    assert got == status, error
    lines = error.strip().splitlines()
    assert len(lines) == 1, error
    assert lines[0].startswith("ganlab: error: ")
    for word in words:
        assert word in lines[0]
    assert not list(tmp_path.iterdir()), "a fault left files"


def test_missing_data_without_network_says_what_to_get(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    status, error = ends(
        monkeypatch, capsys, train, "model=sngan", "data=cifar10", f"data.root={tmp_path}", *TINY
    )
    assert status == 3
    line = error.strip().splitlines()[-1]
    for word in ("cifar-10-python.tar.gz", "https://", "c58f30108f718f92721af3b95e74349a", str(tmp_path)):
        assert word in line


@pytest.mark.parametrize(
    ("verb", "arguments", "words"),
    [
        (sample, ["rn=x"], ["rn=x: no such option", "did you mean run"]),
        (sample, ["run=x", "out=y", "num=zero"], ["num", "zero"]),
        (sample, ["run=x", "out=y", "num=0"], ["num=0", "at least 1"]),
        (sample, ["run=x", "out=y", "generator=best"], ["generator=best", "ema or raw"]),
        (evaluate, ["metrcs=quick"], ["no such option", "metrics"]),
        (sample, ["out=y"], ["run", "missing"]),
        (evaluate, [], ["give one of run=RUN_DIR, images=PATH and pairs=MADE,TARGET"]),
    ],
)
def test_options_of_the_other_verbs(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: object,
    arguments: list[str],
    words: list[str],
) -> None:
    status, error = ends(monkeypatch, capsys, verb, *arguments)
    assert status == 2
    assert len(error.strip().splitlines()) == 1
    for word in words:
        assert word in error


@pytest.mark.parametrize("verb", [sample, evaluate])
def test_run_that_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, verb: object
) -> None:
    out = [f"out={tmp_path / 'out'}"] if verb is sample else []
    status, error = ends(monkeypatch, capsys, verb, f"run={tmp_path / 'none'}", *out)
    assert status == 3
    assert "there is no such checkpoint" in error


def test_reader_that_has_seen_enough_is_no_fault() -> None:
    """Catches: a traceback after `ganlab compare runs | head`."""
    code = "from ganlab.cli import run; run(lambda: [print('a line') for _ in range(100000)])"
    done = subprocess.run(
        f'"{sys.executable}" -c "{code}" | head -n 1', shell=True, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("a line\n", "")


def test_console_script_knows_its_verbs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, error = ends(monkeypatch, capsys, console, "trian")
    assert status == 2
    assert "train" in error
    assert ends(monkeypatch, capsys, console) == (0, "")


def test_configuration_errors_come_without_torch(tmp_path: Path) -> None:
    """Catches: an import of torch on the way to the first configuration error or to --help."""
    code = (
        "import sys, ganlab.train\n"
        "try: ganlab.train.main()\n"
        "except SystemExit as ended: print(ended.code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "n_critic=many"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.strip() == "2 False"
