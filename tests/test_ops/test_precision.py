"""Half precision to float32."""
import pytest
import torch

from mmseg_dg.ops import at_least_float32


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32(dtype):
    x = torch.tensor([0.1, 1e-3], dtype=dtype)
    result = at_least_float32(x)
    assert result.dtype == torch.float32
    assert torch.equal(result.to(dtype), x)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_others_stay_the_same_tensor(dtype):
    x = torch.ones(2, dtype=dtype)
    assert at_least_float32(x) is x
