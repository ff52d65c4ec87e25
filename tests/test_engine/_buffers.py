"""Worker of test_distributed: buffers that differ by process, averaged, saved."""
import sys

import torch
import torch.distributed as dist
from torch import nn

import mmseg_dg  # noqa: F401
from mmseg_dg.engine.distributed import MethodDistributedWrapper


def main(out: str) -> None:
    dist.init_process_group('gloo')
    rank = dist.get_rank()
    net = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(1000).eval())
    net[0].running_mean.fill_(float(rank))
    net[0].running_var.fill_(2.0 + rank)
    net[1].running_mean.copy_(torch.rand(1000, generator=torch.Generator().manual_seed(0)))  # alike everywhere
    net.register_buffer('constant', torch.tensor(float(rank)))
    MethodDistributedWrapper(net).average_buffers()
    torch.save(net.state_dict(), f'{out}.{rank}')
    dist.destroy_process_group()


if __name__ == '__main__':
    main(sys.argv[1])
