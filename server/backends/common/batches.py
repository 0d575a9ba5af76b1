"""What our Python-based backends have in common: requests → batches, and a batch's answers → responses.

The embedded server copies this file beside each backend's model.py.
"""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

Symbols = dict[str, tuple[int | str, ...]]  # by input its sizes as the network has them, variable ones by name
Run = Callable[[list[list[Any]]], list[Any]]  # the input tensors of each request → the response to each


def model_file(args: dict[str, str], name: str) -> Path:
    """The file `name` in the folder of the version to be served.

    Raises pb_utils.TritonModelException: there is none.
    """
    file = Path(args["model_repository"]) / args["model_version"] / name
    if not file.exists():
        raise pb_utils.TritonModelException(f"{file} is missing: export the networks first, `python -m export`")
    return file


def answer_fitting(requests: list[Any], symbols: Symbols, respond: Callable[[list[Any]], list[Any]]) -> list[Any]:
    """Refuse requests whose tensors do not fit each other (INVALID_ARG); `respond` answers the others, together."""
    faults = [misfit(request, symbols) for request in requests]
    fitting = [request for request, fault in zip(requests, faults, strict=True) if not fault]
    responses = iter(respond(fitting) if fitting else [])
    return [
        pb_utils.InferenceResponse(error=pb_utils.TritonError(fault, pb_utils.TritonError.INVALID_ARG))
        if fault
        else next(responses)
        for fault in faults
    ]


def misfit(request: Any, symbols: Symbols) -> str:
    """What is wrong with the sizes of a request's tensors, in a sentence; empty where nothing is."""
    sizes: dict[str, tuple[str, int]] = {}
    for name, own in symbols.items():
        shape = tuple(pb_utils.get_input_tensor_by_name(request, name).shape())
        if 0 in shape:
            return f"{name} is empty, {list(shape)}: send at least one row of it."
        for symbol, size in zip(own[1:], shape[1:], strict=False):
            other, expected = sizes.setdefault(symbol, (name, size)) if isinstance(symbol, str) else (name, size)
            if size != expected:
                return f"{name} has {size} rows where {other} has {expected}: send as many of each."
    return ""


def answer(requests: list[Any], names: list[str], run: Run) -> list[Any]:
    """Answer requests for the inputs `names`: those whose tensors agree in shape (batch aside) share one run."""
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = defaultdict(list)
    tensors = [[pb_utils.get_input_tensor_by_name(request, name) for name in names] for request in requests]
    for index, inputs in enumerate(tensors):
        groups[tuple(tuple(tensor.shape()[1:]) for tensor in inputs)].append(index)
    responses: list[Any] = [None] * len(requests)
    for members in groups.values():
        for index, response in zip(members, run_or_split([tensors[i] for i in members], run), strict=True):
            responses[index] = response
    return responses


def run_or_split(batch: list[list[Any]], run: Run) -> list[Any]:
    """Run requests together; if that fails, one by one, so that only the one at fault is refused."""
    try:
        return run(batch)
    except Exception as error:  # runtimes raise types of their own per kind of fault, without a common base
        if len(batch) == 1:
            return [pb_utils.InferenceResponse(error=failure(error))]
        return [run_or_split([inputs], run)[0] for inputs in batch]


def failure(error: Exception) -> Any:
    """Triton's error for one of a runtime's: the caller's fault where ONNX Runtime says that a tensor's content is."""
    if "INVALID_ARGUMENT" in str(error):
        sentence = "The network cannot compute with these tensors: send finite numbers within their ranges."
        return pb_utils.TritonError(sentence, pb_utils.TritonError.INVALID_ARG)
    return pb_utils.TritonError(str(error))


def rows_of(batch: list[list[Any]]) -> list[int]:
    """How many rows each request brings."""
    return [inputs[0].shape()[0] for inputs in batch]


def join_on_cpu(batch: list[list[Any]], position: int) -> npt.NDArray[Any]:
    """Concatenate one input of all requests along the batch; a single one is not copied."""
    parts = [inputs[position].as_numpy() for inputs in batch]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def split_on_cpu(names: list[str], answers: list[npt.NDArray[Any]], rows: list[int]) -> list[Any]:
    """Cut the joined answers into one response per request."""
    ends = np.cumsum(rows)
    return [
        pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, joined[end - count : end]) for name, joined in zip(names, answers, strict=True)]
        )
        for count, end in zip(rows, ends, strict=True)
    ]


def join_on_gpu(batch: list[list[Any]], position: int, device: Any) -> Any:
    """Concatenate one input of all requests to a torch tensor on `device`, by DLPack, without touching the CPU."""
    import torch.utils.dlpack  # only here: on the CPU not every backend has torch

    parts = [torch.utils.dlpack.from_dlpack(inputs[position].to_dlpack()).to(device) for inputs in batch]
    return (torch.cat(parts) if len(parts) > 1 else parts[0]).contiguous()


def split_on_gpu(names: list[str], answers: list[Any], rows: list[int], device: Any) -> list[Any]:
    """Cut the joined answers, torch tensors on `device`, into one response per request; they leave by DLPack."""
    import torch

    pieces = [[piece.contiguous() for piece in torch.split(joined, rows)] for joined in answers]
    torch.cuda.synchronize(device)  # Triton reads them on a stream of its own
    return [
        pb_utils.InferenceResponse(
            [
                pb_utils.Tensor.from_dlpack(name, parts[index].__dlpack__())
                for name, parts in zip(names, pieces, strict=True)
            ]
        )
        for index in range(len(rows))
    ]
