"""Chunks side by side: the same results, and torch as it was afterwards."""

import os
import threading

import pytest
import torch

from lensphys.threads import map_chunks, side_by_side


@pytest.fixture(params=[1, 3])
def threads(request):
    """Torch on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_chunks(threads):
    with side_by_side():
        assert map_chunks(lambda a, b: a - b, [(i, 1) for i in range(9)]) == list(range(-1, 8))


def test_torch_has_one_thread_in_each_and_gets_its_own_back(threads):
    with side_by_side():
        inside = map_chunks(lambda _: torch.get_num_threads(), [(i,) for i in range(6)])
        assert {*inside, torch.get_num_threads()} == {1}
    assert torch.get_num_threads() == threads


def test_outside_of_it_chunks_are_worked_through_here(threads):
    here = threading.get_ident()
    assert set(map_chunks(lambda _: threading.get_ident(), [(1,), (2,)])) == {here}


@pytest.mark.parametrize("grad", [False, True])
def test_gradients_are_on_or_off_as_outside(threads, grad):
    with side_by_side(), torch.set_grad_enabled(grad):
        assert map_chunks(lambda _: torch.is_grad_enabled(), [(1,), (2,)]) == [grad, grad]
    with side_by_side(), torch.inference_mode():
        assert map_chunks(lambda _: torch.is_inference_mode_enabled(), [(1,), (2,)]) == [True, True]


def test_an_error_in_a_chunk_is_raised_and_threads_are_given_back(threads):
    with pytest.raises(ZeroDivisionError), side_by_side():
        map_chunks(lambda n: 1 / n, [(1,), (0,)])
    assert torch.get_num_threads() == threads


def test_a_forked_process_has_threads_of_its_own(threads):
    with side_by_side():
        map_chunks(abs, [(1,), (2,)])
        child = os.fork()
        if not child:
            os._exit(map_chunks(abs, [(-1,), (-2,)]) != [1, 2])
        assert os.waitpid(child, 0)[1] == 0
