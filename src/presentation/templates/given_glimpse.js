// The model of src/actrec.py in testing, for a glimpse that is given, not chosen (option attention "given").
//
// Shapes: L locations, D feature depth, d LSTM size, C classes, T steps of a window, n windows, m frames of a video.
// Arrays are flat, the last axis first in memory as in NumPy. Names of parameters are those of model.npz. Everything is
// computed in double precision. Nothing here touches the page.

// ---------------------------------------------------------------- numbers that the page contains

const HALF_VALUES = new Float32Array(65536); // the number of every half-precision bit pattern
for (let bits = 0; bits < 65536; bits++) {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) HALF_VALUES[bits] = sign * fraction * 2 ** -24;
  else if (exponent === 31) HALF_VALUES[bits] = fraction ? NaN : sign * Infinity;
  else HALF_VALUES[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// {shape, dtype: "float16" or "float32", deflated: base64}, little-endian -> {shape, values: Float64Array}
async function unpack(packed) {
  const deflated = Uint8Array.from(atob(packed.deflated), (letter) => letter.charCodeAt(0));
  const inflated = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(inflated).arrayBuffer();
  const half = packed.dtype === "float16";
  const values = half ? Float64Array.from(new Uint16Array(buffer), (bits) => HALF_VALUES[bits]) : new Float32Array(buffer);
  return { shape: packed.shape, values: Float64Array.from(values) };
}

// The same for an object of packed arrays, such as the parameters of a model.
async function unpackAll(packed) {
  const entries = Object.entries(packed).map(async ([name, value]) => [name, await unpack(value)]);
  return Object.fromEntries(await Promise.all(entries));
}

// ---------------------------------------------------------------- layers

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const relu = (x) => Math.max(x, 0);

// Adds x W to sum; x (n), W (n, m), sum (m). Four rows of W at a time are twice as fast as one.
function addProduct(sum, x, W) {
  const [n, m] = [x.length, sum.length];
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const [x0, x1, x2, x3] = [x[i], x[i + 1], x[i + 2], x[i + 3]];
    const row0 = i * m, row1 = row0 + m, row2 = row1 + m, row3 = row2 + m;
    for (let j = 0; j < m; j++) sum[j] += x0 * W[row0 + j] + x1 * W[row1 + j] + x2 * W[row2 + j] + x3 * W[row3 + j];
  }
  for (; i < n; i++) for (let j = 0; j < m; j++) sum[j] += x[i] * W[i * m + j];
  return sum;
}

// activation(x W + b), for the layer whose parameters are called prefix_W and prefix_b.
function layer(params, prefix, x, activation = (y) => y) {
  const sum = addProduct(Float64Array.from(params[`${prefix}_b`].values), x, params[`${prefix}_W`].values);
  return sum.map(activation);
}

function softmax(logits) {
  const highest = logits.reduce((a, b) => Math.max(a, b));
  const powers = logits.map((z) => Math.exp(z - highest));
  const total = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / total);
}

const layerName = (prefix, k) => (k === 0 ? prefix : `${prefix}_${k + 1}`);

// ---------------------------------------------------------------- the model

// Dropout in testing: option dropout "released" halves what had dropout in training; "paper" does nothing.
function dropoutFactor(options) {
  return options.use_dropout && options.dropout === "released" ? 0.5 : 1;
}

// Eq. 6: h_0 and c_0 of every layer from the mean cube of a window (D).
function initialState(params, options, meanCube) {
  let hidden = meanCube;
  for (let k = 1; k < options.n_layers_init; k++) {
    hidden = layer(params, `ff_init_${k}`, hidden, relu).map((x) => dropoutFactor(options) * x);
  }
  const layers = [...Array(options.n_layers_lstm).keys()];
  return {
    h: layers.map((k) => layer(params, layerName("ff_state", k), hidden, Math.tanh)),
    c: layers.map((k) => layer(params, layerName("ff_memory", k), hidden, Math.tanh)),
  };
}

// Eqs. 1-3: the new h and c (d) of a layer. fromInput (4d): the product of its input with W. Gates in the order i f o g.
function lstmStep(params, name, fromInput, h, c) {
  const d = h.length;
  const preact = addProduct(Float64Array.from(fromInput), h, params[`${name}_U`].values);
  const b = params[`${name}_b`].values;
  const [newH, newC] = [new Float64Array(d), new Float64Array(d)];
  for (let j = 0; j < d; j++) {
    const i = sigmoid(preact[j] + b[j]);
    const f = sigmoid(preact[d + j] + b[d + j]);
    const o = sigmoid(preact[2 * d + j] + b[2 * d + j]);
    const g = Math.tanh(preact[3 * d + j] + b[3 * d + j]);
    newC[j] = f * c[j] + i * g; // Eq. 2
    newH[j] = o * Math.tanh(newC[j]); // Eq. 3
  }
  return [newH, newC];
}

// Class probabilities (C) at a step from h of the top layer and the attended vector.
function classProbabilities(params, options, h, attended) {
  const half = dropoutFactor(options);
  let hidden = layer(params, "ff_logit_lstm", h.map((x) => half * x));
  if (options.ctx2out) {
    const added = layer(params, "ff_logit_ctx", attended);
    hidden = hidden.map((x, j) => x + added[j]);
  }
  hidden = hidden.map((x) => half * Math.tanh(x));
  for (let k = 1; k < options.n_layers_out; k++) {
    hidden = layer(params, `ff_logit_h${k}`, hidden, relu).map((x) => half * x);
  }
  const logits = layer(params, "ff_logit", hidden);
  return options.multilabel ? logits.map(sigmoid) : softmax(logits);
}

// A window's class probabilities (C) from those at its steps, an array of T; src/experiment/evaluation.py.
function windowScores(options, steps) {
  const last = options.last_n ? steps.slice(-options.last_n) : steps;
  const scores = last[0].map((_, c) => last.reduce((sum, probs) => sum + probs[c], 0) / last.length);
  if (options.video_score !== "vote" || options.multilabel) return scores;
  const likeliest = scores.indexOf(scores.reduce((a, b) => Math.max(a, b)));
  return scores.map((_, c) => (c === likeliest ? 1 : 0));
}

// ---------------------------------------------------------------- a whole video

// Weights (L) of a Gaussian spotlight on a grid of side x side locations; row and column from 0, width in locations.
function spotlight(row, column, width, side) {
  const squared = Float64Array.from({ length: side * side }, (_, i) => {
    return ((Math.floor(i / side) - row) ** 2 + ((i % side) - column) ** 2) / (width / 2) ** 2;
  });
  const nearest = squared.reduce((a, b) => Math.min(a, b));
  const weights = squared.map((s) => Math.exp(-(s - nearest) / 2));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

// Eq. 5 for every frame: cubes {shape: [m, L, D], values}, weights (L) -> m attended vectors (D).
function attendedVectors(cubes, weights) {
  const [m, L, D] = cubes.shape;
  return Array.from({ length: m }, (_, k) => {
    return addProduct(new Float64Array(D), weights, cubes.values.subarray(k * L * D, (k + 1) * L * D));
  });
}

// The initial state of each window. It does not depend on the glimpse. windows: for each of n, its T frames.
function initialStates(model, cubes, windows) {
  const [, L] = cubes.shape;
  const means = attendedVectors(cubes, new Float64Array(L).fill(1 / L));
  return windows.map((frames) => {
    const mean = means[0].map((_, j) => frames.reduce((sum, k) => sum + means[k][j], 0) / frames.length);
    return initialState(model.params, model.options, mean);
  });
}

// What a model sees of each of the m frames under weights (L): the attended vector x (D), and x W of the first LSTM layer.
function seenFrames(model, cubes, weights) {
  const W = model.params.decoder_W.values;
  const attended = attendedVectors(cubes, weights);
  // Windows overlap: this product is computed once for each frame.
  const products = attended.map((x) => addProduct(new Float64Array(W.length / x.length), x, W));
  return { attended, products };
}

// Class probabilities (C) at each step of a window. seen: seenFrames(...); frames: T; state: one of initialStates(...).
function windowSteps(model, seen, frames, state) {
  const { params, options } = model;
  const [h, c] = [[...state.h], [...state.c]];
  const top = h.length - 1;
  return frames.map((k) => {
    let [x, fromInput] = [seen.attended[k], seen.products[k]];
    if (options.selector) {
      const gate = sigmoid(addProduct(Float64Array.from(params.decoder_b_sel.values), h[top], params.decoder_W_sel.values)[0]);
      [x, fromInput] = [x, fromInput].map((vector) => vector.map((value) => gate * value));
    }
    for (let j = 0; j <= top; j++) {
      const name = layerName("decoder", j);
      if (j > 0) fromInput = addProduct(new Float64Array(4 * h[j].length), h[j - 1], params[`${name}_W`].values);
      [h[j], c[j]] = lstmStep(params, name, fromInput, h[j], c[j]);
    }
    return classProbabilities(params, options, h[top], x);
  });
}

// Class probabilities (C) of a video from those at the steps of its windows: the mean of the windows' scores.
function videoProbabilities(options, windows) {
  const scores = windows.map((steps) => windowScores(options, steps));
  return scores[0].map((_, c) => scores.reduce((sum, score) => sum + score[c], 0) / scores.length);
}
