"""Segment images with an exported ONNX file: numpy, OpenCV and onnxruntime, nothing else.

    python tools/export.py CONFIG CHECKPOINT --to onnx --out exported
    python examples/onnx_inference.py exported/NAME-1a2b3c4d.onnx photo.jpg other.jpg --out out

Writes ``out/photo.png`` (class ids) and ``out/photo_overlay.jpg``. Files written with ``--normalize`` and ``--argmax``
work the same way; sliding windows are laid out here where the network was tested with them.
"""
import argparse
import json
import math
from pathlib import Path

import cv2
import numpy as np
import onnxruntime


class Segmenter:
    """An exported file and what it says of itself.

    Args:
        path: ONNX file with the metadata of ``tools/export.py``.
    """

    def __init__(self, path: str) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
        self.about = json.loads(self.session.get_modelmeta().custom_metadata_map['mmseg_dg'])
        self.normalizes = self.session.get_inputs()[0].type == 'tensor(uint8)'
        self.gives_classes = self.session.get_outputs()[0].name == 'classes'

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) in BGR order, as OpenCV reads it -> class ids uint8 (H, W)."""
        size = image.shape[1], image.shape[0]
        maps = self._windows(self._resized(image))
        if self.gives_classes:
            return cv2.resize(maps, size, interpolation=cv2.INTER_NEAREST)
        # logits are resized, then compared, as the package does it; channel by channel
        full = np.stack([cv2.resize(channel, size, interpolation=cv2.INTER_LINEAR) for channel in maps])
        return full.argmax(0).astype(np.uint8)

    def _resized(self, image: np.ndarray) -> np.ndarray:
        """The image at the size that the network was tested with."""
        for step in self.about['preprocessing']['steps']:
            kind = step['type'].split('.')[-1]
            if kind == 'Resize':
                image = cv2.resize(image, _target(image.shape[1], image.shape[0], step))
            elif kind == 'ResizeToHeight':
                raise SystemExit('this example does not know ResizeToHeight: export with a config without it')
        return image

    def _windows(self, image: np.ndarray) -> np.ndarray:
        """Logits (K, h, w) of an image, or its classes (h, w); in windows where the network was tested with them."""
        test = self.about['test']
        if test.get('mode') != 'slide':
            return self._run(image)
        if self.gives_classes or test.get('window_sum', 'logits') != 'logits':
            raise SystemExit('windows are averaged as logits here: export without --argmax, with window_sum="logits"')
        total, count = 0., np.zeros(image.shape[:2], np.float32)
        for top, bottom in _spans(image.shape[0], test['crop_size'][0], test['stride'][0]):
            for left, right in _spans(image.shape[1], test['crop_size'][1], test['stride'][1]):
                logits = self._run(image[top:bottom, left:right])
                if not count.any():
                    total = np.zeros((len(logits), *count.shape), np.float32)
                total[:, top:bottom, left:right] += logits
                count[top:bottom, left:right] += 1
        return total / count

    def _run(self, image: np.ndarray) -> np.ndarray:
        low = self.about['smallest']
        if image.shape[0] < low[0] or image.shape[1] < low[1]:
            raise SystemExit(f'an image of {image.shape[0]}x{image.shape[1]} pixels (height x width): this file is '
                             f'for {low[0]}x{low[1]} and more')
        step = self.about['multiple_of']
        if image.shape[0] % step or image.shape[1] % step:
            raise SystemExit(f'an image of {image.shape[0]}x{image.shape[1]} pixels (height x width): this file is '
                             f'for multiples of {step}')
        return self.session.run(None, {'images': self._input(image)})[0][0]

    def _input(self, image: np.ndarray) -> np.ndarray:
        if self.normalizes:
            return np.ascontiguousarray(image[None])
        known = self.about['preprocessing']
        if known['channel_order'] == 'RGB':
            image = image[..., ::-1]
        if known['mean']:
            image = (image - np.float32(known['mean'])) / np.float32(known['std'])
        return np.ascontiguousarray(image.transpose(2, 0, 1)[None].astype(np.float32))


def _target(width: int, height: int, step: dict) -> tuple[int, int]:
    """(width, height) after mmcv's Resize."""
    if step.get('scale') is None:
        factor = step['scale_factor']
        factors = factor if isinstance(factor, list) else [factor, factor]
        return int(width * factors[0] + 0.5), int(height * factors[1] + 0.5)
    if not step.get('keep_ratio'):
        return tuple(step['scale'])
    long, short = max(step['scale']), min(step['scale'])
    factor = min(long / max(height, width), short / min(height, width))
    return int(width * factor + 0.5), int(height * factor + 0.5)


def _spans(length: int, window: int, stride: int) -> list[tuple[int, int]]:
    """Windows along one axis; the last one is moved back to end at the border."""
    count = math.ceil(max(length - window, 0) / stride) + 1
    ends = [min(i * stride + window, length) for i in range(count)]
    return [(max(end - window, 0), end) for end in ends]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', help='exported ONNX file')
    parser.add_argument('images', nargs='+', help='image files')
    parser.add_argument('--out', default='out', help='folder of the results')
    args = parser.parse_args()
    if not Path(args.file).is_file():
        raise SystemExit(f'{args.file}: there is no such file; tools/export.py CONFIG CHECKPOINT --to onnx writes one')
    segment = Segmenter(args.file)
    palette = np.array(segment.about['palette'] or np.random.default_rng(0).integers(0, 256, (256, 3)), np.uint8)
    Path(args.out).mkdir(parents=True, exist_ok=True)
    for path in map(Path, args.images):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise SystemExit(f'{path}: no image that OpenCV reads')
        ids = segment(image)
        cv2.imwrite(str(Path(args.out) / f'{path.stem}.png'), ids)
        overlay = cv2.addWeighted(image, 0.5, np.ascontiguousarray(palette[ids][..., ::-1]), 0.5, 0)
        cv2.imwrite(str(Path(args.out) / f'{path.stem}_overlay.jpg'), overlay)
        names = [segment.about['classes'][i] if segment.about['classes'] else i for i in np.unique(ids)]
        print(f'{path}: {", ".join(map(str, names))}')


if __name__ == '__main__':
    main()
