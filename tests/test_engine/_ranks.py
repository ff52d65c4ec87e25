"""Worker of test_distributed: steps of a method on this process's part of each batch, saved to a file."""
import dataclasses
import sys

import torch
import torch.distributed as dist
from mmengine.registry import init_default_scope

import mmseg_dg  # noqa: F401


def part_of(draws, share: slice):
    """The draws of the images ``share`` of a batch."""
    from mmseg_dg.methods import MaskedDraws, SemiDraws
    from mmseg_dg.ops import ComplementaryMasks
    if isinstance(draws, SemiDraws):
        dropout = ComplementaryMasks([mask[share] for mask in draws.dropout.channels], draws.dropout.whole[share])
        return dataclasses.replace(draws, views=[view[share] for view in draws.views], dropout=dropout)
    masked = None if draws.masked is None else MaskedDraws(kept=draws.masked.kept[share])
    return dataclasses.replace(draws, jitter_params=draws.jitter_params[share], sigma=draws.sigma[share],
                               mix_classes=draws.mix_classes[share], masked=masked)


def main(config_file: str, batch_file: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo')
    from mmengine.config import Config

    from mmseg_dg.engine.distributed import MethodDistributedWrapper
    from mmseg_dg.engine.optim import MergedParamGroups
    from mmseg_dg.registry import MODELS
    init_default_scope('mmseg_dg')
    rank, world = dist.get_rank(), dist.get_world_size()
    cfg = Config.fromfile(config_file)
    torch.manual_seed(rank)  # different weights until they are broadcast
    method = MODELS.build(cfg.model)
    payload = torch.load(batch_file, weights_only=False)
    if rank == 0:
        method.load_state_dict(payload['state_dict'])
    wrapper = MethodDistributedWrapper(method)
    optim = MergedParamGroups(dict(cfg.optim_wrapper), None)(method)
    wrapper.broadcast_state()
    results = []
    for step in payload['steps']:
        wrapper.train()
        method.teacher.update_parameters(method.student)
        share = slice(rank * 2 // world * 1, None) if world == 1 else slice(rank, rank + 1)
        batch = {name: dict(inputs=b['inputs'][share], data_samples=b['data_samples'][share])
                 for name, b in step['batch'].items()}
        values = wrapper.train_step(batch, optim, draws=part_of(step['draws'], share), preprocess=False)
        results.append({k: float(v) for k, v in values.items()})
    torch.save(dict(state_dict=method.state_dict(), values=results, synchronizations=wrapper.synchronizations),
               f'{out}.{world}.{rank}')
    dist.destroy_process_group()


if __name__ == '__main__':
    main(*sys.argv[1:4])
