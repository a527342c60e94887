"""Finds the run that an earlier ganlab made of a configuration, under the name that it gave it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganlab.config.identity import default_run_name, identity
from ganlab.runs.reading.files import UnreadableError
from ganlab.runs.reading.folder import look, read
from ganlab.runs.reading.run import Place, Run


def at_earlier_folder(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a configuration that continues what an earlier ganlab has begun, where its folder has the default name.

    The default name holds a hash, over other keys than today's in an earlier ganlab. So a run is known by what it is:
    where there is no folder of today's name, one of the same model, data and seed, and of the same mathematics, is the
    run. Of several it is the one that was written to last.

    Args:
        config: validated.
    """
    name = default_run_name(config)
    folder = Path(config["run_dir"])
    if (
        config["run_name"] != name
        or folder != Path("runs", name)
        or folder.exists()
        or config["resume"] == "never"
    ):
        return config
    wanted = identity(config)
    same = [run for run in _candidates(config) if run.identity == wanted]
    if not same:
        return config
    earlier = max(same, key=lambda run: run.written)
    return {**config, "run_name": earlier.path.name, "run_dir": f"runs/{earlier.path.name}"}


def _candidates(config: Mapping[str, Any]) -> Iterator[Run]:
    model, data, seed = config["model"]["name"], config["data"]["name"], config["seed"]
    start, end = f"{model}-{data}-", f"-s{seed}"
    for path in sorted(Path("runs").glob("*")):
        digest = path.name.removeprefix(start).removesuffix(end)
        if path.name == f"{start}{digest}{end}" and len(digest) == 8 and path.is_dir():
            place = Place(Path("runs").resolve(), (path.name,))
            try:
                stamps = look(place)
            except UnreadableError:
                continue
            yield read(
                place, {name: stamps[name] for name in ("config.yaml", "run.json") if name in stamps}
            ).run
