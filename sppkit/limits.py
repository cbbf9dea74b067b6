"""Situations that break collectors, and what sppkit does in each.

docs/limits.md and `sppkit doctor --limits` show this table; tests/conformance holds its lines.
"""

from typing import NamedTuple


class Situation(NamedTuple):
    """A situation, and what sppkit answers: the right number, a reason, or an error."""

    title: str
    answer: str


SITUATIONS: dict[str, tuple[Situation, ...]] = {
    "In-place operations and what flows": (
        Situation(
            "An in-place operation follows a hooked layer",
            "Right numbers. Values are reduced inside the hook, gradients come through "
            "hooks on tensors; module backward hooks, which raise here, are never used.",
        ),
        Situation(
            "Which gradient is meant when the output is overwritten",
            "The gradient of the value as the layer returned it, before the write.",
        ),
        Situation(
            "A collector that keeps outputs sees what overwrote them",
            "Nothing is kept: summaries only, and weak references while tracing.",
        ),
        Situation(
            "A layer returns its input (Identity, Dropout in eval mode, containers)",
            "One read; the other rows repeat it, flagged `alias of PLACE`.",
        ),
        Situation(
            "Functional calls have no module",
            "Merges and branch ends written as functions are rows of their own; "
            '`granularity="operation"` records every call with the module it runs in.',
        ),
        Situation(
            "Adding operations to the user's graph changes it",
            "Only reads: outputs, gradients, buffers and random numbers are bit-identical.",
        ),
    ),
    "Hooks": (
        Situation(
            "A hook fails",
            "The user's pass goes on; the layer and the reason are in `not_captured`.",
        ),
        Situation(
            "The forward raises, or is interrupted",
            "Every hook is gone, the function mode is left, the step is dropped and said.",
        ),
        Situation(
            "`register_hook` on a tensor without gradient raises",
            "It is not called; the row's gradient has a reason.",
        ),
        Situation(
            "Random numbers drawn by a tool change the user's run",
            "None is drawn outside a probe, and a probe restores every generator.",
        ),
        Situation(
            "Hooks of other tools on the same model",
            "Theirs stay; ours read what the layer returns in the order of registration.",
        ),
        Situation(
            "A notebook cell is run again, or two recorders are open",
            "Each recording has its own rows, once.",
        ),
        Situation(
            "Reading a value in a hook makes the host wait for the device",
            "Summaries stay on their device; one transfer at the end of the step.",
        ),
        Situation(
            "Hooks cost time in every step",
            "They are absent between recorded steps (`every=N`).",
        ),
    ),
    "Outputs and inputs of every kind": (
        Situation(
            "Outputs in dicts, lists, dataclasses",
            "Walked without being rebuilt; `tensor` holds the path.",
        ),
        Situation(
            "Named tuples and packed sequences",
            "Read, never rebuilt.",
        ),
        Situation(
            "The channel axis differs by layer",
            "Follows the operations (convolutions second, linear layers last, through "
            "reshapes and permutations); undecided is a reason, `channel_axis=` decides.",
        ),
        Situation(
            "Integers, booleans, complex, quantised, sparse, fp8, meta tensors",
            "Read where their values are numbers of a signal, a reason otherwise.",
        ),
        Situation(
            "Nested tensors of a transformer with a padding mask",
            "Their values are read, the last axis as channels.",
        ),
        Situation(
            "Padding positions distort statistics",
            "`mask=` leaves them out; rows it does not fit are flagged.",
        ),
        Situation(
            "One sample, 1x1 maps, empty batches",
            "Variances are biased and therefore defined; `samples` says how few values; an "
            "empty tensor is a row with none.",
        ),
    ),
    "Which layers, how often, in which order": (
        Situation(
            "A layer is used several times",
            "One row per call.",
        ),
        Situation(
            "Registration order is not execution order",
            "`depth` ranks layers by execution, parents behind their parts.",
        ),
        Situation(
            "Tied weights",
            "Read once; the other name is an alias.",
        ),
        Situation(
            "Parametrised weights run modules at every access",
            "Their modules are not hooked; the effective weight is a signal of its own.",
        ),
        Situation(
            "Modules that are never called, such as MultiheadAttention's `out_proj`",
            "Named in `not_captured`.",
        ),
        Situation(
            "Experts without tokens, branches that run now and then",
            "Not called, called with nothing, and a value are three different answers; a "
            "layer that appears later causes a new plan.",
        ),
        Situation(
            "`module.forward()` is called directly",
            "No hook runs; the layer is listed as never called.",
        ),
        Situation(
            "The fused path of transformer layers in eval mode skips their parts",
            "With hooks inside, torch takes the plain path: all parts are seen.",
        ),
        Situation(
            "Activation checkpointing repeats calls",
            "Every call once, with its gradient, reentrant or not.",
        ),
        Situation(
            "Lazy modules have no weights before the first call",
            "Weights are read at the end of the step, when they exist.",
        ),
    ),
    "Numbers": (
        Situation(
            "Half precision overflows and rounds",
            "Lifted to float32 before anything is added.",
        ),
        Situation(
            "E[x²] - E[x]² cancels",
            "Deviations from the channel's mean, corrected; merged in float64.",
        ),
        Situation(
            "Gradients of 1e-24, values of 1e20",
            "Scaled by a power of two per channel before they are squared.",
        ),
        Situation(
            "Autocast casts a hook's own arithmetic",
            "Switched off inside the read.",
        ),
        Situation(
            "Quantiles of large tensors fail or are slow",
            "Taken from counts per power of two, in the same read.",
        ),
        Situation(
            "Devices without float64",
            "Buffers are float32 there; squares below 1e-38 vanish.",
        ),
        Situation(
            "Variances of one value, unbiased, are NaN",
            "All variances are biased: defined, and additive over parts.",
        ),
    ),
    "Training loops": (
        Situation(
            "A gradient scaler multiplies every gradient",
            "Given `scaler=`, divided by the scale that was used; skipped steps are flagged.",
        ),
        Situation(
            "Gradient accumulation",
            "Weight gradients are the sum that the optimiser sees; activations merge by size.",
        ),
        Situation(
            "A mean loss shrinks gradients with the batch",
            "`batch` and the reduction are stored; `per_sample_gradients` undoes it.",
        ),
        Situation(
            "Clipping, or `zero_grad`, before the gradients are read",
            "Raw gradients are read when accumulated; changed ones are a second signal.",
        ),
        Situation(
            "Several forwards before a backward, several models in a loop",
            "Each pass has its own slots; each recorder its own steps.",
        ),
        Situation(
            "Probes update BatchNorm statistics, modes, gradients",
            "All restored, bit for bit, after success and failure.",
        ),
        Situation(
            "Eval mode hides what initialisation does",
            "Probes run in train mode by default; `phase` keeps train and eval apart.",
        ),
        Situation(
            "No backward pass",
            "Said: forward only.",
        ),
        Situation(
            "Frozen layers",
            "A missing gradient is a reason, not a zero.",
        ),
        Situation(
            "Memory grows over a long run",
            "Only by the rows of the table.",
        ),
    ),
    "Life with the model": (
        Situation(
            "A recorded model is deep-copied, pickled, saved",
            "The copy carries hooks that do nothing; the original goes on.",
        ),
        Situation(
            "Copies for moving averages, data loader workers, `torch.save`",
            "The original is recorded, the copies are silent.",
        ),
        Situation(
            "Modules are replaced, added or removed while recording",
            "Recorded from the next pass on; a step that may hold both is flagged.",
        ),
        Situation(
            "Scripted, traced and exported modules never call hooks",
            "As a whole refused with the way out; as a part left out with a reason.",
        ),
        Situation(
            "`torch.func` transforms and vmap",
            "Left out with a reason; the transform is not disturbed.",
        ),
        Situation(
            "Several threads call the model",
            "The first is heard, calls in others meanwhile are left out with a reason.",
        ),
        Situation(
            "Weights that are elsewhere until they are needed (offloading, meta device)",
            "Activations are read; weights have a reason while they are not there.",
        ),
    ),
    "Compilation": (
        Situation(
            "A compiled model ignores hooks, or breaks its graph at them",
            "Attached before the first call: one graph, no break, the table of eager.",
        ),
        Situation(
            "Hooks are registered after the first compiled call",
            "Noticed: a warning, everything compiles again, and the reason is kept.",
        ),
        Situation(
            "A second instance of a compiled class shares its code",
            "The same warning; its hooks run.",
        ),
        Situation(
            "Global and root hooks see the compiled wrapper",
            "Hooks are on the modules inside; layers keep their own names.",
        ),
        Situation(
            "Backward hooks break compiled graphs",
            "Gradients come through hooks on tensors, in the same graph.",
        ),
        Situation(
            "CUDA graphs replay kernels and no Python",
            "A warning and a reason.",
        ),
        Situation(
            "Functional merges in compiled code",
            "No hook reaches them: a reason; layers have their rows.",
        ),
    ),
    "Many processes": (
        Situation(
            "Each rank sees its shard of the batch",
            "Merged exactly as (n, mean, M2) on rank 0, gradients as of the whole batch.",
        ),
        Situation(
            "One collective per statistic is slow",
            "One tiny exchange and one packed collective per recorded step.",
        ),
        Situation(
            "Sharded parameters (FSDP2), empty shards",
            "Local shards are read and merged as parts of one tensor.",
        ),
        Situation(
            "Partitioned parameters (FSDP1, DeepSpeed ZeRO)",
            "Activations only; the weights have a reason.",
        ),
        Situation(
            "`nn.DataParallel` runs copies in threads",
            "Refused with the way out.",
        ),
        Situation(
            "Ranks that ran different layers (branches, pipeline, tensor parallelism)",
            "Their rows keep the number of the rank; nothing is merged wrongly.",
        ),
        Situation(
            "A rank raises, dies, or records alone",
            "The others do not wait for ever; what they measured is theirs.",
        ),
        Situation(
            "BatchNorm couples the samples of each rank",
            "Said in the remarks.",
        ),
    ),
    "Long runs and large tensors": (
        Situation(
            "A long recorded run fills the memory",
            "`run_directory=` writes rows in parts and holds those of one; without it a row takes "
            "about 300 bytes.",
        ),
        Situation(
            "The run is killed",
            "Parts on disk are whole files; what was not written yet is lost, and no more.",
        ),
        Situation(
            "The disk is full, or the folder cannot be written",
            "An error that names the file, after the optimiser's step; the rows are kept and tried "
            "again.",
        ),
        Situation(
            "Two recordings are to write one folder",
            "The second is refused before its first step; nothing is overwritten.",
        ),
        Situation(
            "Reading every layer in every step is too slow",
            "`every`, `schedule`, `layers_per_step`; layers whose turn it is not carry no hook.",
        ),
        Situation(
            "Activations are too large to be read whole",
            "`max_elements=` reads whole samples, as many as fit, and the row says which.",
        ),
        Situation(
            "There is no compiler for the C kernel",
            "Torch operations read instead, more slowly; `sppkit doctor` says so.",
        ),
    ),
    "Residual merges": (
        Situation(
            "Blocks of anyone's network, in-place sums, transformers, three operands",
            "Found by provenance, without naming a layer.",
        ),
        Situation(
            "Gates (Highway)",
            "Reported as parallel branches, not drawn as blocks.",
        ),
        Situation(
            "Dense concatenations",
            "Reported as concatenations.",
        ),
        Situation(
            "Rotary embeddings, tanh-GELU",
            "Arithmetic, no merge.",
        ),
        Situation(
            "Merges that no paper calls blocks, in-place sums on views, short unrolled recurrences",
            "Found as what they are topologically; a pattern overrides.",
        ),
    ),
    "Training": (
        Situation(
            "A training is killed at any moment",
            "`--resume` goes on from the last flush, on a CPU to the same losses, to the bit.",
        ),
        Situation(
            "A divergence follows within a look or two of its cause (a bad batch, a rate times 30)",
            "No warning comes before the loss. Rules that compare with earlier steps need ten "
            "looks, ten steps apart; the first hundred steps are not watched by them.",
        ),
        Situation(
            "Sharded parameters with unit-wise clipping, averages, float16 or compilation",
            "Refused by name; DDP takes them.",
        ),
        Situation(
            "Processes whose recordings tell different things",
            "Only the first rank has merged rows; it decides whether a run stops.",
        ),
    ),
}
