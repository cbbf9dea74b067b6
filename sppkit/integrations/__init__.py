"""At home in other people's training: trainers that record, trackers that are told.

    from sppkit.integrations.lightning import SignalPropagationCallback
    from sppkit.integrations.tensorboard import TensorBoardTracker

Trainers: `lightning`, `transformers` and `accelerate`; what their callbacks share is an
`attachment`. Trackers: `tensorboard`, `wandb` and `mlflow`, each a `tracker`, which writes the
`scalars` it chose. Every one of these six imports its library, which an extra of sppkit brings, and
is imported by nothing else; `libraries` says so where the library is missing.
"""
