"""What commands can be told of how latents are chosen; the methods themselves are in `ganlab.sampling`."""

from dataclasses import dataclass

METHODS = ("plain", "drs", "ddls")

METHODS_USAGE = """how latents are chosen (docs/sampling.md):
  method=plain       plain, drs (rejection by the discriminator) or ddls (Langevin steps in latent space)
  drs_percentile=80  the images of this percentile are accepted half the time; more is stricter and slower
  drs_gamma=X        a threshold in the place of the percentile; 0 is plain rejection sampling
  drs_burn_in=10000  images that the thresholds are estimated from
  ddls_steps=100     moves of each latent
  ddls_step_size=0.01
  ddls_noise=1.0     factor of the noise; 0 climbs to the nearest mode"""


@dataclass
class LatentOptions:
    """What can be typed; `None` takes the default of the method's constructor."""

    method: str = "plain"
    drs_percentile: float | None = None
    drs_gamma: float | None = None
    drs_burn_in: int | None = None
    ddls_steps: int | None = None
    ddls_step_size: float | None = None
    ddls_noise: float | None = None
