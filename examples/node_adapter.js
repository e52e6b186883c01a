// LocoProp in JavaScript, checked by the oracle by means of a results file. It needs only Node.js.
//
//     node examples/node_adapter.js locoprop_ref/oracle/vectors results.json
//     locoprop-ref oracle check --results results.json
//
// Matrices are plain arrays of rows. This adapter covers targets, first local gradients, S in closed form, and K
// local steps by gradient descent, for layers whose transfer is tanh, relu, sigmoid, softmax or the identity.
"use strict";
const fs = require("node:fs");
const path = require("node:path");

// JSON has no infinities and no NaN, so the vectors contain the words "inf", "-inf" and "nan"
const words = { inf: Infinity, "-inf": -Infinity, nan: NaN };
const read = (v) => (Array.isArray(v) ? v.map(read) : typeof v === "string" && v in words ? words[v] : v);
const write = (v) =>
  Array.isArray(v) ? v.map(write) : Number.isFinite(v) ? v : Number.isNaN(v) ? "nan" : v > 0 ? "inf" : "-inf";

const T = (A) => A[0].map((_, j) => A.map((row) => row[j]));
const mul = (A, B) => A.map((row) => T(B).map((col) => row.reduce((sum, a, k) => sum + a * col[k], 0)));
const map = (A, f) => A.map((row, i) => row.map((a, j) => f(a, i, j)));

const softmax = (row) => {
  const e = row.map((a) => Math.exp(a - Math.max(...row)));
  return e.map((v) => v / e.reduce((s, u) => s + u, 0));
};
const elementwise = {
  identity: [(a) => a, () => 1],
  relu: [(a) => Math.max(a, 0), (a) => (a > 0 ? 1 : 0)],
  tanh: [Math.tanh, (a) => 1 - Math.tanh(a) ** 2],
  sigmoid: [(a) => 1 / (1 + Math.exp(-a)), (a) => 1 / (2 + Math.exp(a) + Math.exp(-a))],
};
const f = (name, A) => (name === "softmax" ? A.map(softmax) : map(A, elementwise[name][0]));
const vjp = (name, A, U) => {
  if (name !== "softmax") return map(A, (a, i, j) => U[i][j] * elementwise[name][1](a));
  return A.map((row, i) => {
    const p = softmax(row);
    const mean = p.reduce((s, v, j) => s + v * U[i][j], 0);
    return p.map((v, j) => v * (U[i][j] - mean));
  });
};

// a layer is { W: W̃ with the bias as its last row, bias, transfer }; its input is extended by a column of ones
const layerOf = (inputs, suffix, transfer) => {
  const b = inputs["b" + suffix];
  return { W: b ? [...inputs["W" + suffix], b] : inputs["W" + suffix], bias: Boolean(b), transfer };
};
const withOnes = (x, layer) => x.map((row) => (layer.bias ? [...row, 1] : row));
const split = (W, layer, names) =>
  layer.bias ? { [names[0]]: W.slice(0, -1), [names[1]]: W[W.length - 1] } : { [names[0]]: W };

const isSquared = (inputs) => inputs.method.startsWith("locoprop-s");
const target = (layer, aHat, g, inputs) =>
  map(isSquared(inputs) ? aHat : f(layer.transfer, aHat), (v, i, j) => v - inputs.target_step * g[i][j]);

// X̃ᵀ(f(X̃W̃) − y*) + (W̃ − W̃₀)/η
function gradient(W, W0, x, yTarget, layer, inputs, conventions) {
  const aHat = mul(x, W);
  const yHat = isSquared(inputs) ? aHat : f(layer.transfer, aHat);
  const scale = conventions.local_reduction === "mean" ? x.length : 1;
  const G = mul(T(x), map(yHat, (v, i, j) => (v - yTarget[i][j]) / scale));
  return map(G, (u, i, j) => u + (W[i][j] - W0[i][j]) / (inputs.weight_step ?? Infinity));
}

// solves A Z = B by Gaussian elimination with row exchanges
function solve(A, B) {
  const rows = A.map((row, i) => [...row, ...B[i]]);
  const n = A.length;
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(rows[i][k]) > Math.abs(rows[pivot][k])) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot], rows[k]];
    for (let i = 0; i < n; i++) {
      if (i === k) continue;
      const factor = rows[i][k] / rows[k][k];
      rows[i] = rows[i].map((v, j) => v - factor * rows[k][j]);
    }
  }
  return rows.map((row, k) => row.slice(n).map((v) => v / row[k]));
}

const topics = {
  target(inputs) {
    const layer = layerOf(inputs, "", inputs.transfer);
    return { y_target: target(layer, mul(withOnes(inputs.x, layer), layer.W), inputs.g, inputs) };
  },
  closed_form(inputs, conventions) {
    const layer = layerOf(inputs, "", inputs.transfer);
    const x = withOnes(inputs.x, layer);
    const scale = conventions.local_reduction === "mean" ? x.length : 1;
    const aHat = mul(x, layer.W);
    const yTarget = target(layer, aHat, inputs.g, inputs);
    const r = map(aHat, (a, i, j) => (a - yTarget[i][j]) / scale);
    const dual = inputs.weight_step === Infinity && x.length < x[0].length;
    const gram = dual ? mul(x, T(x)) : mul(T(x), x);
    const A = map(gram, (v, i, j) => v / scale + (i === j ? 1 / inputs.weight_step : 0));
    const change = dual ? mul(T(x), solve(A, r)) : solve(A, mul(T(x), r));
    return split(map(layer.W, (w, i, j) => w - change[i][j]), layer, ["W", "b"]);
  },
  local_steps(inputs, conventions) {
    if (inputs.optimizer !== "sgd") return null;
    const layer = layerOf(inputs, "", inputs.transfer);
    const x = withOnes(inputs.x, layer);
    const yTarget = target(layer, mul(x, layer.W), inputs.g, inputs);
    const K = inputs.num_local_steps;
    let W = layer.W;
    for (let k = 0; k < K; k++) {
      const rate = inputs.local_lr * (conventions.local_decay === "authors" ? Math.max(1 - k / K, 0.25) : 1);
      const G = gradient(W, layer.W, x, yTarget, layer, inputs, conventions);
      W = map(W, (w, i, j) => w - rate * G[i][j]);
    }
    return split(W, layer, ["W", "b"]);
  },
  first_step(inputs, conventions) {
    const layers = inputs.transfers.map((name, m) => layerOf(inputs, `_${m + 1}`, name));
    const xs = [], aHats = [];
    let y = inputs.x;
    for (const layer of layers) {
      xs.push(withOnes(y, layer));
      aHats.push(mul(xs[xs.length - 1], layer.W));
      y = f(layer.transfer, aHats[aHats.length - 1]);
    }
    const last = layers[layers.length - 1].transfer;
    let g = map(y, (v, i, j) => (v - inputs.t[i][j]) / y.length);
    if (inputs.output_loss === "squared_error") g = vjp(last, aHats[aHats.length - 1], g);
    const values = {};
    for (let m = layers.length; m >= 1; m--) {
      const layer = layers[m - 1];
      const yTarget = target(layer, aHats[m - 1], g, inputs);
      const G = gradient(layer.W, layer.W, xs[m - 1], yTarget, layer, inputs, conventions);
      Object.assign(values, split(G, layer, [`dW_${m}`, `db_${m}`]));
      if (m > 1) {
        const W = layer.bias ? layer.W.slice(0, -1) : layer.W;
        g = vjp(layers[m - 2].transfer, aHats[m - 2], mul(g, T(W)));
      }
    }
    return values;
  },
};

// null means "not covered"
function run(topic, conventions, inputs) {
  const names = inputs.transfers ?? [inputs.transfer];
  if (names.some((name) => name !== "softmax" && !(name in elementwise))) return null;
  if (conventions.project_targets === "range") return null;
  return topics[topic](inputs, conventions);
}

const [folder, out] = process.argv.slice(2);
if (!folder || !out || !fs.existsSync(path.join(folder, "target.json"))) {
  console.error("usage: node examples/node_adapter.js FOLDER_OF_VECTORS RESULTS.json");
  process.exit(2);
}
const results = {};
let vectors = 0; // the version of the vectors
for (const topic of Object.keys(topics)) {
  const document = JSON.parse(fs.readFileSync(path.join(folder, `${topic}.json`), "utf8"));
  vectors = document.version;
  for (const { conventions, cases } of document.groups) {
    for (const { id, inputs } of cases) {
      const numbers = Object.fromEntries(Object.entries(inputs).map(([name, v]) => [name, read(v)]));
      const values = run(topic, conventions, numbers);
      results[id] = values && Object.fromEntries(Object.entries(values).map(([name, v]) => [name, write(v)]));
    }
  }
}
const implementation = "examples/node_adapter.js";
fs.writeFileSync(out, JSON.stringify({ schema: 1, vectors, implementation, dtype: "float64", results }) + "\n");
