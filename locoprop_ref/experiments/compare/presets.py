"""The comparisons that have a name: data, network, epochs, schedule, seeds and methods."""

from typing import Any

from locoprop_ref.experiments.tuned import FAST, FASTEST

# Networks that classify. The steps of SGD make little progress, and those of LocoProp by K steps take several
# times as long as the others': they have 3 epochs. Every run has the authors' schedule of its own length, the
# default of `train`: one epoch longer than the run, so that the rate falls linearly over all of it and ends
# just above 0, whatever its length (below 20 epochs the schedule has no warm-up). With a constant rate the
# last epochs would show the noise of batches of 100; a schedule of one length for all would leave the short
# runs in its middle
_CLASSIFY: dict[str, Any] = {
    "data": "mnist",
    "task": "classify",
    "batch_size": 100,
    "seeds": (0, 1, 2),
    "methods": ("sgd", "rmsprop", "adam", "kfac", "locoprop-s", "locoprop-s-closed", "locoprop-m"),
    "fewer_epochs": {"sgd": 3, "locoprop-s": 3, "locoprop-m": 3},
}
# The networks of alternating minimization's announcement, whose claim is the speed of the first epoch: the
# settings are tuned for that epoch, at a constant rate. In the later ones the rate stays what it was, for
# all: a falling one would be another run than the one that was tuned, and would hide a rate that is too large
_POSTER: dict[str, Any] = {
    "data": "mnist",
    "task": "classify",
    "batch_size": 200,
    "schedule": "constant",
    "seeds": (0, 1, 2),
    "evaluate_steps": "1,2,5,10,20,50,100,200,300",
}
PRESETS: dict[str, dict[str, Any]] = {
    # some minutes on two cores; network, number of images, batches and schedule are those that the
    # settings for CURVES were tuned with
    "quick": {
        "data": "curves",
        "layers": "784-100-50-6-50-100-784",
        "batch_size": 500,
        "epochs": 12,
        "schedule_epochs": 48,
        "seeds": (0,),
        "images": (10000, 2000),
    },
    # the data set's classic network
    "standard": {
        "data": "curves",
        "batch_size": 1000,
        "epochs": 10,
        "schedule_epochs": 40,
        "seeds": (0, 1, 2),
    },
    # the authors' experiment: 99 epochs of a schedule of length 100
    "paper": {"data": "mnist", "batch_size": 1000, "epochs": 99, "schedule_epochs": 100, "seeds": (0, 1, 2)},
    # the same network and the first 20 epochs of that schedule, and beside the tuned settings those of the
    # fewest seconds, where they are stored: every one with its own number of epochs, and a schedule of that
    # length
    "fast": {
        "data": "mnist",
        "batch_size": 1000,
        "epochs": 20,
        "schedule_epochs": 100,
        "seeds": (0, 1, 2),
        "methods": (*FASTEST, *(f"{name}{FAST}" for name in FASTEST)),
    },
    # LeNet-5 with mean pooling; images row by row in a recurrent network
    "lenet": {**_CLASSIFY, "layers": "28x28x1-c5x6+2-p2-c5x16-p2-120-84-10", "epochs": 12},
    "sequential-mnist": {**_CLASSIFY, "layers": "28x28-r128-10", "epochs": 15},
    # the methods that take all images at once have 40 iterations on them
    "poster": {
        **_POSTER,
        "layers": "784-100-100-10",
        "transfer": "relu",
        "epochs": 10,
        "methods": (
            "sgd", "adam", "locoprop-s", "locoprop-s-closed", "locoprop-m", "adam-as-am", "am-sgd", "am-adam",
            "am-mem", "dtp", "offline-admm", "offline-bcd", "offline-mac",
        ),
        "fewer_epochs": {"offline-admm": 40, "offline-bcd": 40, "offline-mac": 40},
    },
    # a first layer of sign units below tanh, which DTP was made for
    "poster-signs": {
        **_POSTER,
        "layers": "784-200-200-10",
        "transfer": "sign,tanh,softmax",
        "epochs": 5,
        "methods": ("am-adam", "dtp", "ste", "ste-frozen"),
    },
}  # fmt: skip
