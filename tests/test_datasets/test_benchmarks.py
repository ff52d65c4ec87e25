"""The benchmark tools measure what they say."""
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import Compose

from mmseg_dg.datasets import SampleRequest, SeededDataset
from mmseg_dg.registry import TRANSFORMS

from .trees import stripes, write_image, write_label

TOOLS = Path(__file__).parents[2] / 'tools/analysis_tools'


def test_each_file_is_decoded_once_where_loading_again_decodes_eleven_times(tmp_path):
    """Counted for a class that is nowhere, and for one that is everywhere."""
    tool = runpy.run_path(str(TOOLS / 'benchmark_pipeline.py'), run_name='tool')
    ids = stripes(np.arange(60) % 17, (1052, 1914))
    write_image(tmp_path / 'images/00001.png', size=ids.shape)
    write_label(tmp_path / 'labels/00001_labelTrainIds.png', ids)
    dataset = SeededDataset(dict(type='GTADataset', data_root=str(tmp_path), pipeline=tool['PIPELINE']))
    stock = Compose([TRANSFORMS.build(step) for step in tool['STOCK']])
    sample = dataset[SampleRequest(0, 1, 3)]
    assert sample['inputs'].shape == (3, 512, 512)
    ways = dict(ours=dataset.__getitem__, again=lambda r: tool['load_again'](dataset.dataset, stock, r))

    def decoded(wanted):
        found = tool['measure'](ways, [SampleRequest(0, 1, wanted)])
        assert all(row['cpu'] > 0 for row in found.values())
        assert tool['cost_table'](found).count('\n| ') == 2 and 'steps from' in tool['worker_table'](found)
        return {name: (row['loads'], row['good']) for name, row in found.items()}

    assert decoded(18) == dict(ours=(2., 0.), again=(22., 0.))
    assert decoded(3) == dict(ours=(2., 1.), again=(2., 1.))


def test_what_workers_deliver_is_calculated_from_cpu_time():
    tool = runpy.run_path(str(TOOLS / 'benchmark_pipeline.py'), run_name='tool')
    row = tool['worker_table'](dict(a=dict(cpu=50.))).splitlines()[-1]
    assert row == '| a | 20.0 | 40 per second, steps from 50 ms | 80 per second, steps from 25 ms | ' \
                  '160 per second, steps from 12 ms |'


@pytest.mark.ci
@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='memory is read from /proc')
def test_class_statistics_benchmark(monkeypatch, capsys):
    tool = TOOLS / 'benchmark_class_statistics.py'
    monkeypatch.setattr(sys, 'argv', [str(tool), '--images', '2500', '--count', '20'])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(tool), run_name='__main__')
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith('2500 images') and out.count('\n| ') == 6 and '| count 20 labels of 64x64 pixels' in out
    # 19 classes with 0..5999 pixels each: half of the pairs have more than 3000
    pairs = int(out.split('The sampler holds ')[1].split()[0])
    assert abs(pairs / (2500 * 19) - 0.5) < 0.02
