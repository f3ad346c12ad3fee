"""`sutra.compat.hnswlib.Index` does what hnswlib documents."""

import copy
import pickle
import threading

import numpy as np
import pytest

from sutra.compat import hnswlib

ROWS = np.random.default_rng(0).random((10, 4), dtype=np.float32)  # of `make()`


def truth(space, rows, queries):
    """Distances as hnswlib defines them, in float64."""
    rows, queries = rows.astype(np.float64), queries.astype(np.float64)
    if space == "l2":
        return ((queries[:, None] - rows) ** 2).sum(axis=2)
    if space == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return 1 - queries @ rows.T


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_distances_are_hnswlibs(make, space):
    index = make(space=space, M=16, ef_construction=100, random_seed=7)
    index.set_ef(20)
    queries = np.random.default_rng(1).standard_normal((3, 4))
    labels, distances = index.knn_query(queries, k=10)
    expected = truth(space, ROWS, queries)
    assert labels.dtype == np.uint64
    assert distances.dtype == np.float32
    assert labels.shape == distances.shape == (3, 10)
    assert (labels == np.argsort(expected, axis=1)).all()
    np.testing.assert_allclose(distances, np.sort(expected, axis=1), rtol=1e-4, atol=1e-5)


def test_a_zero_vector_lies_at_one_from_everything(make):
    _, distances = make(space="cosine").knn_query(np.zeros(4), k=3)
    assert (distances == 1).all()


def test_one_query_is_a_row_and_one_neighbour_the_default(make):
    labels, distances = make().knn_query(ROWS[3])
    assert labels.tolist() == [[3]]
    assert distances.tolist() == [[0]]


def test_properties(lib):
    index = lib.Index("ip", 6)
    assert (index.space, index.dim, index.ef) == ("ip", 6, 10)
    assert (index.M, index.ef_construction, index.max_elements, index.element_count) == (0, 0, 0, 0)
    index.set_ef(33)
    index.init_index(5, 12, 30)
    assert (index.M, index.ef_construction, index.max_elements) == (12, 30, 5)
    assert index.ef == 33
    index.ef = 44
    assert index.ef == 44
    index.add_items(np.eye(6)[:3])
    assert index.element_count == index.get_current_count() == 3
    assert index.get_max_elements() == 5
    assert repr(index).endswith("hnswlib.Index(space='ip', dim=6)>")


def test_threads(lib):
    index = lib.Index("l2", 4)
    assert index.num_threads >= 1
    index.set_num_threads(3)
    assert index.num_threads == 3
    index.num_threads = 2
    assert index.num_threads == 2
    index.init_index(100)
    index.add_items(ROWS, num_threads=1)
    assert index.knn_query(ROWS, num_threads=2)[0].ravel().tolist() == list(range(10))


@pytest.mark.parametrize("name", ["space", "dim", "M", "ef_construction", "max_elements"])
def test_what_can_only_be_read(make, name):
    with pytest.raises(AttributeError):
        setattr(make(), name, 3)


@pytest.mark.parametrize(("given", "used"), [(1, 8), (8, 8), (9, 16), (17, 24), (48, 32)])
def test_m_is_rounded_up_and_reported_as_given(given, used):
    index = hnswlib.Index("l2", 4)
    index.init_index(5, M=given, ef_construction=10)
    assert given == index.M
    assert index.ef_construction == max(given, 10)
    assert index._index.stats()["m"] == used


def test_wide_construction_is_capped_and_reported_as_given():
    index = hnswlib.Index("l2", 4)
    index.init_index(5, ef_construction=10_000)
    assert index.ef_construction == 10_000
    assert index._index.stats()["ef_construction"] == 4096


def test_labels_go_on_from_the_number_of_rows_added(make):
    index = make()
    index.add_items(np.ones(4))
    index.add_items([[1, 2, 3, 4]] * 2)
    assert sorted(index.get_ids_list()) == list(range(13))
    index.add_items([1, 2, 3, 4], [100])
    index.add_items([4, 3, 2, 1])
    assert sorted(index.get_ids_list()) == [*range(13), 14, 100]
    index.add_items([4, 3, 2, 1], 50)
    assert index.get_items([50]).tolist() == [[4, 3, 2, 1]]


def test_nothing_is_added_from_nothing(make):
    index = make()
    index.add_items(np.empty((0, 4)))
    assert index.element_count == 10


def test_a_label_that_is_there_is_updated(make):
    index = make()
    index.add_items([[9, 9, 9, 9], [7, 7, 7, 7]], [3, 12])
    assert index.element_count == 11
    assert index.get_items([3, 12]).tolist() == [[9] * 4, [7] * 4]
    labels, distances = index.knn_query([9, 9, 9, 9])
    assert labels.tolist() == [[3]]
    assert distances.tolist() == [[0]]
    assert 3 not in index.knn_query(ROWS[3], k=5)[0]


def test_of_a_label_given_twice_the_last_row_counts(make):
    index = make(0)
    index.add_items([[1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]], [5, 6, 5], num_threads=1)
    assert sorted(index.get_ids_list()) == [5, 6]
    assert index.get_items([5, 6]).tolist() == [[3] * 4, [2] * 4]
    index.add_items([4, 4, 4, 4])
    assert sorted(index.get_ids_list()) == [3, 5, 6]


def test_no_more_than_max_elements(make):
    index = make(room=11)
    index.add_items(np.ones(4))
    with pytest.raises(RuntimeError):
        index.add_items(np.ones(4))
    assert index.element_count == 11
    index.add_items(np.ones(4), [4])  # an update needs no room
    index.resize_index(12)
    assert index.max_elements == 12
    index.add_items(np.ones(4), [77])
    with pytest.raises(RuntimeError):
        index.resize_index(11)


def test_a_batch_too_large_adds_nothing():
    index = hnswlib.Index("l2", 4)
    index.init_index(12)
    index.add_items(ROWS)
    with pytest.raises(RuntimeError, match="3 new elements exceed the limit: there are 10 of 12"):
        index.add_items(ROWS[:3])
    assert index.element_count == 10
    index.add_items(ROWS[:2])
    assert index.get_ids_list() == list(range(12))


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        (np.ones((2, 5)), None),
        (np.ones((2, 5, 4)), None),
        (np.ones((2, 4)), [1]),
        (np.ones((2, 4)), [1, 2, 3]),
    ],
)
def test_shapes_that_do_not_fit(make, data, ids):
    index = make()
    with pytest.raises(RuntimeError):
        index.add_items(data, ids)
    assert index.element_count == 10


def test_what_sutra_refuses_besides(tmp_path):
    index = hnswlib.Index("l2", 4)
    for call in (
        lambda: index.knn_query(ROWS),
        lambda: index.add_items(ROWS),
        lambda: index.mark_deleted(1),
        lambda: index.get_items([1]),
        lambda: index.resize_index(9),
        lambda: index.save_index(tmp_path / "nothing"),
    ):
        with pytest.raises(RuntimeError, match="not made yet: call init_index or load_index"):
            call()
    index.init_index(20)
    index.add_items(ROWS)
    for call, text in (
        (lambda: index.knn_query(np.ones(5)), "expected vectors of length 4, not 5"),
        (lambda: index.add_items([1, 2, np.nan, 4]), "NaN"),
        (lambda: index.add_items(np.ones(4), [-1]), "id"),
        (lambda: index.add_items(np.ones(4), np.array([2**63], np.uint64)), "below 2"),
        (lambda: index.set_ef(0), "ef=0"),
        (lambda: hnswlib.Index("l2", 0), "dim=0"),
    ):
        with pytest.raises(RuntimeError, match=text):
            call()
    assert index.get_ids_list() == list(range(10))


def test_unknown_spaces_and_a_second_start(lib, make):
    with pytest.raises(RuntimeError):
        lib.Index("hamming", 4)
    with pytest.raises(RuntimeError):
        make().init_index(5)


def test_fewer_than_k(make):
    index = make()
    assert index.knn_query(ROWS, k=10)[0].shape == (10, 10)
    assert index.knn_query(ROWS, k=0)[0].shape == (10, 0)
    assert index.knn_query(np.empty((0, 4)), k=2)[0].shape == (0, 2)
    with pytest.raises(RuntimeError):
        index.knn_query(ROWS, k=11)
    with pytest.raises(RuntimeError):
        index.knn_query(ROWS, k=2, filter=lambda label: label == 3)
    index.mark_deleted(0)
    with pytest.raises(RuntimeError):
        index.knn_query(ROWS, k=10)


def test_filter(make):
    labels, _ = make().knn_query(ROWS, k=5, num_threads=1, filter=lambda label: label % 2 == 0)
    assert (np.sort(labels, axis=1) == [0, 2, 4, 6, 8]).all()


def test_a_function_is_called_once_a_label_and_may_raise():
    index = hnswlib.Index("l2", 4)
    index.init_index(20)
    index.add_items(ROWS, np.arange(10) * 10**15)  # far apart: no bitmap
    index.mark_deleted(2 * 10**15)
    seen = []

    def some(label):
        seen.append(label)
        return label < 5 * 10**15

    labels, _ = index.knn_query(ROWS, k=4, filter=some)
    assert sorted(seen) == [n * 10**15 for n in range(10) if n != 2]
    assert all(type(label) is int for label in seen)
    assert (np.sort(labels, axis=1) == np.array([0, 1, 3, 4]) * 10**15).all()

    def broken(label):
        raise FileNotFoundError("mine")

    with pytest.raises(FileNotFoundError, match="mine"):
        index.knn_query(ROWS, filter=broken)


def test_sutras_filters_and_marks_go_together():
    index = hnswlib.Index("l2", 4)
    index.init_index(20)
    index.add_items(ROWS)
    index.mark_deleted(3)
    index.mark_deleted(9)
    mask = np.arange(9) % 3 == 0
    for given in ([0, 3, 6], mask, np.packbits(mask, bitorder="little"), np.array([6, 0, 9])):
        labels, _ = index.knn_query(ROWS[:2], k=2, filter=given)
        assert (np.sort(labels, axis=1) == [0, 6]).all()
    each = [np.array([3, 1]), np.packbits(mask, bitorder="little")]
    assert index.knn_query(ROWS[[3, 0]], filter=each)[0].ravel().tolist() == [1, 0]
    with pytest.raises(RuntimeError, match="2 of them for 3"):
        index.knn_query(ROWS[:3], filter=each)


def test_marks(make):
    index = make()
    index.mark_deleted(3)
    assert index.get_current_count() == 10
    assert 3 in index.get_ids_list()
    assert 3 not in index.knn_query(ROWS[3], k=9)[0]
    with pytest.raises(RuntimeError):
        index.get_items([3])
    with pytest.raises(RuntimeError):
        index.mark_deleted(3)
    index.unmark_deleted(3)
    assert index.knn_query(ROWS[3])[0].tolist() == [[3]]
    assert index.get_items([3]).tolist() == ROWS[[3]].tolist()
    for call in (index.unmark_deleted, index.mark_deleted):
        with pytest.raises(RuntimeError):
            call(99)
    with pytest.raises(RuntimeError):
        index.unmark_deleted(3)


def test_an_update_unmarks(make):
    index = make()
    index.mark_deleted(3)
    index.add_items(np.ones(4), [3])
    assert index.knn_query(np.ones(4))[0].tolist() == [[3]]
    with pytest.raises(RuntimeError):
        index.unmark_deleted(3)


def test_marked_elements_are_replaced(make):
    index = make(room=10, allow_replace_deleted=True)
    for label in (8, 2, 5):
        index.mark_deleted(label)
    with pytest.raises(RuntimeError):
        index.add_items(np.ones(4), [20])  # not asked to replace: no room
    with pytest.raises(RuntimeError):
        index.add_items(np.ones(4), [8])  # which of the two shall it be?
    index.add_items(np.full((3, 4), 5), [20, 21, 22], replace_deleted=True)
    assert sorted(index.get_ids_list()) == [0, 1, 3, 4, 6, 7, 9, 20, 21, 22]
    assert index.element_count == 10
    assert sorted(index.knn_query(np.full(4, 5), k=3)[0][0].tolist()) == [20, 21, 22]
    with pytest.raises(RuntimeError):
        index.add_items(np.ones(4), [23], replace_deleted=True)  # nothing left to replace
    index.resize_index(11)
    index.add_items(np.ones(4), [23], replace_deleted=True)
    assert index.element_count == 11


def test_what_was_marked_first_is_replaced_first():
    index = hnswlib.Index("l2", 4)
    index.init_index(10, allow_replace_deleted=True)
    index.add_items(ROWS)
    for label in (8, 2, 5):
        index.mark_deleted(label)
    index.unmark_deleted(8)
    index.mark_deleted(8)
    index.add_items(ROWS[:2], [30, 5], replace_deleted=True)  # 5 keeps its place
    assert sorted(index.get_ids_list()) == [0, 1, 3, 4, 5, 6, 7, 8, 9, 30]
    index.unmark_deleted(8)
    assert index.knn_query(ROWS, k=10)[0].shape == (10, 10)


def test_replacing_has_to_be_allowed(make):
    index = make()
    index.mark_deleted(3)
    with pytest.raises(RuntimeError):
        index.add_items(np.ones(4), [20], replace_deleted=True)
    assert index.element_count == 10


def test_get_items(make):
    index = make()
    found = index.get_items([7, 1, 7])
    assert found.dtype == np.float32
    assert found.tolist() == ROWS[[7, 1, 7]].tolist()
    assert index.get_items(np.array([2]), return_type="list") == ROWS[[2]].tolist()
    assert len(index.get_items()) == len(index.get_items([])) == 0
    with pytest.raises(RuntimeError):
        index.get_items([99])
    with pytest.raises(ValueError):
        index.get_items([1], return_type="tuple")
    with pytest.raises(ValueError):
        index.get_items(1)


def test_items_under_cosine_have_length_one(make):
    found = make(space="cosine").get_items([4, 5])
    expected = ROWS[4:6] / np.linalg.norm(ROWS[4:6], axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("way", ["pickle", "copy", "deepcopy"])
def test_copies_have_it_all_and_go_their_own_way(make, way):
    index = make(space="cosine", M=9, ef_construction=77, allow_replace_deleted=True)
    index.set_ef(31)
    index.set_num_threads(3)
    index.mark_deleted(6)
    copied = {
        "pickle": lambda: pickle.loads(pickle.dumps(index)),
        "copy": lambda: copy.copy(index),
        "deepcopy": lambda: copy.deepcopy(index),
    }[way]()
    names = ["space", "dim", "M", "ef_construction", "max_elements", "element_count", "ef"]
    for name in [*names, "num_threads"]:
        assert getattr(copied, name) == getattr(index, name), name
    for mine, theirs in zip(index.knn_query(ROWS, k=9), copied.knn_query(ROWS, k=9), strict=True):
        assert (mine == theirs).all()
    copied.unmark_deleted(6)
    copied.add_items(np.ones(4))
    assert (copied.element_count, index.element_count) == (11, 10)
    with pytest.raises(RuntimeError):
        index.mark_deleted(6)


def test_replacing_stays_allowed_in_a_copy(make):
    index = make(room=10, allow_replace_deleted=True)
    index.mark_deleted(6)
    copied = pickle.loads(pickle.dumps(index))
    copied.add_items(np.ones(4), [60], replace_deleted=True)
    assert 60 in copied.get_ids_list()
    assert 6 not in copied.get_ids_list()


def test_an_index_that_is_not_made_can_be_copied(make, lib):
    copied = pickle.loads(pickle.dumps(lib.Index("ip", 3)))
    assert (copied.space, copied.dim, copied.element_count) == ("ip", 3, 0)
    copied.init_index(2)
    copied.add_items([1, 2, 3])
    assert copied.get_ids_list() == [0]


def test_marks_and_searches_in_threads():
    index = hnswlib.Index("l2", 4)
    index.init_index(20)
    index.add_items(ROWS)
    index.mark_deleted(9)
    found, failed = set(), []

    def search():
        try:
            for _ in range(200):
                found.update(index.knn_query(ROWS, k=8)[0].ravel().tolist())
        except Exception as error:
            failed.append(error)

    searching = [threading.Thread(target=search) for _ in range(2)]
    for thread in searching:
        thread.start()
    for _ in range(100):
        index.mark_deleted(8)
        index.unmark_deleted(8)
    for thread in searching:
        thread.join()
    assert not failed
    assert set(range(8)) <= found <= set(range(9))  # 8 comes and goes, 9 is never there
    assert index.knn_query(ROWS[:9], k=1)[0].ravel().tolist() == list(range(9))
