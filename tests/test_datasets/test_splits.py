"""Split lists: counts, blocks of video frames, imports, and what is wrong with a list."""
import importlib.util
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_dg.datasets.splits import protocols as split_protocols
from mmseg_dg.datasets.splits.drawing import (
    Split,
    check_split,
    draw_blocks,
    draw_sequences,
    draw_split,
    group_by_sequence,
    import_list,
)
from mmseg_dg.datasets.splits.protocols import (
    PROTOCOLS,
    SOURCES,
    Source,
    find_protocol,
    missing_list_hint,
    parse_fraction,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('make_split', ROOT / 'tools/make_split.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('source, counts', [
    ('voc', dict(classic_1_16=(92, 10490), classic_1_8=(183, 10399), classic_1_4=(366, 10216),
                 classic_1_2=(732, 9850), classic_full=(1464, 9118), blender_1_16=(662, 9920),
                 blender_1_8=(1323, 9259), blender_1_4=(2646, 7936), u2pl_1_16=(662, 9920))),
    ('cityscapes', {'1_30': (100, 2875), '1_16': (186, 2789), '1_8': (372, 2603), '1_4': (744, 2231),
                    '1_2': (1488, 1487)}),
    ('coco', {'1_512': (232, 118055), '1_256': (463, 117824), '1_128': (925, 117362), '1_64': (1849, 116438),
              '1_32': (3697, 114590)}),
    ('ade20k', {'percent_1': (202, 20008), 'percent_20': (4042, 16168), '1_64': (315, 19895), '1_32': (631, 19579),
                '1_16': (1263, 18947), '1_8': (2526, 17684)}),
    ('pascal_context', {'percent_1': (50, 4948), 'percent_5': (250, 4748)})])
def test_published_counts(source, counts):
    """docs/behavior/unimatch.md#unimatch-lists; fractions of docs/behavior/ddep.md#finetuning."""
    for name, expected in counts.items():
        protocol = find_protocol(source, name)
        assert (protocol.labeled, protocol.unlabeled) == expected
        assert sum(expected) == SOURCES[source].total
    with pytest.raises(ValueError, match='no protocol'):
        find_protocol(source, '1_7')


def test_drawn_lists_repeat_nest_and_keep_their_pool():
    stems = [f'{i:03d}' for i in range(100)]
    split = draw_split(stems, 12, seed=1)
    assert split == draw_split(list(reversed(stems)), 12, seed=1) != draw_split(stems, 12, seed=2)
    check_split(split, stems)
    assert set(split.labeled) < set(draw_split(stems, 25, seed=1).labeled), 'the same seed nests'
    fine = stems[40:60]
    assert set(draw_split(stems, 12, 0, choose_from=fine).labeled) < set(fine)
    assert set(draw_split(stems, 30, 0, prefer=fine).labeled) > set(fine), 'preferred images come first'
    assert set(draw_split(stems, 7, 0, prefer=fine).labeled) < set(fine)
    with pytest.raises(ValueError, match='13 labeled images wanted, 12'):
        draw_split(stems, 13, 0, choose_from=stems[:12])
    with pytest.raises(ValueError, match="'other'"):
        draw_split(stems, 3, 0, choose_from=['other'])


def video(*lengths):
    return [f'{chr(97 + s)}_f{i:05d}' for s, n in enumerate(lengths) for i in range(0, 30 * n, 30)]


@pytest.mark.parametrize('seed', range(5))
def test_blocks_are_contiguous_spread_and_have_gaps(seed):
    stems = video(101, 204)
    split = draw_blocks(stems, 39, seed)
    check_split(split, stems)
    assert (len(split.labeled), len(split.unlabeled), len(split.unused)) == (39, 250, 16)
    kinds = {s: 'L' for s in split.labeled} | {s: '.' for s in split.unused} | {s: 'u' for s in split.unlabeled}
    for name, frames in group_by_sequence(stems).items():
        text = ''.join(kinds[s] for s in frames)
        runs = [r for r in text.replace('u', ' ').split() if r]
        assert all(r.replace('..', '') .strip('.') for r in runs)
        for run in (b for r in runs for b in r.split('....') if b):  # neighbors share no gap
            assert run.strip('.') in ('L' * 9, 'L' * 10), text
        assert text.count('L') == (10 if name == 'a' else 29)
        assert 'uL' not in text and 'Lu' not in text and 'u.L' not in text and 'L.u' not in text
    assert split != draw_blocks(stems, 39, seed + 1), 'the seed moves the blocks'
    assert split == draw_blocks(stems, 39, seed)


def test_blocks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match='cannot hold'):
        draw_blocks(video(10), 8, gap=2)
    with pytest.raises(ValueError, match='first group is the name'):
        draw_blocks(['no frame number'], 1)
    with pytest.raises(ValueError, match='at least one block'):
        draw_blocks(video(30), 2, blocks=3)


@pytest.mark.parametrize('seed', range(3))
def test_whole_sequences_are_labeled_or_not(seed):
    stems = [f'{drive}_{frame:06d}' for drive in range(60) for frame in range(100, 101 + drive % 9)]
    split = draw_sequences(stems, 30, seed)
    check_split(split, stems)
    assert len(split.labeled) == 30 and not split.unused and split == draw_sequences(stems[::-1], 30, seed)
    drives = {part: {stem.split('_')[0] for stem in getattr(split, part)} for part in ('labeled', 'unlabeled')}
    assert not drives['labeled'] & drives['unlabeled'] and len(drives['labeled']) > 3
    assert split != draw_sequences(stems, 30, seed + 1)


def test_sequences_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match='3 labeled frames of 8 cannot be made of whole sequences.* 0 can'):
        draw_sequences([f'{drive}_{frame}' for drive in 'ab' for frame in range(4)], 3)


@pytest.mark.parametrize('stem, name', [('100_178149', '100'), ('0006R0_f00930', '0006R0'), ('0016E5_07959', '0016E5'),
                                        ('aachen/aachen_000000_000019', 'aachen/aachen_000000'), ('img12', 'im')])
def test_sequence_is_what_stands_before_the_frame_number(stem, name):
    assert list(group_by_sequence([stem])) == [name]


@pytest.mark.parametrize('split, words', [
    (Split(['a', 'b'], ['b', 'c', 'd']), r"in the labeled and in the unlabeled list.*'b'"),
    (Split(['a'], ['b', 'c']), r"in no list.*'d'"), (Split(['a', 'x'], ['b', 'c', 'd']), r"not among.*'x'")])
def test_wrong_lists_name_the_images(split, words):
    with pytest.raises(ValueError, match=words):
        check_split(split, list('abcd'))


def test_counts_are_checked():
    protocol = split_protocols.Protocol('1_2', labeled=2, unlabeled=2)
    check_split(Split(['a', 'b'], ['c', 'd']), list('abcd'), protocol)
    with pytest.raises(ValueError, match='has 1 images, the published one 2'):
        check_split(Split(['a'], ['b', 'c', 'd']), list('abcd'), protocol)


@pytest.mark.parametrize('source, line, stem', [
    ('voc', 'JPEGImages/2007_000032.jpg SegmentationClass/2007_000032.png', '2007_000032'),
    ('voc', '2007_000032', '2007_000032'),
    ('cityscapes', 'leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png gtFine/train/x.png',
     'aachen/aachen_000000_000019'), ('coco', 'train2017/000000000009.jpg masks/000000000009.png', '000000000009')])
def test_lists_of_one_and_two_columns(tmp_path, source, line, stem):
    path = tmp_path / 'labeled.txt'
    path.write_text(line)  # the last line of UniMatch's lists has no newline
    assert import_list(str(path), SOURCES[source]) == [stem]
    path.write_text(f'{line}\n{stem}\n')
    with pytest.raises(ValueError, match='twice'):
        import_list(str(path), SOURCES[source])


def test_missing_list_gives_both_commands():
    text = missing_list_hint('data/cityscapes/splits/1_8/labeled.txt', 'CityscapesDataset')
    assert 'python tools/make_split.py cityscapes data/cityscapes --protocol 1_8' in text and '--import-from' in text
    seeded = missing_list_hint('x/splits/1_8_seed2/unlabeled.txt', 'mmseg.CityscapesDataset')
    assert '--protocol 1_8 --seed 2' in seeded
    own = missing_list_hint('mine/splits/1_8/labeled.txt', 'FolderDataset')
    assert 'make_split.py folder mine --images IMAGES --masks MASKS --fraction 1/8 --name 1_8' in own
    assert missing_list_hint('data/lists/train.txt', 'CityscapesDataset') == ''


@pytest.mark.parametrize('text, value', [('1/8', 0.125), ('5%', 0.05), ('0.2', 0.2)])
def test_fractions(text, value):
    assert parse_fraction(text) == value
    for bad in ('0', '3/2', 'x', '150%'):
        with pytest.raises(ValueError, match='fraction'):
            parse_fraction(bad)


# ---------------------------------------------------------------- the command
@pytest.fixture
def folder(tmp_path):
    for i in range(24):
        for name, value in (('img', 90), ('mask', i % 3)):
            (tmp_path / name).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / name / f'drive_{i:04d}.png'), np.full((6, 8), value, np.uint8))
    return tmp_path


def own(folder, *more):
    return ['folder', str(folder), '--images', 'img', '--masks', 'mask', '--img-suffix', '.png', '--classes', '3',
            *more]


def refused(tool, command):
    """The message with which a command is refused; ``run_tool`` prints it."""
    with pytest.raises((ValueError, FileNotFoundError, FileExistsError)) as error:
        tool.main(command)
    return str(error.value)


def test_command_on_own_data(tool, folder, capsys):
    assert tool.main(own(folder, '--fraction', '1/8')) == 0
    assert '3 labeled, 21 unlabeled' in capsys.readouterr().out
    labeled = (folder / 'splits/1_8/labeled.txt').read_text().split()
    assert len(labeled) == 3 and all((folder / 'img' / f'{stem}.png').is_file() for stem in labeled)
    assert not (folder / 'splits/1_8/unused.txt').exists()
    assert tool.main(own(folder, '--fraction', '1/8', '--seed', '1', '--mode', 'blocks')) == 0
    assert len((folder / 'splits/1_8_seed1/unused.txt').read_text().split()) == 4
    for i in range(3):
        (folder / 'img' / f'drive_{i:04d}.png').rename(folder / 'img' / f'walk_{i:04d}.png')
        (folder / 'mask' / f'drive_{i:04d}.png').rename(folder / 'mask' / f'walk_{i:04d}.png')
    assert tool.main(own(folder, '--fraction', '1/8', '--name', 'whole', '--mode', 'sequences')) == 0
    assert (folder / 'splits/whole/labeled.txt').read_text().split() == ['walk_0000', 'walk_0001', 'walk_0002']
    for i in range(3):
        (folder / 'img' / f'walk_{i:04d}.png').rename(folder / 'img' / f'drive_{i:04d}.png')
        (folder / 'mask' / f'walk_{i:04d}.png').rename(folder / 'mask' / f'drive_{i:04d}.png')
    assert tool.main(own(folder, '--fraction', '1/8')) == 0, 'the same list again is no fault'
    assert '--overwrite' in refused(tool, own(folder, '--fraction', '1/4', '--name', '1_8'))
    assert tool.main(own(folder, '--fraction', '1/4', '--name', '1_8', '--overwrite')) == 0


def test_command_takes_jpeg_and_png_and_holds_images_out(tool, folder, capsys):
    image = folder / 'img/drive_0003.png'
    cv2.imwrite(str(image.with_suffix('.jpg')), cv2.imread(str(image)))
    command = ['folder', str(folder), '--images', 'img', '--masks', 'mask', '--classes', '3']
    assert "differ in their ending alone (['drive_0003']" in refused(tool, [*command, '--val', '1/4'])
    image.unlink()
    assert tool.main([*command, '--val', '1/4']) == 0
    assert '18 for training, 6 for validation' in capsys.readouterr().out
    parts = [(folder / f'splits/train_val/{name}.txt').read_text().split() for name in ('train', 'val')]
    assert sorted(parts[0] + parts[1]) == [f'drive_{i:04d}' for i in range(24)] and len(parts[1]) == 6
    assert tool.main([*command, '--val', '5', '--mode', 'blocks', '--blocks', '1', '--name', 'video']) == 0
    parts = [(folder / f'splits/video/{name}.txt').read_text().split() for name in ('train', 'val', 'unused')]
    numbers = [int(stem[-4:]) for stem in parts[1]]
    assert numbers == list(range(numbers[0], numbers[0] + 5)) and len(parts[2]) == 4
    assert 'at least one' in refused(tool, [*command, '--val', '24'])
    assert 'goes without' in refused(tool, [*command, '--val', '3', '--fraction', '1/8'])


def test_command_names_missing_masks_and_wrong_ids(tool, folder):
    (folder / 'mask/drive_0005.png').unlink()
    assert 'drive_0005.png' in (text := refused(tool, own(folder, '--fraction', '23/24'))) and '--masked-only' in text
    cv2.imwrite(str(folder / 'mask/drive_0005.png'), np.full((6, 8), 7, np.uint8))
    assert 'drive_0005.png' in (text := refused(tool, own(folder, '--fraction', '23/24'))) and '[7]' in text
    assert not (folder / 'splits').exists(), 'nothing is written before everything is checked'


def test_command_says_what_it_does_not_divide(tool, folder, capsys):
    for i in (20, 21, 22, 23):  # TIFFs with masks, as from a second camera
        (folder / 'img' / f'drive_{i:04d}.png').rename(folder / 'img' / f'drive_{i:04d}.tif')
    (folder / 'mask/drive_0000.png').unlink()
    assert 'drive_0000.png' in (text := refused(tool, own(folder, '--val', '5'))) and 'ann_file' not in text
    assert '4 with another ending (4 *.tif), in no list' in capsys.readouterr().err
    assert tool.main(own(folder, '--val', '5', '--masked-only')) == 0
    out, err = capsys.readouterr()
    assert '14 for training, 5 for validation' in out and '1 of 20 images have no mask' in err and 'drive_0000' in err
    parts = [(folder / f'splits/train_val/{name}.txt').read_text().split() for name in ('train', 'val')]
    assert sorted(parts[0] + parts[1]) == [f'drive_{i:04d}' for i in range(1, 20)]


def test_command_refuses_an_empty_side_and_keeps_the_words_of_a_fraction(tool, folder, capsys):
    for i in range(1, 24):
        (folder / 'img' / f'drive_{i:04d}.png').unlink()
    assert '1 of 1 images would be labeled' in refused(tool, own(folder, '--fraction', '1/8'))
    assert not (folder / 'splits').exists()
    for option in ('--val', '--fraction'):
        with pytest.raises(SystemExit):
            tool.main(own(folder, option, '1.5'))
        assert f"argument {option}: a fraction is written 1/8, 0.125 or 5%" in capsys.readouterr().err


def test_command_shows_where_with_debug(tmp_path):
    command = [sys.executable, str(ROOT / 'tools/make_split.py'), 'folder', str(tmp_path / 'no'), '--val', '1/5']
    plain, full = (subprocess.run([*command, *more], capture_output=True, text=True) for more in ([], ['--debug']))
    assert (plain.returncode, full.returncode) == (1, 1) and 'Traceback' in full.stderr
    assert plain.stderr.startswith('make_split.py: error (--debug shows where): make_split: no image folder')


def test_command_on_published_protocols(tool, folder, capsys, monkeypatch):
    """VOC's logic on a little tree: fine images, all images, import with and without the second list."""
    stems = [f'drive_{i:04d}' for i in range(24)]
    lists = folder / 'lists'
    lists.mkdir()
    (lists / 'all.txt').write_text('\n'.join(stems))
    (lists / 'fine.txt').write_text('\n'.join(stems[:8]))
    little = Source('voc', '', 'img', '.png', 'mask', '.png', 3, 'lists/all.txt', 24)
    protocol = split_protocols.Protocol('classic_1_8', labeled=3, choose_from='lists/fine.txt', unlabeled=21)
    monkeypatch.setitem(SOURCES, 'voc', little)
    monkeypatch.setitem(PROTOCOLS, 'voc', dict(classic_1_8=protocol))
    assert tool.main(['voc', str(folder), '--protocol', 'all']) == 0
    drawn = (folder / 'splits/classic_1_8/labeled.txt').read_text().split()
    assert len(drawn) == 3 and set(drawn) < set(stems[:8])
    published = folder / 'published'
    published.mkdir()
    (published / 'labeled.txt').write_text('\n'.join(f'img/{s}.png mask/{s}.png' for s in stems[:3]))
    command = ['voc', str(folder), '--protocol', 'classic_1_8', '--import-from', str(published), '--overwrite']
    assert tool.main(command) == 0
    assert (folder / 'splits/classic_1_8/labeled.txt').read_text().split() == stems[:3]
    (published / 'unlabeled.txt').write_text('\n'.join(stems[2:]))
    assert stems[2] in refused(tool, command)
    monkeypatch.setitem(SOURCES, 'voc', Source('voc', '', 'img', '.png', 'mask', '.png', 3, 'lists/all.txt', 30))
    assert 'has 30 training images, here are 24' in refused(tool, ['voc', str(folder), '--protocol', 'classic_1_8'])


def test_command_shows_its_protocols(tool, capsys):
    assert tool.main(['cityscapes', '--show']) == 0
    assert '1_16: 186 labeled, 2789 unlabeled' in capsys.readouterr().out
    assert '--fraction' in refused(tool, ['folder', 'x'])


def test_lists_of_the_benchmark_are_what_the_tool_draws(shared):
    """``configs/_base_/datasets/splits_camvid``: names of frames only, drawn with the command their config gives."""
    stems = [p.stem for p in sorted((shared / 'data/camvid_day/img/train').glob('*.jpg'))]
    for folder in sorted((ROOT / 'configs/_base_/datasets/splits_camvid').iterdir()):
        parts, seed = folder.name.rsplit('_seed', 1)
        split = draw_blocks(stems, -(-len(stems) // int(parts.split('_')[1])), int(seed))
        for name in ('labeled', 'unlabeled', 'unused'):
            assert (folder / f'{name}.txt').read_text().split() == getattr(split, name)
    stems = [p.stem for p in sorted((shared / 'data/idd_lite/img/train').glob('*.jpg'))]
    for folder in sorted((ROOT / 'configs/_base_/datasets/splits_idd').iterdir()):
        split = draw_sequences(stems, 44, int(folder.name.rsplit('_seed', 1)[1]))
        for name in ('labeled', 'unlabeled'):
            assert (folder / f'{name}.txt').read_text().split() == getattr(split, name)


def test_a_study_finds_the_lists_beside_those_of_its_config():
    from mmengine.config import Config

    from mmseg_dg.apis.row_configs import subset_lists
    streams = {name: dict(dataset=dict(ann_file=f'/c/splits_x/1_8_seed0/{part}.txt')) for name, part in (
        ('labeled', 'labeled'), ('unlabeled', 'unlabeled'), ('unlabeled_mix', 'unlabeled'))}
    options = subset_lists(Config(dict(train_dataloader=streams)), '1_8_seed2')
    parts = dict(labeled='labeled', unlabeled='unlabeled', unlabeled_mix='unlabeled')
    assert options == {f'train_dataloader.{name}.dataset.ann_file': f'/c/splits_x/1_8_seed2/{part}.txt'
                       for name, part in parts.items()}
