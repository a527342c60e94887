"""Sampling from a generator whose batch norms were synchronised over the ranks for training."""

from pathlib import Path

import pytest
import torch
from torch import distributed, nn

from ganlab.models.dcgan import DCGANGenerator
from ganlab.sampling import Sampler


@pytest.mark.parametrize("policy", ["batch", "standing"])
def test_sampling_waits_for_no_other_process(tmp_path: Path, policy: str) -> None:
    """Catches: a copy whose synchronised batch norms ask the other ranks for their statistics."""
    torch.manual_seed(0)
    plain = DCGANGenerator(latent_dim=4, channels=4, image_size=16, image_channels=1)
    expected = Sampler(plain, "samples", 0, 6, batch_norm=policy, batch_size=6)(0, 6)
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(plain)
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        drawn = Sampler(synchronised, "samples", 0, 6, batch_norm=policy, batch_size=6)(0, 6)
    finally:
        distributed.destroy_process_group()
    assert torch.equal(drawn, expected)
    assert any(isinstance(layer, nn.SyncBatchNorm) for layer in synchronised.modules())
