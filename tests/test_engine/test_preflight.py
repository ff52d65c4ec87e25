"""Bad input is refused before iteration 0 with a message that names it."""
import copy
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mmseg_dg.engine.named_loaders import NamedLoaders
from mmseg_dg.engine.preflight import check_unlabeled


@pytest.fixture
def assert_refused(run_config):

    def check(cfg, error, match):
        with pytest.raises(error, match=match):
            run_config(cfg)

    return check


def test_missing_folder(tiny_config, assert_refused):
    cfg = tiny_config()
    cfg.train_dataloader.source.dataset.data_root += '_nowhere'
    assert_refused(cfg, FileNotFoundError, r'stream "source": data_root=.*_nowhere.*does not exist')
    cfg = tiny_config()
    cfg.train_dataloader.target.dataset.data_prefix.img_path = 'pictures'
    assert_refused(cfg, FileNotFoundError, r'stream "target": img_path folder .*pictures')
    cfg = tiny_config()
    cfg.train_dataloader.source.dataset.data_prefix.seg_map_path = 'masks'
    assert_refused(cfg, FileNotFoundError, r'stream "source": seg_map_path folder .*masks')


def test_unlabeled_stream_needs_no_label_folder(tiny_config, run_config):
    cfg = tiny_config(max_iters=2)
    cfg.train_dataloader.target.dataset.data_prefix.seg_map_path = 'masks'
    assert run_config(cfg).iter == 2


def test_image_without_label(tiny_config, tiny_data, tmp_path, assert_refused):
    import shutil
    shutil.copytree(tiny_data / 'source', tmp_path / 'broken')
    (tmp_path / 'broken' / 'label' / '05.png').unlink()
    cfg = tiny_config()
    cfg.train_dataloader.source.dataset.data_root = str(tmp_path / 'broken')
    cfg.train_cfg.preflight_samples = 100
    assert_refused(cfg, (FileNotFoundError, ValueError), r'05\.png')


def test_label_id_outside_the_classes(tiny_config, tiny_data, tmp_path, assert_refused):
    import shutil
    shutil.copytree(tiny_data / 'source', tmp_path / 'broken')
    path = tmp_path / 'broken' / 'label' / '11.png'
    label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    label[:] = np.where(label == 1, 33, label)
    cv2.imwrite(str(path), label)
    cfg = tiny_config()
    cfg.train_dataloader.source.dataset.data_root = str(tmp_path / 'broken')
    assert_refused(cfg, ValueError, r'(?s)stream "source".*11\.png.*33')


def test_images_on_another_scale(tiny_config, assert_refused):
    cfg = tiny_config()
    cfg.train_dataloader.source.dataset.pipeline.insert(
        1, dict(type='mmcv.Normalize', mean=[0.] * 3, std=[255.] * 3, to_rgb=False))
    assert_refused(cfg, ValueError, r'stream "source".*\.png end at .* scale 0\.\.1.*divides by 255')


def test_images_are_listed_only_where_they_could_be_in_two_streams():
    """Millions of images without labels (denoising pretraining) are not looked through."""
    class Images(list):
        def get_data_info(self, index):
            raise AssertionError('read')

    loader = SimpleNamespace(dataset=Images(range(4)), batch_size=2)
    loaders = NamedLoaders(dict(images=loader), what='stream')
    check_unlabeled(SimpleNamespace(streams=('images', ), labeled_streams=()), loaders)
    with pytest.raises(ValueError, match='fewer than one batch of 5'):
        loader.batch_size = 5
        check_unlabeled(SimpleNamespace(streams=('images', ), labeled_streams=()), loaders)


def test_stream_without_dataset(tiny_config, assert_refused):
    cfg = tiny_config()
    del cfg.train_dataloader.target['dataset']
    assert_refused(cfg, ValueError, 'stream "target" has no dataset')


@pytest.mark.ci
def test_unknown_and_missing_stream(tiny_config, assert_refused):
    cfg = tiny_config()
    cfg.train_dataloader.extra = copy.deepcopy(cfg.train_dataloader.target)
    assert_refused(cfg, ValueError, r"unknown \['extra'\]")
    cfg = tiny_config()
    cfg.train_dataloader.unlabeled = cfg.train_dataloader.pop('target')
    assert_refused(cfg, ValueError, r"missing \['target'\], unknown \['unlabeled'\]")
    cfg = tiny_config()
    cfg.runner_type = 'SemiSupervisedRunner'
    assert_refused(cfg, ValueError, 'SemiSupervisedRunner trains on the streams')


def test_plain_dataloader_is_explained(tiny_config, assert_refused):
    cfg = tiny_config()
    cfg.train_dataloader = dict(cfg.train_dataloader.source)
    assert_refused(cfg, ValueError, 'needs named streams')


def test_crop_larger_than_image(tiny_config, assert_refused):
    cfg = tiny_config()
    for stream in cfg.train_dataloader.values():
        for transform in stream.dataset.pipeline:
            if transform.type == 'RandomCrop':
                transform.crop_size = (128, 128)
    assert_refused(cfg, ValueError, r'96x80 where the crop wants 128x128')


def test_empty_source(tiny_config, tmp_path, assert_refused):
    for folder in ('img', 'label'):
        (tmp_path / 'empty' / folder).mkdir(parents=True)
    cfg = tiny_config()
    cfg.train_dataloader.source.dataset.data_root = str(tmp_path / 'empty')
    assert_refused(cfg, FileNotFoundError, r'stream "source".*empty/img.* is empty')


def test_images_of_different_sizes(tiny_config, tiny_data, tmp_path, assert_refused):
    import shutil
    shutil.copytree(tiny_data / 'target', tmp_path / 'odd')
    path = tmp_path / 'odd' / 'img' / '11.png'
    cv2.imwrite(str(path), cv2.imread(str(path))[:70])
    cfg = tiny_config()
    dataset = cfg.train_dataloader.target.dataset
    dataset.data_root = str(tmp_path / 'odd')
    dataset.pipeline = [t for t in dataset.pipeline if 'Random' not in t.type]
    assert_refused(cfg, ValueError, r'images of one batch must have one size')


def test_domains_with_other_classes(tiny_config, assert_refused):
    cfg = tiny_config()
    cfg.train_dataloader.target.dataset.metainfo = dict(classes=('a', 'b'), palette=[[0, 0, 0], [1, 1, 1]])
    assert_refused(cfg, ValueError, 'disagree on classes')


def test_plain_segmentor_is_explained(tiny_config, assert_refused):
    cfg = tiny_config()
    cfg.model = dict(cfg.model.network, data_preprocessor=cfg.model.data_preprocessor)
    cfg.custom_hooks = []
    assert_refused(cfg, TypeError, "model=dict\\(type='Supervised'")


def test_backward_counting_accumulation_is_refused(tiny_config, assert_refused):
    cfg = tiny_config()
    cfg.optim_wrapper.accumulative_counts = 2
    assert_refused(cfg, ValueError, 'train_cfg.accumulate=2')


def test_ema_hook_without_teacher(tiny_config, assert_refused):
    cfg = tiny_config(method='Supervised')
    cfg.custom_hooks = [dict(type='EMAUpdateHook')]
    assert_refused(cfg, ValueError, 'no teacher to update')


def test_missing_pretrained_file(tiny_config, assert_refused):
    cfg = tiny_config()
    cfg.model.network.backbone.init_cfg = dict(type='Pretrained', checkpoint='pretrained/mit_b0_missing.pth')
    assert_refused(cfg, FileNotFoundError, 'mit_b0_missing.pth')


def test_teacher_without_its_hook(tiny_config, assert_refused):
    cfg = tiny_config()
    cfg.custom_hooks = []
    assert_refused(cfg, ValueError, 'no EMAUpdateHook updates it')


def test_settings_that_count_epochs(tiny_config, assert_refused):
    cfg = tiny_config()
    cfg.param_scheduler = [dict(type='PolyLR', power=0.9)]
    assert_refused(cfg, ValueError, 'PolyLR counts epochs')
    cfg = tiny_config()
    cfg.default_hooks.checkpoint.by_epoch = True
    assert_refused(cfg, ValueError, 'checkpoint counts epochs')


def test_seeds_that_differ_by_rank(tiny_config, assert_refused):
    cfg = tiny_config()
    cfg.randomness = dict(seed=0, diff_rank_seed=True)
    assert_refused(cfg, ValueError, 'diff_rank_seed')


def test_parameters_frozen_while_the_optimizer_is_built(tiny_config, run_config):
    from mmengine.hooks import Hook

    class Unfreeze(Hook):
        priority = 'VERY_HIGH'

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            runner.model.student.backbone.requires_grad_(True)

    runner = run_config(tiny_config(max_iters=4), train=False)
    runner.model.student.backbone.requires_grad_(False)
    runner.register_hook(Unfreeze())
    with pytest.raises(ValueError, match='in no optimizer group'):
        runner.train()


@pytest.fixture
def own_target(tiny_data, tmp_path):
    """A copy of the target domain that a test may spoil, and how a config is told to use it."""
    import shutil
    root = tmp_path / 'own'
    shutil.copytree(tiny_data / 'target', root)

    def use(cfg):
        for loader in (cfg.train_dataloader.target, cfg.val_dataloader.target):
            loader.dataset.data_root = str(root)
        return cfg

    return root / 'img', use


@pytest.mark.ci
def test_images_of_16_bits_too_large_and_too_small(own_target, tiny_config, assert_refused):
    folder, use = own_target
    image = cv2.imread(str(folder / '00.png'))
    cv2.imwrite(str(folder / '03.png'), image.astype(np.uint16) * 16)
    size = (20000).to_bytes(4, 'big') * 2
    (folder / '05.png').write_bytes(b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR' + size + b'\x08\x02\0\0\0')
    text = (r'(?s)stream "target": 2 of 12.*03\.png: .*16 bits.*bit_depth.*05\.png: 20000x20000.*max_pixels.*'
            'domain "target"')
    cfg = use(tiny_config())
    cfg.train_cfg.preflight_samples = 1
    assert_refused(cfg, ValueError, text)
    for name in ('03.png', '05.png'):
        cv2.imwrite(str(folder / name), image[:20, :24])
        cv2.imwrite(str(folder.parent / 'label' / name), np.zeros((20, 24), np.uint8))
    cfg.work_dir += '2'
    cfg.model.network.backbone.sr_ratios = [32, 4, 2, 1]
    assert_refused(cfg, ValueError, r'(?s)stream "target": .*03\.png is 24x20.*crop wants 64x64.*'
                                    r'domain "target": .*03\.png is 24x20.*the network cannot read it')


def test_an_extra_channel_is_refused_by_name(tiny_config, own_target, assert_refused):
    folder, use = own_target
    for path in sorted(folder.iterdir()):
        cv2.imwrite(str(path), cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2BGRA))
    cfg = use(tiny_config())
    cfg.train_dataloader.target.dataset.pipeline[0].color_type = 'unchanged'
    assert_refused(cfg, ValueError, 'stream "target": .*00.png has 4 channels.*No method here takes an extra channel')


def test_the_log_says_what_is_used_and_what_is_left_out(tiny_config, own_target, run_config, tmp_path):
    folder, use = own_target
    for name in ('03', '04'):
        (folder / f'{name}.png').rename(folder / f'{name}.tif')
    (folder / '.ipynb_checkpoints').mkdir()
    cv2.imwrite(str(folder / '.ipynb_checkpoints' / 'a.png'), np.zeros((80, 96, 3), np.uint8))
    cfg = use(tiny_config(max_iters=2, val_interval=5))
    cfg.train_dataloader.target.dataset.update(type='UnlabeledImageDataset', img_suffix=['.png'])
    cfg.train_dataloader.target.dataset.pop('seg_map_suffix')
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.log_level = 'INFO'
    run_config(cfg)
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert 'stream "source": BaseSegDataset uses 12 images (12 *.png)' in log
    assert 'uses 10 images (10 *.png)' in log
    assert '2 with another ending (2 *.tif), 1 hidden (.ipynb_checkpoints' in log


def test_a_hook_of_the_configs_list_is_known_by_name_scope_or_class():
    from types import SimpleNamespace

    from mmengine.hooks import IterTimerHook

    from mmseg_dg.engine.preflight.hooks import _is_custom
    for given, known in (('IterTimerHook', True), ('mmseg_dg.IterTimerHook', True), (IterTimerHook, True),
                         ('TimerHook', False)):
        runner = SimpleNamespace(cfg=dict(custom_hooks=[dict(type=given)]))
        assert _is_custom(IterTimerHook(), runner) is known, given
    assert not _is_custom(IterTimerHook(), SimpleNamespace(cfg=dict()))
