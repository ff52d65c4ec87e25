"""A denoising pretraining by the runner, and how a segmentor starts from its checkpoint."""
import pytest
import torch
from mmengine.config import Config

from mmseg_dg.registry import MODELS

from .test_ddep import CHANNELS, IMAGENET, build, network


def run_cfg(tiny_data, tmp_path, name, model, streams, evaluator, val_pipeline, iters=2):
    stream = next(iter(streams))

    def loader(pipeline, labeled, **kwargs):
        dataset = dict(type='BaseSegDataset', data_root=str(tiny_data / 'target'), img_suffix='.png',
                       seg_map_suffix='.png', data_prefix=dict(img_path='img', seg_map_path='label'),
                       metainfo=dict(classes=('a', 'b', 'c', 'd'), palette=[[i, 0, 0] for i in range(4)]),
                       pipeline=pipeline)
        return dict(kwargs, num_workers=0, dataset=dataset)

    val = {'held_out': loader(val_pipeline, True, batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False))}
    return Config(dict(
        default_scope='mmseg_dg', custom_imports=dict(imports=['mmseg_dg']), work_dir=str(tmp_path / name),
        model=model, train_dataloader={stream: loader(streams[stream], True, batch_size=2)}, val_dataloader=val,
        val_evaluator=evaluator, train_cfg=dict(type='MultiStreamTrainLoop', max_iters=iters, val_interval=iters),
        val_cfg=dict(type='MultiDomainValLoop'), experiment_name=f'{tmp_path.name}_{name}',
        optim_wrapper=dict(type='OptimWrapper', constructor='MergedParamGroups', optimizer=dict(type='Adam', lr=1e-3)),
        param_scheduler=[dict(type='WarmupCosineLR')], custom_hooks=[dict(type='TrainingPicturesHook', interval=1)],
        visualizer=dict(type='SegmentationVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='v'),
        default_hooks=dict(checkpoint=dict(type='DomainCheckpointHook', interval=iters,
                                           save_best='held_out/PSNR' if name == 'pretrain' else None)),
        log_processor=dict(type='DomainLogProcessor', by_epoch=False),
        env_cfg=dict(dist_cfg=dict(backend='gloo')), randomness=dict(seed=7), log_level='WARNING'))


LOAD, CROP = dict(type='LoadImageFromFile'), dict(type='RandomCrop', crop_size=(64, 64))
PACK = dict(type='PackStreamInputs')
WIDE = dict(type='UNetHead', in_channels=CHANNELS, widths=[16, 8, 8])


@pytest.fixture(scope='module')
def pretrained(tiny_data, tmp_path_factory):
    """A pretraining of two iterations: (checkpoint, work folder, scores)."""
    from mmengine.runner import Runner
    folder = tmp_path_factory.mktemp('ddep')
    cfg = run_cfg(tiny_data, folder, 'pretrain', dict(type='DDeP', network=network(), encoder_norm=IMAGENET),
                  dict(images=[LOAD, CROP, PACK]), dict(type='DenoisingMetric'), [LOAD, dict(type='PackSegInputs')])
    runner = Runner.from_cfg(cfg)
    runner.train()
    scalars = {k: v.current() for k, v in runner.message_hub.log_scalars.items()}
    return folder / 'pretrain' / 'iter_2.pth', folder / 'pretrain', scalars


def test_pretraining_run(pretrained):
    checkpoint, folder, scalars = pretrained
    assert checkpoint.is_file() and list(folder.glob('best_held_out_PSNR_iter_2.pth'))
    assert scalars['val/held_out/input_PSNR'] == pytest.approx(19.2, abs=0.3)
    assert scalars['val/held_out/PSNR_gain'] == pytest.approx(
        scalars['val/held_out/PSNR'] - scalars['val/held_out/input_PSNR'])
    assert 0.5 < scalars['val/held_out/noise_loss'] < 4 and 'train/images.psnr' in scalars
    pictures = sorted(p.name for p in folder.rglob('training_0_*.png'))
    assert len(pictures) == 2, 'clean, noisy and denoised image of every step that is due'
    state = torch.load(checkpoint, weights_only=False)['state_dict']
    assert {k.split('.')[0] for k in state} == {'student', 'noise_head', 'step_skipped', 'encoder_mean', 'encoder_std'}


def segmentor(checkpoint, head=None, **kwargs):
    init = None if checkpoint is None else dict(dict(type='PretrainedDenoiser', checkpoint=str(checkpoint)), **kwargs)
    torch.manual_seed(1)
    method = MODELS.build(dict(type='Supervised', network=network(head), init_cfg=init))
    method.init_weights()
    return method


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr('mmseg_dg.weights.denoiser.print_log', lambda text, **_: lines.append(text))
    return lines


def test_finetuning_starts_from_encoder_and_decoder(pretrained, log):
    checkpoint = pretrained[0]
    state = torch.load(checkpoint, weights_only=False)['state_dict']
    method, control = segmentor(checkpoint), segmentor(None)
    ours = method.student.state_dict()
    for name, value in ours.items():
        if 'conv_seg' not in name:
            assert torch.equal(value, state[f'student.{name}']), name
    random = control.student.state_dict()
    for name in ('decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'):
        assert torch.equal(ours[name], random[name]), 'the fresh head is initialized as in the control'
    assert not torch.equal(ours['decode_head.blocks.0.conv1.conv.weight'],
                           random['decode_head.blocks.0.conv1.conv.weight'])
    text, = log
    for part in ('loaded backbone (', 'decode_head (', 'dropped noise_head (2', 'afresh decode_head.conv_seg (2'):
        assert part in text, text


def test_decoder_alone(pretrained, log):
    method, control = segmentor(pretrained[0], encoder=False), segmentor(None)
    assert torch.equal(method.student.backbone.conv1.weight, control.student.backbone.conv1.weight)
    state = torch.load(pretrained[0], weights_only=False)['state_dict']
    name = 'decode_head.blocks.0.conv1.conv.weight'
    assert torch.equal(method.student.state_dict()[name], state[f'student.{name}'])
    assert 'dropped noise_head (2 tensors), student.backbone' in log[0]


def test_finetuning_run(pretrained, tiny_data, tmp_path, run_config):
    labels = dict(type='LoadAnnotations')
    model = dict(type='Supervised', stream='labeled', network=network(),
                 init_cfg=dict(type='PretrainedDenoiser', checkpoint=str(pretrained[0])))
    cfg = run_cfg(tiny_data, tmp_path, 'finetune', model, dict(labeled=[LOAD, labels, CROP, PACK]),
                  dict(type='ConfusionMatrixMetric'), [LOAD, labels, dict(type='PackSegInputs')])
    runner = run_config(cfg)
    assert 0 <= runner.message_hub.get_scalar('val/held_out/mIoU').current() <= 100
    assert all(p.requires_grad for p in runner.model.parameters()), 'encoder and decoder are finetuned together'


def test_refusals_of_the_loader(pretrained, tmp_path):
    checkpoint = pretrained[0]
    state = torch.load(checkpoint, weights_only=False)['state_dict']

    def saved(name, keep):
        torch.save(dict(state_dict={k: v for k, v in state.items() if keep(k)}), tmp_path / name)
        return tmp_path / name

    with pytest.raises(ValueError, match='no decoder weights'):
        segmentor(saved('encoder.pth', lambda k: 'decode_head' not in k))
    with pytest.raises(ValueError, match='no checkpoint of the method DDeP'):
        segmentor(saved('other.pth', lambda k: 'noise_head' not in k))
    with pytest.raises(ValueError, match=r'missing \(1\).*blocks.1.conv1.conv.weight'):
        segmentor(saved('part.pth', lambda k: 'blocks.1.conv1.conv.weight' not in k))
    with pytest.raises(ValueError, match='other widths.*width_multiplier'):
        segmentor(checkpoint, WIDE)
    with pytest.raises(FileNotFoundError, match='absent.pth'):
        segmentor(tmp_path / 'absent.pth')


def test_finetuning_must_normalize_as_the_pretraining(pretrained, tmp_path):
    def start(mean, checkpoint=pretrained[0], std=IMAGENET['std'], **more):
        norm = dict(type='MultiStreamDataPreprocessor', mean=mean, std=std, **more)
        MODELS.build(dict(type='Supervised', network=network(), data_preprocessor=norm, init_cfg=dict(
            type='PretrainedDenoiser', checkpoint=str(checkpoint)))).init_weights()

    start(IMAGENET['mean'])
    with pytest.raises(ValueError, match=r'encoder_norm mean \[123.6.*data_preprocessor.mean=\[127.5'):
        start([127.5] * 3)
    with pytest.raises(ValueError, match=r'data_preprocessor.streams.labeled.std=\[1.0'):
        start(IMAGENET['mean'], streams=dict(labeled=dict(std=[1.] * 3)))
    state = torch.load(pretrained[0], weights_only=False)['state_dict']
    four = dict(state, encoder_mean=torch.ones(1, 4, 1, 1))  # of a network with other channels
    torch.save(four, tmp_path / 'four.pth')
    with pytest.raises(ValueError, match=r'encoder_norm mean \[1.0, 1.0, 1.0, 1.0\], but the config'):
        start(IMAGENET['mean'], tmp_path / 'four.pth')
    torch.save({k: v for k, v in state.items() if not k.startswith('encoder_')}, tmp_path / 'says_nothing.pth')
    start([127.5] * 3, tmp_path / 'says_nothing.pth')


def test_an_encoder_that_takes_plus_minus_one_is_a_normalization_too(tmp_path):
    method = MODELS.build(dict(type='DDeP', network=network(), encoder_norm=None))
    torch.save(method.state_dict(), tmp_path / 'unit.pth')
    for value in (127.5, 120.):
        norm = dict(type='MultiStreamDataPreprocessor', mean=[value] * 3, std=[127.5] * 3)
        other = MODELS.build(dict(type='Supervised', network=network(), data_preprocessor=norm, init_cfg=dict(
            type='PretrainedDenoiser', checkpoint=str(tmp_path / 'unit.pth'))))
        if value == 127.5:
            other.init_weights()
        else:
            with pytest.raises(ValueError, match=r'encoder_norm mean \[127.5.*data_preprocessor.mean=\[120'):
                other.init_weights()


def test_a_segmentor_cannot_start_from_a_denoiser_by_itself(pretrained):
    """mmengine would load it and then initialize the parts again."""
    init = dict(type='PretrainedDenoiser', checkpoint=str(pretrained[0]))
    with pytest.raises(ValueError, match='model.init_cfg, outside of model.network'):
        MODELS.build(dict(type='Supervised', network=network(init_cfg=init))).init_weights()


def test_width_multiplier_that_does_not_match(tmp_path):
    def transunet(multiplier):
        return network(dict(type='TransUNetHead', in_channels=CHANNELS, widths=[8, 8, 8, 8, 8],
                            width_multiplier=multiplier))

    torch.save(build(transunet(2)).state_dict(), tmp_path / 'double.pth')
    method = MODELS.build(dict(type='Supervised', network=transunet(1),
                               init_cfg=dict(type='PretrainedDenoiser', checkpoint=str(tmp_path / 'double.pth'))))
    with pytest.raises(ValueError, match=r'decode_head.*\(16, .* in the file, \(8, .*width_multiplier'):
        method.init_weights()
