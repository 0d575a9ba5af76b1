"""What our Python-based backends have in common: requests → batches, and a batch's answers → responses.

The embedded server copies this file beside each backend's model.py.
"""

from collections import defaultdict
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils
from memory import Joined, Run, joined

Symbols = dict[str, tuple[int | str, ...]]  # by input its sizes as the network has them, variable ones by name


def model_file(args: dict[str, str], name: str) -> Path:
    """The file `name` in the folder of the version to be served.

    Raises pb_utils.TritonModelException: there is none.
    """
    file = Path(args["model_repository"]) / args["model_version"] / name
    if not file.exists():
        raise pb_utils.TritonModelException(f"{file} is missing: export the networks first, `python -m export`")
    return file


def answer_fitting(requests: list[Any], symbols: Symbols, reply: Callable[[list[Any]], list[Any]]) -> list[Any]:
    """Refuse requests whose tensors do not fit each other (INVALID_ARG); `reply` answers the others, together."""
    faults = [misfit(request, symbols) for request in requests]
    fitting = [request for request, fault in zip(requests, faults, strict=True) if not fault]
    responses = iter(reply(fitting) if fitting else [])
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


def answer(requests: list[Any], names: list[str], outputs: list[str], run: Run, device: Any = None) -> list[Any]:
    """Answer requests: those whose inputs agree in shape (batch aside) share one run.

    Args:
        requests: to be answered; so many responses are returned.
        names: of the inputs, in the order of `run`.
        outputs: names of the outputs in the order of `run`.
        run: the network's inputs, joined along the batch → its outputs; arrays on the CPU, torch tensors on a GPU.
        device: the GPU, a torch.device; None for the CPU.
    """
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = defaultdict(list)
    tensors = [[pb_utils.get_input_tensor_by_name(request, name) for name in names] for request in requests]
    for index, inputs in enumerate(tensors):
        groups[tuple(tuple(tensor.shape()[1:]) for tensor in inputs)].append(index)
    responses: list[Any] = [None] * len(requests)
    for members in groups.values():
        batch = [tensors[index] for index in members]
        for index, response in zip(members, respond(batch, outputs, run, device), strict=True):
            responses[index] = response
    return responses


def respond(batch: list[list[Any]], outputs: list[str], run: Run, device: Any) -> list[Any]:
    """Run requests together; if that fails, one by one, so that only the one at fault is refused."""
    try:
        answers = run([joined([load(tensor, device) for tensor in parts]) for parts in zip(*batch, strict=True)])
        return split(outputs, answers, [inputs[0].shape()[0] for inputs in batch], device)
    except Exception as error:  # runtimes raise types of their own per kind of fault, without a common base
        if len(batch) == 1:
            return [pb_utils.InferenceResponse(error=failure(error))]
    return [respond([inputs], outputs, run, device)[0] for inputs in batch]


def failure(error: Exception) -> Any:
    """Triton's error for one of a runtime's: the caller's fault where ONNX Runtime says that a tensor's content is."""
    if "INVALID_ARGUMENT" in str(error):
        sentence = "The network cannot compute with these tensors: send finite numbers within their ranges."
        return pb_utils.TritonError(sentence, pb_utils.TritonError.INVALID_ARG)
    return pb_utils.TritonError(str(error))


def load(tensor: Any, device: Any) -> Any:
    """A request's tensor as an array, or as a torch tensor on `device`, by DLPack, without touching the CPU."""
    if device is None:
        return tensor.as_numpy()
    import torch.utils.dlpack  # only here: on the CPU not every backend has torch

    return torch.utils.dlpack.from_dlpack(tensor.to_dlpack()).to(device)


def split(names: list[str], answers: Joined, rows: list[int], device: Any) -> list[Any]:
    """Cut joined outputs into one response per request; from `device` they leave by DLPack."""
    ends = list(accumulate(rows))
    pieces = [[tensor[end - count : end] for tensor in answers] for count, end in zip(rows, ends, strict=True)]
    if device is None:
        return [pb_utils.InferenceResponse(list(map(pb_utils.Tensor, names, own))) for own in pieces]
    import torch

    pieces = [[tensor.contiguous() for tensor in own] for own in pieces]
    torch.cuda.synchronize(device)  # Triton reads them on a stream of its own
    return [
        pb_utils.InferenceResponse(
            [pb_utils.Tensor.from_dlpack(name, tensor.__dlpack__()) for name, tensor in zip(names, own, strict=True)]
        )
        for own in pieces
    ]
