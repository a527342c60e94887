"""Classification accuracy score: do generated images teach a classifier what real ones would?"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganlab.errors import ConfigurationError
from ganlab.interfaces import ImageData
from ganlab.metrics.bootstrap import mean_estimate
from ganlab.metrics.classes import check_known_classes
from ganlab.metrics.metric import Estimate
from ganlab.metrics.naming import count_name
from ganlab.metrics.probe import GeneratorProbe, ProbeContext
from ganlab.modalities.images import to_float, to_uint8
from ganlab.noise import Noise, mix

BATCH_SIZE, LEARNING_RATE = 64, 1e-3
ARCHITECTURE = (
    "3 convolutions 4x4 of stride 2 (32, 64, 128 channels, ReLU), mean over places, linear; Adam 1e-3"
)


class ClassificationAccuracy(GeneratorProbe):
    """Classification accuracy score (CAS), in [0, 1]: a classifier trained on fakes and tested on reals.

    Also the reverse, trained on reals and tested on fakes, which says whether fakes look like their label, not whether
    they vary. Ravuri and Vinyals 2019, section 3, arXiv 1905.10887.

    Ours differs: the classifier is a small network trained for a few epochs (theirs is a ResNet-50), and both sides
    have the same number of images. So values compare generators on one data set, not with the paper. The paper tests on
    real images held out: set evaluate.reference=test.

    The interval resamples the images that the classifier is tested on; the classifier, and the images that taught it,
    stay.

    Args:
        epochs: passes over the training side, >= 1.
        bootstrap: resamples for the confidence interval; 0: none.
        seed: of weights and order.

    Raises:
        ConfigurationError: no epochs.
    """

    needs_reference = True
    higher_is_better = True

    def __init__(self, epochs: int, bootstrap: int, seed: int = 0) -> None:
        if epochs < 1:
            raise ConfigurationError(f"cas: got epochs={epochs}, but it must be at least 1")
        self._epochs = epochs
        self._bootstrap = bootstrap
        self._seed = seed

    @property
    def details(self) -> dict[str, Any]:
        """The classifier and its training."""
        return {
            "classifier": ARCHITECTURE,
            "classifier_epochs": self._epochs,
            "classifier_batch_size": BATCH_SIZE,
            "classifier_seed": self._seed,
        }

    def keys(self, extractor: str, num_samples: int, split: str | None) -> tuple[str, ...]:
        """Returns `cas_train_on_fake_<num>_<split>` and `cas_train_on_real_<num>_<split>`."""
        end = f"{count_name(num_samples)}_{split}"
        return f"cas_train_on_fake_{end}", f"cas_train_on_real_{end}"

    def scores(self, context: ProbeContext) -> dict[str, Estimate]:
        """Returns an accuracy by each of the keys."""
        fake_labels, reference = context.sampler.labels, context.reference
        if fake_labels is None or reference is None or reference.labels is None:
            lacking = (
                "the generator is unconditional" if fake_labels is None else "the data set has no labels"
            )
            raise ConfigurationError(
                f"metrics=cas needs labels of generated and of real images, and {lacking}: drop it from metrics"
            )
        check_known_classes("cas", fake_labels, reference)
        fakes = context.fakes(torch.arange(context.num_samples)), fake_labels.cpu()
        reals = _spread(reference, context.num_samples)
        num_classes = 1 + int(max(fakes[1].max(), reference.labels.max()))
        of_fakes, of_reals = self.keys(context.extractor.name, context.num_samples, reference.split)
        return {
            of_fakes: self._accuracy(fakes, reals, num_classes, context.device),
            of_reals: self._accuracy(reals, fakes, num_classes, context.device),
        }

    def _accuracy(
        self,
        train: tuple[Tensor, Tensor],
        test: tuple[Tensor, Tensor],
        num_classes: int,
        device: torch.device,
    ) -> Estimate:
        """Trains on one side and returns the share of right answers on the other."""
        with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global generator
            torch.default_generator.manual_seed(mix("cas weights", self._seed))
            network = classifier(train[0].shape[1], num_classes).to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        order = Noise(mix("cas order", self._seed))
        with torch.enable_grad(), torch.autocast(device.type, enabled=False):
            for _ in range(self._epochs):
                for places in order.uniform(len(train[0])).argsort().split(BATCH_SIZE):
                    loss = cross_entropy(
                        network(_input(train[0][places], device)), train[1][places].to(device)
                    )
                    gradients = torch.autograd.grad(loss, list(network.parameters()))
                    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                        parameter.grad = gradient
                    optimizer.step()
        with torch.no_grad():
            answers = torch.cat(
                [network(_input(part, device)).argmax(dim=1).cpu() for part in test[0].split(512)]
            )
        return mean_estimate((answers == test[1]).double(), self._bootstrap)


def classifier(channels: int, num_classes: int) -> nn.Module:
    """Makes the network that `ARCHITECTURE` describes, for images of 8 px or more."""
    layers: list[nn.Module] = []
    for width in (32, 64, 128):
        layers += [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


def _spread(data: ImageData, num: int) -> tuple[Tensor, Tensor]:
    """Returns at most `num` real images and their labels, spread evenly over the data set."""
    assert data.labels is not None
    total = len(data.images)
    places = torch.arange(min(num, total)) * total // min(num, total)
    return to_uint8(data.images[places]), data.labels[places]


def _input(images: Tensor, device: torch.device) -> Tensor:
    return to_float(images.to(device))
