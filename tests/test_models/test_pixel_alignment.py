"""PiXL's term: against an independent formula, its options, and what it refuses."""
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_dg.models.losses import AlignmentImages, DecoderFacts, PixelAlignment
from mmseg_dg.ops import PixelView

BOX = (16, 48, 0, 32)


def images_of(seed=0, batch=2, classes=4, detail=False, weighted=False, ignored=0.2, size=64):
    """Random views of stride 8 (context) and 4 (detail crop) on labels of 64x64."""
    g = torch.Generator().manual_seed(seed)

    def view(cells, box=None):
        features = torch.randn(batch, 6, cells, cells, generator=g, dtype=torch.float64)
        logits = 2 * torch.randn(batch, classes, cells, cells, generator=g, dtype=torch.float64)
        return PixelView(features.requires_grad_(), logits, box)

    labels = torch.randint(0, classes, (batch, size // 4, size // 4), generator=g)
    labels[torch.rand(labels.shape, generator=g) < ignored] = 255
    labels = labels.repeat_interleave(4, 1).repeat_interleave(4, 2)
    weight = torch.rand(labels.shape, generator=g, dtype=torch.float64) if weighted else None
    views = [view(size // 8)] + ([view(8, BOX)] if detail else [])
    return AlignmentImages(views, labels, weight)


def plain_formula(passes, eta, tau, groups):
    """docs/behavior/pixl.md#alignment-loss, pixel by pixel; groups: lists of (pass, image). Returns the mean and
    |D|."""
    pixels = []  # (pass, image, resolution, unit feature, entropy, label, weight, drift)
    for p, entry in enumerate(passes):
        for r, (features, logits, box) in enumerate(entry.views):
            y1, y2, x1, x2 = box or (0, entry.labels.shape[1], 0, entry.labels.shape[2])
            step = (y2 - y1) // features.shape[-1]
            for i in range(len(features)):
                found = []
                for y in range(features.shape[-2]):
                    for x in range(features.shape[-1]):
                        at = (i, y1 + y * step, x1 + x * step)
                        prob = logits[i, :, y, x].softmax(0)
                        weight = 1. if entry.weight is None else float(entry.weight[at])
                        if entry.labels[at] != 255:
                            f = features[i, :, y, x].detach()
                            found.append([p, i, r, f / f.norm(), float(-(prob * prob.log()).sum()),
                                          int(entry.labels[at]), weight, False])
                for entry_ in sorted(found, key=lambda e: -e[4])[:round(eta * len(found))]:
                    entry_[7] = True
                pixels += found
    total, count = 0., 0
    for group in groups:
        mine = [e for e in pixels if (e[0], e[1]) in group]
        prototypes = {}
        for c in {e[5] for e in mine}:
            options = []
            for r in range(len(passes[0].views)):
                joint = [e for e in mine if e[5] == c and e[2] == r and not e[7]]
                if joint:
                    mean = torch.stack([e[3] for e in joint]).mean(0)
                    options.append((sum(e[4] for e in joint) / len(joint), r, mean / mean.norm()))
            if options:
                prototypes[c] = min(options, key=lambda o: o[:2])[2]
        for e in mine:
            if e[7] and e[5] in prototypes:
                scores = {c: math.exp(float(e[3] @ z) / tau) for c, z in prototypes.items()}
                total -= e[6] * math.log(scores[e[5]] / sum(scores.values()))
                count += 1
    return total / max(count, 1), count


@pytest.mark.parametrize('detail', [False, True])
@pytest.mark.parametrize('prototypes, groups', [
    ('pair', [{(0, 0), (1, 0)}, {(0, 1), (1, 1)}]),
    ('step', [{(0, 0), (1, 0), (0, 1), (1, 1)}]),
    ('batch', [{(0, 0), (0, 1)}, {(1, 0), (1, 1)}]),
    ('image', [{(p, i)} for p in range(2) for i in range(2)]),
])
def test_value_against_the_plain_formula(detail, prototypes, groups):
    passes = [images_of(0, detail=detail), images_of(1, detail=detail, weighted=True)]
    result = PixelAlignment(weight=0.3, prototypes=prototypes)(passes, iteration=0, total=100)
    expected, count = plain_formula(passes, 0.2, 0.1, groups)
    assert float(result.loss.detach()) == pytest.approx(0.3 * expected, rel=1e-9)
    assert int(result.log['aligned_pixels']) == count > 20


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), eta=st.floats(0, 1), ignored=st.floats(0, 1), detail=st.booleans())
def test_drift_counts_are_exact_per_image_and_resolution(seed, eta, ignored, detail):
    """Whatever the labels; and drift and joint pixels are all valid pixels, each in one set."""
    entry = images_of(seed, ignored=ignored, detail=detail)
    term = PixelAlignment(eta=(eta, eta))
    for part in term.divide(entry, eta):
        valid = part.labels != 255
        assert part.drift.sum((1, 2)).tolist() == [round(eta * int(n)) for n in valid.sum((1, 2))]
        assert torch.equal(part.joint | part.drift, valid) and not (part.joint & part.drift).any()
    result = term([entry])
    result.loss.backward()
    assert result.loss.isfinite() and entry.views[0].features.grad.isfinite().all()


def test_one_pass_pairs_the_images_of_the_batch():
    entry = images_of(3, batch=4)
    expected, _ = plain_formula([entry], 0.2, 0.1, [{(0, 0), (0, 1)}, {(0, 2), (0, 3)}])
    assert float(PixelAlignment()([entry], 0, 10).loss.detach()) == pytest.approx(0.1 * expected)


def test_eta_follows_the_iteration():
    term = PixelAlignment()
    seen = {it: term([images_of(0, ignored=0.)], it, 101).log for it in (0, 50, 100)}
    assert [float(seen[it]['eta']) for it in seen] == pytest.approx([0.2, 0.1005, 0.001])
    assert [int(seen[it]['drift_pixels']) for it in seen] == [2 * round(0.2 * 64), 2 * round(0.1005 * 64), 0]


def test_gradient_in_float64_and_none_into_prototypes():
    entry = images_of(1, batch=2, size=32)
    term = PixelAlignment(eta=(0.5, 0.5), temperature=0.5)

    def loss(features):
        return term([entry._replace(views=[entry.views[0]._replace(features=features)])]).loss

    features = entry.views[0].features
    part, = term.divide(entry, 0.5)
    loss(features).backward()
    moved = features.grad.abs().sum(1) > 0
    assert moved.any() and not (moved & ~part.drift).any(), 'joint pixels are targets, not pupils'
    # numeric differences also move prototypes, so only drift pixels are compared
    epsilon, index = 1e-6, (0, 2, *part.drift[0].nonzero()[0].tolist())
    shifted = [features.detach().clone() for _ in range(2)]
    shifted[0][index] += epsilon
    shifted[1][index] -= epsilon
    numeric = (loss(shifted[0]) - loss(shifted[1])) / (2 * epsilon)
    assert float(features.grad[index]) == pytest.approx(float(numeric), rel=1e-6)


@pytest.mark.parametrize('case', ['no drift', 'all ignored', 'one class', 'no joint'])
def test_nothing_to_align_gives_zero_with_a_graph(case):
    entry = images_of(0, classes=4, ignored=1. if case == 'all ignored' else 0.)
    if case == 'one class':
        entry.labels[:] = 2
    eta = {'no drift': 0., 'no joint': 1.}.get(case, 0.5)
    result = PixelAlignment(eta=(eta, eta))([entry])
    assert float(result.loss.detach()) == 0
    result.loss.backward()
    assert float(entry.views[0].features.grad.abs().sum()) == 0


def test_loss_falls_when_a_drift_feature_moves_to_its_prototype():
    entry = images_of(0)
    term = PixelAlignment()
    part, = term.divide(entry, 0.2)
    (y, x), *_ = part.drift[0].nonzero().tolist()
    rows = [part.features[i, :, b, a] for i in range(2) for b, a in
            (part.joint[i] & (part.labels[i] == part.labels[0, y, x])).nonzero().tolist()]
    target = F.normalize(torch.stack([F.normalize(r, dim=0) for r in rows]).mean(0), dim=0).detach()
    losses = []
    for share in (0., 0.3, 0.6, 1.):
        features = entry.views[0].features.detach().clone()
        features[0, :, y, x] = (1 - share) * F.normalize(features[0, :, y, x], dim=0) + share * target
        losses.append(float(term([entry._replace(views=[entry.views[0]._replace(features=features)])]).loss))
    # the minimum lies a little beyond the prototype, away from those of other classes
    assert losses[0] > losses[1] > losses[2] and losses[0] > losses[3], losses


def test_weights_multiply_and_leave_the_denominator():
    entry = images_of(0)
    plain = PixelAlignment()([entry]).loss.detach()
    half = entry._replace(weight=torch.full(entry.labels.shape, 0.5))
    assert float(PixelAlignment()([half]).loss.detach()) == pytest.approx(0.5 * float(plain))
    nothing = entry._replace(weight=torch.zeros(entry.labels.shape))
    assert float(PixelAlignment()([nothing]).loss.detach()) == 0
    counts = [int(PixelAlignment(ignore_zero_weight=x)([nothing]).log['drift_pixels']) for x in (False, True)]
    assert counts[0] > 0 and counts[1] == 0


def test_streaming_equals_joint_where_prototypes_do_and_halves_the_weight():
    """With prototypes per image both ways see the same ones; the counts of drift pixels are equal too."""
    passes = [images_of(0, ignored=0., detail=True), images_of(1, ignored=0., detail=True)]
    term = PixelAlignment(prototypes='image', pair='streaming', eta=(0.25, 0.25))
    first = term(passes[:1], pass_follows=True)
    second = term(passes[1:], memory=first.memory)
    joint = term(passes).loss
    assert float((first.loss + second.loss).detach()) == pytest.approx(float(joint.detach()), rel=1e-12)
    assert not any(x.requires_grad for sums in first.memory for view in sums for x in view)


def test_streaming_aligns_the_second_pass_to_prototypes_of_both():
    """A class with joint pixels in the first pass only: the second pass's drift pixels find it."""
    passes = [images_of(0, ignored=0.), images_of(1, ignored=0.)]
    passes[1].labels[:] = 3
    term = PixelAlignment(pair='streaming')
    alone = term(passes[1:]).loss
    memory = term(passes[:1], pass_follows=True).memory
    both = term(passes[1:], memory=memory).loss
    assert float(alone.detach()) == 0 and float(both.detach()) > 0
    joint = PixelAlignment()(passes).loss
    assert float(joint.detach()) > 0


def test_first_streaming_pass_does_not_pair_neighbors():
    entry = images_of(0, ignored=0.)
    entry.labels[0], entry.labels[1] = 1, 2
    assert float(PixelAlignment(pair='streaming')([entry], pass_follows=True).loss.detach()) == 0
    assert float(PixelAlignment(pair='streaming')([entry]).loss.detach()) > 0


def test_shared_count_makes_processes_equal_the_joined_batch():
    """Two processes with unequal numbers of aligned pixels; the mean of their losses is the loss of all pairs."""
    passes = [images_of(0), images_of(1)]
    passes[0].labels[1, 16:] = 255
    term = PixelAlignment()
    whole = term(passes)

    def part(i, reduce_count=None):
        cut = [AlignmentImages([PixelView(*(x[i:i + 1] for x in v[:2])) for v in e.views], e.labels[i:i + 1])
               for e in passes]
        return term(cut, reduce_count=reduce_count)

    counts = [part(i).log['aligned_pixels'] for i in range(2)]
    assert counts[0] > counts[1]
    losses = {shared: sum(float(part(i, (lambda _: sum(counts) / 2) if shared else None).loss.detach())
                          for i in range(2)) / 2 for shared in (False, True)}
    assert losses[True] == pytest.approx(float(whole.loss.detach()), rel=1e-9)
    assert losses[False] != pytest.approx(losses[True], rel=1e-3), 'or the test says nothing'


def test_second_streaming_pass_draws_other_random_pixels():
    entry = images_of(0, ignored=0.)
    term = PixelAlignment(partition='random', pair='streaming')
    seen = []
    term.sub_domains = lambda *args: seen.append(PixelAlignment.sub_domains(term, *args)) or seen[-1]
    first = term([entry], pass_follows=True, seed=3)
    term([entry], memory=first.memory, seed=3)
    assert not torch.equal(seen[0][1], seen[1][1])


# ---------------------------------------------------------------- options
def test_meanings_of_eta_and_other_partitions():
    entry = images_of(0)
    part = PixelAlignment(eta_meaning='joint_fraction').divide(entry, 0.25)[0]
    valid = part.labels != 255
    assert part.joint.sum((1, 2)).tolist() == [round(0.25 * int(n)) for n in valid.sum((1, 2))]
    assert float(part.entropy[part.joint & valid].max()) <= float(part.entropy[1][part.drift[1]].max())
    part = PixelAlignment(eta_meaning='threshold').divide(entry, 0.5)[0]
    assert torch.equal(part.drift, valid & (part.entropy / math.log(4) > 0.5)) and part.drift.any()
    part = PixelAlignment(partition='all').divide(entry, 0.5)[0]
    assert torch.equal(part.drift, valid) and torch.equal(part.joint, valid)
    term = PixelAlignment(partition='random')
    first, again, other = (term.divide(entry, 0.25, torch.Generator().manual_seed(s))[0].drift for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.sum((1, 2)).tolist() == [round(0.25 * int(n)) for n in valid.sum((1, 2))]
    with pytest.raises(ValueError, match='needs a seed'):
        term([entry])


def test_agreement_resolution_and_covered_pixels():
    entry = images_of(0, detail=True)
    part = PixelAlignment(agreement=True).divide(entry, 0.2)[0]
    assert (part.entropy.new_tensor(entry.views[0].logits.argmax(1) == part.labels)[part.joint] == 1).all()
    assert [p.labels.shape[-2:] for p in PixelAlignment(resolution=5).divide(entry, 0.2)] == [(5, 5)] * 2
    assert PixelAlignment(resolution=5)([entry]).loss.isfinite()
    context, detail = PixelAlignment(drop_covered=True).divide(entry, 0.2)
    assert (context.labels[:, 2:6, :4] == 255).all() and (context.labels[:, 6:] != 255).any()
    assert (detail.labels != 255).any() and (entry.labels[:, 16:48, :32] != 255).any(), 'labels stay as they are'


def test_projection_is_trained_and_named_as_a_head():
    term = PixelAlignment(projection=dict(channels=3), decoder=DecoderFacts(6, (8, ), (0, ))).double()
    assert all('head' in name for name, _ in term.named_parameters())
    entry = images_of(0)
    term([entry._replace(views=[v._replace(features=v.features.detach()) for v in entry.views])]).loss.backward()
    assert all(p.grad is not None for p in term.parameters())


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_mixed_precision_computes_the_term_in_float32(dtype):
    entry = images_of(0, detail=True)
    views = [PixelView(v.features.detach().to(dtype).requires_grad_(), v.logits.to(dtype), v.crop_box)
             for v in entry.views]
    with torch.autocast('cpu', torch.bfloat16):
        loss = PixelAlignment()([entry._replace(views=views)]).loss
    exact = [v._replace(features=v.features.detach().float(), logits=v.logits.float()) for v in views]
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(float(PixelAlignment()([entry._replace(views=exact)]).loss), rel=1e-6)
    loss.backward()
    assert views[0].features.grad.dtype == dtype and views[0].features.grad.isfinite().all()


# ---------------------------------------------------------------- refused
@pytest.mark.parametrize('options, message', [
    (dict(eta=(1.2, 0.1)), r'eta must be a number in \[0, 1\], got 1.2'),
    (dict(eta=(0.2, -0.001)), r'eta must be a number in \[0, 1\], got -0.001'),
    (dict(eta=0.2), 'eta is two numbers'),
    (dict(selection='best'), "unknown selection='best'"),
    (dict(partition='random', eta_meaning='threshold'), "partition='random' draws a share"),
    (dict(partition='kmeans'), "unknown partition='kmeans'"),
    (dict(eta_meaning='cut'), "unknown eta_meaning='cut'"),
    (dict(prototypes='bank'), "unknown prototypes='bank'"),
    (dict(pair='both'), "unknown pair='both'"),
    (dict(weight=0), 'weight=0 must be positive'),
    (dict(temperature=-1), 'temperature=-1 must be positive'),
    (dict(min_pixels=0), 'min_pixels=0'),
    (dict(start=-1), 'start=-1'),
    (dict(resolution=0), 'resolution=0'),
    (dict(projection=dict()), 'needs the channels of the decoder'),
])
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        PixelAlignment(**options)


def test_maps_that_do_not_fit_are_named():
    entry, term = images_of(0), PixelAlignment()
    with pytest.raises(ValueError, match='8x8 cannot be aligned with labels of 64x32'):
        term([entry._replace(labels=entry.labels[:, :, :32])])
    with pytest.raises(ValueError, match=r'B=2 as the features, got \(1, 64, 64\)'):
        term([entry._replace(labels=entry.labels[:1])])
    with pytest.raises(ValueError, match=r'weights \(2, 8, 8\) and labels \(2, 64, 64\)'):
        term([entry._replace(weight=torch.ones(2, 8, 8))])
    view = entry.views[0]
    with pytest.raises(ValueError, match='one grid'):
        term([entry._replace(views=[view._replace(logits=view.logits[..., :4])])])
    with pytest.raises(ValueError, match='same resolutions'):
        term([entry, images_of(0, detail=True)])
    with pytest.raises(ValueError, match=r'they have \[2, 3\] images'):
        term([entry, images_of(0, batch=3)])


def test_the_partition_does_not_reach_the_classifier():
    """Entropies choose pixels and prototypes; no gradient of the term goes to logits."""
    entry = images_of(detail=True)
    views = [view._replace(logits=view.logits.requires_grad_()) for view in entry.views]
    parts = PixelAlignment().divide(entry._replace(views=views), 0.2)
    assert len(parts) == 2 and not any(part.entropy.requires_grad for part in parts)
    assert all(part.features.requires_grad for part in parts)
