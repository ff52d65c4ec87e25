"""Two real processes (gloo) score a dataset whose size they do not divide, with labels and without."""
import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def score_my_share():
    """Score this process's share of five images."""
    from mmengine.dataset import DefaultSampler

    from mmseg_dg.evaluation import ConfusionMatrixMetric, LabelFreeMetric
    rng = np.random.RandomState(0)
    pairs = [(rng.randint(0, 3, (6, 6)), rng.randint(0, 3, (6, 6))) for _ in range(5)]
    metric = ConfusionMatrixMetric()
    free = LabelFreeMetric(flip=False)
    metric.dataset_meta = dict(classes=('a', 'b', 'c'))
    for index in DefaultSampler(pairs, shuffle=False):
        prediction, label = (dict(data=torch.from_numpy(x)[None]) for x in pairs[index])
        metric.process(None, [dict(pred_sem_seg=prediction, gt_sem_seg=label, img_path=f'{index}.png')])
        logits = torch.randn(3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(index))
        free.process(None, [dict(seg_logits=dict(data=logits), img_path=f'{index}.png')])
    return dict(result=metric.evaluate(len(pairs)), confusion=torch.from_numpy(metric.confusion),
                free=free.evaluate(len(pairs)))


def worker(rank, world, folder):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/init', rank=rank, world_size=world)
    torch.save(score_my_share(), f'{folder}/{rank}.pt')
    dist.barrier()  # gloo may abort a process whose peer has closed the connection already
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason='this torch has no distributed package')
def test_two_processes_equal_one(tmp_path):
    mp.spawn(worker, args=(2, str(tmp_path)), nprocs=2)
    alone = score_my_share()
    for rank in range(2):
        mine = torch.load(tmp_path / f'{rank}.pt')
        assert torch.equal(mine['confusion'], alone['confusion']) and int(alone['confusion'].sum()) == 5 * 36
        assert mine['result'] == alone['result']
        assert mine['free'] == pytest.approx(alone['free'], rel=1e-12)
