"""Programs that exist, at pinned versions: each gets the verdict that it deserves."""

from importlib.metadata import version

import numpy as np
import pytest

from locoprop_ref.oracle import cases, check

OPTIMIZERS = {case.id.partition("/")[2]: case for case in cases("optimizer")}


def arrays(case):
    i = case.inputs
    return i, i["W"].copy(), zip(i["gradients"], i["rates"].tolist(), strict=True)


@pytest.mark.full
def test_the_pypi_package_is_named_wholly():
    """locoprop 0.1.0: the mean, corrected inputs with a cap and norm + 1e-5, PyTorch's RMSProp at once."""
    pytest.importorskip("locoprop", reason="the PyPI package locoprop is not installed")
    if version("locoprop") != "0.1.0":
        pytest.skip(f"locoprop is {version('locoprop')}, not 0.1.0")
    from pypi_package import target

    report = check(target, cases("training"), strict=True)
    best = report.findings[0]
    assert best.flags == ("PyPIPackage",)
    assert len(report.findings) == 1, report.text()
    assert best.failing == len(best.ids) >= 10
    assert {r.status for r in report.results} == {"acceptable", "not covered"}


def torch_path(case, make):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    i, W, steps = arrays(case)
    leaf = torch.from_numpy(W).requires_grad_()
    rule, path = make(torch, leaf, i), []
    for G, rate in steps:
        rule.param_groups[0]["lr"] = rate
        leaf.grad = torch.from_numpy(G.copy())
        rule.step()
        path.append(leaf.detach().numpy().copy())
    return {"W_path": np.stack(path)}


TORCH = {
    "sgd": lambda t, w, i: t.optim.SGD([w], 1.0),
    "momentum": lambda t, w, i: t.optim.SGD([w], 1.0, momentum=i["momentum"]),
    "nesterov": lambda t, w, i: t.optim.SGD([w], 1.0, momentum=i["momentum"], nesterov=True),
    "adagrad-torch": lambda t, w, i: t.optim.Adagrad([w], 1.0, eps=i["epsilon"]),
    "rmsprop-torch": lambda t, w, i: t.optim.RMSprop(
        [w], 1.0, alpha=i["decay"], eps=i["epsilon"], momentum=i["momentum"]
    ),
    "adam-torch": lambda t, w, i: t.optim.Adam([w], 1.0, betas=(i["beta1"], i["beta2"]), eps=i["epsilon"]),
}


def of_torch(make, id_):
    return check(lambda *a: torch_path(OPTIMIZERS[id_], make), [OPTIMIZERS[id_]], strict=True)


@pytest.mark.full
@pytest.mark.parametrize("id_", TORCH)
def test_torch_optim_passes(id_):
    of_torch(TORCH[id_], id_).assert_ok()


@pytest.mark.full
@pytest.mark.parametrize("id_, make, flag", [
    ("momentum", lambda t, w, i: t.optim.SGD([w], 1.0, momentum=0.75, nesterov=True), "NesterovExchanged"),
    ("rmsprop-tf1", TORCH["rmsprop-torch"], "DialectTorch"),
    ("adagrad-tf1", TORCH["adagrad-torch"], "AccumulatorFromZeros"),
    ("adam-tf1", TORCH["adam-torch"], "AdamEpsilonAgainstVHat"),
])  # fmt: skip
def test_torch_optim_in_another_place_is_named(id_, make, flag):
    report = of_torch(make, id_)
    assert report.findings[0].flags == (flag,)
    assert not report.ok  # strict


OPTAX = {
    "adagrad-tf1": (
        lambda o, i: o.scale_by_rss(i["initial_accumulator"], i["epsilon"]),
        {"AdagradOptax", "EpsilonInside"}),
    "rmsprop-plain-tf1": (
        lambda o, i: o.scale_by_rms(i["decay"], i["epsilon"]), {"MeanSquareFromZeros", "DialectOptax"}),
    "adam-torch": (lambda o, i: o.scale_by_adam(i["beta1"], i["beta2"], i["epsilon"]), None),
    "momentum": (lambda o, i: o.trace(i["momentum"]), None),
}  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("id_", OPTAX)
def test_optax_gets_the_verdict_that_it_deserves(id_):
    jax = pytest.importorskip("jax", reason="jax is not installed")
    optax = pytest.importorskip("optax", reason="optax is not installed")
    make, flags = OPTAX[id_]
    case = OPTIMIZERS[id_]

    def target(topic, conventions, inputs):
        i, W, steps = arrays(case)
        with jax.enable_x64(True):
            rule, path = make(optax, i), []
            state = rule.init(jax.numpy.asarray(W))
            for G, rate in steps:
                change, state = rule.update(jax.numpy.asarray(G), state)
                W = W - rate * np.asarray(change)
                path.append(W)
        return {"W_path": np.stack(path)}

    report = check(target, [case], strict=True)
    if flags is None:
        report.assert_ok()
    else:
        assert {report.findings[0].flags, *report.findings[0].others} == {(flag,) for flag in flags}


def of_losses(target):
    return check(target, [c for c in cases("output_loss") if "Extreme" not in c.flags], strict=True)


@pytest.mark.full
@pytest.mark.parametrize("reduction, flags", [
    ("sum/B/2", None), ("mean", {"LossElementMean", "SquaredErrorWhole"}),
])  # fmt: skip
def test_mse_loss_of_pytorch(reduction, flags):
    """F.mse_loss has no 1/2 and averages over the outputs, which no size of the vectors hides."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transfers = {"identity": lambda a: a, "tanh": torch.tanh, "softmax": lambda a: torch.softmax(a, -1)}

    def target(topic, conventions, inputs):
        if inputs["output_loss"] != "squared_error":
            return NotImplemented
        a = torch.from_numpy(inputs["a_hat"]).requires_grad_()
        y, t = transfers[inputs["transfer"]](a), torch.from_numpy(inputs["t"])
        loss = torch.nn.functional.mse_loss(y, t, reduction="mean")
        if flags is None:
            loss = torch.nn.functional.mse_loss(y, t, reduction="sum") / len(y) / 2
        return {"loss": loss.detach(), "g": torch.autograd.grad(loss, a)[0]}

    report = of_losses(target)
    if flags is None:
        report.assert_ok()
    else:
        assert not report.ok
        assert set(report.findings[0].flags) == flags
        assert len(report.findings) == 1


@pytest.mark.full
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_transfers_of_libraries(library):
    """torch.nn.functional passes; jax.nn.leaky_relu has the other derivative at 0."""
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    names = ("relu", "leaky_relu", "softplus", "elu", "sigmoid", "tanh")
    chosen = [
        c for c in cases("transfer")
        if c.inputs["transfer"] in names and c.conventions["derivative_at_kink"] == "left"
    ]  # fmt: skip
    target = (of_torch_nn if library == "torch" else of_jax_nn)(module)
    report = check(target, chosen, strict=True)
    bad = {r.case.id for r in report.results if r.status != "pass"}
    if library == "torch":
        # F.softplus is linear beyond its threshold of 20, where the rest is 2e-9
        assert bad <= {"transfer/softplus-extreme"}
    else:
        assert bad == {"transfer/leaky_relu-kink"}
        assert report.findings[0].flags == ("KinkFromRight",)


def of_torch_nn(torch):
    F = torch.nn.functional

    def target(topic, conventions, inputs):
        name, a = inputs["transfer"], torch.from_numpy(inputs["a"]).requires_grad_()
        extra = [inputs[key] for key in ("slope", "alpha") if key in inputs]
        y = getattr(F if name in ("leaky_relu", "softplus", "elu") else torch, name)(a, *extra)
        return {"f": y.detach(), "derivative": torch.autograd.grad(y.sum(), a)[0]}

    return target


def of_jax_nn(jax):
    def target(topic, conventions, inputs):
        name = inputs["transfer"]
        extra = [inputs[key] for key in ("slope", "alpha") if key in inputs]
        with jax.enable_x64(True):
            a = jax.numpy.asarray(inputs["a"])
            f = getattr(jax.nn, name)
            y, back = jax.vjp(lambda v: f(v, *extra), a)
            return {"f": np.asarray(y), "derivative": np.asarray(back(jax.numpy.ones_like(a))[0])}

    return target
