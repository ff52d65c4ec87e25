"""Two processes against one: gradients, statistics, teachers."""
import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

import mmseg_dg  # noqa: F401
from mmseg_dg.methods import MaskedDraws, SemiDraws, StepDraws
from mmseg_dg.ops import StrongView, draw_complementary_masks, draw_jitter_params, draw_kept_blocks
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.buckets import buckets
from mmseg_dg.utils.checkpoint_reader import read_checkpoint

HERE = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def launch(world, *arguments):
    env = dict(os.environ, OMP_NUM_THREADS='1',
               PYTHONPATH=os.pathsep.join([str(HERE.parents[1]), os.environ.get('PYTHONPATH', '')]))
    command = [sys.executable, '-m', 'torch.distributed.run', f'--nproc_per_node={world}', '--master_addr=127.0.0.1',
               f'--master_port={free_port()}', *map(str, arguments)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def make_steps(count, size=64):
    """Recorded-like batches whose images differ much, so that per-process statistics would differ."""
    from mmseg.structures import SegDataSample
    generator = torch.Generator().manual_seed(0)
    steps = []
    for _ in range(count):
        images = torch.randn(2, 3, size, size, generator=generator) * torch.tensor([0.3, 1.5]).view(2, 1, 1, 1)
        target = torch.randn(2, 3, size, size, generator=generator)
        labels = torch.randint(0, 4, (2, 1, size // 16, size // 16), generator=generator)
        labels = labels.repeat_interleave(16, 2).repeat_interleave(16, 3)
        labels[0][labels[0] == 3] = 255  # class 3, one of the distance classes, is in image 1 only
        draws = StepDraws(jitter=True, blur=True, jitter_params=[draw_jitter_params(generator) for _ in range(2)],
                          sigma=[0.4, 0.9], mix_classes=[torch.tensor([0, 3]), torch.tensor([1])],
                          masked=MaskedDraws(kept=draw_kept_blocks(2, (size, size), 16, 0.5, generator)))
        steps.append(dict(
            batch=dict(source=dict(inputs=images,
                                   data_samples=[SegDataSample(gt_sem_seg=PixelData(data=x)) for x in labels]),
                       target=dict(inputs=target, data_samples=[SegDataSample(), SegDataSample()]),
                       target_labeled=dict(inputs=target + 1, data_samples=[
                           SegDataSample(gt_sem_seg=PixelData(data=x)) for x in labels.flip(0)])),
            draws=draws))
    return steps


@pytest.fixture
def two_and_one(tiny_config, tmp_path):
    cfg = tiny_config(norm_eval=True, sync_statistics=True, pseudo_threshold=0.3, pseudo_label_tta=('flip', ),
                      masked=dict(block_size=16, augment=False), target_labeled_stream='target_labeled',
                      feature_distance=dict(weight=0.5, classes=[1, 3], min_ratio=0.5),
                      alignment=dict(type='PixelAlignment', partition='all'))  # no order of entropies to upset
    cfg.model.network.backbone.drop_path_rate = 0.0
    cfg.model.network.decode_head.dropout_ratio = 0.0
    cfg.optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.5))
    method = build(cfg)
    for parameter in method.imnet.parameters():  # a reference away from the student, or the distance has no gradient
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    return outputs(cfg, method, make_steps(2), tmp_path)


def build(cfg):
    torch.manual_seed(3)
    return MODELS.build(cfg.model)


def outputs(cfg, method, steps, folder):
    """What one process and two write of the same steps: the one, the first and the second of two."""
    cfg.dump(folder / 'cfg.py')
    torch.save(dict(state_dict=method.state_dict(), steps=steps), folder / 'batch.pt')
    for world in (1, 2):
        launch(world, HERE / '_ranks.py', folder / 'cfg.py', folder / 'batch.pt', folder / 'out')
    return [torch.load(folder / name) for name in ('out.1.0', 'out.2.0', 'out.2.1')]


def assert_equal_states(one, first, second):
    for name, value in one['state_dict'].items():
        torch.testing.assert_close(first['state_dict'][name], value, rtol=1e-4, atol=2e-6, msg=name)
        assert torch.equal(first['state_dict'][name], second['state_dict'][name]), f'{name} differs between ranks'
    assert first['synchronizations'] == second['synchronizations'] == len(one['values']), 'once per step'


def assert_equal_means(one, first, second, keys):
    for step, whole in enumerate(one['values']):
        for key in keys:
            mean = (first['values'][step][key] + second['values'][step][key]) / 2
            assert mean == pytest.approx(whole[key], rel=1e-4), key


@pytest.mark.ci
def test_two_processes_equal_one_with_the_joined_batch(two_and_one):
    one, first, second = two_and_one
    assert_equal_states(one, first, second)
    moved = (one['state_dict']['student.decode_head.conv_seg.weight'] -
             one['state_dict']['teacher.module.decode_head.conv_seg.weight'])
    assert moved.abs().max() > 1e-3, 'the step must have moved the student'
    assert_equal_means(one, first, second, [
        'source.decode.loss_ce', 'mix.decode.loss_ce', 'source.loss_feature_distance', 'mix.loss_pixel_alignment',
        'masked.decode.loss_ce', 'target_labeled.decode.loss_ce'])
    # the pseudo-label weight is shared, not per process
    key = 'target.pseudo_label_share'
    assert first['values'][0][key] == pytest.approx(one['values'][0][key])


@pytest.mark.ci
def test_two_processes_equal_one_with_a_distance_in_a_projection(tiny_config, tmp_path):
    frozen = dict(type='MixTransformer', arch='b0', embed_dims=16, num_layers=[1] * 4, num_heads=[1] * 4,
                  init_cfg=None)
    cfg = tiny_config(norm_eval=True, sync_statistics=True, pseudo_threshold=0.3, feature_distance=dict(
        type='ProjectedFeatureDistance', encoder=frozen, in_channels=8, out_channels=16, size=32, weight=1.))
    cfg.model.network.backbone.drop_path_rate = 0.0
    cfg.model.network.decode_head.dropout_ratio = 0.0
    cfg.optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.5))
    method = build(cfg)
    began = method.projected_distance.projection[0].weight.detach().clone()
    one, first, second = outputs(cfg, method, make_steps(2), tmp_path)
    assert_equal_states(one, first, second)
    assert (one['state_dict']['projected_distance.projection.0.weight'] - began).abs().max() > 1e-4
    assert_equal_means(one, first, second, ['source.loss_feature_distance', 'target.loss_feature_distance'])


@pytest.mark.ci
def test_two_processes_equal_one_with_complementary_channels(tiny_config, tmp_path):
    """Without CutMix: its partners are the images of one process."""
    cfg = tiny_config()
    cfg.model.update(type='UniMatchV2', cutmix=None, threshold=0.3)
    cfg.model.network.backbone.drop_path_rate = 0.0
    cfg.model.network.decode_head.update(dropout_ratio=0.0, norm_cfg=dict(type='GN', num_groups=2))
    cfg.optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.5))
    method = build(cfg)
    generator = np.random.RandomState(0)
    steps = [
        dict(batch=dict(labeled=step['batch']['target_labeled'], unlabeled=step['batch']['target']),
             draws=SemiDraws(views=[[StrongView(), StrongView(grayscale=True)], [StrongView(grayscale=True),
                                                                                 StrongView()]],
                             dropout=draw_complementary_masks(2, (8, 8, 8, 8), generator, 0.5)))
        for step in make_steps(2)
    ]
    for step in steps:  # every pixel labeled and valid: losses are means over those pixels of one process
        for sample in step['batch']['labeled']['data_samples']:
            sample.gt_sem_seg.data[sample.gt_sem_seg.data == 255] = 0
        for sample in step['batch']['unlabeled']['data_samples']:
            sample.valid_pseudo_mask = PixelData(data=torch.ones(1, 64, 64, dtype=torch.uint8))
    assert any(not step['draws'].dropout.whole.all() for step in steps), 'channels must be dropped'
    one, first, second = outputs(cfg, method, steps, tmp_path)
    assert_equal_states(one, first, second)
    assert min(step['strong1.loss_ce'] for step in one['values']) > 0
    assert_equal_means(one, first, second, ['labeled.decode.loss_ce', 'strong1.loss_ce', 'strong2.loss_ce'])


@pytest.mark.ci
def test_dist_train_and_test_scripts(tiny_config, tmp_path):
    cfg = tiny_config(max_iters=2, val_interval=2)
    cfg.runner_type = 'UDARunner'
    cfg.dump(tmp_path / 'tiny.py')
    tools = HERE.parents[1] / 'tools'
    env = dict(os.environ, OMP_NUM_THREADS='1', PORT=str(free_port()),
               PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
    command = ['bash', str(tools / 'dist_train.sh'), str(tmp_path / 'tiny.py'), '2',
               '--work-dir', str(tmp_path / 'w')]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    checkpoint = tmp_path / 'w' / 'iter_2.pth'
    trained = read_checkpoint(checkpoint)['message_hub']['log_scalars']['val/target/mIoU'].current()
    env['PORT'] = str(free_port())
    command = ['bash', str(tools / 'dist_test.sh'), str(tmp_path / 'tiny.py'), str(checkpoint), '2',
               '--work-dir', str(tmp_path / 't')]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    with open(next((tmp_path / 't').glob('*/evaluation*.csv')), encoding='utf-8') as file:
        scores = {row['domain']: float(row['mIoU']) for row in csv.DictReader(file)}
    # what was validated during training (statistics averaged over processes) is what was saved
    assert scores['target'] == pytest.approx(float(trained), abs=1e-6)


@pytest.mark.ci
def test_running_statistics_are_averaged_and_nothing_else(tmp_path):
    """Statistics that are equal everywhere stay as they are: (x + x + x) / 3 is not x for one float in five."""
    launch(3, HERE / '_buffers.py', tmp_path / 'out')
    states = [torch.load(f'{tmp_path}/out.{rank}') for rank in range(3)]
    frozen = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    for rank, state in enumerate(states):
        assert torch.equal(state['0.running_mean'], torch.full((3, ), 1.0))
        assert torch.equal(state['0.running_var'], torch.full((3, ), 3.0))
        assert torch.equal(state['1.running_mean'], frozen)
        assert torch.equal(state['constant'], torch.tensor(float(rank)))


def test_buckets_respect_size_dtype_and_order():
    tensors = [torch.zeros(10), torch.zeros(10), torch.zeros(10).double(), torch.zeros(100), torch.zeros(1)]
    groups = list(buckets(tensors, limit=100))
    assert [len(g) for g in groups] == [2, 1, 1, 1]
    flat = [t for g in groups for t in g]
    assert flat == tensors or all(a is b for a, b in zip(flat, tensors))
