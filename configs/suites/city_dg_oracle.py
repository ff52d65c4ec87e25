"""Suite city_dg, upper control: joint finetuning with labels of the looks that the others never see.

No paper row. 100 images each by camera, at night, in fog and rain, on the streets of the first 400 by day.
Command: python tools/leaderboard.py configs/suites/city_dg.yml, or mim train mmseg_dg city_dg_oracle.py; nothing has
to be fetched.
Resources: 1 CPU core, batch 4, crop 128, 2000 iterations.
Score: rows of the suite (docs/leaderboard.md). Status: not run at full length.
"""
_base_ = './city_dg_joint.py'
_day = _base_.train_dataloader.source.dataset
train_dataloader = dict(
    source=dict(
        dataset=dict(
            _delete_=True,
            type='ConcatDataset',
            datasets=[
                dict(_day, domain=name, start=100 * number, num_images=100)
                for number, name in enumerate(('camera', 'night', 'fog', 'rain'))
            ])))
del _day
