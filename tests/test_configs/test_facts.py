"""The table of the cards' numbers against the merged configs."""
from pathlib import Path

import pytest
import yaml

from .catalog import CONFIGS, LEAVES, load, resolve

TABLE = yaml.safe_load((Path(__file__).parent / 'facts.yml').read_text(encoding='utf-8'))
ENTRIES = [(card, fact, name) for card, section in TABLE.items() for fact in section['facts']
           for name in fact['configs']]


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def holds(fact: dict, name: str) -> bool:
    parent, _, last = fact['key'].rpartition('.')
    if fact['value'] is None and last not in resolve(load(name), parent):
        return True  # left out of the config: off
    found = plain(resolve(load(name), fact['key']))
    return found == fact['value'] and type(found) is type(fact['value'])


@pytest.mark.parametrize('card, fact, name', ENTRIES, ids=[f'{n}-{f["key"]}' for _, f, n in ENTRIES])
def test_fact(card, fact, name):
    assert name in LEAVES
    assert holds(fact, name), f'{fact["statement"]}: {fact["key"]} is not {fact["value"]!r} in {name}'


def test_entries_are_complete():
    for section in TABLE.values():
        for fact in section['facts']:
            assert {'statement', 'configs', 'key', 'value', 'reading'} <= set(fact)
            assert fact['reading'] in ('literal', 'derived', 'slip')
            assert fact['reading'] == 'literal' or fact.get('reason'), fact['statement']


def test_every_card_has_its_facts_once_its_configs_exist():
    assert set(TABLE) == {'daformer_hrda', 'deft', 'pixl', 'ddep', 'diffmatch'}
    for name in ('deft', 'pixl', 'ddep', 'diffmatch'):
        section = TABLE[name]
        assert section['card'] and (section.get('pending') or section['facts'])
        if any((CONFIGS / name).glob('*.py')):
            assert section['facts'] and 'pending' not in section, f'enter the numbers of the card of configs/{name}'


def test_a_wrong_value_is_found():
    fact = dict(key='model.pseudo_threshold', value=0.95)
    assert not holds(fact, 'daformer_mitb5_gta2cityscapes')
