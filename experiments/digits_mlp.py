"""What the studies on digits see images through: a small classifier of scikit-learn's digits.

EfficientNet-Lite0 sees some 65 images a second on one core, and its 1,280 features need thousands of them: ten scores
a run would cost more than the run. This network takes milliseconds, and knows what a digit is.

`python experiments/digits_mlp.py` trains it and writes `digits_mlp.safetensors`. Trained anew it may differ in the last
digits, and then its scores are of another protocol, by the checksum of the weights.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy

from ganlab.data.digits import Digits
from ganlab.interfaces import FeatureExtractor, Features
from ganlab.metrics.extractors.pretrained import file_sha256

WEIGHTS = Path(__file__).with_suffix(".safetensors")
SIDE = 8
"""Pixels; that of the digits before they are enlarged."""


class DigitsMLP(FeatureExtractor):
    """Three linear layers over 8 x 8 pixels.

    Features are the 64 units of the last hidden layer, after ReLU; logits are of the ten digits.
    """

    name = "digits_mlp"
    resize = f"means of areas, {SIDE}x{SIDE}"
    num_features = 64

    def __init__(self) -> None:
        super().__init__()
        self.weights_sha256 = file_sha256(WEIGHTS)
        self.hidden, self.output = layers()
        self.load_state_dict(load_file(WEIGHTS))
        self.requires_grad_(False)
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Returns features `(N, 64)` and logits `(N, 10)` of uint8 images `(N, C, H, W)`."""
        features = self.hidden(pixels(images))
        return Features(features, self.output(features))


def layers() -> tuple[nn.Sequential, nn.Linear]:
    """Returns the hidden layers and the output layer, with random weights."""
    hidden = nn.Sequential(nn.Linear(SIDE**2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    return hidden, nn.Linear(64, 10)


def pixels(images: Tensor) -> Tensor:
    """Returns uint8 images `(N, C, H, W)` as `(N, 64)` in `[0, 1]`."""
    return adaptive_avg_pool2d(images.float().mean(1, keepdim=True), SIDE).flatten(1) / 255


def main() -> None:
    """Trains the network on the 1,500 training digits, says how many test digits it reads, writes its weights."""
    torch.manual_seed(0)
    hidden, output = layers()
    network = nn.Sequential(hidden, output)
    train, test = (Digits().load(split, (16, 16), 1, Path("unused")) for split in ("train", "test"))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    for _ in range(60):
        for batch in torch.randperm(len(train.images)).split(50):
            loss = cross_entropy(
                network(pixels(train.images[batch])), train.labels[batch], label_smoothing=0.1
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    right = (network(pixels(test.images)).argmax(1) == test.labels).float().mean()
    print(f"reads {right:.1%} of {len(test.images)} test digits")
    names = {"hidden": hidden, "output": output}
    save_file(
        {f"{name}.{key}": value for name, part in names.items() for key, value in part.state_dict().items()},
        WEIGHTS,
    )


if __name__ == "__main__":
    main()
