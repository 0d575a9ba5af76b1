"""Promises of the dispatcher: how many calls are in flight, which server gets the next, and who waits."""

import asyncio

import pytest
from tritonclient.grpc import model_config_pb2

from client.errors import UnreachableError
from client.triton.connection import Address, Connection, window_of
from client.triton.dispatch import Dispatcher, Server


def test_the_window_fills_the_busiest_network() -> None:
    small = model_config_pb2.ModelConfig(max_batch_size=0)
    small.instance_group.add(count=4)
    large = model_config_pb2.ModelConfig(max_batch_size=8)
    large.instance_group.add(count=2, gpus=[0, 1])
    assert window_of([small, large]) == 3 * 8 * 4
    large.instance_group[0].kind = large.instance_group[0].KIND_GPU
    assert window_of([small, large]) == 6 * 8 * 4


def test_a_call_goes_to_the_server_with_the_least_load_for_its_size() -> None:
    async def run() -> list[str]:
        small, large = (
            Server(Connection(Address(name, "localhost:1", "localhost"), 1, None, ()), share, share)
            for name, share in (("small", 2), ("large", 6))
        )
        dispatcher = Dispatcher()
        dispatcher.servers, dispatcher.window = (small, large), 7
        taken = [(await dispatcher.take()).connection.label for _ in range(7)]
        waiting = [asyncio.ensure_future(dispatcher.take()) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(one.done() for one in waiting), "the window is full"
        dispatcher.give_back(small)
        assert await waiting[0] is small
        dispatcher.end("no hope")
        with pytest.raises(UnreachableError, match="no hope"):
            await waiting[1]
        return taken

    taken = asyncio.run(run())
    assert (taken.count("small"), taken.count("large")) == (2, 5)


def test_a_call_that_is_to_be_alone_waits_until_no_other_is_in_flight_and_they_for_it() -> None:
    async def run() -> None:
        server = Server(Connection(Address("one", "localhost:1", "localhost"), 1, None, ()), 4, 4)
        dispatcher = Dispatcher()
        dispatcher.servers, dispatcher.window = (server,), 4
        await dispatcher.take()
        alone, another = (asyncio.ensure_future(dispatcher.take(lone)) for lone in (True, False))
        await asyncio.sleep(0)
        assert not alone.done()
        assert not another.done()
        dispatcher.give_back(server)
        await alone
        assert not another.done()
        dispatcher.give_back(server, alone=True)
        await another

    asyncio.run(run())
