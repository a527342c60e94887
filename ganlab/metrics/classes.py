"""What metrics that compare class with class need to be sure of."""

from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import ImageData


def check_same_classes(
    metric: str, fake_labels: Tensor, real_labels: Tensor, class_names: tuple[str, ...], least: int = 1
) -> None:
    """Sees that both sides have images of the same classes: a mean over some of them is another number.

    Args:
        metric: its name, for the message.
        fake_labels: `(N,)`.
        real_labels: `(M,)`.
        class_names: of the labels in order; may be empty.
        least: images of each class that the metric needs.

    Raises:
        ConfigurationError: names the first class that one side lacks.
    """
    fakes, reals = (labels.bincount().tolist() for labels in (fake_labels, real_labels))
    for label in range(max(len(fakes), len(reals))):
        num_fakes, num_reals = (counts[label] if label < len(counts) else 0 for counts in (fakes, reals))
        if (not num_fakes and not num_reals) or min(num_fakes, num_reals) >= least:
            continue
        name = f" ({class_names[label]})" if label < len(class_names) else ""
        mend = "set evaluate.num_samples higher"
        if not num_reals:
            mend = "give a reference that has the classes of training"
        elif not num_fakes:
            mend += ", or give a reference without it if training had no such class"
        raise ConfigurationError(
            f"{metric} compares each class by itself, and class {label}{name} has {num_fakes} generated and {num_reals}"
            f" real images of the {least} that it needs: {mend}"
        )


def check_known_classes(metric: str, fake_labels: Tensor, reference: ImageData) -> None:
    """Sees that the reference has images of every class that was generated, and of none that training had not.

    Args:
        metric: its name, for the message.
        fake_labels: `(N,)`.
        reference: with labels.

    Raises:
        ConfigurationError: names the first class that one side lacks.
    """
    assert reference.labels is not None
    where = f"{metric} compares classes, and {reference.name}/{reference.split}"
    if reference.foreign_classes:
        raise ConfigurationError(
            f"{where} has {reference.foreign_classes[0]}, which training had not: give a reference without it"
        )
    lacking = sorted(set(fake_labels.unique().tolist()) - set(reference.labels.unique().tolist()))
    if lacking:
        names = reference.class_names
        name = f" ({names[lacking[0]]})" if lacking[0] < len(names) else ""
        raise ConfigurationError(
            f"{where} has no image of class {lacking[0]}{name}: give a reference that has the classes of training"
        )
