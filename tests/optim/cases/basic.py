"""The optimizers of the main job, and the transformations that many share."""

from funcdl import optim
from tests.optim.cases.case import Case, followed_by_lr

CASES = {
    "adadelta": Case(lambda: optim.adadelta(weight_decay=0.1), optim.adadelta, 4.0, 1.0),
    "adam": Case(lambda: optim.adam(weight_decay=0.1, amsgrad=True), optim.adam, 0.05, 0.02),
    "adamw": Case(optim.adamw, lambda lr: optim.adamw(lr, weight_decay=1e-6), 0.05, 0.02),
    "add_decayed_weights": Case(
        lambda: optim.add_decayed_weights(0.1), followed_by_lr(optim.add_decayed_weights(1e-6)), 0.1, 1e-3
    ),
    "clip_by_global_norm": Case(
        lambda: optim.clip_by_global_norm(0.5), followed_by_lr(optim.clip_by_global_norm(1.0)), 0.1, 1e-3, nan="tree"
    ),
    "scale_by_adadelta": Case(optim.scale_by_adadelta, followed_by_lr(optim.scale_by_adadelta()), 4.0, 1.0),
    "scale_by_adam": Case(optim.scale_by_adam, followed_by_lr(optim.scale_by_adam()), 0.05, 0.02),
    "scale_by_learning_rate": Case(lambda: optim.scale_by_learning_rate(0.1), optim.scale_by_learning_rate, 0.1, 1e-3),
    "sgd": Case(
        lambda: optim.sgd(0.1, 0.9, weight_decay=0.1, nesterov=True), lambda lr: optim.sgd(lr, 0.9), 0.05, 3e-4
    ),
    "trace": Case(lambda: optim.trace(0.9, 0.1), followed_by_lr(optim.trace(0.9)), 0.05, 3e-4),
}
