"""Every default, written down once more in one table: a changed one is a decision, not an accident.

Doctests see neither 0.1 for 0.2 nor a default that no example uses. Origins are in the docstrings: γ = 10,
s = 1e-5, K = 10 and the RMSProp of `Descend` are the authors'.
"""

import inspect
import re

from test_switches import FUNCTIONS

from locoprop_ref import METHODS
from locoprop_ref.methods.backprop import LEARNING_RATES
from locoprop_ref.methods.options import options_of

# of every public function and class but the figures', whose defaults are their looks
ARGUMENTS = """
architectures.LayerPlan: recurrent=False, fans=(0, 0)
architectures.resized: largest=1000000000000000000, most=10000
backend.solve_positive_definite: smallest_threaded=2000
blocks.RowBlocks: bias=False
code_targets.CodeTargets: code_steps=1, code_lr=1.0, coupling=1.0, momentum=0.0, anchor=0.0,
    reduction='sum', inputs='moved', last_layer='network_loss', last_step=1.0
data.curves.draw_curves: seed=0, thickness=1.6, margin=2.0, spacing=5.0, segments=24
data.dataset.scaled: dtype='float64'
data.digits.load_idx_set: download=True
data.files.file_lock: timeout=0.0
data.files.user_path: name='path'
data.idx.parse_idx: where='data'
data.load: download=True
data.npz.load_npz: keys=('x_train', 'x_test', 'labels_train', 'labels_test'), max_bytes=4294967296
data.records.read_json: max_bytes=67108864
divergences.elu: alpha=1.0
divergences.leaky_relu: slope=0.0
feedback_targets.FeedbackTargets: step=10.0, path='alignment', scale=1.0
gauss_newton_targets.GaussNewtonTargets: step=1.0, tau=0.5
inverse_targets.InverseTargets: step=10.0, correction='difference', start='penultimate',
    forward_loss='matching', noise=0.1, inverse_lr=0.001, inverse_steps=1
layers.Layer: recurrent=False
local.LocalProblem: weight_step=inf, reduction='sum', loss_weight=1.0
majorised_solver.Majorised: num_local_steps=2, slope_bound=1.0
memory.Memory: decay=0.9, ridge='auto'
methods.admm.ADMM: activation_penalty=10.0, pre_activation_penalty=1.0, multiplier_step=1.0,
    last_loss='squared', warm_start=0
methods.backprop.BackProp: learning_rate=0.0003, parallel_layers=False, clip=inf
methods.backprop.backprop: optimizer_name='rmsprop'
methods.family.build: num_layers=2
methods.foof.FOOF: learning_rate=0.1, damping=0.01, momentum=0.0, factor_decay=0.95, factor_interval=1,
    inverse_interval=1, parallel_layers=True
methods.kfac.KFAC: learning_rate=0.01, damping=0.01, momentum=0.9, fisher='sampled', factor_decay=0.95,
    factor_interval=1, inverse_interval=20, kl_clip=inf, parallel_layers=True
methods.kronecker_targets.KroneckerTargets: step=10.0, damping=0.01, fisher='empirical', factor_decay=0.0
methods.locoprop.LocoProp: local_reduction='sum', target_order='jacobi', project_targets=False,
    parallel_layers=True, memory_limit=268435456, diagnose=False
methods.locoprop.locoprop_m_exact: target_step=10.0, weight_step=0.1
methods.locoprop.locoprop_s_closed: form='auto', target_step=100.0, weight_step=0.1
methods.mac.MAC: code_steps=5, code_lr=1.0, coupling=0.0001
methods.offline.guarded_step: halvings=30
methods.relatives.am: optimizer_name='adam'
methods.relatives.am_mem: weight_step=0.1
methods.relatives.dfa: optimizer_name='adam'
methods.relatives.dtp: optimizer_name='adam'
methods.relatives.fa: optimizer_name='adam'
methods.relatives.ste: optimizer_name='rmsprop'
methods.relatives.tp: optimizer_name='adam'
methods.shampoo.Shampoo: learning_rate=0.1, epsilon=0.0001, momentum=0.0, statistics='sum',
    factor_decay=0.99, root=4, grafting='none', grafting_decay=0.9, grafting_epsilon=1e-05,
    factor_interval=1, inverse_interval=20, parallel_layers=True
microbatches.microbatches_that_pay: rows_of_a_block=2097152
mirror.MirrorDescent: geometry='eg+-', beta=1.0, p=2.0
network.initialize: output_loss='squared_error', bias=True, init='glorot_uniform', seed=0, dtype='float64'
newton_solvers.Newton: max_newton_steps=50, memory_limit=268435456
newton_solvers.newton_cost: bias=True
optimizers.AdaGrad: dialect='tf1', epsilon=1e-10
optimizers.Adam: dialect='tf1', beta1=0.9, beta2=0.999, epsilon=1e-08
optimizers.Momentum: momentum=0.9, nesterov=False
optimizers.RMSProp: dialect='tf1', decay=0.9, momentum=0.0, epsilon=1e-05
oracle.check.check: dtype='float64', time_limit=20.0, warm_up=20.0, diagnose=True, search_limit=60.0,
    strict=False
oracle.check.finished: elapsed=0.0, diagnose=True, search_limit=60.0, strict=False
oracle.compare.deviations: scale=1.0
oracle.generate.cannot_tell: scale=1.0
oracle.generate.differ: scale=1.0
oracle.generate.distance: scale=1.0
oracle.generate.validate: schema='schema.json'
oracle.layout.text: indent=0, lead=0, paragraphs_from=13
oracle.own_positions.wiring: positions=1
oracle.report.Report: seconds=(0.0, 0.0), strict=False
oracle.results.check_results: diagnose=True, strict=False
oracle.vectors.Case: scale=1.0
regularizers.DecoupledDecay: decay=0.0001
regularizers.L2Decay: weight_step=inf, decay=0.0001
regularizers.Proximal: weight_step=inf
regularizers.RunningMetric: decay=1.0
solvers.ClosedForm: form='auto'
solvers.Descend: local_lr=1e-05, num_local_steps=10, local_decay='authors', local_state='keep',
    gradient_form='auto'
solvers.closed_form: form='auto'
solvers.local_rates: local_decay='authors'
solvers.local_steps: form='plain'
targets.GradientTargets: step=10.0
targets.LayerTarget: loss_weight=1.0
training.apply.apply_network: part='test', backend='numpy', overwrite=False
training.apply.outputs: backend='numpy', rows=5000
training.checkpoint.load_checkpoint: max_bytes=17179869184
training.memory.keep_freed_memory: up_to=1073741824
training.options.Config: method='locoprop-m', task='autoencode', width=1.0, depth=1, transfer='tanh',
    code_transfer='identity', bias=True, init='glorot_uniform', schedule='authors', seed=0, backend='numpy',
    dtype='float32', diagnostics=False
training.run.train: resume=False, overwrite=False, progress=True
training.run_file.read_run: max_bytes=67108864
training.run_name.run_name: longest=60
training.task.evaluate: rows=5000
training.task.examples_at_a_time: most_numbers=5000000
transfers.Transfer: low=-inf, high=inf
verify.cases.every_case: hidden=('identity', 'relu', 'leaky_relu', 'tanh', 'sigmoid', 'softplus', 'elu',
    'arctan', 'softmax')
verify.cases.positions_cases: hidden=('tanh', 'leaky_relu', 'softmax'), batch=3
verify.cases.random_case: batch=6, sizes=(4, 5, 3, 3)
verify.measure.Measurement: kind='equality'
verify.own_transfer.check_transfer: low=-5.0, high=5.0, points=41, seed=0
wirings.from_recipe: below=1
wirings.patches: stride=1, padding=0
wirings.pool: kind='mean'
"""

# of every method: what the command line takes where nothing is given
OPTIONS = """
backprop: learning_rate=0.0003, dialect='tf1', momentum=0.9, decay=0.9, epsilon=1e-05, optimizer='rmsprop'
locoprop-s: local_reduction='sum', target_order='jacobi', project_targets=False, local_lr=1e-05,
    num_local_steps=10, local_decay='authors', local_state='keep', target_step=10.0, weight_step=inf,
    dialect='tf1', momentum=0.999, decay=0.9, epsilon=1e-05, optimizer='rmsprop'
locoprop-m: local_reduction='sum', target_order='jacobi', project_targets=False, local_lr=1e-05,
    num_local_steps=10, local_decay='authors', local_state='keep', target_step=10.0, weight_step=inf,
    dialect='tf1', momentum=0.999, decay=0.9, epsilon=1e-05, optimizer='rmsprop'
locoprop-s-closed: local_reduction='sum', target_order='jacobi', project_targets=False, form='auto',
    target_step=100.0, weight_step=0.1
locoprop-m-exact: local_reduction='sum', target_order='jacobi', project_targets=False, target_step=10.0,
    weight_step=0.1
kfac: learning_rate=0.01, damping=0.01, momentum=0.9, fisher='sampled', factor_decay=0.95,
    factor_interval=1, inverse_interval=20, kl_clip=inf
foof: learning_rate=0.1, damping=0.01, momentum=0.0, factor_decay=0.95, factor_interval=1,
    inverse_interval=1
shampoo: learning_rate=0.1, epsilon=0.0001, momentum=0.0, statistics='sum', factor_decay=0.99, root=4,
    grafting='none', grafting_decay=0.9, grafting_epsilon=1e-05, factor_interval=1, inverse_interval=20
am: local_lr=0.001, num_local_steps=1, local_decay='constant', local_state='keep', code_steps=1,
    code_lr=1.0, coupling=1.0, code_momentum=0.0, code_anchor=0.0, code_reduction='sum',
    code_inputs='moved', last_layer='network_loss', last_target_step=1.0, weight_step=inf, dialect='tf1',
    momentum=0.9, decay=0.999, epsilon=1e-08, optimizer='adam'
am-mem: memory_decay=0.9, ridge='auto', code_steps=1, code_lr=1.0, coupling=0.002, code_momentum=0.0,
    code_anchor=0.0, code_reduction='sum', code_inputs='moved', last_layer='gradient',
    last_target_step=500.0, weight_step=0.1
tp: local_lr=0.001, num_local_steps=1, local_decay='constant', local_state='keep', target_step=10.0,
    target_start='penultimate', forward_loss='squared_outputs', inverse_noise=0.1, inverse_lr=0.001,
    inverse_steps=1, weight_step=inf, dialect='tf1', momentum=0.9, decay=0.999, epsilon=1e-08,
    optimizer='adam'
dtp: local_lr=0.001, num_local_steps=1, local_decay='constant', local_state='keep', target_step=10.0,
    target_start='penultimate', forward_loss='squared_outputs', inverse_noise=0.1, inverse_lr=0.001,
    inverse_steps=1, weight_step=inf, dialect='tf1', momentum=0.9, decay=0.999, epsilon=1e-08,
    optimizer='adam'
fa: local_lr=0.001, num_local_steps=1, local_decay='constant', local_state='keep', target_step=1.0,
    feedback_scale=1.0, weight_step=inf, dialect='tf1', momentum=0.9, decay=0.999, epsilon=1e-08,
    optimizer='adam'
dfa: local_lr=0.001, num_local_steps=1, local_decay='constant', local_state='keep', target_step=1.0,
    feedback_scale=1.0, weight_step=inf, dialect='tf1', momentum=0.9, decay=0.999, epsilon=1e-08,
    optimizer='adam'
ste: learning_rate=0.0003, dialect='tf1', momentum=0.9, decay=0.9, epsilon=1e-05, optimizer='rmsprop'
mac: code_steps=5, code_lr=1.0, coupling=0.0001
admm: activation_penalty=10.0, pre_activation_penalty=1.0, multiplier_step=1.0, last_loss='squared',
    warm_start=0
"""


def read(table):
    """{name: its words} of a table whose indented lines continue those above."""
    lines = re.sub(r"\n {4}", " ", table).strip().splitlines()
    return dict(line.split(": ", 1) for line in lines)


def in_words(values):
    """The values that are plain and not empty, as the tables have them."""
    plain = (bool, int, float, str, tuple)
    kept = {
        name: value for name, value in values.items() if isinstance(value, plain) and value not in ("", ())
    }
    return ", ".join(f"{name}={value!r}" for name, value in kept.items())


def test_the_defaults_of_every_public_function():
    found = {
        name: in_words({one.name: one.default for one in inspect.signature(function).parameters.values()})
        for name, function in FUNCTIONS.items()
        if not name.startswith("plot.")
    }
    identities = {name for name, words in found.items() if name.startswith("verify.") and words == "seed=0"}
    assert len(identities) > 30
    assert {name: words for name, words in found.items() if words and name not in identities} == read(
        ARGUMENTS
    )


def test_the_defaults_of_every_method():
    assert {name: in_words(options_of(name)) for name in METHODS} == read(OPTIONS)


def test_the_learning_rates_of_every_optimizer():
    assert LEARNING_RATES == {
        "sgd": 0.01,
        "momentum": 0.001,
        "nesterov": 0.001,
        "adagrad": 0.01,
        "rmsprop": 0.0003,
        "adam": 0.001,
    }
