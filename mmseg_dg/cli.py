"""``mmseg-dg VERB ...``: one command for what a person does most; each verb is a file of
``tools/``.

The tool runs in this process as ``python tools/FILE`` does.
"""
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Optional

PACKAGE = Path(__file__).resolve().parent
COMMAND = 'mmseg-dg'


class Verb(NamedTuple):
    """One verb.

    Attributes:
        tool: Its file below ``tools/``; ``mim run mmseg_dg STEM`` finds the same file.
        does: What for, for the list of verbs.
        example: What follows ``mmseg-dg VERB``.
    """
    tool: str
    does: str
    example: str


VERBS = {
    'adapt': Verb(
        'adapt.py', 'train on your own images, without a config',
        '--source day/images day/masks --target night/images --classes road car --out runs/night'),
    'train': Verb('train.py', 'train a config',
                  'daformer_synthcity_demo.py --work-dir work_dirs/first'),
    'test': Verb('test.py', 'score a checkpoint on every test domain',
                 'my.py work_dirs/first/iter_150.pth'),
    'predict': Verb('predict.py', 'segment images, a folder or a video',
                    'my.py work_dirs/first/iter_150.pth photos --out out --overlay'),
    'suggest': Verb('suggest.py',
                    'settings that fit your images and this machine, with their reasons',
                    '--source images masks --classes background crack'),
    'report': Verb('report.py', 'a page about one run, or comparing several',
                   'work_dirs/first work_dirs/second'),
    'export': Verb('export.py',
                   'write a network as safetensors, ONNX, torch.export or for MMSegmentation',
                   'my.py work_dirs/first/iter_150.pth --to onnx --out exported'),
    'doctor': Verb('doctor.py', "examine a config's data before training", 'my.py'),
    'statistics': Verb('analysis_tools/class_statistics.py',
                       'count the classes of the training data', 'my.py'),
    'study': Verb('study.py', 'several seeds or settings, with mean and spread',
                  'my.py --seeds 0 1 2'),
    'browse': Verb('analysis_tools/browse_streams.py', 'look at what the network will see',
                   'my.py --out look'),
    'prepare-weights': Verb('prepare_weights.py',
                            'which pretrained encoders are there; check and convert them',
                            'mit_b5 --source ~/mit_b5.pth'),
}


def usage() -> str:
    """What ``mmseg-dg -h`` prints."""
    width = max(map(len, VERBS))
    lines = [f'usage: {COMMAND} VERB ...    ({COMMAND} VERB -h: its options and an example)', '']
    lines += [f'  {name:<{width}}  {verb.does}' for name, verb in VERBS.items()]
    lines += [
        '', f'example: {COMMAND} train {VERBS["train"].example}', '',
        f'every verb is a file of tools/: `mim run mmseg_dg NAME` runs the same one (statistics is '
        'class_statistics, browse is browse_streams, prepare-weights is prepare_weights); '
        f'{COMMAND} --version'
    ]
    return '\n'.join(lines) + '\n'


def tool_file(tool: str) -> Path:
    """The file of a tool, in the installed package or in a clone.

    Args:
        tool: Path below ``tools/``, as in :attr:`Verb.tool`.

    Raises:
        FileNotFoundError: It is in neither place.
    """
    # an installed package keeps its tools in .mim, where mim looks for them
    places = [root / 'tools' / tool for root in (PACKAGE / '.mim', PACKAGE.parent)]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f'the installation lacks tools/{tool}: looked for {" and ".join(map(str, places))}; '
        'install the package again')


def hide_gpus_if_asked() -> None:
    """Hide the GPUs from this process where its command line is ``mmseg-dg ... --device cpu`` (or
    ``--gpus 0``, which is how mim says it).

    The package calls this first when it is imported, since mmengine looks for GPUs once, on import.
    By then it is too late for a tool that ``mmseg-dg`` runs; one that is run as a file
    (``python tools/train.py``) hides them itself before it imports anything.
    """
    if Path(sys.argv[0]).name == COMMAND and re.search(r'--(device[ =]cpu|gpus[ =]0)( |$)',
                                                       ' '.join(sys.argv)):
        os.environ['CUDA_VISIBLE_DEVICES'] = '-1'  # no device has this number


def run_file(path: Path, name: str, words: Sequence[str]) -> None:
    """Run a tool in this process as ``python path words`` does.

    Args:
        path: The tool's file.
        name: Takes the place of the file's name in ``sys.argv[0]``, so that the tool's help and
            messages show ``mmseg-dg VERB``.
        words: The tool's arguments.
    """
    sys.argv = [name, *words]
    sys.path.insert(0, str(path.parent))  # where Python would look for modules beside a script
    scope = {'__name__': '__main__', '__file__': str(path), '__builtins__': __builtins__}
    exec(compile(path.read_text(encoding='utf-8'), str(path), 'exec'), scope)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Entry point of the console script.

    Args:
        argv: Words after ``mmseg-dg``; None: those of this process.

    Returns:
        Exit status; tools leave the process by themselves.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ('-h', '--help', 'help'):
        sys.stdout.write(usage())
        return 0 if words else 2  # asked for help, or forgot the verb
    if words[0] == '--version':
        from mmseg_dg.version import __version__
        sys.stdout.write(f'{COMMAND} {__version__}\n')
        return 0
    verb = VERBS.get(words[0]) or VERBS.get(words[0].replace('_', '-'))
    if verb is None:
        sys.stderr.write(f'{COMMAND}: no verb {words[0]!r}; there are {", ".join(VERBS)}\n')
        return 2
    if words[1:] and words[1] in ('-h', '--help'):  # the tool prints its own help below this line
        sys.stdout.write(f'example: {COMMAND} {words[0]} {verb.example}\n\n')
    run_file(tool_file(verb.tool), f'{COMMAND} {words[0]}', words[1:])
    return 0


if __name__ == '__main__':
    sys.exit(main())
