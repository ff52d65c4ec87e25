"""The table of the papers' numbers against the merged configs, and of the dilations against the encoders as built."""
from pathlib import Path

import yaml
from mmengine.config import Config

from .catalog import CONFIGS, build_on_meta, parts_of, read, resolve, row_of, settings, with_options

TABLE = yaml.safe_load((Path(__file__).parent / 'facts.yml').read_text(encoding='utf-8'))
DILATIONS = {model: {k: v for k, v in fact.items() if k not in ('models', 'source')}
             for fact in TABLE.pop('encoders')['facts'] for model in fact['models']}
ENTRIES: dict = {}  # setting (config, row, subset) -> its facts
for _section in TABLE.values():
    for _fact in _section['facts']:
        for _name in _fact['configs']:
            ENTRIES.setdefault(_name, []).append(_fact)


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def holds(fact: dict, cfg: Config) -> bool:
    parent, _, last = fact['key'].rpartition('.')
    if fact['value'] is None and last not in resolve(cfg, parent):
        return True  # left out of the config: off
    found = plain(resolve(cfg, fact['key']))
    return found == fact['value'] and type(found) is type(fact['value'])


def facts_hold(name, cfg):
    wrong = [f'{fact["statement"]}: {fact["key"]} is not {fact["value"]!r}' for fact in ENTRIES.get(name, ())
             if not holds(fact, cfg)]
    assert not wrong, '\n'.join(wrong)


def test_facts_stand_on_configs_rows_and_subsets_that_exist():
    known = {*settings(subsets=True)}
    for name in ENTRIES:
        config, row, subset = parts_of(name)
        assert with_options(config, row) in known, name
        if name not in known:  # a subset that the table lists for the config, of a row
            assert subset in row_of(config).subsets, name
            facts_hold(name, read(name))


def test_entries_are_complete():
    for section in TABLE.values():
        for fact in section['facts']:
            assert {'statement', 'configs', 'key', 'value', 'reading'} <= set(fact)
            assert fact['reading'] in ('literal', 'derived', 'slip')
            assert fact['reading'] == 'literal' or fact.get('reason'), fact['statement']


def test_every_system_has_its_facts_once_its_configs_exist():
    assert set(TABLE) == {'daformer_hrda', 'deft', 'pixl', 'ddep', 'diffmatch'}
    for name in ('deft', 'pixl', 'ddep', 'diffmatch'):
        section = TABLE[name]
        assert section['paper'] and (section.get('pending') or section['facts'])
        if any((CONFIGS / name).glob('*.py')):
            assert section['facts'] and 'pending' not in section, f'enter the numbers of the paper of configs/{name}'


def test_a_wrong_value_is_found():
    fact = dict(key='model.pseudo_threshold', value=0.95)
    assert not holds(fact, read('daformer_mitb5_gta2cityscapes'))


def dilations(backbone) -> dict:
    """Stage -> dilations of its blocks' 3x3 convolutions, of every residual network with such a convolution."""
    found: dict = {}
    for name, module in build_on_meta(backbone).named_modules():
        stage, _, last = name.rpartition('.')
        conv = getattr(module, 'conv', module)  # ResNeSt's is inside its split attention
        if last == 'conv2' and getattr(conv, 'kernel_size', None) == (3, 3):
            assert conv.dilation[0] == conv.dilation[1]
            found.setdefault(stage.rpartition('.')[0], []).append(conv.dilation[0])
    return found


def test_dilation_of_every_block_of_every_residual_encoder():
    """What is built, not what the config says: the two differ where ``contract_dilation`` is wrong."""
    found, built = {}, {}  # many networks share an encoder
    for path in (CONFIGS / '_base_/models').glob('*.py'):
        backbone = Config.fromfile(path).model.network.backbone
        key = repr(backbone)
        if key not in built:
            built[key] = dilations(backbone)
        if built[key]:
            found[path.stem] = built[key]
    expected = {model: {stage: [first] + [others] * (count - 1) for stage, (count, first, others) in stages.items()}
                for model, stages in DILATIONS.items()}
    assert found == expected
