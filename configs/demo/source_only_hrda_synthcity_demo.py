"""Demo of HRDA, lower control: its network on the built-in city by day only.

No paper row. Command: make demo METHOD=hrda, or mim train mmseg_dg source_only_hrda_synthcity_demo.py; nothing has to
be fetched. Network, initial weights, images by day and number of iterations are those of hrda_synthcity_demo.py.
Resources: 1 CPU core, batch 2, crop 256 with details of 128, 150 iterations; not timed.
Score: README.md in this folder. Status: run by the tests.
"""
_base_ = './hrda_synthcity_demo.py'
_base_.train_dataloader.pop('target')
_base_.pop('runner_type')
_base_.pop('custom_hooks')
model = dict(
    _delete_=True,
    type='Supervised',
    network=_base_.model.network,
    data_preprocessor=_base_.model.data_preprocessor)
