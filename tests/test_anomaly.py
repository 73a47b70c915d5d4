"""A device learns its own normal, in bounded memory, and every later reading is measured against it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.anomaly import AnomalyModel, Learn, SensorNormal
from models.bundle import find_bundle, load_bundle
from models.errors import UsageError
from models.normality import CHANNEL_LIMIT, FEATURES, NEWEST_LIMIT, READINGS_LEAST, Learner
from simulators.plant import Machine

START_MS = 1_750_000_000_000


def entry(vector: np.ndarray, name: str) -> float:
    return float(vector[FEATURES.index(name)])


def healthy(rng: np.random.Generator) -> dict[str, float]:
    """Three channels, the third the sum of the others."""
    a, b = rng.normal(10, 1), rng.normal(-5, 2)
    return {"a": a, "b": b, "sum": a + b + rng.normal(0, 0.1)}


def learnt(readings: int = 400, seed: int = 1) -> tuple[SensorNormal, np.random.Generator]:
    rng = np.random.default_rng(seed)
    normal = SensorNormal(Learn(readings=readings))
    for second in range(readings):
        assert normal.add(START_MS + second * 1000, healthy(rng)) is None
    return normal, rng


def described(normal: SensorNormal, values: dict[str, float], time_ms: int = START_MS) -> np.ndarray:
    vector = normal.add(time_ms, values)
    assert vector is not None
    return vector


def test_learning_ends_after_its_readings() -> None:
    """The 401st reading is the first that is described, by a vector of one length for all machines."""
    normal, rng = learnt()
    assert normal.learning
    vector = described(normal, healthy(rng))
    assert not normal.learning
    assert (vector.shape, vector.dtype) == ((len(FEATURES),), np.float32)
    assert np.isfinite(vector).all()


def test_learning_by_minutes() -> None:
    """Ten minutes from the first reading on, at one reading in ten seconds."""
    rng = np.random.default_rng(2)
    normal = SensorNormal(Learn(readings=None, minutes=10))
    answers = [normal.add(START_MS + step * 10_000, healthy(rng)) for step in range(62)]
    assert [answer is None for answer in answers] == [True] * 60 + [False] * 2


def test_learning_until_an_instant() -> None:
    """The reading at the instant still teaches; a device whose first reading comes later learns the least."""
    rng = np.random.default_rng(3)
    normal = SensorNormal(Learn(readings=None, until_ms=START_MS + 49_000))
    answers = [normal.add(START_MS + step * 1000, healthy(rng)) for step in range(51)]
    assert [answer is None for answer in answers] == [True] * 50 + [False]
    late = SensorNormal(Learn(readings=None, until_ms=START_MS - 1))
    answers = [late.add(START_MS + step, healthy(rng)) for step in range(READINGS_LEAST + 1)]
    assert [answer is None for answer in answers] == [True] * READINGS_LEAST + [False]


@pytest.mark.parametrize(
    "wrong",
    [
        {"readings": None},
        {"readings": 400, "minutes": 5.0},
        {"readings": 0},
        {"readings": None, "minutes": float("nan")},
    ],
)
def test_learning_lasts_for_exactly_one_thing(wrong: dict[str, float | None]) -> None:
    with pytest.raises(UsageError):
        Learn(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_mean_and_covariance_are_those_of_all_readings() -> None:
    """Welford's running moments equal the direct ones, also after more readings than are kept."""
    rng = np.random.default_rng(4)
    learner = Learner()
    rows = [healthy(rng) for _ in range(3 * NEWEST_LIMIT)]
    for row in rows:
        learner.add(row)
    direct = np.array([[row[name] for name in ("a", "b", "sum")] for row in rows])
    np.testing.assert_allclose(learner._mean, direct.mean(axis=0))
    np.testing.assert_allclose(learner._comoment / len(rows), np.cov(direct.T, bias=True), rtol=1e-9)
    assert len(learner._newest) == NEWEST_LIMIT


def test_a_broken_relation_shows_in_q() -> None:
    """Each value alone is ordinary; together they are not."""
    normal, rng = learnt()
    ordinary = described(normal, healthy(rng))
    broken = described(normal, {"a": 11.0, "b": -5.0, "sum": 4.0})
    assert entry(broken, "q") > 2 > 0 > entry(ordinary, "q")
    assert entry(broken, "z_first") < 0


def test_a_far_value_shows_in_t2_and_in_the_largest_deviation() -> None:
    normal, _ = learnt()
    far = described(normal, {"a": 30.0, "b": -5.0, "sum": 25.0})
    assert entry(far, "t2") > 2
    assert entry(far, "z_first") > 1
    assert entry(far, "beyond_3") == pytest.approx(2 / 3)


def test_scale_and_channel_order_do_not_matter() -> None:
    """The same machine in other units, its keys in another order, makes the same vectors."""
    rng = np.random.default_rng(5)
    plain, other = SensorNormal(Learn(readings=100)), SensorNormal(Learn(readings=100))
    for second in range(140):
        values = healthy(rng)
        first = plain.add(START_MS + second, values)
        scaled = {name: 1000 * values[name] for name in reversed(values)}
        second_vector = other.add(START_MS + second, scaled)
        if first is not None and second_vector is not None:
            np.testing.assert_allclose(first, second_vector, atol=1e-4)


def test_silent_and_new_channels_are_counted() -> None:
    """A missing channel stands at its mean and is silent; one that was not learnt is only counted."""
    normal, _ = learnt()
    vector = described(normal, {"a": 10.0, "b": -5.0, "unheard": 1e9})
    assert entry(vector, "silent") == pytest.approx(1 / 3)
    assert entry(vector, "new") == pytest.approx(1 / 3)
    assert entry(vector, "z_first") < 0
    nothing_known = described(normal, {"unheard": 1.0})
    assert entry(nothing_known, "silent") == 1
    assert np.isfinite(nothing_known).all()


def test_a_channel_that_comes_and_goes_while_learning() -> None:
    """Seen in most readings it belongs to the normal, in few it does not."""
    rng = np.random.default_rng(6)
    normal = SensorNormal(Learn(readings=100))
    for second in range(100):
        values = healthy(rng)
        if second % 10 == 0:
            values["seldom"] = 5.0
        if second % 3 == 0:
            del values["b"]
        normal.add(START_MS + second, values)
    vector = described(normal, {**healthy(rng), "seldom": 5.0})
    assert entry(vector, "silent") == 0
    assert entry(vector, "new") == pytest.approx(1 / 4)


def test_a_channel_that_stood_still_may_not_jump() -> None:
    normal = SensorNormal(Learn(readings=50))
    for second in range(50):
        normal.add(START_MS + second, {"constant": 230.0})
    assert entry(described(normal, {"constant": 230.0}), "log_z") < 0
    assert entry(described(normal, {"constant": 240.0}), "z_first") == pytest.approx(6.0)


VALUES = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d"]), st.floats(-1e15, 1e15, allow_nan=False), min_size=1
)


@given(learning=st.lists(VALUES, min_size=30, max_size=40), after=st.lists(VALUES, min_size=1, max_size=5))
def test_any_readings_make_finite_vectors(
    learning: list[dict[str, float]], after: list[dict[str, float]]
) -> None:
    """Whatever the contract lets through, learnt or described, no vector holds NaN or infinity."""
    normal = SensorNormal(Learn(readings=30))
    for index, values in enumerate([*learning, *after]):
        vector = normal.add(START_MS + index, values)
        assert (vector is None) == (index < 30)
        assert vector is None or np.isfinite(vector).all()


def test_the_channels_are_bounded() -> None:
    normal = SensorNormal(Learn(readings=40))
    for second in range(40):
        normal.add(START_MS + second, {f"channel-{number}": float(number) for number in range(80)})
    vector = described(normal, {f"channel-{number}": float(number) for number in range(80)})
    assert entry(vector, "new") == pytest.approx(16 / 80)
    assert CHANNEL_LIMIT == 64


@pytest.fixture(scope="module")
def model() -> AnomalyModel:
    """The shipped model."""
    return AnomalyModel(load_bundle(find_bundle("sensor-anomaly")))


def vectors(fault: str | None) -> list[np.ndarray]:
    """A simulated bearing after its learning time: 100 readings healthy or with *fault*."""
    machine, normal = Machine("bearing", np.random.default_rng(12)), SensorNormal(Learn())
    for second in range(420):
        normal.add(START_MS + second * 1000, machine.step(float(second)))
    return [
        described(normal, machine.step(float(second), fault, 0.8), START_MS + second * 1000)
        for second in range(420, 520)
    ]


def test_a_worn_bearing_is_found(model: AnomalyModel) -> None:
    """Nearly every reading of the fault is an anomaly, hardly one of the healthy machine is."""
    faulty = [answer.label for answer in model.score(vectors("bearing-wear"))]
    well = [answer.label for answer in model.score(vectors(None))]
    assert faulty[10:].count("anomaly") >= 85
    assert well.count("anomaly") <= 10


def test_further_from_normal_never_scores_lower(model: AnomalyModel) -> None:
    """Raising any distance of any vector doesn't lower the score, but for `quiet`, which is the other way."""
    rng = np.random.default_rng(7)
    for vector in vectors("imbalance")[::10]:
        place = int(rng.integers(len(FEATURES)))
        raised = vector.copy()
        raised[place] += -0.7 if FEATURES[place] == "quiet" else 0.7
        before, after = model.score([vector, raised])
        assert after.scores["anomaly"] >= before.scores["anomaly"]


def test_alone_and_together_give_the_same_numbers(model: AnomalyModel) -> None:
    some = vectors("lubrication-loss")
    together = model.score(some)
    assert together == [model.score([vector])[0] for vector in some]
    for answer in together:
        anomaly = answer.scores["anomaly"]
        assert answer.probability == pytest.approx(anomaly if answer.label == "anomaly" else 1 - anomaly)
        assert not answer.abstained
    assert model.score([]) == []
