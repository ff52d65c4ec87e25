"""README and docs: links lead somewhere, named tools and configs exist, the example method trains."""
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]


def names(page):
    return page.relative_to(ROOT).as_posix()


def anchors(page):
    titles = re.findall(r'^#+ (.+)$', page.read_text(encoding='utf-8'), flags=re.M)
    return {re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-') for title in titles}


@pytest.mark.parametrize('page', PAGES, ids=names)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding='utf-8')
    for target in re.findall(r'\]\(([^)\s]+)\)', text):
        if '://' in target:
            continue
        path, _, anchor = target.partition('#')
        file = page.parent / path if path else page
        assert file.exists(), f'{names(page)} links to {target}'
        assert not anchor or anchor in anchors(file), f'{names(page)} links to {target}'


@pytest.mark.parametrize('page', PAGES, ids=names)
def test_tools_and_configs_named_in_a_page_exist(page):
    text = page.read_text(encoding='utf-8')
    for tool in re.findall(r'\btools/[\w/]+\.(?:py|sh)\b', text):
        elsewhere = tool == 'tools/NAME.py' or page.parent.name == 'behavior'  # there: files of the official code
        assert (ROOT / tool).is_file() or elsewhere, f'{names(page)} names {tool}'
    configs = {path.name for path in (ROOT / 'configs').rglob('*.py')}
    for config in re.findall(r'mim (?:train|test) mmseg_dg (\w+\.py)', text):
        written = re.search(rf'^#+ .*`configs/\w+/{config}`', text, flags=re.M)  # the page shows how to write it
        assert config in configs or config == 'my.py' or written, f'{names(page)} names {config}'
    for config in re.findall(r'mmseg_dg::([\w/]+\.py)', text):
        assert (ROOT / 'configs' / config).is_file(), f'{names(page)} names {config}'


def test_every_tool_is_documented():
    """A heading with its name or a command with its path; modules that tools share (_*.py) are no tools."""
    for tool in [*(ROOT / 'tools').rglob('*.py'), *(ROOT / 'tools').rglob('*.sh')]:
        page = ROOT / 'docs' / ('preparing_datasets.md' if tool.parent.name == 'dataset_converters' else 'tools.md')
        text = page.read_text(encoding='utf-8')
        assert tool.name.startswith('_') or names(tool) in text or f'## {tool.stem}\n' in text, (
            f'{names(page)} does not mention {names(tool)}')


def test_example_method_trains():
    """The code block of docs/adding_a_method.md, on a tiny network."""
    from mmengine.optim import OptimWrapper

    from mmseg_dg.registry import MODELS
    text = (ROOT / 'docs' / 'adding_a_method.md').read_text(encoding='utf-8')
    code = re.search(r'```python\n("""Agreement.*?)```', text, flags=re.S).group(1)
    code = code.replace('@MODELS.register_module()', '@MODELS.register_module(force=True)')
    exec(compile(code, 'agree.py', 'exec'), {'__name__': 'agree'})
    torch.manual_seed(0)
    network = dict(
        type='EncoderDecoder', train_cfg=dict(), test_cfg=dict(mode='whole'),
        backbone=dict(type='MixTransformer', arch='b0', init_cfg=None),
        decode_head=dict(type='DAFormerHead', in_channels=[32, 64, 160, 256], channels=16, embed_channels=16,
                         num_classes=3, dropout_ratio=0.))
    model = MODELS.build(ConfigDict(type='Agree', network=network))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 3, (1, 64, 64))),
                             metainfo=dict(img_shape=(64, 64))) for _ in range(2)]
    images = [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8) for _ in range(2)]
    stream = dict(inputs=images, data_samples=samples)
    data = {'labeled': stream, 'unlabeled': stream}
    optim_wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.01))
    before = model.student.decode_head.conv_seg.weight.clone()
    logged = model.train_step(data, optim_wrapper)
    assert 'unlabeled.loss' in logged and any(key.startswith('labeled.') for key in logged)
    assert not torch.equal(model.student.decode_head.conv_seg.weight, before)
    assert all(p.grad is None for p in model.teacher.parameters())
