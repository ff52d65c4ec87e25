"""CLUDA's pair contrast: blocks against the dense formula and against loops, the term's weights, the methods."""
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from test_methods.test_alignment_methods import hrda_network, step
from test_methods.test_dacs import batch_of

from mmseg_dg.models.losses import AlignmentImages, DecoderFacts, PixelContrast
from mmseg_dg.ops import PixelView, pair_contrast
from mmseg_dg.registry import MODELS

TERM = dict(type='PixelContrast', resolution=9, block_size=40, weight_channels=4)


@pytest.fixture
def make(tiny_config):

    def build(method='DACS', network=None, **model):
        torch.manual_seed(0)
        config = tiny_config(method=method, **model).model
        if network is not None:
            config.network = network
        return MODELS.build(config)

    return build


def random_pairs(seed=0, count=13, classes=3):
    g = torch.Generator().manual_seed(seed)
    queries, keys = (torch.randn(count, 5, generator=g, dtype=torch.float64) for _ in range(2))
    labels = torch.randint(0, classes, (count, ), generator=g)
    rows, columns, trust = (torch.rand(count, generator=g, dtype=torch.float64) for _ in range(3))
    return queries.requires_grad_(), keys.requires_grad_(), labels, rows.requires_grad_(), columns, trust


def loops(queries, keys, labels, temperature=1., pair=None, trust=None):
    """docs/behavior/pixl.md#cludas-contrastive-term, item 4, one pair at a time."""
    total = 0.
    for i in range(len(labels)):
        s = [float(queries[i] @ keys[j]) / temperature for j in range(len(labels))]
        others = sum(math.exp(s[k]) for k in range(len(labels)) if labels[k] != labels[i])
        positives = [j for j in range(len(labels)) if j != i and labels[j] == labels[i]]
        row = 0.
        for j in positives:
            weight = (1. if pair is None else pair(i, j)) * (1. if trust is None else float(trust[i] * trust[j]))
            row -= weight * (s[j] - math.log(math.exp(s[j]) + others))
        total += row / max(len(positives), 1)
    return total / len(labels)


@pytest.mark.parametrize('block', [None, 1, 4, 100])
@pytest.mark.parametrize('complement', [False, True])
def test_blocks_and_dense_against_loops(block, complement):
    queries, keys, labels, rows, columns, trust = random_pairs()
    queries, keys = F.normalize(queries, dim=1), F.normalize(keys, dim=1)
    value = pair_contrast(queries, keys, labels, (rows, columns), complement, trust, 0.3, block)

    def pair(i, j):
        weight = float(rows[i].detach() * columns[j])
        return 1 - weight if complement else weight

    expected = loops(queries.detach(), keys.detach(), labels.tolist(), 0.3, pair, trust)
    assert float(value.detach()) == pytest.approx(expected, rel=1e-12)
    plain = pair_contrast(queries, queries, labels, block_size=block)
    assert float(plain.detach()) == pytest.approx(loops(queries.detach(), queries.detach(), labels.tolist()))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 20), classes=st.integers(1, 5), block=st.integers(1, 25))
def test_blocks_equal_dense_in_value_and_gradients(seed, count, classes, block):
    """Also with one class, without positives, and with one pixel."""
    results = []
    for size in (None, block):
        queries, keys, labels, rows, columns, trust = random_pairs(seed, count, classes)
        value = pair_contrast(F.normalize(queries, dim=1), F.normalize(keys, dim=1), labels, (rows, columns), True,
                              trust, 0.2, size)
        value.backward()
        results.append((value.detach(), queries.grad, keys.grad, rows.grad))
    for dense, blocks in zip(*results):
        assert blocks.isfinite().all()
        torch.testing.assert_close(blocks, dense, rtol=1e-9, atol=1e-12)


def test_gradcheck_in_float64():
    queries, keys, labels, rows, columns, trust = random_pairs(count=6)
    assert torch.autograd.gradcheck(
        lambda q, k, w: pair_contrast(q, k, labels, (w, columns), False, trust, 0.5, 4), (queries, keys, rows))


def test_a_block_never_holds_all_pairs():
    """Tensors kept for the backward pass grow with the pixels, not with their square."""
    kept = {}
    for count in (64, 256):
        queries, keys, labels, *_ = random_pairs(count=count)
        seen = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, seen=seen: seen.append(x) or x, lambda x: x):
            pair_contrast(queries, keys, labels, block_size=16)
        kept[count] = sum({x.data_ptr(): x.numel() for x in seen}.values())
    assert kept[256] <= 5 * kept[64] < 64 * 64 * 5


@pytest.mark.parametrize('options, message', [
    (dict(temperature=0.001), 'temperature must be at least 0.02'), (dict(block_size=0), 'block_size counts rows'),
])
def test_bad_arguments_of_the_sum(options, message):
    with pytest.raises(ValueError, match=message):
        pair_contrast(torch.ones(2, 3), torch.ones(2, 3), torch.zeros(2), **options)
    with pytest.raises(ValueError, match=r'got \(2, 3\), \(1, 3\)'):
        pair_contrast(torch.ones(2, 3), torch.ones(1, 3), torch.zeros(2))


# ---------------------------------------------------------------- the term
def entry_of(detail=True, weighted=False, box=(16, 48, 32, 64)):
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 8, 8), generator=g).repeat_interleave(8, 1).repeat_interleave(8, 2)
    labels[:, :6] = 255

    def view(cells, box=None):
        features, logits = (torch.randn(2, c, cells, cells, generator=g) for c in (5, 3))
        return PixelView(features, logits, box)

    views = [view(8)] + ([view(8, box)] if detail else [])
    levels = [torch.randn(2, 4, 8, 8, generator=g)]
    return AlignmentImages(views, labels, torch.rand(2, 64, 64, generator=g) if weighted else None, levels)


def term_of(**options):
    torch.manual_seed(0)
    facts = DecoderFacts(5, (4, ), (0, ), resolutions=2)
    return PixelContrast(**dict(dict(resolution=9, weight_channels=4, decoder=facts), **options)).eval()


def unit_rows(maps, side=9):
    maps = F.interpolate(maps, (side, side), mode='bilinear', align_corners=True)
    return F.normalize(maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1]), dim=1)


@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('quirks', [True, False])
def test_two_resolutions_against_the_specification(weighted, quirks):
    """With CLUDA's resizing, in its order: each of its steps moves the loss by more than the tolerance."""
    entry = entry_of(weighted=weighted)
    entry.views[0].features.add_(1)  # context like context, not like detail: so that their weights matter
    term = term_of(first_class_outside=quirks, keep_ignored=quirks, weight=2.)
    with torch.no_grad():
        term.weight_head.conv_seg.weight.mul_(300)  # at its start the learned weight is 0.5 everywhere
    context = F.interpolate(entry.views[0].features, scale_factor=2, mode='bilinear', align_corners=True)
    detail = torch.zeros(2, 5, 16, 16)
    detail[:, :, 4:12, 8:16] = entry.views[1].features
    labels = F.interpolate(entry.labels[:, None].float(), (9, 9)).flatten()
    learned = torch.sigmoid(term.weight_head(entry.levels))
    w = F.interpolate(learned, scale_factor=2, mode='bilinear', align_corners=False)
    assert float(learned.std()) > 0.1
    w = F.interpolate(w, (9, 9), mode='bilinear', align_corners=True).flatten().detach()
    canvas = torch.zeros(2, 1, 64, 64)
    canvas[:, :, 16:48, 32:64] = 1
    inside = F.interpolate(canvas, (9, 9)).flatten() * ((labels != 0) if quirks else 1)
    trust = torch.ones(len(labels))
    if weighted:
        trust = F.interpolate(entry.weight[:, None], (9, 9), mode='bilinear', align_corners=True).flatten()
    keep = torch.ones_like(labels, dtype=torch.bool) if quirks else labels != 255
    f, g, y = unit_rows(context)[keep].double(), unit_rows(detail)[keep].double(), labels[keep].tolist()
    w, inside, trust = w[keep], inside[keep], trust[keep]

    def pair(i, j):
        return float(inside[i] * w[i] * w[j])

    expected = loops(f, f, y, 1., pair, trust) + loops(f, g, y, 1., lambda i, j: 1 - pair(i, j), trust)
    assert float(term([entry]).loss.detach()) == pytest.approx(2 * 0.5 * expected, rel=1e-5)


def test_one_resolution_is_the_plain_term_and_passes_add_up():
    entry = entry_of(detail=False)
    term = PixelContrast(resolution=9, block_size=None)
    assert term.weight_head is None
    rows = unit_rows(entry.views[0].features).double()
    labels = F.interpolate(entry.labels[:, None].float(), (9, 9)).flatten().tolist()
    expected = loops(rows, rows, labels)
    assert float(term([entry]).loss) == pytest.approx(expected, rel=1e-5)
    assert float(term([entry, entry]).loss) == pytest.approx(2 * expected, rel=1e-5)


@pytest.mark.parametrize('options, message', [
    (dict(weight=0.), 'weight=0.0'), (dict(temperature=0.01), 'temperature=0.01'),
    (dict(resolution=None), 'is the side'), (dict(block_size=0), 'block_size=0'), (dict(start=-1), 'start=-1'),
])
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        PixelContrast(**options)


def test_two_resolutions_need_the_head():
    with pytest.raises(ValueError, match='DecoderFacts'):
        PixelContrast(resolution=9)([entry_of()])


# ---------------------------------------------------------------- in the methods
@pytest.mark.parametrize('hrda', [False, True])
def test_dacs_trains_with_the_term(make, hrda):
    method = make(alignment=TERM, network=hrda_network() if hrda else None)
    before = {k: p.detach().clone() for k, p in method.alignment.named_parameters()}
    values = step(method, batch_of())
    assert float(values['source.loss_pixel_contrast']) > 0 and 'mix.loss_pixel_contrast' in values
    assert not any(p.retain_graph for p in method.passes(batch_of(), method.draw_step(batch_of(), 0)))
    assert bool(before) == hrda and all('head' in name for name in before)
    frozen = [k for k, p in method.alignment.named_parameters() if torch.equal(before[k], p)]
    assert all(k.endswith('proj.bias') for k in frozen), 'only biases before a BatchNorm stay'
    assert not any('weight_head' in k for k in method.student.state_dict())


def test_the_weight_head_is_initialized_with_the_method(make):
    method = make(alignment=TERM, network=hrda_network())
    classifier = method.alignment.weight_head.conv_seg
    torch.nn.init.constant_(classifier.weight, 7.)
    method.init_weights()
    assert 0 < float(classifier.weight.detach().abs().max()) < 0.1, 'as of every decode head: normal, 0.01'


def test_dacs_with_the_term_and_a_crop_per_image(make):
    method = make(alignment=TERM, network=hrda_network(), detail_crop=dict(type='entropy', start=0, stride=16))
    assert float(step(method, batch_of())['mix.loss_pixel_contrast']) >= 0


def test_supervised_trains_with_the_term(make):
    values = step(make('Supervised', alignment=TERM), dict(source=batch_of()['source']))
    assert float(values['source.loss_pixel_contrast']) > 0
