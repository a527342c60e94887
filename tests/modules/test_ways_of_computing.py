"""The same update computed in other ways: in micro-batches, in one pass of D, compiled, with one power iteration."""

import copy
import math
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from plain_fit import fit
from playing import gan, played
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ganlab.augment.diffaugment import Color, Translation
from ganlab.build.module import build_module
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.spectral_norm import SpectralNorm, apply_spectral_norm
from ganlab.losses.nonsaturating import NonSaturating
from ganlab.penalties.wgan_gp import WGANGP
from ganlab.training.adversarial import GANModule
from ganlab.training.execution import Execution, Eyes
from ganlab.training.generative import GenerativeModule, Optimization
from tests.models.test_every_model import options

BATCH = 8


class SmallGenerator(Generator):
    """Treats each latent by itself."""

    latent_dim = 5

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 3 * 64), nn.Unflatten(1, (3, 8, 8)), nn.Tanh())

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(latents)


class SmallDiscriminator(Discriminator):
    """Treats each image by itself, and knows its label."""

    num_classes = 2

    def __init__(self, normalized: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Conv2d(4, 4, 3), nn.Softplus(), nn.Flatten()
        )
        self.to_logit = nn.Linear(64, 2)
        if normalized:
            apply_spectral_norm(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images, labels).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        assert labels is not None
        features = self.layers(images)
        return Judgement(self.to_logit(features).gather(1, labels[:, None]).squeeze(1), features)


def small_module(normalized: bool = False, **ways: Any) -> GANModule:
    """A module whose update is everything that may be asked of one: penalty, augmentation, clipping, two D updates."""
    torch.manual_seed(0)
    optimization = Optimization(
        generator=lambda parameters: torch.optim.SGD(parameters, lr=0.5),
        discriminator=lambda parameters: torch.optim.SGD(parameters, lr=0.5),
        schedule=lambda g_step: 1.0,
        n_critic=2,
        max_grad_norm_discriminator=0.2,
    )
    return gan(
        SmallGenerator(),
        SmallDiscriminator(normalized),
        ways.pop("loss", NonSaturating(real_target=1.0)),
        optimization,
        penalty=WGANGP(weight=1.0, interval=1, target=1.0),
        augment=ways.pop("augment", {"color": Color(), "translation": Translation(ratio=0.2)}),
        **ways,
    )


def trained(
    module: GenerativeModule, num_g_steps: int = 2, accelerator: str = "cpu"
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Trains; returns the tensors of the networks and the scalars of the last iteration."""
    generator = torch.Generator().manual_seed(1)
    count = module.optimization.n_critic * BATCH
    batches = [
        (
            torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator),
            torch.randint(0, 2, (count,), generator=generator),
        )
        for _ in range(num_g_steps)
    ]
    scalars: dict[str, Tensor] = {}

    class Keep(pl.Callback):
        def on_train_batch_end(
            self, trainer: Any, pl_module: Any, outputs: dict[str, Tensor], *_: Any
        ) -> None:
            scalars.update(outputs)

    fit(module, batches, [Keep()], accelerator)
    return {key: value.detach() for key, value in module.named_tensors().items()}, scalars


def assert_same(one: GenerativeModule, other: GenerativeModule) -> None:
    for found, expected in zip(trained(other), trained(one), strict=True):
        torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("normalize_once", [False, True])
def test_micro_batches_are_one_batch(normalize_once: bool) -> None:
    """Catches: a sum for a mean; noise that each part draws for itself; an update or a clipping for each part;

    a gradient forgotten between parts; singular vectors that move on between parts.
    """
    ways = {"normalized": normalize_once, "normalize_once": normalize_once}
    assert_same(small_module(**ways), small_module(**ways, micro_batches=4))


def test_joint_pass_is_two_passes() -> None:
    """Catches: reals taken for fakes; labels of one half only."""
    assert_same(small_module(), small_module(joint_pass=True))


def test_joint_pass_splits_all_that_d_says() -> None:
    """Catches: features or class scores of the wrong half; parts that D does not give."""
    samples, labels = torch.randn(2, 2, 3, 8, 8), torch.tensor([0, 1])
    games = []
    for joint in (False, True):
        module = small_module()
        game = played(module.generator, module.discriminator, torch.zeros(2, 5), *samples, labels)
        game.view = Eyes(Execution(), joint=joint)
        games.append(game)
    expected, found = games
    for judgement, wanted in (
        (found.real_judgements[0], expected.real_judgements[0]),
        (found.fake_judgements[0], expected.fake_judgements[0]),
    ):
        torch.testing.assert_close(judgement.logits, wanted.logits)
        torch.testing.assert_close(judgement.features, wanted.features)
        assert judgement.codes is None


@pytest.mark.parametrize(("normalize_once", "iterations"), [(False, 3 * 2 + 1), (True, 2 + 1)])
def test_power_iterations_of_an_update(normalize_once: bool, iterations: int) -> None:
    """Catches: an iteration for each call of D (real, fake, penalty) where one for each update was asked for."""
    module = small_module(normalized=True, normalize_once=normalize_once)
    counted = copy.deepcopy(module)
    norm = next(part for part in counted.discriminator.modules() if isinstance(part, SpectralNorm))
    moves: list[Tensor] = [norm.u.clone()]

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            if not torch.equal(norm.u, moves[-1]):
                moves.append(norm.u.clone())
            return result

    with Watch():
        trained(counted, num_g_steps=1)
    assert len(moves) - 1 == iterations


def compile_with(backend: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes what is compiled use a backend; the list that it returns grows by the mode of each call."""
    modes: list[str] = []
    torch_compile = torch.compile

    def traced(function: Any, **options: Any) -> Any:
        modes.append(options.pop("mode"))
        return torch_compile(function, backend=backend, **options)

    def compile_in_place(network: nn.Module, **options: Any) -> None:
        network._compiled_call_impl = traced(network._call_impl, **options)

    monkeypatch.setattr(torch, "compile", traced)
    monkeypatch.setattr(nn.Module, "compile", compile_in_place)
    return modes


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("normalize_once", [False, True])
def test_compiled_networks_learn_the_same(
    monkeypatch: pytest.MonkeyPatch, normalize_once: bool, backend: str
) -> None:
    """Catches: a penalty through the compiled D, which cannot be differentiated twice; spectral norm within the

    compiled pass, whose backward pass finds its vectors changed; a compiled network with weights of its own. The
    networks are traced and differentiated as for every mode; machine code is made of them in the slow test only.
    """
    compiled = small_module(normalized=True, normalize_once=normalize_once)
    calls = compile_with(backend, monkeypatch)
    compiled.compile_networks("default")
    assert calls == ["default", "default"]
    assert_same(small_module(normalized=True, normalize_once=normalize_once), compiled)


RECIPES = [
    *((f"model={name}",) for name in options("model")),
    *(("model=dcgan", f"penalty={name}") for name in options("penalty")),
    *(("model=dcgan", f"constraint={name}") for name in options("constraint")),
    ("model=infogan", "auxiliary=[codes,drift]"),
    ("model=acgan", "auxiliary=[classifier,feature_matching,historical_averaging]"),
]
FAST = [("model=dcgan",), ("model=sngan_conv",), ("model=dcgan", "constraint=gradient_normalization")]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(words, marks=[] if words in FAST else pytest.mark.slow, id=" ".join(words))
        for words in RECIPES
    ],
)
def test_what_is_shipped_compiles(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    """Catches: a network that cannot be traced, or means something else then; D compiled although it differentiates
    itself."""
    compile_with("aot_eager", monkeypatch)
    other = "encoder" if "model=vae" in words else "discriminator"
    narrow = ("model.generator.channels=8", f"model.{other}.channels=8", "data.batch_size=4", "n_critic=1")
    # A large epsilon: rounding does not become steps.
    config = compose_config("data=cifar10", "ema=default", "optimizer.eps=0.1", *narrow, *words)
    size = config["data"]["image_size"]
    results = []
    for mode in (None, "default"):
        config["speed"]["compile"] = mode
        module = build_module(config)
        generator = torch.Generator().manual_seed(1)
        images = torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8, generator=generator)
        fit(module, [(images, torch.arange(4))] * 2)
        results.append({key: value.detach() for key, value in module.named_tensors().items()})
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


class Observed(NonSaturating):
    """Says something of the logits of both updates."""

    def observe(self, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        return {"gap": real_logits.mean() - fake_logits.mean()}


class GraphMemory:
    """Stands for CUDA graphs: what compiled passes return and give as gradients is lost where an update begins."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: GenerativeModule) -> None:
        self.num_updates = 0
        self._module = module
        self._results: list[Tensor] = []
        monkeypatch.setattr(torch, "compile", self._compile)
        monkeypatch.setattr(
            nn.Module,
            "compile",
            lambda network, mode: setattr(
                network, "_compiled_call_impl", self._compile(network._call_impl, mode)
            ),
        )
        monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", self._begin_update)

    def _compile(self, function: Any, mode: str) -> Any:
        def call(*words: Any) -> Any:
            result = function(*words)
            self._results += [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
            return result

        return call

    def _begin_update(self) -> None:
        self.num_updates += 1
        gradients = [p.grad for p in self._module.parameters() if p.grad is not None]
        for lost in (*self._results, *gradients):
            lost.data.fill_(math.nan)
        self._results = []


@pytest.mark.parametrize(
    ("mode", "num_updates"), [("default", 0), ("reduce-overhead", 6), ("max-autotune", 6)]
)
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_cuda_graphs_lose_nothing_that_is_needed(
    monkeypatch: pytest.MonkeyPatch, micro_batches: int, mode: str, num_updates: int
) -> None:
    """Catches: an update that does not say where it begins, or says it after G has drawn or between micro-batches, and
    a result that is used in the next update or read after the iteration."""
    # D sees what G returned itself
    plain, graphs = (
        small_module(normalized=True, micro_batches=micro_batches, augment={}, loss=Observed(real_target=1.0))
        for _ in range(2)
    )
    memory = GraphMemory(monkeypatch, graphs)
    graphs.compile_networks(mode)
    assert_same(plain, graphs)
    assert memory.num_updates == num_updates


def test_compiling_leaves_the_state_alone() -> None:
    """Catches: parameters under a second name, which a checkpoint of a plain run would lack."""
    plain, compiled = small_module(), small_module()
    compiled.compile_networks("default")
    assert compiled.named_tensors().keys() == plain.named_tensors().keys()
    assert [name for name, _ in compiled.named_parameters()] == [name for name, _ in plain.named_parameters()]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["micro_batches=3"], "micro_batches=3: must divide data.batch_size=16"),
        (["micro_batches=2", "balance=accuracy"], "balance=none"),
        (["micro_batches=2", "auxiliary=historical_averaging"], "auxiliary.historical_averaging"),
        (["speed.recompute=true"], "power_iteration=per_update"),
        (["speed.recompute=true", "power_iteration=per_update"], "no blocks"),
        (
            ["speed.recompute=true", "power_iteration=per_update", "speed.compile=default"],
            "speed.compile=null",
        ),
        (["speed.compile=fast"], "speed.compile: got 'fast'"),
        (["model=vae", "joint_pass=true"], "has no discriminator, take joint_pass=False"),
    ],
)
def test_what_does_not_go_together_is_refused(words: list[str], named: str) -> None:
    """Catches: a way of computing that is ignored, or that would change the result in silence."""
    with pytest.raises(ConfigurationError, match=named):
        build_module(compose_config("model=gan", "data=digits", "data.batch_size=16", *words))
