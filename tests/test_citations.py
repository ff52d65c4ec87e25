"""Every citation leads somewhere: sections of docs/behavior exist, and nothing cites documents that do not ship."""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BEHAVIOR = ROOT / 'docs' / 'behavior'
ROOMS = ('configs', 'docs', 'mmseg_dg', 'tests', 'tools')
FILES = [ROOT / 'README.md', *(path for room in ROOMS for path in sorted((ROOT / room).rglob('*'))
                               if path.suffix in ('.py', '.md', '.yml') and path != Path(__file__).resolve())]
#: A section of docs/behavior in prose or code; links of pages are checked in test_docs.py.
CITATION = re.compile(r'docs/behavior/([\w.-]+\.md)(?:#([\w-]+))?')
#: Notes that do not ship, and the private names of their parts. ``spec`` alone is importlib's word.
NOTES = re.compile(r'\b[Ss]pec(?: sections?)?,? (?:\d|"|\([abc]\)|item\b)|# [Ss]pec\b|\b[Ss]pecification\b'
                   r'|\b[Tt]he (?:paper\'s )?card\b|\(card\)|# [Cc]ard\b|\b[Dd]ecisions? \d|\bdocs/sources\.md')
#: Words for numbers that nobody could check; they stand in the tables of docs/behavior alone.
UNCHECKED = re.compile(r'\bfrom memory\b|\brecalled\b', flags=re.I)
#: What a table of confirmed and unconfirmed facts is called, in the heading above it.
TABLE = re.compile(r'^## Confirmed(?:, inferred, unconfirmed| and unconfirmed)$', flags=re.M)
PAGES = sorted(BEHAVIOR.glob('*.md'))


def names(page):
    return page.relative_to(ROOT).as_posix()


def anchors(page):
    """Anchors of the headings of a page, as GitHub makes them."""
    titles = re.findall(r'^#+ (.+)$', page.read_text(encoding='utf-8'), flags=re.M)
    made = [re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-') for title in titles]
    assert len(made) == len(set(made)), f'{names(page)} has two headings of one name'
    return set(made)


def joined(path):
    """Text of a file in one line per paragraph: a citation may be wrapped."""
    return re.sub(r'\s*\n[ #:]*', ' ', path.read_text(encoding='utf-8'))


def broken(text):
    """Citations in a text that lead nowhere."""
    return [match.group(0) for match in CITATION.finditer(text)
            if not (BEHAVIOR / match.group(1)).is_file()
            or (match.group(2) and match.group(2) not in anchors(BEHAVIOR / match.group(1)))]


def test_cited_sections_exist():
    cited = set()
    for path in FILES:
        text = path.read_text(encoding='utf-8')
        assert not broken(text), f'{names(path)} cites sections that do not exist: {broken(text)}'
        cited |= {match.group(1) for match in CITATION.finditer(text)}
    assert {page.name for page in PAGES} - {'README.md'} <= cited, 'a page that nothing cites'


def test_a_citation_that_leads_nowhere_is_found():
    page = 'docs/behavior/'
    assert not broken(f'{page}daformer_hrda.md#rare-class-sampling and {page}deft.md#two-stages')
    assert broken(f'see {page}deft.md#no-such-section') and broken(f'see {page}nothing.md#two-stages')


def test_no_document_is_cited_that_does_not_ship():
    for path in FILES:
        found = NOTES.search(joined(path))
        assert not found, f'{names(path)} cites "{found.group(0)}": cite a section of docs/behavior'


@pytest.mark.parametrize('text', ['# spec 7.3', 'size (spec "Network")', 'the specification says', '8K (card)',
                                  '# card: b', 'see the card', 'sections of spec (b)'])
def test_such_a_citation_is_found(text):
    assert NOTES.search(text)


def test_unchecked_numbers_stand_in_the_tables_alone():
    for path in FILES:
        text = path.read_text(encoding='utf-8')
        if path.parent == BEHAVIOR:
            parts = TABLE.split(text)
            assert len(parts) == 2 or path.name == 'README.md', f'{names(path)} needs one table of what is confirmed'
            text = parts[0] + ''.join(re.split(r'^(?=## )', part, maxsplit=1, flags=re.M)[1] for part in parts[1:])
        found = UNCHECKED.search(text)
        assert not found, f'{names(path)}: "{found.group(0)}" belongs into the table of a page of docs/behavior'


@pytest.mark.parametrize('page', [page for page in PAGES if page.name != 'README.md'], ids=names)
def test_every_section_names_its_source(page):
    """A section, or the one around it, says where its facts were read, or that they are ours, derived or measured."""
    outer = False
    for section in re.split(r'^(?=##+ )', page.read_text(encoding='utf-8'), flags=re.M)[1:]:
        title, _, body = section.partition('\n')
        level = len(title) - len(title.lstrip('#'))
        named = TABLE.match(title) or re.search(
            r'^Source: |^(?:Not ours|Measured|Derived|Our choice|No source states|Computed)', body.strip(), flags=re.M)
        if level == 2:
            outer = bool(named)
        assert named or outer or not body.strip(), f'{names(page)}: "{title}" does not name its source'
