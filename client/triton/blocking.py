"""One connection for callers that wait for each answer, for the Python API."""

from __future__ import annotations

import threading
from typing import Any

import grpc
from tritonclient.grpc import service_pb2_grpc

from client.errors import RowError, UnreachableError
from client.proxies import grpc_proxy
from client.triton.http_port import HTTP_PORT, is_http_port
from client.triton.request import MESSAGE_SIZES
from contract.errors import plain


class BlockingConnection:
    """Calls one server. Thread-safe.

    No call is cancelled, because that can crash Triton before 24.12 (server#7368): the connection stays open until late
    answers have come.
    """

    def __init__(self, url: str, timeout: float) -> None:
        """`url` is the server's gRPC address, host:port; `timeout` seconds are waited for an answer."""
        self._url, self._timeout = url, timeout
        self._proxy = grpc_proxy(url.rpartition(":")[0].strip("[]"))
        options = (*MESSAGE_SIZES, ("grpc.enable_http_proxy", int(bool(self._proxy))))
        self._channel = grpc.insecure_channel(url, options=options)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._lock = threading.Lock()
        self._unanswered = 0  # calls
        self._closed = False

    def infer(self, request: Any) -> Any:
        """The ModelInferResponse to a ModelInferRequest.

        Raises RowError if the server refuses it, UnreachableError if it does not answer.
        """
        with self._lock:
            self._unanswered += 1
        call = self._stub.ModelInfer.future(request)
        call.add_done_callback(self._answered)
        try:
            return call.result(timeout=self._timeout)
        except grpc.FutureTimeoutError as error:
            raise UnreachableError(f"the server did not answer within {self._timeout:g} s; raise timeout") from error
        except grpc.RpcError as error:
            host, _, port = self._url.rpartition(":")
            if is_http_port(host.strip("[]"), port, error.details() or ""):
                raise UnreachableError(f"{self._url} is {HTTP_PORT}") from error
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                through = f"; it was called through {self._proxy}, which no_proxy can except" if self._proxy else ""
                raise UnreachableError(
                    f"no server answers at {self._url} ({plain(error.details())}{through}); "
                    "start one with `python -m server`"
                ) from error
            raise RowError(plain(error.details())) from error

    def close(self) -> None:
        """Close the connection, as soon as no answer is missing."""
        with self._lock:
            self._closed = True
            if self._unanswered:
                return
        self._channel.close()

    def _answered(self, call: grpc.Future) -> None:
        """Close the connection after the last answer, if that has been asked for."""
        with self._lock:
            self._unanswered -= 1
            last = self._closed and not self._unanswered
        if last:
            self._channel.close()
