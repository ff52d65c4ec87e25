"""The tool that measures an alignment term's memory counts what it says."""
import importlib.util
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from mmseg_dg.models.losses import AlignmentImages, PixelAlignment
from mmseg_dg.ops import PixelView

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('alignment_memory',
                                                  TOOLS / 'analysis_tools' / 'alignment_memory.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_live_tensors_of_a_known_step(tool):
    """1000 floats each: x, its product, a view of that, and the gradient."""
    weight = torch.zeros(1000, requires_grad=True)
    with tool.LiveTensors() as live:
        x = torch.ones(1000)
        y = weight * x
        view = y.view(10, 100)
        assert live.now == 8000
        del y
        assert live.now == 8000, 'the view holds it'
        view.sum().backward()
        del x, view
        assert live.now == 4000 and weight.grad is not None
    assert 12000 <= live.peak <= 16008


def test_term_saves_what_the_formula_says(tool):
    """Proportional to drift pixels times (channels + classes), far from pixels times pixels."""
    torch.manual_seed(0)
    for cells in (32, 64):
        views = [PixelView(torch.randn(2, 64, cells, cells, requires_grad=True), torch.randn(2, 19, cells, cells))]
        entry = AlignmentImages(views, torch.randint(0, 19, (2, 4 * cells, 4 * cells)),
                                torch.rand(2, 4 * cells, 4 * cells))
        with tool.saved_bytes(views[0].features, views[0].logits) as sizes:
            PixelAlignment()([entry])
        pixels = 2 * round(0.2 * cells * cells)
        assert sum(sizes.values()) == pytest.approx(tool.term_bytes(pixels, 64, 19), rel=0.15)


def test_report_of_a_small_network(tool, capsys, tiny_config):
    config = tiny_config(color_jitter_strength=0.).model.to_dict()
    tool.report(config, Namespace(size=64, batch=2, iteration=0, calculate=True))
    tool.report(config, Namespace(size=64, batch=2, iteration=0, calculate=False))
    text = capsys.readouterr().out
    graphs = [line.split()[-1] for line in text.splitlines() if 'graph of one pass' in line]
    # the measured one also keeps what the CPU's own convolutions save in another layout; printed to 0.1 MiB
    assert len(graphs) == 2 and float(graphs[0]) == pytest.approx(float(graphs[1]), rel=0.12), text
    peaks = {line.split("'")[1]: float(line.split()[-3]) for line in text.splitlines() if 'pair=' in line}
    assert peaks['recompute'] < 1.1 * peaks['streaming'] < 0.8 * peaks['joint'], 'one graph alive, not two'
