"""A sweep's jobs are processes: whatever ends one of them, the others run and the same command goes on.

Most tests let a script of a few lines stand for training: what counts is how it ends.
"""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Container
from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig

from ganlab import train
from ganlab.cli import compose_config
from ganlab.sweeping import child, job
from ganlab.sweeping.record import Outcome, StopRequest, SweepFolder, lost_jobs_failed

TINY = ("trainer=smoke", "logger=none", "model=gan", "data=ring2d", "model.generator.channels=4")

STAND_IN = """
import json, os, pathlib, signal, sys, time
arguments = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
seed = int(arguments["seed"])
run = pathlib.Path("run") / str(seed)
run.mkdir(parents=True, exist_ok=True)
calls = run / "calls"
calls.write_text(calls.read_text() + "x" if calls.exists() else "x")

def write(status):  # as the run folder does: whoever reads meanwhile sees the old or the new
    (run / "run.json.tmp").write_text(json.dumps({"status": status, "g_steps": 1000, "images_seen": 0}))
    os.replace(run / "run.json.tmp", run / "run.json")

def save(number, frame):
    write("interrupted")
    print(f"ganlab: error: saved on {signal.Signals(number).name}", flush=True)
    raise SystemExit(128 + number)

write("running")
"""


FINISHED = '{"status": "finished", "g_steps": 1000, "images_seen": 0}'


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets a job run STAND_IN and the given lines, in an empty working directory, instead of training."""
    monkeypatch.chdir(tmp_path)

    def use(lines: str) -> None:
        script = tmp_path / "stand_in.py"
        script.write_text(STAND_IN + textwrap.dedent(lines))
        monkeypatch.setattr(job, "TRAIN", (sys.executable, "-S", str(script)))
        monkeypatch.setattr(child, "POLL_SECONDS", 0.02)

    return use


def sweep(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Sweeps in this process; returns the exit status."""
    monkeypatch.setattr(sys, "argv", ["ganlab", "-m", *TINY, "run_dir=run/${seed}", *arguments])
    try:
        train.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def outcomes() -> dict[str, Outcome]:
    """Returns how each job of the one sweep ended last, by its last override."""
    [folder] = Path("runs/.sweep").iterdir()
    return {outcome.overrides[-1]: outcome for outcome in SweepFolder(folder).outcomes()}


# seed: (what the stand-in does, status, exit status, reason)
FAULTS = {
    1: ("os.kill(os.getpid(), signal.SIGSEGV)", "failed", 139, "killed by SIGSEGV"),
    2: ("raise ValueError('no such thing')", "failed", 1, "ValueError: no such thing"),
    3: ("os.kill(os.getpid(), signal.SIGKILL)", "failed", 137, "killed by SIGKILL: out of memory?"),
    4: ("raise SystemExit(0)", "failed", 1, "it ended with exit status 0 before its budget was spent"),
    5: ("print('ganlab: error: disk full'); raise SystemExit(5)", "failed", 5, "disk full"),
    6: ("save(signal.SIGTERM, None)", "interrupted", 143, "ganlab: error: saved on SIGTERM"),
    8: ("print('pre-empted'); raise SystemExit(75)", "interrupted", 75, "pre-empted"),
    -1: ("", "failed", 2, "seed: got -1, but it must be greater than or equal to 0"),
    7: ("", "finished", 0, None),
}


def test_job_that_breaks_off_ends_alone(
    stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: training in the sweep's process; trusting exit status 0; taking a job's SIGTERM for the sweep's;

    starting a process for a faulty configuration; the last fault's exit status for the first's (K7).
    """
    stand_in(
        "".join(f"if seed == {seed}: {fault[0] or 'pass'}\n" for seed, fault in FAULTS.items())
        + "write('finished')"
    )
    assert sweep(monkeypatch, "seed=" + ",".join(map(str, FAULTS))) == 139
    out, error = capsys.readouterr()
    found = outcomes()
    for number, (seed, (_, status, code, reason)) in enumerate(FAULTS.items()):
        outcome = found[f"seed={seed}"]
        assert (outcome.status, outcome.exit, outcome.error) == (status, code, reason)
        [row] = [line for line in out.splitlines() if line.startswith(f"{number} ")]
        assert row.split()[1:4] == [f"seed={seed}", status, str(code)]
        assert row.endswith(reason or "run/7")
        assert (reason or "no reason") in error or status == "finished"
    assert not Path("run/-1").exists()


def test_same_command_skips_and_resumes(
    stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: running finished jobs again; not running failed ones."""
    stand_in("if seed == 1 and len(calls.read_text()) == 1: raise SystemExit(4)\nwrite('finished')")
    assert sweep(monkeypatch, "seed=0,1") == 4
    for seed in (0, 1):  # as training would have
        config = compose_config(*TINY, f"seed={seed}", f"run_dir=run/{seed}")
        Path(f"run/{seed}/config.yaml").write_text(yaml.safe_dump(config))
    assert sweep(monkeypatch, "seed=0,1") == 0
    assert {key: outcome.status for key, outcome in outcomes().items()} == {
        "seed=0": "skipped",
        "seed=1": "finished",
    }
    assert [len(Path(f"run/{seed}/calls").read_text()) for seed in (0, 1)] == [1, 2]


def test_only_the_same_finished_run_is_skipped(tmp_path: Path) -> None:
    """Catches: skipping other mathematics, another budget, `resume=never`, or a run that has not ended."""
    config = compose_config(*TINY, f"run_dir={tmp_path}")
    assert not job.is_finished(config)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "run.json").write_text('{"status": "interrupted"}')
    assert not job.is_finished(config)
    (tmp_path / "run.json").write_text(FINISHED)
    assert job.is_finished(config)
    assert job.is_finished({**config, "tags": ["x"]})
    (tmp_path / "config.yaml").write_text("seed: [")
    assert not job.is_finished(config)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    for change in ({"n_critic": 3}, {"budget": {**config["budget"], "g_steps": 1001}}, {"resume": "never"}):
        assert not job.is_finished({**config, **change}), change


def test_child_gets_the_overrides_as_they_are(
    stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Catches: a shell between; a lost quote, `+` or --config-dir; the sweep's own overrides passed on.

    And a folder that Hydra does not find because an option stands last; a run outside of the sweep's group in W&B.
    """
    (tmp_path / "my conf" / "loss").mkdir(parents=True)
    (tmp_path / "my conf/loss/mine.yaml").write_text("_target_: ganlab.losses.hinge.HingeLoss\n")
    stand_in(
        "(run / 'got').write_text(json.dumps([sys.argv[1:], os.environ['WANDB_RUN_GROUP']]))\nwrite('finished')"
    )
    monkeypatch.delenv("WANDB_RUN_GROUP", raising=False)
    typed = ["+schedules.penalty.weight=[[0,10],[50000,1]]", "tags=['a b','c,d=e']", "loss=mine"]
    surplus = ["hydra/launcher=basic", "hydra.sweeper.max_batch_size=5", "hydra.verbose=false"]
    assert sweep(monkeypatch, *typed, "seed=1", *surplus, "--config-dir", "my conf") == 0
    arguments, group = json.loads(Path("run/1/got").read_text())
    options, overrides = arguments[:3], arguments[3:]
    assert options == ["--config-dir", str(tmp_path / "my conf"), "hydra.verbose=false"]
    assert overrides[: len(TINY)] == [*TINY]
    assert overrides[len(TINY) + 1 :] == [*typed, "seed=1"]
    assert [group] == [path.name for path in Path("runs/.sweep").iterdir()]


def test_child_gets_a_configuration_of_ones_own(
    stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Catches: jobs that train the default configuration instead of `--config-name mine`."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own/mine.yaml").write_text("defaults: [train, _self_]\nn_critic: 2\n")
    stand_in("(run / 'got').write_text(json.dumps(sys.argv[1:]))\nwrite('finished')")
    assert sweep(monkeypatch, "seed=1", "--config-dir", "own", "--config-name", "mine") == 0
    arguments = json.loads(Path("run/1/got").read_text())
    assert arguments[:4] == ["--config-dir", str(tmp_path / "own"), "--config-name", "mine"]


def test_interrupted_job_is_a_fault(stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: exit status 0 of a sweep that has to be run again."""
    stand_in("if seed == 1: save(signal.SIGTERM, None)\nwrite('finished')")
    assert sweep(monkeypatch, "seed=0,1") == 143


def test_pruned_job_is_no_fault(
    stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Catches: a trial that was given up told as interrupted, which is taken up again for ever."""
    folder = SweepFolder(tmp_path / "it")
    request = json.dumps({"signal_number": 15, "status": "pruned"})
    stand_in(
        f"""
        signal.signal(15, save)
        pathlib.Path({str(folder.path / ".stop-0")!r}).write_text({request!r} + chr(10))
        time.sleep(60)
        """
    )
    assert sweep(monkeypatch, "seed=0", f"hydra.sweep.dir={folder.path}") == 0
    assert [(outcome.status, outcome.exit) for outcome in folder.outcomes()] == [("pruned", 143)]


def test_flag_may_stand_among_the_keys(
    stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: ten lines of usage for `ganlab train model=dcgan -m seed=0,1`; keys in another order."""
    stand_in("write('finished')")
    assert sweep(monkeypatch, "seed=0", "-m", "seed=1,2") == 0
    assert sorted(path.name for path in Path("run").iterdir()) == ["1", "2"]


def test_fresh_folder_is_named(stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: with resume=never, looking into the old folder for how the new run ended; a group overwritten."""
    stand_in(
        """
        if calls.read_text() == "xx":
            run = pathlib.Path(arguments["run_dir"].strip("'"))
            run.mkdir()
            (run / "group").write_text(os.environ["WANDB_RUN_GROUP"])
        write("finished")
        """
    )
    monkeypatch.setenv("WANDB_RUN_GROUP", "mine")
    assert sweep(monkeypatch, "resume=never", "seed=1") == 0
    assert sweep(monkeypatch, "resume=never", "seed=1") == 0
    assert Path("run/1-2/group").read_text() == "mine"
    assert outcomes()["seed=1"].run_dir == "run/1-2"


def test_name_of_a_sweep_is_that_of_its_jobs() -> None:
    """Catches: a new folder for another launcher or more trials; the same one for other jobs."""
    from ganlab.sweeping.sweep import Sweep

    plain = Sweep.of(["-m", "seed=0,1"])
    parallel = Sweep.of(["-m", "seed=0,1", "hydra/launcher=basic", "hydra.sweeper.max_batch_size=2"])
    other = Sweep.of(["-m", "seed=0,2"])
    assert plain is not None
    assert parallel is not None
    assert other is not None
    assert plain.folder.path == parallel.folder.path != other.folder.path
    assert Sweep.of(["seed=0"]) is None


def test_skipping_needs_no_torch(tmp_path: Path) -> None:
    """Catches: an import of torch on the way to a finished job."""
    config = compose_config(*TINY, "seed=0", f"run_dir={tmp_path}/0")
    (tmp_path / "0").mkdir()
    (tmp_path / "0/config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "0/run.json").write_text(FINISHED)
    code = "import sys, ganlab.train; ganlab.train.main(); print('torch' in sys.modules)"
    words = ["-m", *TINY, "seed=0", f"run_dir={tmp_path}/0"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "skipped" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"


SLEEPER = "signal.signal(15, save); signal.signal(2, save)\nif seed == 1: time.sleep(60)\nwrite('finished')"


def start_sweep(tmp_path: Path, script: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts a sweep of stand-ins in a process of its own, and returns when job 1 is running."""
    (tmp_path / "stand_in.py").write_text(STAND_IN + script)
    code = (
        "import sys\nfrom ganlab import train\nfrom ganlab.sweeping import job\n"
        f"job.TRAIN = (sys.executable, '-S', {str(tmp_path / 'stand_in.py')!r})\n"
        "train.main()"
    )
    words = ["-m", *TINY, "run_dir=run/${seed}", "seed=0,1,2", *arguments]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: (tmp_path / "run/1/run.json").exists())
    time.sleep(0.3)  # the stand-in takes its signals after that
    return process


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_to_the_sweep_saves_and_stops(tmp_path: Path, number: int, status: int) -> None:
    """Catches: a job killed unsaved; later jobs started; another exit status; a stop that outlives the command."""
    process = start_sweep(tmp_path, SLEEPER)
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    assert process.returncode == status, error
    assert json.loads((tmp_path / "run/1/run.json").read_text())["status"] == "interrupted"
    assert not (tmp_path / "run/2").exists()
    assert "saved on" in out
    assert error.splitlines()[-1].startswith(f"ganlab: error: {signal.Signals(number).name} received")


@pytest.mark.parametrize("in_worker", [False, True])
def test_nothing_starts_after_a_stop(
    stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_worker: bool
) -> None:
    """Catches: workers that work off the queue of a sweep that was asked to stop, or that raise;

    without workers, composing the configurations of all jobs that are left; the exit status of a later signal.
    """
    folder = SweepFolder(tmp_path / "it")
    requests = [json.dumps({"signal_number": number, "status": "interrupted"}) + "\n" for number in (15, 2)]
    stand_in(
        f"write('finished')\npathlib.Path({str(folder.path / '.stop')!r}).write_text({''.join(requests)!r})"
    )
    calls = []

    def counted(composed: DictConfig, shared: Container[str], in_worker: bool) -> float:
        calls.append(composed.seed)
        return job.run_job(composed, shared, in_worker)

    monkeypatch.setattr("ganlab.sweeping.sweep.run_job", counted)
    if in_worker:
        numbers = itertools.count()
        monkeypatch.setattr("ganlab.sweeping.sweep.os.getpid", lambda: next(numbers))  # never the sweep's own
    assert sweep(monkeypatch, "seed=0,1,2", f"hydra.sweep.dir={folder.path}") == 143
    assert calls == ([0, 1, 2] if in_worker else [0])
    assert [outcome.job for outcome in folder.outcomes()] == [0]
    assert not Path("run/1").exists()


def test_killed_sweep_takes_its_job_along(tmp_path: Path) -> None:
    """Catches: a job that trains on, and holds the run's lock, when its sweep was killed (K6)."""
    process = start_sweep(tmp_path, SLEEPER)
    process.kill()
    process.communicate()
    wait_for(lambda: json.loads((tmp_path / "run/1/run.json").read_text())["status"] == "interrupted", 10)


def test_second_signal_and_what_a_job_leaves_behind(tmp_path: Path) -> None:
    """Catches: a second request that is not passed on; ranks and loader processes that outlive their job."""
    log, grandchild = tmp_path / "log", tmp_path / "grandchild"
    script = (
        "import signal, subprocess, sys, time, pathlib\n"
        "got = []\n"
        "def count(number, frame):\n"
        "    got.append(number)\n"
        "    if len(got) == 2: raise SystemExit(7)\n"
        "signal.signal(15, count)\n"
        "left = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(grandchild)!r}).write_text(str(left.pid))\n"
        "while True: time.sleep(0.01)"
    )
    folder = SweepFolder(tmp_path)
    asked = iter(range(1000))

    def signals() -> list[int]:
        if grandchild.exists() and grandchild.read_text() and next(asked) in (1, 3):
            folder.ask_to_stop(StopRequest(signal.SIGTERM), 5)
        return [request.signal_number for request in folder.stop_requests(5)]

    code = child.run_child([sys.executable, "-S", "-c", script], log, os.environ, signals)
    assert code == 7, log.read_text()
    pid = grandchild.read_text()
    try:
        wait_for(lambda: is_gone(pid), 10)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def is_gone(pid: str) -> bool:
    """Whether a process has ended, be it that nobody has asked yet how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_one_ctrl_c_is_one_request(tmp_path: Path) -> None:
    """Catches: adding up what a terminal sends to the sweep and to its workers, which would stop jobs unsaved."""
    folder = SweepFolder(tmp_path)
    folder.ask_to_stop(StopRequest(signal.SIGINT))
    folder.ask_to_stop(StopRequest(signal.SIGINT), job=3)
    assert len(folder.stop_requests(3)) == 1
    folder.ask_to_stop(StopRequest(signal.SIGINT))
    assert len(folder.stop_requests(3)) == 2
    assert len(folder.stop_requests(4)) == 2
    folder.forget_stop_requests()
    assert not folder.stop_requests(3)


def test_lines_of_a_sweep_are_read_by_other_versions(tmp_path: Path) -> None:
    """Catches: a traceback for what a newer version notes; jobs in the order in which they ended."""
    folder = SweepFolder(tmp_path)
    for number in (2, 0, 1):
        folder.append(Outcome(number, (f"seed={number}",), f"run/{number}", "finished", 0))
    lines = (tmp_path / "sweep.jsonl").read_text().replace('"job"', '"host": "a", "job"')
    (tmp_path / "sweep.jsonl").write_text(lines)
    assert [outcome.job for outcome in folder.outcomes()] == [0, 1, 2]
    assert [outcome.job for outcome in folder.outcomes(start=1)] == [0, 1]


def test_worker_that_vanished_is_a_fault(tmp_path: Path) -> None:
    """Catches: a job whose worker was killed and that counts as well."""
    folder = SweepFolder(tmp_path)
    folder.append(Outcome(0, ("seed=0",), "run/0"))
    folder.append(Outcome(1, ("seed=1",), "run/1"))
    folder.append(Outcome(1, ("seed=1",), "run/1", "finished", 0))
    assert [outcome.status for outcome in lost_jobs_failed(folder.outcomes())] == ["failed", "finished"]


def test_last_line_of_a_log(tmp_path: Path) -> None:
    """Catches: a progress bar for the reason; a reason of an earlier attempt; a log that is cut within a letter."""
    log = tmp_path / "log"
    log.write_text("old\n")
    start = log.stat().st_size
    assert child.last_line(log, start) == ""
    log.write_text("old\nbar 1%\rValueError: x\n\n")
    assert child.last_line(log, start) == "ValueError: x"
    log.write_bytes("é".encode() * 40_000 + b"x\nValueError: y")
    assert child.last_line(log, start) == "ValueError: y"


@pytest.mark.slow
def test_two_real_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a command that training does not take; looking for its run in another folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganlab", "-m", *TINY, "seed=0,1"])
    train.main()
    assert [json.loads(path.read_text())["status"] for path in tmp_path.glob("runs/*/run.json")] == [
        "finished"
    ] * 2
    monkeypatch.setattr(job, "TRAIN", ("false",))
    monkeypatch.setattr(sys, "argv", ["ganlab", "-m", *TINY, "seed=0,1"])
    train.main()  # both are skipped
