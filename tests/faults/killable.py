"""Does a job in a forked child for each line on standard input, so that a test may kill twenty and import torch once.

`killable.py save FOLDER` saves states of some megabytes without end. With a number as the line, the child dies at that
call into the file system and saves one state only. `killable.py train ARGUMENT...` trains, with the line as further
arguments. Lines on standard output: the child's number, `started` and `saved` with a number, the child's exit status.
"""

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ganlab.files import sweep_parts
from ganlab.runs.checkpoint_folder import CheckpointFolder


def die_at(call: int) -> None:
    """Ends this process just before the n-th call that changes a file's name or waits for the disk."""
    counter = itertools.count()

    def mortal(original: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **options: Any) -> Any:
            if next(counter) == call:
                os._exit(9)
            return original(*arguments, **options)

        return act

    for name in ("fsync", "replace", "link", "unlink"):
        setattr(os, name, mortal(getattr(os, name)))


def save(say: Callable[..., None], folder: Path, line: str) -> None:
    sweep_parts(folder)
    say("started", len(list(folder.glob(".*"))))
    checkpoints = CheckpointFolder(folder, keep_last=2)
    found = checkpoints.newest()
    first = found.state["counters"]["g_step"] + 1 if found else 0
    steps = range(first, first + 1) if line else itertools.count(first)
    if line:
        die_at(int(line))
    for g_step in steps:
        checkpoints.save({"counters": {"g_step": g_step}, "weights": torch.full((500_000,), float(g_step))})
        say("saved", g_step)


def main() -> None:
    job, *arguments = sys.argv[1:]
    torch.set_num_threads(1)
    if job == "train":
        import ganlab.build.run  # once, not in each child
        import ganlab.train
    for line in sys.stdin:
        if os.fork() == 0:
            answers = os.dup(1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

            def say(*words: object, answers: int = answers) -> None:
                os.write(answers, (" ".join(map(str, words)) + "\n").encode())

            say("child", os.getpid())
            if job == "save":
                save(say, Path(arguments[0]), line.strip())
            else:
                ganlab.train.train(ganlab.cli.compose_config(*arguments, *line.split()))
            os._exit(0)
        print("ended", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)


if __name__ == "__main__":
    main()
