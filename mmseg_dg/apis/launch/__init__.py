"""What ``tools/train.py`` and ``tools/test.py`` share: options, the final config, processes, the
runner.

Both also run as ``.mim/tools/*.py``. ``mim train`` looks for the characters ``--gpus`` in the help
text and then passes ``--gpus N``, or ``--device cpu`` for ``--gpus 0``;
``torch.distributed.launch``, which mim uses, passes ``--local-rank``.
"""
from .changes import (
    enable_amp,
    enable_lr_scaling,
    enable_tta,
    replace_type,
    save_predictions,
    show_predictions,
    use_plain_batch_norm,
)
from .options import (
    ConfigOptions,
    add_common_args,
    add_row_args,
    add_run_args,
    finish_args,
    warn_unknown_options,
)
from .processes import (
    DISTRIBUTED_WRAPPER,
    close_processes,
    leave_together,
    prepare_processes,
    process_number,
)
from .resuming import (
    checkpoint_folder,
    claim_work_dir,
    command_to_continue,
    say_how_to_continue,
    set_resume,
)
from .run_record import RECORD, recorded
from .runner import (
    ConfigLike,
    build_runner,
    check_weights,
    config_of_run,
    load_config,
    read_config,
)
