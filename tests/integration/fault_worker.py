"""A run in a process of its own, that tests may kill; imports and compilation are done once, before it forks."""

import os
import signal
from dataclasses import replace

from helpers import quick, random_data

from catran_causalbench import infer_network, validate_dataset
from catran_causalbench.config import CatranConfig, EvidenceSettings, OutputSettings

CONFIGS = {
    "catran": quick(epochs=8, cells_per_minibatch=100),
    "evidence": CatranConfig(evidence=EvidenceSettings(steps=40, pairs_per_minibatch=256)),
}


def run(name, directory):
    """Train, and leave everything in a run directory."""
    config = replace(CONFIGS[name], output=OutputSettings(edges=50, run_directory=str(directory)))
    return infer_network(validate_dataset(*random_data()), config).edges()


def run_and_die(name, directory, function, call):
    """Be killed just before the given call of a function of the module os (0 is the first)."""
    real, calls = getattr(os, function), []

    def deadly(*arguments, **options):
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        calls.append(arguments)
        return real(*arguments, **options)

    setattr(os, function, deadly)
    run(name, directory)


if __name__ != "__main__":  # as the fork server imports it: compile
    for config in CONFIGS.values():
        infer_network(validate_dataset(*random_data()), config)
