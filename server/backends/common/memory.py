"""What an instance does when a batch does not fit into its memory: it halves it, and remembers what fitted."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

Joined = list[Any]  # the network's inputs or outputs, arrays or torch tensors that are joined along the batch
Run = Callable[[Joined], Joined]

# How long batches stay small after one did not fit. What took the memory may be gone then (another program, an upgrade
# that holds two versions); if it is not, finding that out costs a few failed runs every ten minutes.
REMEMBERED_SECONDS = 600.0
METRIC = "relight_out_of_memory_count"
DESCRIPTION = "Number of times that a batch, or a part of one, did not fit into an instance's memory"
WORDS = (
    "out of memory",  # CUDA, and PyTorch for it
    "can't allocate memory",  # PyTorch on the CPU
    "failed to allocate",  # ONNX Runtime
    "bad_alloc",  # C++
    "alloc_failed",  # cuBLAS and cuDNN
    "resource_exhausted",
)


class NoMemoryError(Exception):
    """One row alone does not fit; the message is a sentence with the remedy."""


class Memory:
    """Runs one instance's network on batches that fit into its memory."""

    def __init__(
        self,
        args: dict[str, str],
        network: Run,
        release: Callable[[], None],
        ran_out: Callable[[Exception], bool] | None = None,
    ) -> None:
        """Nothing is limited yet.

        Args:
            args: of the instance's `initialize`.
            network: the instance's network: its inputs → its outputs.
            release: gives back what a failed run has left in the instance's memory.
            ran_out: whether an error of `network` means that memory ran out; None: whether it says so.
        """
        device = f"GPU {args['model_instance_device_id']}" if args["model_instance_kind"] == "GPU" else "the CPU"
        self.instance = f"{args['model_instance_name']} on {device}"
        self.network, self.release, self.ran_out = network, release, ran_out or says_so
        # The largest inputs of a batch, known to fit and kept until then; in bytes, because photos differ in size.
        self.most_bytes, self.until = 0, 0.0
        self.not_told = 0  # rows of a batch of which the operator has not been told
        self.told: int | None = None  # the fewest rows at once that the operator was told
        self.family = pb_utils.MetricFamily(name=METRIC, description=DESCRIPTION, kind=pb_utils.MetricFamily.COUNTER)
        self.count = self.family.Metric(labels={"model": args["model_name"], "version": args["model_version"]})

    @property
    def limited(self) -> bool:
        """Whether batches have to be small, because a larger one did not fit."""
        return time.monotonic() < self.until

    def run(self, inputs: Joined) -> Joined:
        """The network's outputs, computed in parts of the batch where the whole does not fit.

        Raises NoMemoryError: a row does not fit even alone; or what the network raises.
        """
        rows, done = len(inputs[0]), list[Joined]()
        row_bytes = sum(tensor.nbytes for tensor in inputs) // rows
        start = 0
        while start < rows:
            part = min(rows - start, self.rows(row_bytes) if self.limited else rows)
            answers = self.attempt([tensor[start : start + part] for tensor in inputs] if part < rows else inputs)
            if answers is not None:
                done.append(answers)
                start += part
                self.tell(self.rows(row_bytes))
                continue
            self.note(part, row_bytes)
            if part == 1:
                raise NoMemoryError(
                    f"{self.instance} has not enough memory for one row alone: ask for fewer or smaller pictures, or "
                    "leave it more memory."
                )
        return [joined(parts) for parts in zip(*done, strict=True)]

    def rows(self, row_bytes: int) -> int:
        """How many rows of this size are known to fit, at least one."""
        return max(1, self.most_bytes // row_bytes)

    def attempt(self, inputs: Joined) -> Joined | None:
        """The network's outputs; None where memory ran out."""
        try:
            return self.network(inputs)
        except Exception as error:  # runtimes raise types of their own per kind of fault, without a common base
            if not self.ran_out(error):
                raise
            return None

    def note(self, rows: int, row_bytes: int) -> None:
        """Note that memory ran out: compute at most half as much at once for some time."""
        self.count.increment(1)
        self.release()  # only here, where no exception keeps any more what the failed run had made
        if rows > 1:
            self.most_bytes, self.until = rows // 2 * row_bytes, time.monotonic() + REMEMBERED_SECONDS
            self.not_told = max(rows, self.not_told)

    def tell(self, fitting: int) -> None:
        """Tell the operator that a batch did not fit, and how many of its rows do, unless that was said before."""
        rows, self.not_told = self.not_told, 0
        if rows and (self.told is None or fitting < self.told):
            self.told = fitting
            pb_utils.Logger.log_warn(
                f"{self.instance} ran out of memory with a batch of {rows}, which was then computed in parts of "
                f"{fitting}. For {REMEMBERED_SECONDS / 60:g} minutes all batches are, which is slower: serve with "
                f"--max-batch {fitting} or fewer --instances, or leave it more memory."
            )


def says_so(error: Exception) -> bool:
    """Whether an error says that memory ran out; not every runtime has a type of its own for it."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in WORDS)


def joined(parts: Any) -> Any:
    """Join arrays, or torch tensors, along the batch; a single one is not copied."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import torch  # only here: on the CPU not every backend has torch

    return torch.cat(tuple(parts))
