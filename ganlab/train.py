"""`python -m ganlab.train [group=option] [key=value]`: trains a GAN, or continues where the same command stopped."""

import os
from typing import TYPE_CHECKING, Any

from ganlab.cli import run_composed
from ganlab.config.identity import LEFT_TO_THE_MACHINE
from ganlab.config.schema import Config, validate
from ganlab.errors import StorageError
from ganlab.runs.reading.earlier import at_earlier_folder
from ganlab.training.launch import check_launch

if TYPE_CHECKING:
    from ganlab.runs.folder import RunFolder


def train(config: Config) -> "RunFolder":
    """Trains what the configuration describes and prints where the run lies and its scores.

    Args:
        config: validated, from the command line or `ganlab.cli.compose_config`.

    Returns:
        The run folder.

    Raises:
        GanlabError: for faults that a user can mend.
    """
    from ganlab.build import finetuning  # here: a misspelt key must not wait for torch
    from ganlab.build import module as assembly
    from ganlab.build import run as build
    from ganlab.build.promised import check_monitor
    from ganlab.numerics.determinism import refusal
    from ganlab.numerics.precision import check_offered
    from ganlab.runs.resumption import check_same_data, make_plan

    _check_devices(config["trainer"])
    config = at_earlier_folder(config)
    plan = make_plan(config)
    if plan.finished:
        print("This run is finished; raise its budget to continue it, or set resume=never for another.")
        report(plan.run)
        return plan.run
    check_monitor(config)
    config["run_dir"], config["speed"]["winograd"] = str(plan.run.path), plan.winograd(config)
    module = assembly.build_module(config)
    module.configure_optimizers()  # what one refuses ends the command before a run folder is made
    data = build.build_data(config)
    inherited = finetuning.initialize(module, config["initialize"]) if plan.state is None else None
    if plan.state is not None:
        data.start_iteration = plan.state["counters"]["g_step"]
    trainer = build.build_trainer(config, build.build_callbacks(config, plan, data))
    check_offered(module.networks.values(), config["trainer"]["precision"], trainer.strategy.root_device)
    data.check(trainer.world_size)  # missing or unfit data end the command before a run folder is made
    module.meet(data.modality.normalize, data.held_out)
    check_same_data(plan, data.data("train").sha256)
    if trainer.is_global_zero:
        describe(config, plan.run, module, plan.state)
        if inherited is not None:
            print(*inherited.lines(), sep="\n", flush=True)
            plan.run.documents["initialize.json"] = inherited.document()
    try:
        trainer.fit(module, data)
    except BaseException as error:
        close(plan.run, trainer, module, error)
        # A signal raises it, wherever the process is.
        if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
            raise data.loader_fault(error) from error
        if (refused := refusal(error)) is not None:
            raise refused from error
        raise
    close(plan.run, trainer, module, None)
    if trainer.is_global_zero:
        report(plan.run)
    return plan.run


def _check_devices(options: Config) -> None:
    """Refuses ranks that were not asked for, and counts the devices where the machine decides their number."""
    from ganlab.build.run import count_devices

    accelerator = options["accelerator"]
    check_launch(options, os.environ, lambda: count_devices(accelerator))
    if options["devices"] in LEFT_TO_THE_MACHINE:  # another number is another total batch
        options["devices"] = count_devices(accelerator)


def close(run: "RunFolder", trainer: Any, module: Any, error: BaseException | None) -> None:
    """Writes how the run ended to its folder and gives the folder free."""
    if not trainer.is_global_zero or not run.is_open:
        return
    from ganlab.callbacks.interrupt import Interrupted

    stopped = isinstance(error, Interrupted | KeyboardInterrupt | SystemExit)
    status = "finished" if error is None else "interrupted" if stopped else "failed"
    counters = module.counters
    try:
        run.set_status(
            status,
            error=None if error is None else f"{type(error).__name__}: {error}",
            g_steps=counters.g_step,
            d_steps=counters.d_step,
            images_seen=counters.images_seen,
            seconds=round(counters.seconds, 3),
        )
    except StorageError:
        if error is None:  # else what ended the run counts, not that it cannot be noted
            raise
    finally:
        run.close()


def describe(config: Config, run: "RunFolder", module: Any, state: dict[str, Any] | None) -> None:
    """Prints what is about to be trained."""
    sizes = [f"{name} {_size(network)}" for name, network in module.networks.items()]
    start = f"continues at g_step {state['counters']['g_step']}" if state else "starts"
    print(
        f"{config['model']['name']} on {config['data']['name']}: "
        f"parameters: {', '.join(sizes)}; {start} in {run.path}",
        flush=True,
    )


def _size(network: Any) -> str:
    """Counts parameters, and those of them that are not trained."""
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    frozen = sum(num for num, is_trained in counts if not is_trained)
    return f"{sum(num for num, _ in counts):,}" + (f" ({frozen:,} frozen)" if frozen else "")


def report(run: "RunFolder") -> None:
    """Prints the run folder, the scores by time, and the last sample grid."""
    print(f"run folder:  {run.path}")
    scores: dict[str, list[str]] = {}
    for result in run.results():
        value = "nan" if result["value"] is None else f"{result['value']:.4g}"
        scores.setdefault(result["metric"], []).append(f"{value} (g_step {result['g_step']})")
    for metric, values in scores.items():
        print(f"{metric}:  {' -> '.join(dict.fromkeys(values))}")
    if grid := run.last_sample_grid():
        print(f"samples:     {grid}")


def main() -> None:
    """Runs the command."""
    run_composed(lambda composed: train(validate(composed)), "train")


if __name__ == "__main__":
    main()
