"""Items that are made ahead in a second thread come in their order, with their errors, and in bounded number."""

import threading

import pytest

from catran_causalbench.utils.parallel import prefetched

LONG = 60  # seconds, before a test fails that would hang


def test_items_keep_their_order():
    with prefetched(range(100)) as items:
        assert [*items] == [*range(100)]
    with prefetched([]) as items:
        assert not [*items]


def test_one_item_is_made_while_another_is_used():
    begun = [threading.Event() for _ in range(4)]

    def make():
        for number, event in enumerate(begun):
            event.set()
            yield number

    with prefetched(make()) as items:
        assert begun[0].wait(LONG), "the first is not waited for"
        assert next(items) == 0
        assert begun[1].wait(LONG)
        assert not begun[2].is_set(), "no more than one is kept"


def test_an_error_is_raised_where_its_item_is_asked_for():
    def make():
        yield 1
        raise OSError("broken")

    with prefetched(make()) as items:
        assert next(items) == 1
        with pytest.raises(OSError, match="broken"):
            next(items)


def test_nothing_is_being_made_after_an_error_of_the_caller():
    made = []

    def make():
        yield 0
        threading.Event().wait(0.1)
        made.append(1)
        yield 1
        made.append(2)

    def use():
        with prefetched(make()) as items:
            next(items)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert made == [1]
