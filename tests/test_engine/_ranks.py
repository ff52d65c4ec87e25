"""Worker of test_distributed: one DACS step on this process's part of a batch, saved to a file."""
import dataclasses
import sys

import torch
import torch.distributed as dist
from mmengine.registry import init_default_scope

import mmseg_dg  # noqa: F401


def main(config_file: str, batch_file: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo')
    from mmengine.config import Config

    from mmseg_dg.engine.distributed import MethodDistributedWrapper
    from mmseg_dg.engine.optim import MergedParamGroups
    from mmseg_dg.methods import MaskedDraws, StepDraws
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
        draws = step['draws']
        mine = StepDraws(jitter=draws.jitter, blur=draws.blur, jitter_params=draws.jitter_params[share],
                         sigma=draws.sigma[share], mix_classes=draws.mix_classes[share])
        if draws.masked is not None:
            mine = dataclasses.replace(mine, masked=MaskedDraws(kept=draws.masked.kept[share]))
        values = wrapper.train_step(batch, optim, draws=mine, preprocess=False)
        results.append({k: float(v) for k, v in values.items()})
    torch.save(dict(state_dict=method.state_dict(), values=results, synchronizations=wrapper.synchronizations),
               f'{out}.{world}.{rank}')
    dist.destroy_process_group()


if __name__ == '__main__':
    main(*sys.argv[1:4])
