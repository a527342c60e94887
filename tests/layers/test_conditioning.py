"""The ways to tell a network of labels and latents, against plain re-computation."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from ganlab.errors import ConfigurationError
from ganlab.layers.conditioning import (
    AuxiliaryClassifierHead,
    ConcatenatedLabels,
    ConditionalBatchNorm2d,
    ConditionalUpBlock,
    LinearConditionalBatchNorm2d,
    ProjectionHead,
    SelfModulation,
    UnconditionalBatchNorm2d,
    check_num_classes,
    required,
)
from ganlab.layers.spectral_norm import normalize_embeddings

LABELS = torch.tensor([2, 0, 2, 1])


def normalized(maps: Tensor, eps: float = 1e-5) -> Tensor:
    mean = maps.mean((0, 2, 3), keepdim=True)
    variance = ((maps - mean) ** 2).mean((0, 2, 3), keepdim=True)
    return (maps - mean) / (variance + eps).sqrt()


def modulated(maps: Tensor, gain: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    return normalized(maps, eps) * gain[:, :, None, None] + bias[:, :, None, None]


@torch.no_grad()
def test_conditional_batch_norm() -> None:
    """Catches gain and bias swapped, one label for the batch, statistics per class, and a gain of 1 + table."""
    norm, maps = ConditionalBatchNorm2d(5, 3), 3 + torch.randn(4, 5, 6, 6)
    torch.testing.assert_close(norm(maps, LABELS), normalized(maps))
    norm.gain.weight.normal_()
    norm.bias.weight.normal_()
    expected = modulated(maps, norm.gain.weight[LABELS], norm.bias.weight[LABELS])
    torch.testing.assert_close(norm(maps, LABELS), expected)


@torch.no_grad()
def test_linear_conditional_batch_norm() -> None:
    """Catches a missing 1 +, gain and bias swapped, and an eps that does not arrive."""
    norm, maps, condition = (
        LinearConditionalBatchNorm2d(5, 7, eps=0.3),
        torch.randn(4, 5, 6, 6),
        torch.randn(4, 7),
    )
    gain, bias = 1 + condition @ norm.gain.weight.T, condition @ norm.bias.weight.T
    torch.testing.assert_close(norm(maps, condition), modulated(maps, gain, bias, eps=0.3))
    torch.testing.assert_close(norm(maps, torch.zeros(4, 7)), normalized(maps, eps=0.3))


@torch.no_grad()
def test_self_modulation() -> None:
    """Catches a missing ReLU, gain and bias swapped, and a gain that starts at 0."""
    norm, maps, latents = SelfModulation(5, 7), torch.randn(4, 5, 6, 6), torch.randn(4, 7)
    hidden = (latents @ norm.hidden.weight.T + norm.hidden.bias).clamp_min(0)
    gain, bias = 1 + hidden @ norm.gain.weight.T, hidden @ norm.bias.weight.T
    assert hidden.shape == (4, 32)
    torch.testing.assert_close(norm(maps, latents), modulated(maps, gain, bias))


@pytest.mark.parametrize(
    ("norm", "condition"),
    [
        (UnconditionalBatchNorm2d(5), None),
        (ConditionalBatchNorm2d(5, 3), LABELS),
        (LinearConditionalBatchNorm2d(5, 7), torch.ones(4, 7)),
        (SelfModulation(5, 7), torch.ones(4, 7)),
    ],
)
def test_batch_norms_keep_statistics_and_type(norm: nn.Module, condition: Tensor | None) -> None:
    """Catches statistics of the batch at evaluation, and maps that become float32 under autocast."""
    maps = 3 + torch.randn(4, 5, 6, 6)
    norm = copy.deepcopy(norm)
    norm(maps, condition)
    inner = next(layer for layer in norm.modules() if isinstance(layer, nn.BatchNorm2d))
    torch.testing.assert_close(inner.running_mean, 0.1 * maps.mean((0, 2, 3)))
    norm.eval()
    single = norm(maps[:1], None if condition is None else condition[:1])
    torch.testing.assert_close(single, norm(maps, condition)[:1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert norm(maps.bfloat16(), condition).dtype == torch.bfloat16


@torch.no_grad()
def test_up_block() -> None:
    """Catches a condition that reaches one norm only, a wrong shortcut, and another interpolation than nearest."""
    torch.manual_seed(0)
    block = ConditionalUpBlock(3, 4, lambda width: ConditionalBatchNorm2d(width, 3)).double()
    for norm in (block.norm1, block.norm2):
        norm.gain.weight.normal_()
        norm.bias.weight.normal_()
    maps = torch.randn(4, 3, 5, 5, dtype=torch.float64)

    def twice(small: Tensor) -> Tensor:
        return small.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def norm_of(norm: ConditionalBatchNorm2d, small: Tensor) -> Tensor:
        return modulated(small, norm.gain.weight[LABELS], norm.bias.weight[LABELS])

    hidden = twice(norm_of(block.norm1, maps).clamp_min(0))
    hidden = conv2d(hidden, block.conv1.weight, block.conv1.bias, padding=1)
    expected = block.conv2(norm_of(block.norm2, hidden).clamp_min(0)) + block.shortcut(twice(maps))
    torch.testing.assert_close(block(maps, LABELS), expected)


@torch.no_grad()
def test_concatenated_labels() -> None:
    """Catches labels in front of the values, one label for the batch, and maps that are not constant."""
    one_hot, latents, images = ConcatenatedLabels(3), torch.randn(4, 2), torch.randn(4, 1, 5, 6)
    expected = torch.tensor([[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]]).float()
    assert one_hot.num_added == 3
    assert torch.equal(one_hot(latents, LABELS), torch.cat([latents, expected], 1))
    with_maps = one_hot(images, LABELS)
    assert torch.equal(with_maps[:, :1], images)
    assert torch.equal(with_maps[:, 1:], expected[:, :, None, None].repeat(1, 1, 5, 6))
    learnt = ConcatenatedLabels(3, embedding_dim=2)
    assert learnt.embedding is not None
    assert learnt.num_added == 2
    assert torch.equal(learnt(latents, LABELS)[:, 2:], learnt.embedding.weight[LABELS])


@pytest.mark.parametrize(
    "reads", [ConcatenatedLabels(3), ConcatenatedLabels(3, 2), ConditionalBatchNorm2d(2, 3)]
)
def test_label_out_of_range(reads: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Catches a label out of range that passes for no class at all."""
    with pytest.raises(IndexError):
        reads(torch.randn(1, 2, 4, 4), torch.tensor([3]))


@torch.no_grad()
def test_projection_head() -> None:
    """Catches a projection on the wrong row, a sum over the batch, and a linear layer left out."""
    head, features = ProjectionHead(5, 3), torch.randn(4, 5)
    assert head.embedding is not None
    table, line = head.embedding.weight, head.to_logit
    expected = [
        features[i] @ table[LABELS[i]] + features[i] @ line.weight[0] + line.bias[0] for i in range(4)
    ]
    torch.testing.assert_close(head(features, LABELS), torch.stack(expected))
    plain = ProjectionHead(5, 0)
    torch.testing.assert_close(plain(features, None), plain.to_logit(features)[:, 0])
    with pytest.raises(ConfigurationError, match=r"labels=None: set data\.labels=true"):
        head(features, None)


def test_auxiliary_classifier_head() -> None:
    """Catches scores after softmax, and scores in half precision."""
    head, features = AuxiliaryClassifierHead(5, 3), torch.randn(4, 5)
    line = head.to_class_logits
    torch.testing.assert_close(head(features), features @ line.weight.T + line.bias)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head(features).dtype == torch.float32


def test_normalized_embeddings() -> None:
    """Catches a table left as it was, or divided by another norm than the spectral one."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(4, 6), nn.Linear(6, 6))
    before = network[0].weight.detach().clone()
    normalize_embeddings(network)
    for _ in range(50):
        rows = network(torch.arange(4))
    assert rows.shape == (4, 6)
    torch.testing.assert_close(
        network[0].weight, before / torch.linalg.matrix_norm(before, 2), rtol=1e-4, atol=1e-4
    )


def test_refusals() -> None:
    check_num_classes("sagan", 0, minimum=0)
    with pytest.raises(
        ConfigurationError, match=r"cgan needs num_classes >= 1, got 0: set data\.labels=true"
    ):
        check_num_classes("cgan", 0, minimum=1)
    with pytest.raises(ConfigurationError, match="labels=None"):
        required(None)
    for make in (lambda: ConditionalBatchNorm2d(5, 0), lambda: ConcatenatedLabels(0)):
        with pytest.raises(ConfigurationError, match="num_classes >= 1, got 0"):
            make()
