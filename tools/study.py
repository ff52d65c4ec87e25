"""Run a config several times (seeds, rows, labeled subsets, a grid of settings) and write mean and spread.

Start the same command again after an interruption: finished runs are skipped, the interrupted one is resumed.

Examples::

    python tools/study.py CONFIG --seeds 0 1 2
    python tools/study.py CONFIG --seeds 0 1 2 --grid model.pseudo_threshold=0.9,0.968 --work-dir work_dirs/threshold
    python tools/study.py CONFIG --seeds 0 --subsets 1_8 1_30
    python tools/study.py CONFIG --seeds 0 1 2 --rows nowarmup norcs
    python tools/study.py CONFIG --subset 1_8      # as often as the paper ran this subset
"""
import argparse
import shlex
import sys
from pathlib import Path

import mmseg_dg  # noqa: F401  prepares the library stack
from mmseg_dg.apis.config_rows import run_name
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.apis.row_configs import load_config
from mmseg_dg.apis.study import Study, parse_grid


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--seeds', type=int, nargs='+',
                        help='one run for each (default: study["seeds"] of the config, else 0)')
    parser.add_argument('--rows', '--row', nargs='+', default=[], metavar='NAME',
                        help='variants of the config (tools/rows.py CONFIG lists them); one run for each')
    parser.add_argument('--subset', metavar='NAME',
                        help='one labeled subset, as often as the study["subsets"] that belong to it say')
    parser.add_argument('--subsets', nargs='+', default=[], metavar='NAME',
                        help='labeled subsets: folders below <data_root>/splits (default: study["subsets"])')
    parser.add_argument('--grid', nargs='+', default=[], metavar='KEY=V1,V2',
                        help='all combinations are run (default: study["grid"], KEY to a list of values)')
    parser.add_argument('--work-dir', type=Path,
                        help='folder of the study (default: work_dirs/study_<config>[_<row>][_<subset>])')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='overrides for every run')
    parser.add_argument('--gpus', type=int, help='processes of each run; 0: CPU')
    parser.add_argument('--train-script', type=Path, default=Path(__file__).resolve().parent / 'train.py',
                        help='the program that trains (default: train.py beside this file)')
    parser.add_argument('--rank-by', metavar='METRIC',
                        help='order the settings by this metric, e.g. target/label_free (default: label_free)')
    parser.add_argument('--dry-run', action='store_true', help='only show the commands')
    parser.add_argument('--tables-only', action='store_true', help='only write the tables again')
    return parser.parse_args()


def main() -> int:
    """Run what is left of the study and write its tables; exit status 1 where a run failed.

    Options of the command line go before the same ones in the config's ``study``: the ``study`` of
    the one row and subset, where these are named, which may differ from the config's own.
    """
    args = parse_args()
    row = args.rows[0] if len(args.rows) == 1 else None
    name = run_name(args.config, row, args.subset)
    # seeds, subsets and grid are settled below, with the config that the study has read
    study = Study(
        config=args.config, folder=args.work_dir or Path('work_dirs') / f'study_{name}', seeds=[0], rows=args.rows,
        subsets=args.subsets, grid=parse_grid(args.grid), options=args.cfg_options, train_script=args.train_script,
        gpus=args.gpus, rank_by=args.rank_by)
    cfg = load_config(args.config, row, args.subset) if row or args.subset else study.cfg
    defaults = cfg.get('study') or {}
    study.seeds = args.seeds or list(defaults.get('seeds', [0]))
    # a list that has --subset holds its draws (1_8, 1_8_seed1, ...), and all of them are run
    listed = list(defaults.get('subsets', []))
    study.subsets = args.subsets or (listed if args.subset in (None, *listed) else [args.subset])
    study.grid = study.grid or {key: [str(value) for value in values]
                                for key, values in defaults.get('grid', {}).items()}
    if args.dry_run:
        for run in study.runs():
            sys.stdout.write(shlex.join(study.command(run)) + '\n')
        return 0
    failed = [] if args.tables_only else study.execute()
    for path in study.write_tables():
        sys.stdout.write(f'{path}\n')
    for run in failed:
        sys.stderr.write(f'failed: {run.folder}\n')
    return 1 if failed else 0


if __name__ == '__main__':
    run_tool(main)
