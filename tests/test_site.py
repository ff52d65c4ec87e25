"""The documentation site: it builds without a warning, shows every page, and answers a newcomer's questions."""
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / 'docs'
QUESTIONS = yaml.safe_load((ROOT / 'tests' / 'newcomer_questions.yml').read_text(encoding='utf-8'))
#: Files that the site shows under another name.
SHOWN_AS = {'README.md': 'overview', 'CHANGELOG.md': 'changelog'}
MODULES = ('sphinx', 'myst_parser', 'furo')
#: Pages that open with when to use the method, one command and what was measured.
SYSTEMS = dict(daformer='daformer', hrda='hrda', deft='deft', pixl='pixl', ddep='ddep', diffmatch='diffmatch',
               semi_supervised='unimatch')


def slug(title):
    return re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-')


def section(text, anchor):
    """A heading and what stands below it, up to the next heading of its level or above; None where there is none."""
    outside = re.sub(r'^```.*?^```', lambda block: ' ' * len(block.group()), text, flags=re.M | re.S)
    found = [(match.start(), len(match.group(1)), slug(match.group(2)))
             for match in re.finditer(r'^(#+) (.+)$', outside, flags=re.M)]
    for number, (start, level, name) in enumerate(found):
        if name == anchor:
            return text[start:next((at for at, other, _ in found[number + 1:] if other <= level), len(text))]
    return None


def in_toctree():
    blocks = re.findall(r'^```\{toctree\}\n(.*?)^```', (DOCS / 'index.md').read_text(encoding='utf-8'),
                        flags=re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith(':')]


def test_there_are_twelve_questions():
    assert len(QUESTIONS) == len({entry['question'] for entry in QUESTIONS}) == 12


@pytest.mark.parametrize('entry', QUESTIONS, ids=[entry['question'] for entry in QUESTIONS])
def test_question_is_answered(entry):
    page = ROOT / entry['page']
    assert page.is_file(), f'{entry["page"]} is gone: where is "{entry["question"]}" answered now?'
    found = section(page.read_text(encoding='utf-8'), entry['anchor'])
    assert found is not None, f'{entry["page"]} has no heading #{entry["anchor"]}'
    text = ' '.join(found.split())
    missing = [word for word in entry['words'] if word not in text]
    assert entry['words'] and not missing, f'{entry["page"]}#{entry["anchor"]} no longer says {missing}'
    shown = SHOWN_AS.get(entry['page']) or page.relative_to(DOCS).with_suffix('').as_posix()
    assert shown in in_toctree(), f'the site does not show {entry["page"]}'


def test_section_ends_at_the_next_heading():
    text = '# A\none\n## B\ntwo\n```\n# no heading\n```\n### C\nthree\n## D\nfour\n'
    assert section(text, 'b') == '## B\ntwo\n```\n# no heading\n```\n### C\nthree\n'
    assert section(text, 'no-heading') is None and section(text, 'd') == '## D\nfour\n'


def test_site_shows_every_page_once():
    shown = in_toctree()
    pages = {page.relative_to(DOCS).with_suffix('').as_posix() for page in DOCS.rglob('*.md')
             if 'rows' not in page.parts}
    assert len(shown) == len(set(shown)) and set(shown) == pages - {'index'}


def test_site_shows_every_table_of_configs():
    for file in sorted((ROOT / 'configs').glob('*/README.md')):
        page = DOCS / 'configs' / f'{file.parent.name}.md'
        assert page.is_file(), f'docs/configs has no page that includes {file.relative_to(ROOT)}: copy its neighbor'
        assert f'```{{include}} ../../{file.relative_to(ROOT).as_posix()}\n' in page.read_text(encoding='utf-8')


@pytest.mark.parametrize('name', SYSTEMS)
def test_page_opens_with_when_command_and_figures(name):
    text = (DOCS / f'{name}.md').read_text(encoding='utf-8')
    opening = text.split('\n\n')[1:4]
    for begin, paragraph in zip(('**When to use it**', '**One command**', '**Measured here**'), opening):
        assert paragraph.startswith(begin), f'docs/{name}.md does not open with {begin}'
    assert f'mim run mmseg_dg demo --method {SYSTEMS[name]}' in opening[1]
    assert f'make demo METHOD={SYSTEMS[name]}' in opening[1]
    assert '(which_method.md)' in opening[0] and re.search(r'\]\((benchmarks/\S+|#results)\)', opening[2])


@pytest.mark.parametrize('page', ['docs/encoders.md', 'configs/mic/README.md', 'configs/unimatch_v2/README.md'])
def test_additions_open_likewise(page):
    """What adds to the systems has no demo of its own, and says what was not measured."""
    opening = (ROOT / page).read_text(encoding='utf-8').split('\n\n')[1:4]
    for begin, paragraph in zip(('**When to use it**', '**One command**', '**Measured here**'), opening):
        assert paragraph.startswith(begin), f'{page} does not open with {begin}'
    assert 'which_method.md)' in opening[0] and ('nothing yet' in opening[2] or '](' in opening[2])


def test_the_command_on_the_page_of_mic_trains_the_masked_pass():
    from mmseg_dg.apis.launch import ConfigOptions, config_of_run
    text = (ROOT / 'configs/mic/README.md').read_text(encoding='utf-8')
    config, key, value = re.search(r'mim train mmseg_dg (\w+\.py) --cfg-options "([\w.]+)=([^"]+)"', text).groups()
    cfg = config_of_run(config, None, {key: ConfigOptions._parse_iterable(value)})
    assert cfg.model.masked == dict(ratio=0.7, block_size=32) and cfg.model.type == 'DACS'


def numbers(text):
    return set(re.findall(r'(?<![\w.×])\d+\.\d\d(?!\d|\.\d)', text))


def test_figures_of_which_method_stand_on_the_pages_of_measurements():
    """Every score with two decimals is copied from a page of measurements that this page links to."""
    page = DOCS / 'which_method.md'
    text = page.read_text(encoding='utf-8')
    linked = {(page.parent / target).resolve() for target in re.findall(r'\]\(([^)#\s]+\.md)', text)}
    measured = [other for other in linked if other.parent.name in ('benchmarks', 'demo')
                or other.name in ('ddep.md', 'pixl.md', 'cached_features.md')]
    known = set().union(*(numbers(other.read_text(encoding='utf-8')) for other in measured))
    scores = numbers(text)
    assert len(scores) > 30, 'the tables are no longer recognized'
    assert not scores - known, f'measured on no page that is linked: {sorted(scores - known)}'


def draw_rooms():
    folder = ROOT / 'tools' / 'dev'
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location('draw_rooms', folder / 'draw_rooms.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(folder))


def test_drawing_of_the_rooms_is_up_to_date():
    drawn = (DOCS / 'images' / 'rooms.svg').read_text(encoding='utf-8')
    assert drawn == draw_rooms().drawing(), 'run python tools/dev/draw_rooms.py'


def test_drawing_leaves_out_what_follows_and_hides_no_arrow():
    rooms = draw_rooms()
    arrows = rooms.direct(dict(a=('b', 'c'), b=('c', ), c=()))
    assert arrows == dict(a=['b'], b=['c'], c=[]) and rooms.levels(arrows) == [['c'], ['b'], ['a']]
    arrows = rooms.direct(rooms.ALLOWED)
    at = rooms.places(rooms.levels(arrows))
    for room, others in arrows.items():
        for other in others:
            for step in range(101):  # points of the arrow; none lies in another box
                x, y = (start + (end - start) * step / 100 for start, end in zip(at[room], at[other]))
                hit = [name for name, (u, v) in at.items() if name not in (room, other)
                       and abs(x - u) < rooms.BOX[0] / 2 and abs(y - v) < rooms.BOX[1] / 2]
                assert not hit, f'{room} -> {other} runs behind {hit}: change the order of ALLOWED'


def test_functions_of_the_life_of_a_step_exist():
    """Each stop's functions are in the files beside them, and every room has its row."""
    text = (DOCS / 'architecture.md').read_text(encoding='utf-8')
    stops = [row.split('|')[1:-1] for row in section(text, 'the-life-of-one-step').splitlines()
             if re.match(r'\| \d+ \|', row)]
    assert len(stops) >= 10
    for number, _, functions, files in stops:
        sources = [(ROOT / name).read_text(encoding='utf-8') for name in re.findall(r'`([\w/.]+\.py)`', files)]
        named = [name for name in re.findall(r'`([\w.]+)`', functions) if not name.startswith('mmseg-dg')]
        assert sources and named, f'stop {number} names no function or no file'
        for name in named:
            owner, _, method = name.rpartition('.')
            found = any(re.search(rf'^ *def {method}\(', source, flags=re.M)
                        and (not owner or re.search(rf'^class {owner}\b', source, flags=re.M)) for source in sources)
            assert found, f'stop {number}: {name} is in none of{files}'


def test_paths_that_pages_name_exist():
    """After a move of files the pages move with them; the pages of behavior name files of other repositories."""
    for page in [ROOT / 'README.md', *sorted(DOCS.glob('*.md'))]:
        for name in re.findall(r'`((?:mmseg_dg|requirements|examples)/[\w/.-]+)`', page.read_text(encoding='utf-8')):
            assert (ROOT / name).exists() or 'agree' in name, f'{page.name} names {name}'


@pytest.mark.ci
def test_site_builds_without_a_warning(tmp_path):
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f'the site was not built: {", ".join(missing)} not installed (requirements/docs.txt, `make docs`)')
    done = subprocess.run([sys.executable, '-m', 'sphinx', '-q', '-W', '--keep-going', '-b', 'html', '-d',
                           str(tmp_path / 'doctrees'), str(DOCS), str(tmp_path / 'site')],
                          capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-4000:]
    page = (tmp_path / 'site' / 'api' / 'methods.html').read_text(encoding='utf-8')
    assert 'id="mmseg_dg.methods.registered.DACS"' in page and 'id="mmseg_dg.methods.step.run_step"' in page
    for entry in QUESTIONS:
        name = SHOWN_AS.get(entry['page']) or Path(entry['page']).relative_to('docs').with_suffix('').as_posix()
        html = (tmp_path / 'site' / f'{name}.html').read_text(encoding='utf-8')
        assert f'id="{entry["anchor"]}"' in html, f'{name}.html has no anchor {entry["anchor"]}'
