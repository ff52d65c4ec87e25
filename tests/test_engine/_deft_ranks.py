"""Worker of test_decoder_warmup: both stages of DeFT on this process's part of each batch, saved to a file."""
import sys

import torch
import torch.distributed as dist
from mmengine.registry import init_default_scope

import mmseg_dg  # noqa: F401


def batch(seed: int, part: slice) -> dict:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 3, 64, 64, generator=generator)
    labels = torch.randint(0, 4, (2, 1, 4, 4), generator=generator).repeat_interleave(16, 2).repeat_interleave(16, 3)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=x)) for x in labels]
    return dict(source=dict(inputs=images[part], data_samples=samples[part]))


def train(config_file: str, rank: int, world: int) -> dict:
    """Two iterations in each stage on this process's half (or all) of each batch."""
    from mmengine.config import Config

    from mmseg_dg.engine.distributed import MethodDistributedWrapper
    from mmseg_dg.engine.optim import ComponentParamGroups
    from mmseg_dg.registry import MODELS
    init_default_scope('mmseg_dg')
    cfg = Config.fromfile(config_file)
    torch.manual_seed(100 * rank)  # different weights until they are broadcast
    method = MODELS.build(cfg.model)
    method.sync_copies()
    optim = ComponentParamGroups({k: v for k, v in cfg.optim_wrapper.items() if k != 'constructor'})(method)
    wrapper = MethodDistributedWrapper(method)
    wrapper.broadcast_state()
    wrapper.train()
    encoder, moved = method.student.backbone, []
    for stage in (1, 2):
        before = [p.detach().clone() for p in encoder.parameters()]
        encoder.requires_grad_(stage == 2)
        if stage == 2:
            method.hand_over()
        for i in range(2):
            part = slice(None) if world == 1 else slice(rank, rank + 1)
            wrapper.train_step(batch(10 * stage + i, part), optim, preprocess=False)
            if stage == 2:
                for source, average in method.ema_pairs().values():
                    average.configure(0.9, False, 'batch')
                    average.update_parameters(source)
        moved.append(any(not torch.equal(a, b) for a, b in zip(before, encoder.parameters())))
    return dict(state_dict=method.state_dict(), moved=moved)


def main(config_file: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo')
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.save(train(config_file, rank, world), f'{out}.{rank}')
    dist.destroy_process_group()


if __name__ == '__main__':
    main(*sys.argv[1:3])
