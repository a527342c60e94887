"""What many tests of training share."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch


def fit(
    module: pl.LightningModule,
    batches: Sequence[Any],
    callbacks: Iterable[pl.Callback] = (),
    accelerator: str = "cpu",
    **options: Any,
) -> None:
    """Trains on the given batches, images or pairs of images and labels, once each and in silence."""
    trainer = pl.Trainer(
        accelerator=accelerator,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **options,
    )
    loader = torch.utils.data.DataLoader(
        list(batches),
        batch_size=None,
        collate_fn=lambda batch: batch if isinstance(batch, tuple) else (batch, None),
    )
    trainer.fit(module, loader)
