"""Networks that learn nothing may run in half precision; losses and statistics stay in float32."""
import pytest
import torch

from mmseg_dg.methods.step import StepState
from mmseg_dg.ops.precision import check_precision, lower_precision, module_in_lower_precision
from mmseg_dg.registry import MODELS


def pseudo_labels(model, batch, precision, monkeypatch):
    """Labels, weights and the type in which the teacher's first convolution computed."""
    seen, state = [], StepState()
    model.teacher_precision = precision
    layer = next(m for m in model.teacher.module.modules() if isinstance(m, torch.nn.Conv2d))
    handle = layer.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    model._pseudo_label_pass(batch, state)
    handle.remove()
    return state.pseudo_label, state.pseudo_weight, seen[0]


@pytest.mark.parametrize('precision, dtype', [('bf16', torch.bfloat16), ('fp16', torch.float16)])
def test_few_pseudo_labels_change(tiny_config, monkeypatch, precision, dtype):
    torch.manual_seed(0)
    model = MODELS.build(dict(tiny_config().model, teacher_precision=precision)).train()
    images = torch.rand(2, 3, 64, 64)
    batch = {model.target_stream: dict(inputs=images, data_samples=[])}
    plain, weight, full = pseudo_labels(model, batch, None, monkeypatch)
    lower, weight_lower, half = pseudo_labels(model, batch, precision, monkeypatch)
    assert (full, half) == (torch.float32, dtype)
    changed = float((plain != lower).float().mean())
    assert changed < 0.05, f'{100 * changed:.1f} % of the labels of an untrained network, whose margins are least'
    assert weight_lower.dtype == torch.float32
    torch.testing.assert_close(weight_lower, weight, atol=0.05, rtol=0)


def test_module_in_lower_precision_gives_float32_and_leaves_no_trace():
    layer = torch.nn.Linear(4, 4)
    x = torch.randn(2, 4)
    exact = layer(x)
    with module_in_lower_precision(layer, 'bf16'):
        lower = layer(x)
        assert not torch.is_autocast_enabled('cpu')
    assert lower.dtype == torch.float32 and 0 < (lower - exact).abs().max() < 0.05
    assert 'forward' not in vars(layer) and torch.equal(layer(x), exact)


def test_no_precision_is_that_of_the_other_passes():
    with torch.autocast('cpu', dtype=torch.bfloat16), lower_precision(None, torch.device('cpu')):
        assert torch.get_autocast_dtype('cpu') == torch.bfloat16 and torch.is_autocast_enabled('cpu')
    with pytest.raises(ValueError, match="teacher_precision='half': use 'bf16'"):
        check_precision('teacher_precision', 'half')
