"""Runs functions on two ranks of one gloo group, without two interpreters that import torch for each."""

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

PRELOADED = ["ganlab.train", "ganlab.build.run", "ganlab.build.module", "ganlab.runs.resumption", "rank_work"]


def two_ranks(work: Callable[..., Any], *arguments: Any, seconds: float = 200) -> list[Any]:
    """Calls `work(*arguments)` on both ranks and returns what they return, rank 0 first.

    Args:
        work: a function of `rank_work`, which the processes import. Trainers in it take part as if `torchrun` had
            started them.
        arguments: plain values.
        seconds: after so long the test fails.
    """
    context = multiprocessing.get_context("forkserver")  # it imports once; pytest's own process has threads
    context.set_forkserver_preload(PRELOADED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    processes = [
        context.Process(target=_rank, args=(rank, port, pipes[rank][1], work, arguments)) for rank in range(2)
    ]
    for process, (_, sending) in zip(processes, pipes, strict=True):
        process.start()
        sending.close()  # so that a rank that dies without a word is noticed
    try:
        answers = []
        for receiving, _ in pipes:
            assert receiving.poll(seconds), f"a rank did not end within {seconds:.0f} s"
            answers.append(receiving.recv())
    finally:
        for process in processes:
            process.join(5)
            process.kill()
    for answer in answers:
        assert not (isinstance(answer, str) and answer.startswith("Traceback")), answer
    return answers


def _rank(rank: int, port: int, answer: Connection, work: Callable[..., Any], arguments: Any) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ |= {
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test"},
    }
    try:
        answer.send(work(*arguments))
    except BaseException:
        answer.send(traceback.format_exc())
