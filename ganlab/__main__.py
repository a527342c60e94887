"""`ganlab VERB ...` and `python -m ganlab VERB ...`: the same as `python -m ganlab.VERB ...`."""

import os
import runpy
import sys

VERBS = {
    "train": "train a GAN: ganlab train model=sngan data=cifar10",
    "evaluate": "score a run or a folder of images: ganlab evaluate run=RUN_DIR",
    "compare": "table of runs: ganlab compare runs/",
    "dashboard": "page that compares runs: ganlab dashboard runs/",
    "report": "the same page as one file: ganlab report runs/ out=report.html",
    "data": "check or prepare your own images: ganlab data check PATH",
    "sample": "draw images from a run: ganlab sample run=RUN_DIR num=64 out=DIR",
    "export": "a generator to hand on, with its model card: ganlab export run=RUN_DIR out=DIR",
    "rerun": "train a run again by its own command, and compare: ganlab rerun RUN_DIR",
}


def main() -> None:
    """Runs the verb that the first argument names, as if its module had been started with `python -m`.

    `runpy` (rather than a call) gives the process the `__main__` that Lightning needs to start further processes of
    a distributed run with the same command. A package in the working directory is found, as with `python -m`.
    """
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb in ("-h", "--help"):
        print("usage: ganlab VERB [key=value ...]\n")
        print("\n".join(f"  {name:<10}{what}" for name, what in VERBS.items()))
        return
    if verb not in VERBS:
        print(f"ganlab: error: unknown verb {verb!r}; choose from {', '.join(VERBS)}", file=sys.stderr)
        raise SystemExit(2)
    del sys.argv[1]
    # As `python -m` finds them; last, so that no file of the folder stands in for a library.
    if not sys.flags.safe_path:
        sys.path.append(os.getcwd())
    runpy.run_module(f"ganlab.{verb}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
