"""EMA teacher: values of the official code, and one test per BatchNorm policy."""
import pytest
import torch
from torch import nn

from mmseg_dg.methods.teacher import EMATeacher


class Net(nn.Module):

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.drop = nn.Dropout2d(0.5)

    def forward(self, x):
        return self.drop(self.bn(self.conv(x)))


@pytest.mark.claim('DAFormer')
def test_recorded_updates(recorded):
    record = recorded('ema')
    student, teacher = Net(), None
    student.load_state_dict(record['student'][0], strict=False)
    teacher = EMATeacher(student, beta=record['alpha'], ramp=True)
    teacher.module.load_state_dict(record['ema_before'], strict=False)
    steps = zip(record['iters'], record['student'], record['ema'], record['alphas'])
    for iteration, weights, expected, alpha in steps:
        student.load_state_dict(weights, strict=False)
        teacher.steps.fill_(iteration)
        if alpha is not None and iteration > 0:
            assert teacher.beta_at(iteration) == pytest.approx(alpha, rel=1e-12)
        teacher.update_parameters(student)
        for name, value in teacher.module.state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-7, msg=f'{iteration} {name}')
        teacher.module.load_state_dict(expected, strict=False)


def test_ramp_copies_first_and_counts():
    student = Net()
    teacher = EMATeacher(student, beta=0.999, ramp=True)
    with torch.no_grad():
        student.conv.weight.add_(1.0)
    teacher.update_parameters(student)
    assert torch.equal(teacher.module.conv.weight, student.conv.weight)
    assert int(teacher.steps) == 1 and teacher.steps.dtype == torch.int64
    assert teacher.beta_at(1) == 0.5
    assert teacher.beta_at(998) == pytest.approx(1 - 1 / 999)
    assert teacher.beta_at(999) == 0.999


def test_one_tensor_averages_like_all():
    """mmengine's own interface, ``avg_func``, has the formula of ``update_parameters``."""
    student = Net()
    teacher = EMATeacher(student, beta=0.9, ramp=True)
    with torch.no_grad():
        student.conv.weight.add_(1.0)
    for step in range(3):
        single = teacher.module.conv.weight.detach().clone()
        teacher.avg_func(single, student.conv.weight.detach(), step)
        teacher.update_parameters(student)
        assert torch.equal(single, teacher.module.conv.weight)
        with torch.no_grad():
            student.conv.weight.mul_(2.0)


def test_closed_form_without_ramp():
    student, beta = Net().double(), 0.9
    teacher = EMATeacher(student, beta=beta, ramp=False)
    start = student.conv.weight.detach().clone()
    expected = start.clone()
    for step in range(50):
        with torch.no_grad():
            student.conv.weight.copy_(start * (step + 2))
        teacher.update_parameters(student)
        expected = beta * expected + (1 - beta) * start * (step + 2)
    torch.testing.assert_close(teacher.module.conv.weight, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize('beta', [0.0, 1.0])
def test_extreme_betas(beta):
    student = Net()
    teacher = EMATeacher(student, beta=beta, ramp=False)
    before = teacher.module.conv.weight.clone()
    with torch.no_grad():
        student.conv.weight.mul_(3.0)
    teacher.update_parameters(student)
    assert torch.equal(teacher.module.conv.weight, before if beta == 1.0 else student.conv.weight)


def forward_teacher(policy, images, student):
    teacher = EMATeacher(student, buffers=policy)
    teacher.train()
    with torch.no_grad():
        return teacher, teacher.module(images)


@pytest.fixture
def parts():
    torch.manual_seed(0)
    student = Net()
    student.bn.running_mean.fill_(0.7)
    student.bn.running_var.fill_(2.5)
    return student, torch.randn(2, 3, 9, 9) * 2 + 1


def normalized(student, features, mean, variance):
    shape = (1, -1, 1, 1)
    return (features - mean.view(shape)) / (variance.view(shape) + student.bn.eps).sqrt()


def test_policy_batch(parts):
    student, images = parts
    teacher, out = forward_teacher('batch', images, student)
    features = student.conv(images).detach()
    mean, var = features.mean((0, 2, 3)), features.var((0, 2, 3), unbiased=False)
    torch.testing.assert_close(out, normalized(student, features, mean, var), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(teacher.module.bn.running_mean, 0.9 * torch.full((4, ), 0.7) + 0.1 * mean)
    teacher.update_parameters(student)  # never touches the teacher's own statistics
    assert not torch.equal(teacher.module.bn.running_mean, student.bn.running_mean)


def test_policy_own(parts):
    student, images = parts
    teacher, out = forward_teacher('own', images, student)
    features = student.conv(images).detach()
    mean = 0.9 * torch.full((4, ), 0.7) + 0.1 * features.mean((0, 2, 3))
    var = 0.9 * torch.full((4, ), 2.5) + 0.1 * features.var((0, 2, 3), unbiased=True)
    torch.testing.assert_close(teacher.module.bn.running_mean, mean)
    torch.testing.assert_close(teacher.module.bn.running_var, var)
    torch.testing.assert_close(out, normalized(student, features, mean, var), rtol=1e-4, atol=1e-5)
    assert int(teacher.module.bn.num_batches_tracked) == 1
    teacher.eval()
    with torch.no_grad():
        teacher.module(images)
    assert int(teacher.module.bn.num_batches_tracked) == 1, 'evaluation must not move the statistics'


def test_policy_copy(parts):
    student, images = parts
    teacher, out = forward_teacher('copy', images, student)
    torch.testing.assert_close(out, normalized(student, student.conv(images).detach(), torch.full((4, ), 0.7),
                                               torch.full((4, ), 2.5)), rtol=1e-4, atol=1e-5)
    student.bn.running_mean.fill_(5.0)
    teacher.steps.fill_(10)
    teacher.update_parameters(student)
    assert torch.equal(teacher.module.bn.running_mean, torch.full((4, ), 5.0))


def test_policy_average(parts):
    student, _ = parts
    teacher = EMATeacher(student, beta=0.75, ramp=False, buffers='average')
    student.bn.running_mean.fill_(4.7)
    student.bn.num_batches_tracked.fill_(9)
    teacher.update_parameters(student)
    torch.testing.assert_close(teacher.module.bn.running_mean, torch.full((4, ), 0.75 * 0.7 + 0.25 * 4.7))
    assert int(teacher.module.bn.num_batches_tracked) == 9


def test_teacher_noise_is_off_and_weights_frozen(parts):
    student, images = parts
    teacher = EMATeacher(student)
    teacher.train()
    assert not teacher.module.drop.training and teacher.module.bn.training
    assert not any(p.requires_grad for p in teacher.parameters())


@pytest.mark.parametrize('kwargs', [dict(beta=1.5), dict(beta=-0.1), dict(buffers='mean')])
def test_bad_arguments(kwargs):
    with pytest.raises(ValueError, match='beta|policy'):
        EMATeacher(Net(), **kwargs)
