"""PyTorch's convolution, pooling and recurrence against the vectors, right and with planted mistakes."""

import pytest

from locoprop_ref.oracle import cases, check
from locoprop_ref.oracle.flags import BY_FLAG
from locoprop_ref.oracle.generate import PROVEN

torch = pytest.importorskip("torch", reason="torch is not installed")

from positions_mistakes import MISTAKES, UNNAMED, fresh_copy  # noqa: E402

pytestmark = pytest.mark.full

ALL = [case for topic in PROVEN for case in cases(topic)]


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads of PyTorch's own cost more than these small matrices."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def a_few(flag):
    """Two cases a topic that reveal a flag, and one that does not; of training as few as are needed."""
    chosen = []
    for topic in PROVEN:
        revealing = [case for case in cases(topic) if flag in case.flags]
        others = [case for case in cases(topic) if flag not in case.flags]
        if topic.endswith("_training") and chosen:
            revealing, others = revealing[-1:], []
        chosen += revealing[:2] + others[:1]
    return chosen


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_program_passes(dtype):
    report = check(fresh_copy().target, ALL, dtype=dtype, strict=True)
    report.assert_ok()
    assert {result.status for result in report.results} == {"pass"}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_caught_and_named(name):
    plant, flag = MISTAKES[name]
    module, chosen = fresh_copy(), a_few(flag)
    plant(module)
    report = check(module.target, chosen, strict=True)
    assert not report.ok
    best = report.findings[0]
    assert best.flags == (flag,)
    assert best.others == ()
    # nothing is left unexplained but what the program could not return (a derivative of too few windows), and
    # every case that can reveal the mistake is caught
    assert all(finding.words.startswith("lack ") for finding in report.findings[1:])
    failing = {r.case.id for r in report.results if r.status in ("fail", "acceptable", "error")}
    assert failing >= {case.id for case in chosen if flag in case.flags}
    assert BY_FLAG[flag].when in report.text().split("Diagnosis\n")[1].split("\n")[0]


@pytest.mark.parametrize("name", UNNAMED)
def test_a_mistake_without_a_name_gets_no_false_name(name):
    plant, ids = UNNAMED[name]
    module = fresh_copy()
    plant(module)
    report = check(module.target, [case for case in ALL if case.id in ids], strict=True)
    assert not report.ok
    assert [finding.flags for finding in report.findings] == [()]


@pytest.mark.parametrize("name", ["last-step", "all-steps", "nobias"])
def test_the_recurrent_layer_of_pytorch_agrees(name):
    """torch.nn.RNN, with its own way back through time; its gradients are those of the total derivative."""
    case = next(case for case in cases("recurrence") if case.id == f"recurrence/{name}")
    given = {k: torch.from_numpy(v.copy()) for k, v in case.inputs.items() if hasattr(v, "dtype")}
    T, d = case.inputs["shape"]
    W, states = given["W_1"], given["W_1"].shape[1]
    rnn = torch.nn.RNN(d, states, batch_first=True, bias="b_1" in given, dtype=torch.float64)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(W[:d].T)
        rnn.weight_hh_l0.copy_(W[d:].T)
        if "b_1" in given:
            rnn.bias_ih_l0.copy_(given["b_1"])
            rnn.bias_hh_l0.zero_()
    h0 = given.get("h0_1", torch.zeros(states, dtype=torch.float64))
    x = given["x"].reshape(-1, T, d)
    said, _ = rnn(x, h0.expand(1, len(x), states).contiguous())
    expected = {key: torch.from_numpy(v.copy()) for key, v in case.expected.items()}
    torch.testing.assert_close(said.transpose(0, 1).reshape(-1, states), expected["y_hat_1"])
    read = said[:, -1] if name == "last-step" else said.transpose(1, 2).flatten(1)
    a_hat = read @ given["W_2"] + given.get("b_2", 0)
    if case.inputs["output_loss"] == "squared_error":
        loss = 0.5 * ((a_hat - given["t"]) ** 2).sum() / len(x)
    else:
        loss = torch.nn.functional.cross_entropy(a_hat, given["t"])
    loss.backward()
    torch.testing.assert_close(loss.detach(), expected["loss"])
    torch.testing.assert_close(rnn.weight_ih_l0.grad.T, expected["dW_1"][:d])
    torch.testing.assert_close(rnn.weight_hh_l0.grad.T, expected["dW_1"][d:])
