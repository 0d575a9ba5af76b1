"""One connection for callers that wait for each answer, for the Python API."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import grpc
from tritonclient.grpc import service_pb2_grpc

from client.errors import RowError, UnreachableError
from client.proxies import grpc_proxy
from client.triton.connection import refusal, without_tls
from client.triton.credentials import Header
from client.triton.http_port import HTTP_PORT, is_http_port
from client.triton.request import MESSAGE_SIZES
from contract.errors import plain
from contract.names import ENSEMBLE

_LAST_ANSWERS_SECONDS = 60.0  # that a connection stays open for late answers


class BlockingConnection:
    """Calls one server. Thread-safe.

    No call is cancelled, because that can crash Triton before 24.12 (server#7368): the connection stays open until late
    answers have come, also at the end of a program.
    """

    def __init__(self, url: str, timeout: float, credentials: Any = None, headers: Sequence[Header] = ()) -> None:
        """`url` is the server's gRPC address, host:port; `timeout` seconds are waited for an answer.

        `credentials` are those of a gRPC channel, None for no encryption; `headers` are sent with each call.
        """
        self._url, self._timeout, self._headers = url, timeout, tuple(headers)
        self._is_encrypted = credentials is not None
        self._proxy = grpc_proxy(url.rpartition(":")[0].strip("[]"))
        options = (*MESSAGE_SIZES, ("grpc.enable_http_proxy", int(bool(self._proxy))))
        self._channel = (
            grpc.secure_channel(url, credentials, options=options)
            if self._is_encrypted
            else grpc.insecure_channel(url, options=options)
        )
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._answers = threading.Condition()
        self._unanswered = 0  # calls

    def infer(self, request: Any) -> Any:
        """The ModelInferResponse to a ModelInferRequest.

        Raises RowError if the server refuses it, UnreachableError if it does not answer.
        """
        with self._answers:
            self._unanswered += 1
        call = self._stub.ModelInfer.future(request, metadata=self._headers)
        call.add_done_callback(self._answered)
        try:
            return call.result(timeout=self._timeout)
        except grpc.FutureTimeoutError as error:
            raise UnreachableError(f"the server did not answer within {self._timeout:g} s; raise timeout") from error
        except grpc.RpcError as error:
            if sentence := refusal(error, self._url, encrypted=self._is_encrypted):
                raise UnreachableError(sentence) from error
            host, _, port = self._url.rpartition(":")
            if is_http_port(host.strip("[]"), port, error.details() or ""):
                raise UnreachableError(f"{self._url} is {HTTP_PORT}") from error
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                through = f"; it was called through {self._proxy}, which no_proxy can except" if self._proxy else ""
                hint = "" if self._is_encrypted else without_tls(error)
                raise UnreachableError(
                    f"no server answers at {self._url} ({plain(error.details())}{hint}{through}); "
                    "start one with `python -m server`"
                ) from error
            if error.code() == grpc.StatusCode.NOT_FOUND:
                raise UnreachableError(f"the server at {self._url} does not have the model {ENSEMBLE} ready") from error
            raise RowError(plain(error.details())) from error

    def close(self) -> None:
        """Close the connection as soon as no answer is missing; a program that ends waits for that, up to a minute."""
        if self._unanswered:
            threading.Thread(target=self._close_when_answered).start()
        else:
            self._channel.close()

    def _answered(self, call: grpc.Future) -> None:
        with self._answers:
            self._unanswered -= 1
            self._answers.notify_all()

    def _close_when_answered(self) -> None:
        with self._answers:
            self._answers.wait_for(lambda: not self._unanswered, _LAST_ANSWERS_SECONDS)
        self._channel.close()
