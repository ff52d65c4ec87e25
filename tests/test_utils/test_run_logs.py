"""Which log folders of a work dir count."""
from mmseg_dg.utils.run_logs import counted_logs, files_by_iteration


def start(folder, stamp, resume, iterations, name=None):
    log = folder / (name or stamp)
    (log / 'vis_data').mkdir(parents=True)
    (log / f'{stamp}.log').write_text('')
    (log / 'vis_data' / 'config.py').write_text(f'resume = {resume}\n')
    for n in iterations:
        (log / f'evaluation_iter_{n}.csv').write_text('')
    return log


def test_a_renamed_log_folder_keeps_its_place_in_time(tmp_path):
    first = start(tmp_path, '20260101_000000', False, [100], name='first')
    second = start(tmp_path, '20260102_000000', True, [200])
    (tmp_path / 'checkpoints').mkdir()
    assert counted_logs(tmp_path) == [first, second]
    assert list(files_by_iteration(tmp_path, r'evaluation_iter_(\d+)\.csv')) == [100, 200]
    assert counted_logs(tmp_path / 'nowhere') == []


def test_what_was_thrown_away_or_done_again_does_not_count(tmp_path):
    start(tmp_path, '20260101_000000', False, [100, 200, 300])
    second = start(tmp_path, '20260102_000000', False, [100, 200])
    start(tmp_path, '20260103_000000', False, [])  # refused before its first iteration
    again = start(tmp_path, '20260104_000000', True, [150])
    found = files_by_iteration(tmp_path, r'evaluation_iter_(\d+)\.csv')
    assert found == {100: second / 'evaluation_iter_100.csv', 150: again / 'evaluation_iter_150.csv'}
