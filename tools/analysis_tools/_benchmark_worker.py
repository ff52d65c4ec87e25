"""One side of a benchmark, in a process of its own: it obeys one JSON command per line and answers with one.

``benchmark.py`` starts it with the package of the checkout that is measured on its path; the training step is that of
the checkout's own ``method_cost.py``, so that commits can be compared whose package is laid out differently.
"""
import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Optional

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _stopwatch import Stopwatch, watch_method  # noqa: E402

TOP = 10  # operators that are named


def load(path: Path) -> Any:
    """A module from a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Side:
    """A config that trains on random images, under a stopwatch.

    Its public methods are the commands of ``benchmark.py``; what they return goes out as JSON.

    Args:
        args: See :func:`parse_args`.

    Attributes:
        cost: The checkout's module ``method_cost``.
        config: Path of the config with the options in it.
        options: What ``method_cost`` takes besides: size, batch size, device, stage.
        watched: Whether the stopwatch is on; from then on it adds waits at every boundary.

    Raises:
        ValueError: The package that is imported is not the checkout's.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        checkout = Path(args.checkout)
        self.cost = load(checkout / 'tools/analysis_tools/method_cost.py')
        import mmseg_dg
        if not Path(mmseg_dg.__file__).resolve().is_relative_to(checkout.resolve()):
            raise ValueError(f'mmseg_dg was imported from {mmseg_dg.__file__}, not from {checkout}')
        self.folder = tempfile.TemporaryDirectory()
        self.config = self._merged(args.config, args.options)
        self.options = (tuple(args.size) if args.size else None, args.batch_size, args.device, 'finetune')
        self.trainer = self.cost.Trainer(self.config, *self.options)
        self.watch = Stopwatch(self.trainer.synchronize)
        self.watched = False

    def _merged(self, config: str, options: dict) -> str:
        """The config with the options in it, as a file that ``Trainer`` can read."""
        from mmseg_dg.utils.config_files import read_config_file
        cfg = read_config_file(config)
        cfg.merge_from_dict(options)
        path = os.path.join(self.folder.name, Path(config).name)
        cfg.dump(path)
        return path

    # ------------------------------------------------------------------ commands
    def info(self) -> dict[str, Any]:
        """What is measured: name, size, batch size, threads, device, precision and so on."""
        trainer = self.trainer
        return dict(name=trainer.name, size=list(trainer.size), batch_size=trainer.batch_size,
                    threads=torch.get_num_threads(), device=self.args.device, torch=torch.__version__,
                    streams=len(trainer.model.streams),
                    precision=str(torch.bfloat16 if 'BF16' in type(trainer.optim).__name__ else torch.float32))

    def step(self) -> dict[str, Any]:
        """Train one step under the stopwatch: ``parts`` (name -> (seconds, CPU seconds)) and the
        whole ``step`` ([seconds, CPU seconds]).
        """
        trainer, watch = self.trainer, self.watch
        if not self.watched:  # only now: steps of ``plain`` before it have no waits between parts
            watch_method(watch, trainer.model, trainer.optim, trainer.hooks)
            self.watched = True
        start = time.perf_counter(), time.process_time()
        watch.begin()
        trainer.iterate()
        parts = watch.end()
        return dict(parts=parts, step=[time.perf_counter() - start[0], time.process_time() - start[1]])

    def plain(self) -> list[float]:
        """Seconds and CPU seconds of one step with a wait at its end only."""
        return list(self.trainer.timed())

    def allocated(self) -> int:
        """Peak bytes of this process's tensors on the GPU so far; 0 on a CPU."""
        cuda = torch.device(self.args.device).type == 'cuda'
        return torch.cuda.max_memory_allocated(self.args.device) if cuda else 0

    def syncs(self) -> Optional[dict[str, int]]:
        """``{file:line: how often the host waited there for the GPU}`` in one step; None on a CPU."""
        if torch.device(self.args.device).type != 'cuda':
            return None
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter('always')
            torch.cuda.set_sync_debug_mode('warn')
            try:
                self.trainer.iterate()
            finally:
                torch.cuda.set_sync_debug_mode('default')
        places = [f'{Path(w.filename).name}:{w.lineno}' for w in told if 'synchroniz' in str(w.message)]
        return {place: places.count(place) for place in dict.fromkeys(places)}

    @torch.no_grad()
    def inference(self) -> list[float]:
        """Seconds and CPU seconds of the evaluated network's logits for one image of the crop's size."""
        model, size = self.trainer.model, self.trainer.size
        model.eval()
        network = model.evaluated_network
        image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)).to(self.args.device)
        meta = [dict(ori_shape=size, img_shape=size, pad_shape=size, img_path='0.png')]
        self.trainer.synchronize()
        start = time.perf_counter(), time.process_time()
        network.inference(image, meta)
        self.trainer.synchronize()
        return [time.perf_counter() - start[0], time.process_time() - start[1]]

    def memory(self) -> int:
        """Peak bytes of three steps, weights included."""
        return self.cost.peak_memory(self.config, *self.options)

    def operators(self) -> list[dict[str, Any]]:
        """The dearest operators of one step by the shapes of their arguments."""
        activities = [torch.profiler.ProfilerActivity.CPU]
        cuda = torch.device(self.args.device).type == 'cuda'
        activities += [torch.profiler.ProfilerActivity.CUDA] if cuda else []
        with torch.profiler.profile(activities=activities, record_shapes=True) as profile:
            self.trainer.iterate()
        key = 'self_device_time_total' if cuda else 'self_cpu_time_total'  # in microseconds
        events = profile.key_averages(group_by_input_shape=True)
        total = sum(getattr(e, key) for e in events) or 1
        rows = sorted(events, key=lambda e: -getattr(e, key))[:TOP]
        return [dict(operator=e.key, shapes=str([s for s in e.input_shapes if s]), calls=e.count,
                     ms=getattr(e, key) / 1e3, share=getattr(e, key) / total) for e in rows]

    def flops(self) -> float:
        """Floating point operations of one step's matrix products, convolutions and attentions."""
        from torch.utils.flop_counter import FlopCounterMode
        with FlopCounterMode(display=False, custom_mapping=CORRECTED) as counter:
            self.trainer.iterate()
        return float(counter.get_total_flops())

    def peak(self) -> dict[str, float]:
        """FLOP/s this process reaches in a matrix product and in a 3x3 convolution, in the step's precision."""
        half = 'BF16' in type(self.trainer.optim).__name__
        device, dtype = self.args.device, torch.bfloat16 if half else torch.float32
        a = torch.randn(1024, 1024, device=device, dtype=dtype)
        # images and filters
        x = torch.randn(1, 256, 64, 64, device=device, dtype=dtype)
        w = torch.randn(256, 256, 3, 3, device=device, dtype=dtype)
        # (function, its floating point operations: a product and a sum for each term)
        work = dict(matmul=(lambda: a @ a, 2 * 1024**3),
                    convolution=(lambda: torch.conv2d(x, w, padding=1), 2 * 9 * 256**2 * 64**2))
        found = {}
        with torch.no_grad():
            for name, (fn, flops) in work.items():
                fn()  # the first call sets up
                seconds = []
                for _ in range(7):
                    self.trainer.synchronize()
                    start = time.perf_counter() if device != 'cpu' else time.process_time()
                    fn()
                    self.trainer.synchronize()
                    seconds.append((time.perf_counter() if device != 'cpu' else time.process_time()) - start)
                found[name] = flops / min(seconds)  # the run with the least other load
        return found


def _convolution_backward(grad, x, weight, _bias, _stride, _padding, _dilation, transposed, _out_padding, _groups,
                          mask, out_shape=None, **_) -> int:
    """FLOPs of a convolution's gradients, from the shapes of its arguments (for ``FlopCounterMode``).

    Each gradient that is asked for (``mask``: of input, of weight) costs what the forward pass does.
    torch's own formula counts groups as if they were dense.
    """
    # the weight is applied once at each place of the output (transposed: of the input)
    spatial = x if transposed else grad
    forward = 2 * spatial[0] * _product(spatial[2:]) * _product(weight)
    return forward * (bool(mask[0]) + bool(mask[1]))


def _attention(query, key, value, *_, **__) -> int:
    """FLOPs of attention, from the shapes of its arguments (for ``FlopCounterMode``).

    Two products, query with key and weights with value: (B, heads, N, d) and (B, heads, M, d).
    """
    batch, heads, length, dims = query
    return 2 * batch * heads * length * key[2] * (dims + value[3])


def _attention_backward(_grad, query, key, value, *_, **__) -> int:
    """FLOPs of attention's gradients: five products, the weights again, and the gradients of query,
    key, value and weights. Of these three have the size d of the query, two that of the value.
    """
    batch, heads, length, dims = query
    return 2 * batch * heads * length * key[2] * (3 * dims + 2 * value[3])


def _product(shape) -> int:
    """Number of elements of a shape."""
    total = 1
    for side in shape:
        total *= side
    return total


#: Operators that torch's counter lacks or counts wrongly -> our formula.
CORRECTED = {torch.ops.aten.convolution_backward: _convolution_backward}
for _name, _formula in (('_scaled_dot_product_flash_attention_for_cpu', _attention),
                        ('_scaled_dot_product_flash_attention_for_cpu_backward', _attention_backward)):
    if hasattr(torch.ops.aten, _name):  # older versions of torch lack them
        CORRECTED[getattr(torch.ops.aten, _name)] = _formula


def parse_args() -> argparse.Namespace:
    """The settings, one JSON object, as a namespace."""
    parser = argparse.ArgumentParser()
    parser.add_argument('settings', help='JSON: checkout, config, options, size, batch_size, device, threads')
    return argparse.Namespace(**json.loads(parser.parse_args().settings))


def commands(side: Side) -> Iterator[Any]:
    """The answer to each command, a line of standard input with a method's name, until its end."""
    for line in sys.stdin:
        yield getattr(side, line.strip())()


def main() -> None:
    """Answer on standard output, one line of JSON each: the info (or the error), then each command."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    answers = sys.stdout
    # what libraries print must not come between the answers
    with redirect_stdout(sys.stderr):
        try:
            side = Side(args)
        except (ValueError, TypeError, KeyError, OSError) as error:
            print(json.dumps(dict(error=str(error))), file=answers, flush=True)
            return
        print(json.dumps(side.info()), file=answers, flush=True)
        for answer in commands(side):
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == '__main__':
    main()
