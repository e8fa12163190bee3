"""Steps: what a GPU needs to record one, and that it learns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rose_ros.model.configuration import rose_tiny
from rose_ros.model.modeling import RoseModel
from rose_ros.model.processing import RoseProcessor
from rose_ros.training.preparation import make_processor
from rose_ros.training.samples import Samples, to_tensors
from rose_ros.training.scenes import SceneCache, render_ahead
from rose_ros.training.stages import STAGES, Batch
from rose_ros.training.stepping import RecordedStepper, Stepper, network_inputs

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="PyTorch finds no CUDA GPU to record steps on"
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> SceneCache:
    return render_ahead(tmp_path_factory.mktemp("step") / "scenes", 4, 240, seed=0, workers=2)


@pytest.fixture(scope="module")
def processor(cache: SceneCache) -> RoseProcessor:
    return make_processor(rose_tiny(), cache, seed=0)


@pytest.fixture
def make_batch(cache: SceneCache, processor: RoseProcessor) -> Callable[[str], Batch]:
    def make(stage: str) -> Batch:
        samples = Samples(cache, processor, stage, 4, 0, 160)
        return to_tensors([samples[0], samples[1]], cut=False)

    return make


@pytest.mark.parametrize("stage", STAGES)
def test_no_loss_depends_on_a_value_on_the_way(
    stage: str, make_batch: Callable[[str], Batch], processor: RoseProcessor
) -> None:
    """Tensors without values: whatever asked for one, or made one elsewhere, would fail here."""
    model = RoseModel(rose_tiny()).to("meta")
    batch = {key: value.to("meta") for key, value in make_batch(stage).items()}
    losses = STAGES[stage].losses(model, network_inputs(batch, processor.config))
    total = torch.stack([one.float() for one in losses.values()]).sum()
    total.backward()
    assert total.device.type == "meta"
    assert any(one.grad is not None for one in model.parameters())


def test_all_batches_have_the_same_shapes(cache: SceneCache, processor: RoseProcessor) -> None:
    samples = Samples(cache, processor, "converse", 12, 0, 160)
    shapes = [
        {key: value.shape for key, value in to_tensors([samples[i]], cut=False).items()}
        for i in range(12)
    ]
    assert all(one == shapes[0] for one in shapes)


def _train(kind: type[Stepper], device: str, batch: Batch, config: object) -> list[float]:
    torch.manual_seed(0)
    model = RoseModel(rose_tiny()).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    stepper = kind(
        STAGES["shapes"],
        model,
        config,  # type: ignore[arg-type]
        optimizer,
        device=torch.device(device),
        bf16=False,
    )
    return [stepper(batch, 1e-3)["total"] for _ in range(8)]


def test_steps_learn_what_they_see(
    make_batch: Callable[[str], Batch], processor: RoseProcessor
) -> None:
    losses = _train(Stepper, "cpu", make_batch("shapes"), processor.config)
    assert losses[-1] < 0.7 * losses[0]


@needs_gpu
def test_recorded_steps_learn_the_same(
    make_batch: Callable[[str], Batch], processor: RoseProcessor
) -> None:
    batch = make_batch("shapes")
    eager = _train(Stepper, "cuda", batch, processor.config)
    recorded = _train(RecordedStepper, "cuda", batch, processor.config)
    assert recorded == pytest.approx(eager, rel=0.02)


def test_pixels_are_normalised_as_at_run_time(
    make_batch: Callable[[str], Batch], processor: RoseProcessor, tmp_path: Path
) -> None:
    batch = make_batch("points")
    made = network_inputs(batch, processor.config)
    pixels, sam_pixels = processor.pixel_values(batch["image"][0].numpy())
    torch.testing.assert_close(made["pixel_values"][:1], torch.from_numpy(pixels))
    torch.testing.assert_close(made["sam_pixel_values"][:1], torch.from_numpy(sam_pixels))
    assert float(made["dense_masks"].max()) <= 1.0
