from __future__ import annotations

import pytest

from tests.networks import references


@pytest.mark.parametrize(
    ("state", "published"),
    [
        pytest.param(references.resnet(18), 11_689_512, id="resnet18"),
        pytest.param(references.resnet(34), 21_797_672, id="resnet34"),
        pytest.param(references.resnet(50), 25_557_032, id="resnet50"),
        pytest.param(references.resnet(101), 44_549_160, id="resnet101"),
        pytest.param(references.resnet(152), 60_192_808, id="resnet152"),
        pytest.param(references.mobilenet_v2(), 3_504_872, id="mobilenet_v2"),
        pytest.param(references.cyclegan_generator(), 11_378_179, id="cyclegan_generator"),
        pytest.param(references.unet(), 31_037_698, id="unet"),
        pytest.param(references.unet(bilinear=True), 17_263_042, id="unet-bilinear"),
        pytest.param(references.vit(192, 12), 5_717_416, id="vit_tiny"),
        pytest.param(references.vit(384, 12), 22_050_664, id="vit_small"),
        pytest.param(references.vit(768, 12), 86_567_656, id="vit_base"),
        pytest.param(references.vit(1024, 24), 304_326_632, id="vit_large"),
        pytest.param(references.gpt2(768, 12), 124_439_808, id="gpt2"),
        pytest.param(references.gpt2(1024, 24), 354_823_168, id="gpt2-medium"),
        pytest.param(references.gpt2(1280, 36), 774_030_080, id="gpt2-large"),
        pytest.param(references.gpt2(1600, 48), 1_557_611_200, id="gpt2-xl"),
    ],
)
def test_has_the_published_number_of_parameters(state: references.StateDict, published: int) -> None:
    assert state.parameters() == published
