"""What holds for every config and every row: it parses, says what it is, and leaves nothing behind.

One item per config runs all checks, one per table of rows those that are not about a file: thousands of items would
take longer than what they check.
"""
import inspect
import os
import re
from collections import Counter

import pytest
import yaml
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_dg.registry import MODELS

from .catalog import CONFIGS, LEAVES, ROOT, ROWS, TABLES, docstring, folder_of, load, read, resolve, settings, walk
from .test_arguments import every_part_exists_and_takes_its_arguments
from .test_facts import facts_hold
from .test_hrda_configs import crops_fit_one_another
from .test_resizing import resizes_as_the_published_code
from .test_schedules import schedule_is_that_of_the_method
from .test_studies import seeds_are_those_of_the_docstring

KNOWN_KEYS = (set(inspect.signature(Runner.__init__).parameters) |
              {'runner_type', 'custom_imports', 'model_wrapper_cfg', 'tta_pipeline', 'tta_model', 'study', 'sync_bn'})
NAMES = sorted(LEAVES)
#: Of every config, of every row: they get a setting and its config, which they do not change.
CHECKS = [every_part_exists_and_takes_its_arguments, facts_hold, crops_fit_one_another, resizes_as_the_published_code,
          schedule_is_that_of_the_method]
#: Of every config: about its file.
FILE_CHECKS = [seeds_are_those_of_the_docstring]


def check(function):
    CHECKS.append(function)
    return function


def test_there_are_configs_of_every_folder():
    counts = Counter(p.parent.name for p in LEAVES.values())
    assert {'daformer', 'hrda', 'deft', 'pixl', 'ddep', 'demo', 'custom', 'bench'} <= set(counts)
    assert counts['diffmatch'] >= 12 and all(counts[f] >= 6 for f in ('daformer', 'hrda', 'deft', 'pixl', 'ddep'))
    assert len(LEAVES) <= 155, 'a config is something a person runs; variants are rows of ablations.yml'


def test_basenames_are_unique_in_the_package():
    """``mim train mmseg_dg NAME.py`` takes the only file of that name in the whole package."""
    files = [p.name for folder in ('configs', 'tools', 'mmseg_dg') for p in (ROOT / folder).rglob('*.py')
             if '.mim' not in p.parts]
    twice = {name: n for name, n in Counter(files).items() if n > 1 and name in {p.name for p in LEAVES.values()}}
    assert not twice


def docstring_says_what_it_is(name, cfg):
    text = docstring(name)
    folder = LEAVES[name].parent.name
    assert f'mim train mmseg_dg {name}.py' in text
    assert re.search(r'Status', text), 'an honest status is missing'
    assert re.search(r'[Rr]esources', text) and re.search(r'[Bb]atch', text)
    assert re.search(r'[Ss]core', text)
    if folder not in ('demo', 'bench', 'suites'):
        assert "Paper's score:" in text and 'seeds' in text, 'a paper config labels numbers as the paper\'s'
        assert re.search(r'Paper: |No row of the', text)


FILE_CHECKS.append(docstring_says_what_it_is)


@check
def top_level_keys_belong_to_the_runner(name, cfg):
    """A key nobody reads is a typing error or a left-over of a base file."""
    unknown = set(cfg._cfg_dict) - KNOWN_KEYS
    assert not unknown


@check
def streams_fit_the_method(name, cfg):
    streams = list(cfg.train_dataloader)
    if cfg.model.type == 'DACS':
        few = cfg.model.get('target_labeled_stream')
        assert streams == [cfg.model.labeled_stream, cfg.model.unlabeled_stream] + [few] * bool(few)
        assert cfg.runner_type == dict(source='UDARunner', labeled='SemiSupervisedRunner')[streams[0]]
        assert [h.type for h in cfg.custom_hooks].count('EMAUpdateHook') == 1
    elif cfg.model.type == 'DomainGeneralization':
        assert streams == ['source']
        assert folder_of(name) == 'bench' or list(cfg.val_dataloader) == ['cityscapes', 'bdd100k', 'mapillary']
        styles = cfg.model.network.backbone.get('style_hallucination') is not None
        assert [h.type for h in cfg.get('custom_hooks', [])] == ['StylePrototypeHook'] * styles
    elif cfg.model.type in ('FixMatch', 'UniMatch', 'UniMatchV2', 'DiffMatch'):
        mixed = cfg.model.get('cutmix') is not None and cfg.model.get('mix_stream', 'unlabeled_mix') is not None
        assert streams == ['labeled', 'unlabeled'] + ['unlabeled_mix'] * mixed
        assert cfg.runner_type == 'SemiSupervisedRunner'
        hooks = [h.type for h in cfg.get('custom_hooks', [])]
        assert hooks.count('ClassPriorHook') == (cfg.model.type == 'DiffMatch')
        assert hooks.count('EMAUpdateHook') == (cfg.model.type == 'DiffMatch'
                                                or cfg.model.pseudo_labels == 'teacher')
    elif cfg.model.type in ('DeFT', 'JointFinetuning'):
        assert streams == ['source'] and 'runner_type' not in cfg
        hooks = [h.type for h in cfg.get('custom_hooks', [])]
        assert ('EMAUpdateHook' in hooks) == (cfg.model.type == 'DeFT') <= ('DecoderWarmupHook' in hooks)
    elif cfg.model.type == 'DDeP':
        assert streams == [cfg.model.stream] and 'runner_type' not in cfg
    elif cfg.model.type != 'Supervised':  # what its class says
        cls = MODELS.get(cfg.model.type)
        assert tuple(streams) == cls.streams
        assert set(cls.required_hooks) <= {h.type for h in cfg.get('custom_hooks', [])}
    else:
        assert streams == [cfg.model.get('stream', 'source')]
        assert 'runner_type' not in cfg
        assert {h.type for h in cfg.get('custom_hooks', [])} <= {'ClassBiasPicturesHook', 'TrainingPicturesHook'}
        extra = {'alignment', 'stream', 'init_cfg'}  # a denoised decoder
        assert set(cfg.model) - extra == {'type', 'data_preprocessor', 'network'}


@check
def base_batch_size(name, cfg):
    first = next(iter(cfg.train_dataloader.values()))
    total = first.batch_size * cfg.train_cfg.get('accumulate', 1)
    if folder_of(name) == 'deft':  # rates for the total batch of 4 or 2 GPUs
        total = 16 if '_gta' in name else 8
    assert cfg.auto_scale_lr.base_batch_size == total
    assert not cfg.auto_scale_lr.enable


@check
def unlabeled_streams_open_no_labels(name, cfg):
    unlabeled = {cfg.model.get('unlabeled_stream', 'unlabeled'), 'unlabeled_mix', 'images'}
    for stream in unlabeled & set(cfg.train_dataloader):
        dataset = cfg.train_dataloader[stream].dataset
        assert 'seg_map_path' not in dataset.get('data_prefix', {})
        for step in dataset.pipeline:
            assert 'Annotations' not in step.type
            assert 'cat_max_ratio' not in step, 'the crop would look at labels of the target'


@check
def every_work_dir_gets_charts_and_a_report(name, cfg):
    hook = cfg.default_hooks.report
    assert hook.type == 'ReportMaterialHook' and hook.get('charts', True)


@check
def data_of_test_and_validation_agree(name, cfg):
    """``test_dataloader = val_dataloader`` is bound in a base: a child that changes one only tests on old data."""
    if 'released' in name:  # the source alone while training
        domain, = cfg.val_dataloader
        assert cfg.test_dataloader[domain] == cfg.val_dataloader[domain]
        assert dict(cfg.val_evaluator) == {domain: cfg.test_evaluator[domain]}
        return
    assert cfg.test_dataloader == cfg.val_dataloader
    assert cfg.test_evaluator == cfg.val_evaluator


@check
def labels_of_validation_are_loaded_at_full_size(name, cfg):
    if cfg.model.type == 'DDeP':
        return  # it is judged by how it denoises
    for domain in cfg.val_dataloader.values():
        kinds = [step.type for step in domain.dataset.pipeline]
        load_labels, = [kind for kind in kinds if kind in ('LoadAnnotations', 'LoadSynthiaAnnotations')]
        after = kinds[kinds.index(load_labels):]
        assert 'Resize' not in after
        assert 'ResizeToHeight' not in after or 'CenterCropPad' in after, 'scored in the frame or at full size'


@check
def no_url_and_no_absolute_path(name, cfg):
    given = os.environ.get('MMSEG_DG_SHARED', '\0')  # the one path a user may give, also as an absolute one
    for key, value in walk(cfg._cfg_dict):
        # lists that come with the configs are named by {{ fileDirname }}
        # mmseg_dg://NAME are weights inside the package
        if isinstance(value, str) and not value.startswith((given, str(CONFIGS), 'mmseg_dg://')):
            assert '://' not in value, f'{key}: weights and data are local files'
            assert not value.startswith('/'), f'{key}={value}'


def failures_of(name, checks):
    """Check -> what it says, of the checks a setting does not pass."""
    found, cfg = {}, read(name)
    for function in checks:
        try:
            function(name, cfg)
        except pytest.skip.Exception:
            continue
        except Exception as error:
            found[function.__name__] = f'{type(error).__name__}: {error}'
    return found


def report(failures):
    return '\n'.join(f'{name}: {check}: {text}' for name, found in failures.items() for check, text in found.items())


@pytest.mark.parametrize('name', NAMES)
def test_every_check_of_a_config(name):
    failures = failures_of(name, CHECKS + FILE_CHECKS)
    assert not failures, report({name: failures})


@pytest.mark.parametrize('folder', sorted(TABLES))
def test_every_check_of_a_table_of_rows(folder):
    names = [name for name in settings(folder, subsets=True) if name not in LEAVES]
    assert names
    failures = {name: found for name in names if (found := failures_of(name, CHECKS))}
    assert not failures, report(failures)


def test_all_checks_are_made_and_a_failing_one_is_told():
    assert (len(CHECKS), len(FILE_CHECKS)) == (13, 2)

    def broken(name, cfg):
        raise AssertionError('it is broken')

    assert 'demo: broken: AssertionError: it is broken' in report(
        {'demo': failures_of('daformer_synthcity_demo', [broken])})


def test_rows_say_what_they_are():
    """The paper's row and score, our status (the reader demands them), and numbers as people write them."""
    assert len(ROWS) > 300
    for name, row in ROWS.items():
        assert not re.search(r'(?<![\d.])0\d', row.name), f'{name}: write 0.1, not 01'
        assert 'mIoU' not in row.status or 'docs/' in row.status, f'{name}: a number of ours needs its page'


@pytest.mark.parametrize('name', [
    'daformer_mitb5_gta2cityscapes', 'daformer_mitb5_gta2cityscapes --row rcs_tinf',
    'daformer_mitb5_gta2cityscapes --row fd_all', 'dacs_segformer_mitb5_gta2cityscapes --row rcs_tinf',
    'daformer_synthcity_demo', 'bench_daformer_mobilenetv2',
    'bench_hrda_mobilenetv2', 'hrda_mitb5_gta2cityscapes --row context512'
])
def test_dump_reads_back(name, tmp_path):
    """mmengine writes the merged config beside the checkpoint, and testing reads it from there."""
    cfg = load(name)
    cfg.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py')._cfg_dict == cfg._cfg_dict


def test_pretrained_files_are_in_the_table_of_weights():
    """So that ``prepare_weights`` can say what to fetch; the benchmark's own file comes with its data."""
    from mmseg_dg.weights.files import weights_table
    known = {entry['file'] for entry in weights_table().values()}
    for name in settings():
        for key, value in walk(read(name).model):
            if key.endswith('network.backbone.init_cfg.checkpoint') and not (
                    folder_of(name) in ('bench', 'suites') or name == 'supervised_day_synthcity_demo'):
                assert value in known or value.startswith('mmseg_dg://'), f'{name}: {key}={value}'


@pytest.mark.parametrize('folder', sorted({p.parent.name for p in LEAVES.values()}))
def test_metafile_lists_every_config(folder):
    """That README and metafile are those of docstrings and rows, test_config_docs.py checks."""
    meta = yaml.safe_load((CONFIGS / folder / 'metafile.yml').read_text(encoding='utf-8'))
    assert {m['Name'] for m in meta['Models']} == {n for n, p in LEAVES.items() if p.parent.name == folder}
    assert f'configs/{folder}/metafile.yml' in (ROOT / 'model-index.yml').read_text(encoding='utf-8')
    collections = {c['Name']: c for c in meta['Collections']}
    for collection in collections.values():
        assert isinstance(collection['Paper'], str), 'mim prints a dict as it is'
        assert (ROOT / collection['README']).is_file()
    for model in meta['Models']:
        assert model['In Collection'] in collections
        assert (ROOT / model['Config']) == LEAVES[model['Name']]
        assert 'Weights' not in model or folder == 'demo', 'only the city has weights (test_city_weights.py)'
        assert model['Metadata']['Training Data']


def test_resolve_names_the_missing_part():
    with pytest.raises(KeyError, match="no 'color'"):
        resolve(load('daformer_mitb5_gta2cityscapes'), 'model.color.strength')


def test_inherited_from_the_installed_package(tmp_path):
    """The three-line file of the README: an own config on top of one of the package."""
    file = tmp_path / 'mine.py'
    file.write_text("_base_ = '{}'\nmodel = dict(pseudo_threshold=0.9)\n"
                    .format(LEAVES['daformer_mitb5_gta2cityscapes']), encoding='utf-8')
    cfg = Config.fromfile(file)
    assert cfg.model.pseudo_threshold == 0.9
    assert cfg.model.feature_distance.weight == 0.005
