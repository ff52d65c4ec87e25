"""Pixel features in the plane, scores of their separation, and the command that plots two checkpoints."""
import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmseg_dg.visualization.embedding import choose_pixels, embedding_picture, principal_plane, separation

ROOT = Path(__file__).resolve().parents[2]
PALETTE = [[128, 64, 128], [70, 70, 70], [70, 130, 180], [0, 0, 142]]


def load_tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / 'tools' / 'analysis_tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def clusters(spread, count=30, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat_interleave(count)
    return torch.eye(8)[labels] + spread * torch.randn(len(labels), 8, generator=generator), labels


# ---------------------------------------------------------------- choice of pixels
def test_every_class_gives_the_same_number_where_it_can():
    labels = [torch.tensor([[0, 0, 0, 0], [1, 255, 255, 2]]), torch.tensor([[1, 1], [0, 0]])]
    chosen = dict(choose_pixels(labels, per_class=3, seed=1))
    taken = torch.cat([labels[i].flatten()[places] for i, places in chosen.items()])
    assert torch.bincount(taken).tolist() == [3, 3, 1]
    assert all(torch.equal(places, places.sort().values) for places in chosen.values())


def test_the_choice_follows_the_seed_and_nothing_else():
    labels = [torch.arange(200).reshape(10, 20) % 4]
    first, again, other = (choose_pixels(labels, 5, seed)[0][1] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_without_labels_there_is_nothing_to_choose():
    with pytest.raises(ValueError, match='no pixel'):
        choose_pixels([torch.full((2, 2), 255)], 3)


# ---------------------------------------------------------------- plane and scores
def test_the_plane_keeps_the_two_widest_directions():
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(50, 2, generator=generator).double() * torch.tensor([9.0, 4.0])
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator).double())
    features = torch.cat([wide, 0.01 * torch.randn(50, 4, generator=generator)], dim=1) @ rotation
    plane = principal_plane(features)
    distances = torch.cdist(wide, wide)
    torch.testing.assert_close(torch.cdist(plane, plane), distances, atol=0.3, rtol=0.05)
    torch.testing.assert_close(plane, principal_plane(features.clone()))


def test_the_plane_agrees_with_lowrank_pca():
    features, _ = clusters(0.3)
    features = features.double()
    _, _, axes = torch.pca_lowrank(features, q=6, niter=20)
    expected = (features - features.mean(0)) @ axes[:, :2]
    torch.testing.assert_close(principal_plane(features).abs(), expected.abs(), atol=1e-6, rtol=1e-6)


def silhouette_by_hand(features, labels):
    """One pixel after the other, from the definition, cosine distance; mean of the classes' means."""
    features = features.double() / features.double().norm(dim=1, keepdim=True)
    distance = 1 - features @ features.T
    values = []
    for i, own in enumerate(labels):
        same = [j for j in range(len(labels)) if labels[j] == own and j != i]
        inner = distance[i, same].mean()
        outer = min(distance[i, labels == c].mean() for c in labels.unique() if c != own)
        values.append((outer - inner) / max(outer, inner))
    values = torch.stack(values)
    return torch.stack([values[labels == c].mean() for c in labels.unique()]).mean().item()


def test_silhouette_by_its_definition():
    features, labels = clusters(0.4, count=7)
    assert separation(features, labels).silhouette == pytest.approx(silhouette_by_hand(features, labels), abs=1e-9)


def test_silhouette_over_several_chunks(monkeypatch):
    features, labels = clusters(0.4)
    whole = separation(features, labels)
    monkeypatch.setattr('mmseg_dg.visualization.embedding._CHUNK', 7)
    assert separation(features, labels).silhouette == pytest.approx(whole.silhouette, abs=1e-12)


def test_tighter_classes_score_higher():
    tight, loose = (separation(*clusters(spread)) for spread in (0.05, 0.5))
    assert all(a >= b for a, b in zip(tight, loose)) and tight.silhouette > loose.silhouette + 0.2
    assert tight.between_within > 10 * loose.between_within
    assert tight.nearest_mean == 1.0


def test_classes_without_a_difference_do_not_separate():
    features, labels = clusters(0.3)
    shuffled = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    assert abs(separation(features, shuffled).silhouette) < 0.1


def test_one_class_cannot_be_separated():
    with pytest.raises(ValueError, match='two classes'):
        separation(torch.randn(4, 3), torch.zeros(4, dtype=torch.int64))


def test_picture_has_a_plot_per_network():
    features, labels = clusters(0.2)
    picture = embedding_picture(dict(a=features, b=features[:, :5]), labels, ['x', 'y', 'z'], PALETTE, size=200)
    assert picture.dtype == np.uint8 and picture.shape[0] == 200 and picture.shape[1] > 400
    halves = picture[:, :200], picture[:, 200:400]
    for color in PALETTE[:3]:
        assert all((half == color).all(-1).any() for half in halves), 'a class has no point'


# ---------------------------------------------------------------- the command
def test_command_plots_two_checkpoints(tiny_config, tmp_path, capsys):
    from mmseg_dg.registry import MODELS
    cfg = tiny_config('Supervised')
    cfg.dump(tmp_path / 'config.py')
    paths = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = MODELS.build(cfg.model)
        paths.append(tmp_path / f'{seed}.pth')
        torch.save(dict(state_dict=model.state_dict()), paths[-1])
    out = tmp_path / 'embedding.png'
    load_tool('embedding_plot').main([str(tmp_path / 'config.py'), *map(str, paths), str(out), '--num', '3',
                                      '--per-class', '20', '--device', 'cpu', '--names', 'without', 'with'])
    assert cv2.imread(str(out)).shape[0] == 640
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith('| with')]
    assert len(rows) == 2 and rows[0] != rows[1], 'two random networks have two scores'
