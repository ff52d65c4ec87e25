"""The step: what is differentiated, what passes share, who reads the record, and draws that stay as they were."""
import copy
import dataclasses

import pytest
import torch
from curves import SEED, Run, batch_of
from mmengine.optim import OptimWrapper
from torch import nn

from mmseg_dg.methods.step import Pass, PassResult, StepContext, StepRecorder, StepState, run_step


class Toy(nn.Module):
    """One weight; a pass that gives what the test wants."""
    state_type = StepState

    def __init__(self, give):
        super().__init__()
        self.weight, self.give, self.recorder = nn.Parameter(torch.ones(())), give, StepRecorder()
        self.wrapper = OptimWrapper(torch.optim.SGD([self.weight], lr=1.))

    def draw_step(self, batch, generator):
        return None

    def taken_draws(self, draws, state):
        return draws

    def passes(self, batch, draws, state):
        return [Pass('one', lambda: self.give(self.weight))]

    def note_step(self, skipped):
        pass

    def step(self):
        return run_step(self, {}, self.wrapper, context=StepContext(0), preprocess=False)


def test_a_metric_called_glossy_is_logged_and_not_trained_on():
    toy = Toy(lambda w: PassResult(dict(entropy=2 * w), dict(glossy=100 * w, loss_of_others=7 * w)))
    values = toy.step()
    assert float(toy.weight) == 1 - 2, 'the gradient is that of the loss alone'
    assert float(values['loss']) == 2 and float(values['glossy']) == 100 and set(values) == {
        'loss', 'entropy', 'glossy', 'loss_of_others'}
    toy = Toy(lambda w: PassResult(logs=dict(glossy=100 * w)))
    assert set(toy.step()) == {'glossy'} and float(toy.weight) == 1


def test_what_a_pass_may_return():
    with pytest.raises(TypeError, match=r"pass 'one' returns a dict: return PassResult\(losses"):
        Toy(lambda w: dict(loss_ce=w)).step()
    with pytest.raises(ValueError, match="returns the key 'loss'"):
        Toy(lambda w: PassResult(dict(loss=w))).step()
    with pytest.raises(ValueError, match='losses and logs'):
        PassResult(dict(a=torch.ones(())), dict(a=torch.ones(())))
    with pytest.raises(ValueError, match='twice'):
        PassResult(dict(a=torch.ones(()))).joined(PassResult(dict(a=torch.ones(()))))


def test_results_are_named_weighted_and_joined():
    one, two = torch.tensor(1.), torch.tensor(2.)
    result = PassResult(dict(loss_ce=one), dict(acc=two)).weighted(3.).prefixed('mix')
    assert result == PassResult({'mix.loss_ce': 3 * one}, {'mix.acc': two})
    both = result.joined(PassResult(dict(b=two)), PassResult(logs=dict(c=one)))
    assert float(both.total()) == 5 and list(both.named()) == ['mix.loss_ce', 'b', 'mix.acc', 'c']
    assert PassResult(logs=dict(a=one)).total() is None
    assert PassResult.from_mmseg(dict(loss_ce=one, acc_seg=two)) == PassResult(dict(loss_ce=one), dict(acc_seg=two))


def test_a_record_serves_several_readers():
    recorder = StepRecorder()
    assert not recorder.wanted
    recorder.request('pictures')
    recorder.request('statistics')
    recorder.record = record = object()
    recorder.release('pictures')
    assert recorder.wanted and recorder.record is record, 'another hook still reads it'
    recorder.release('statistics')
    assert not recorder.wanted and recorder.record is None


def test_the_record_of_an_earlier_step_is_not_taken_for_this_one():
    toy = Toy(lambda w: PassResult(dict(a=w)))
    toy.recorder.request('test')
    toy.step()
    assert toy.recorder.record is not None and toy.recorder.record.state.context == StepContext(0)
    toy.give = lambda w: PassResult(dict(a=w * float('nan')))
    with pytest.raises(FloatingPointError):
        toy.step()
    toy.recorder.release('test')
    assert toy.recorder.record is None


def test_a_misspelled_field_of_the_state_is_an_error():
    with pytest.raises(TypeError, match='pseudo_lable'):
        StepState(pseudo_lable=torch.ones(1))
    left = StepState(context=StepContext(0), pseudo_label=torch.ones(1)).left()
    assert list(left) == ['pseudo_label']


def test_a_method_may_leave_fields_of_its_own():

    @dataclasses.dataclass
    class Own(StepState):
        seen: int = 0

    class Counting(Toy):
        state_type = Own

        def passes(self, batch, draws, state):
            def count():
                state.seen += 1
                return PassResult(dict(a=self.weight * state.seen))
            return [Pass('one', count), Pass('two', lambda: PassResult(dict(b=self.weight * state.seen)))]

    toy = Counting(None)
    toy.recorder.request('test')
    values = toy.step()
    assert float(values['b']) == 1 and toy.recorder.record.state.left() == dict(seen=1)


def plain(value):
    """A value that compares by ``==``: tensors as lists, dataclasses and tuples as dicts and lists."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    return value


@pytest.mark.parametrize('name', ['cluda_mit', 'mic_hrda_mit', 'unimatch_v2_vit', 'diffmatch_resnet', 'deft_mit'])
def test_no_pass_changes_the_draws(name, tmp_path):
    """cluda_mit chooses detail crops by a prediction: the record has them, the draws have not."""
    run = Run(name, tmp_path)
    method = run.method
    if name == 'cluda_mit':
        method.detail_crop = method.detail_crop._replace(start=0)
    method.train()
    head = method.student.decode_head
    batch = {s: batch_of(s, s in method.labeled_streams, head.num_classes, 0, False) for s in method.streams}
    draws = method.draw_step(batch, 3)
    before = plain(copy.deepcopy(draws))
    field = dataclasses.fields(draws)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(draws, field, None)
    method.recorder.request('test')
    context = StepContext(SEED, iteration=0, total=20)
    method.train_step(batch, run.runner.optim_wrapper, draws=draws, context=context, preprocess=False)
    assert plain(draws) == before
    taken = method.recorder.record.draws
    if name == 'cluda_mit':
        assert isinstance(taken.crop_box_mix, list) and isinstance(draws.crop_box_mix, tuple)
    else:
        assert taken is draws


