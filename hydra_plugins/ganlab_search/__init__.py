"""What Hydra knows of ganlab's search: it takes plugins from the package `hydra_plugins` only.

Hydra imports this file at the start of each of its applications, so it imports nothing that takes time.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class OptunaSweeper(Sweeper):
    """Searches with Optuna; `conf/hydra/sweeper/optuna.yaml` says what the arguments are."""

    def __init__(
        self,
        objective: str,
        direction: str,
        score: str,
        n_trials: int,
        n_jobs: int,
        seed: int,
        params: Mapping[str, Any],
        sampler: Callable[..., Any],
        pruner: Callable[..., Any],
    ) -> None:
        self._objective = {"metric": objective, "direction": direction, "score": score}
        self._settings = {"n_trials": n_trials, "n_jobs": n_jobs, "seed": seed}
        self._params = params
        self._make_sampler = sampler
        self._make_pruner = pruner

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra hands over."""
        self.config = config
        self.hydra_context = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Searches the space that the arguments describe."""
        from ganlab.sweeping.objective import Objective
        from ganlab.sweeping.record import SweepFolder
        from ganlab.sweeping.search import Search
        from ganlab.sweeping.space import Space

        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        typed = [*(f"{key}={value}" for key, value in self._params.items()), *arguments]
        space = Space.of(parser.parse_overrides(typed))
        search = Search(
            space,
            self._directed(Objective(**self._objective), space),
            SweepFolder(self.config.hydra.sweep.dir),
            launch=self._launch,
            make_sampler=self._make_sampler,
            make_pruner=self._make_pruner,
            **self._settings,
        )
        search.run()

    def _directed(self, objective: Any, space: Any) -> Any:
        """Returns the objective with its direction; one that no trial will write ends the command here."""
        from ganlab.build.promised import objective_direction
        from ganlab.config.schema import register_resolvers, validate

        register_resolvers()
        for values in space.examples():
            overrides = space.overrides(values)
            self.validate_batch_is_legal([overrides])
            composed = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
            OmegaConf.set_struct(composed, False)
            del composed["hydra"]
            directed = objective.directed(objective_direction(validate(composed), objective.metric))
        return directed

    def _launch(self, batch: list[list[str]], first_job: int) -> list[float]:
        self.validate_batch_is_legal(batch)
        return [each.return_value for each in self.launcher.launch(batch, initial_job_idx=first_job)]
