// The controls and pictures of the player. The model under a glimpse by hand is in given_glimpse.js.
// t counts the frames of the chosen video that are shown, m of them.
"use strict";

const PAGE = JSON.parse(document.getElementById("page").textContent);
const MOST_MODELS = 3;
const MOST_CURVES = 5; // of a model; other classes are grey
const COLOURS = ["#0b62a8", "#c8501e", "#1a8a5a", "#a8428c", "#8a6d00", "#3f3f3f", "#2a9db5", "#7a4fc0"];
const DASHES = [[], [6, 3], [2, 2]];

const element = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

const state = {
  t: 0,
  playing: false,
  style: "light",
  byHand: false,
  complete: true, // whether all windows are computed
  spot: { row: (PAGE.sides[0] - 1) / 2, column: (PAGE.sides[0] - 1) / 2, width: 2 },
};
let video = null; // see `openVideo`
let panels = []; // of the chosen models, see `openPanel`
let models = []; // of the page, with params: name -> {shape, values}, or null if no glimpse can be given by hand

// ---------------------------------------------------------------- numbers of a video and of its models

// The m rows of a packed (m, n) array; null stays null.
async function unpackRows(packed) {
  if (packed === null) return null;
  const { shape, values } = await unpack(packed);
  return Array.from({ length: shape[0] }, (_, k) => values.subarray(k * shape[1], (k + 1) * shape[1]));
}

async function openVideo(number) {
  const about = PAGE.videos[number];
  const image = about.picture ? new Image() : null;
  if (image) {
    image.src = about.picture;
    await image.decode();
  }
  return {
    ...about,
    number,
    image,
    m: about.rows.length,
    coverage: await unpackRows(about.coverage),
    cubes: about.cubes && (await unpack(about.cubes)),
    models: await Promise.all(
      about.models.map(async (seen) => {
        return { ...seen, alpha: await unpackRows(seen.alpha), steps: await unpackRows(seen.steps) };
      }),
    ),
  };
}

function likeliest(probs) {
  return probs.reduce((best, p, c) => (p > probs[best] ? c : best), 0);
}

// The class of a video as text, and whether it is right.
function verdict(probs) {
  const predicted = likeliest(probs);
  const right = video.true.includes(predicted);
  return { predicted, right, text: `${right ? "✓" : "✗"} ${PAGE.classes[predicted]} (${percent(probs[predicted])})` };
}

const trueNames = (about) => about.true.map((c) => PAGE.classes[c]).join(" + ") || "none";

// ---------------------------------------------------------------- a panel: one model

function openPanel(number) {
  const root = element("panel").content.firstElementChild.cloneNode(true);
  const part = (name) => root.querySelector(name);
  const model = models[number];
  const seen = video.models[number];
  const panel = {
    root,
    part,
    model,
    picture: part(".stage canvas"),
    curves: part(".curves"),
    ...seen, // probs, alpha, full, steps
    params: model.params,
    states: null, // initial states of the windows, for a glimpse by hand
    given: null, // under the glimpse by hand: weights (L), windows (steps of each), steps (m), probs (C)
    classes: [], // those that are drawn in colour
  };
  part("h2").textContent = model.title;
  part(".reason").textContent = model.reason;
  panel.picture.width = panel.picture.height = PAGE.side;
  part(".stage").classList.toggle("takes-hand", panel.params !== null);
  part(".spot").setAttribute("aria-valuemax", PAGE.sides[0] ** 2);
  listenToSpot(panel);
  listenToCurves(panel);
  return panel;
}

const glimpseOf = (panel) => (panel.given ? panel.given.weights : panel.alpha && panel.alpha[state.t]);
const stepsOf = (panel) => (panel.given ? panel.given.steps : panel.steps);

// The classes with colours in a panel: the true ones, and those that are most likely, also under a glimpse by hand.
function chooseClasses(panel) {
  const chosen = new Set([...video.true, likeliest(panel.probs)]);
  if (panel.given) chosen.add(likeliest(panel.given.probs));
  const order = [...panel.probs.keys()].sort((a, b) => panel.probs[b] - panel.probs[a]);
  for (const c of order) if (chosen.size < MOST_CURVES) chosen.add(c);
  panel.classes = [...chosen].sort((a, b) => a - b);
}

// A class has the same colour and dashes in all panels.
function look(c) {
  const all = [...new Set(panels.flatMap((panel) => panel.classes))].sort((a, b) => a - b);
  const k = Math.max(all.indexOf(c), 0);
  return { colour: COLOURS[k % COLOURS.length], dash: DASHES[Math.floor(k / COLOURS.length) % DASHES.length] };
}

function showVerdicts(panel) {
  const own = verdict(panel.probs);
  const line = panel.part(".own");
  line.replaceChildren(panel.given ? "own glimpse: " : "", bold(own));
  line.append(`, true ${trueNames(video)}`);
  const given = panel.part(".given");
  given.hidden = !panel.given;
  given.setAttribute("aria-busy", !state.complete);
  if (panel.given) given.replaceChildren("your spotlight: ", bold(verdict(panel.given.probs)), state.complete ? "" : " …");
  panel.part(".reason").hidden = !(state.byHand && panel.model.reason);
}

function bold({ text, right }) {
  const span = document.createElement("span");
  span.textContent = text;
  span.className = right ? "right" : "wrong";
  return span;
}

function showLegend(panel) {
  const items = panel.classes.map((c) => {
    const { colour, dash } = look(c);
    const item = document.createElement("li");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    line.setAttribute("width", 22);
    line.setAttribute("height", 8);
    line.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const attributes = { d: "M0 4H22", stroke: colour, "stroke-width": 3, "stroke-dasharray": dash.join(" ") };
    for (const [name, value] of Object.entries(attributes)) path.setAttribute(name, value);
    line.append(path);
    const name = document.createElement("span");
    name.textContent = PAGE.classes[c];
    name.title = PAGE.classes[c];
    if (video.true.includes(c)) name.style.fontWeight = "bold";
    item.append(line, name, document.createElement("output"));
    return item;
  });
  panel.part(".legend").replaceChildren(...items);
}

// ---------------------------------------------------------------- pictures

// For each pixel of a side of a smooth map its lower location and the share of the next one; util/drawing.py, smooth.
function interpolation(size, K) {
  const [low, share] = [new Int32Array(size), new Float64Array(size)];
  for (let x = 0; x < size; x++) {
    const position = clamp(((x + 0.5) * K) / size - 0.5, 0, K - 1);
    low[x] = Math.min(Math.floor(position), Math.max(K - 2, 0));
    const s = position - low[x];
    share[x] = s * s * (3 - 2 * s);
  }
  return { low, share };
}
const INTERPOLATIONS = PAGE.sides.map((K) => interpolation(PAGE.side, K));

// Brightness (side x side) from 0 to 1 of a glimpse. Where it has two layers, their weights per area are added.
function lightOf(weights, full) {
  const S = PAGE.side;
  const light = new Float64Array(S * S);
  let first = 0;
  PAGE.sides.forEach((K, layer) => {
    const { low, share } = INTERPOLATIONS[layer];
    const at = (row, column) => weights[first + Math.min(row, K - 1) * K + Math.min(column, K - 1)] / full[layer];
    for (let y = 0, p = 0; y < S; y++) {
      for (let x = 0; x < S; x++, p++) {
        const [r, c, v, u] = [low[y], low[x], share[y], share[x]];
        const upper = (1 - u) * at(r, c) + u * at(r, c + 1);
        const lower = (1 - u) * at(r + 1, c) + u * at(r + 1, c + 1);
        light[p] += (1 - v) * upper + v * lower;
      }
    }
    first += K * K;
  });
  return light.map((x) => Math.sqrt(clamp(x, 0, 1))); // the square root makes small weights visible
}

// Draws frame t, and the glimpse over it; util/drawing.py, overlay and heat.
function drawFrame(panel) {
  const S = PAGE.side;
  const context = panel.picture.getContext("2d", { willReadFrequently: true });
  const place = [state.t % PAGE.columns, Math.floor(state.t / PAGE.columns)];
  context.fillRect(0, 0, S, S);
  if (video.image) context.drawImage(video.image, place[0] * S, place[1] * S, S, S, 0, 0, S, S);
  const glimpse = glimpseOf(panel);
  if (glimpse && state.style !== "off") {
    const full = panel.given ? [Math.max(3 / glimpse.length, ...glimpse)] : panel.full;
    const light = lightOf(glimpse, full);
    const pixels = context.getImageData(0, 0, S, S);
    const data = pixels.data;
    const heat = state.style === "heat" || !video.image;
    for (let p = 0, k = 0; p < light.length; p++, k += 4) {
      const grey = (data[k] + data[k + 1] + data[k + 2]) / 3;
      for (let j = 0; j < 3; j++) {
        const dark = 0.25 * (0.5 * grey + 0.5 * data[k + j]);
        data[k + j] = heat
          ? (1 - 0.8 * light[p]) * 0.7 * grey + 0.8 * light[p] * 255 * clamp(3 * light[p] - j, 0, 1) // red, green, blue
          : dark + light[p] * (1.1 * data[k + j] + 25 - dark);
      }
    }
    context.putImageData(pixels, 0, 0);
  }
  const what = glimpse ? "the glimpse over it" : "without a glimpse";
  panel.picture.setAttribute("aria-label", `${video.name}, frame ${video.rows[state.t] + 1}, ${what}`);
}

function drawCurves(panel) {
  const canvas = panel.curves;
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const [left, right, top, bottom] = [34, width - 4, 6, height - 6];
  const x = (t) => left + ((right - left) * t) / Math.max(video.m - 1, 1);
  const y = (p) => bottom - (bottom - top) * p;
  const line = (points, colour, thickness, dash) => {
    context.beginPath();
    points.forEach(([a, b], k) => (k ? context.lineTo(a, b) : context.moveTo(a, b)));
    Object.assign(context, { strokeStyle: colour, lineWidth: thickness, lineJoin: "round" });
    context.setLineDash(dash);
    context.stroke();
  };
  const curve = (steps, c, colour, thickness, dash) => {
    line(steps.map((probs, t) => [x(t), y(probs[c])]), colour, thickness, dash);
  };
  context.font = "11px Georgia, serif";
  context.fillStyle = "#5a5a5a";
  context.textAlign = "right";
  for (const p of [0, 0.5, 1]) {
    line([[left, y(p)], [right, y(p)]], "#e2e2e2", 1, []);
    context.fillText(percent(p), left - 4, clamp(y(p) + 4, 10, height - 2));
  }
  for (let t = 1; t < video.m; t++) {
    if (video.places[t][0] !== video.places[t - 1][0]) line([[x(t - 0.5), top], [x(t - 0.5), bottom]], "#888", 1, [1, 3]);
  }
  const steps = stepsOf(panel);
  for (let c = 0; c < PAGE.classes.length; c++) if (!panel.classes.includes(c)) curve(steps, c, "#dcdcdc", 1, []);
  for (const c of panel.classes) {
    const { colour, dash } = look(c);
    if (panel.given) curve(panel.steps, c, colour + "66", 1, dash);
    curve(steps, c, colour, video.true.includes(c) ? 3 : 1.8, dash);
  }
  line([[x(state.t), top - 4], [x(state.t), bottom + 4]], "#222", 1.5, []);
  canvas.dataset.cursor = state.t;
  const now = likeliest(steps[state.t]);
  const text = `Class probabilities over time; at this frame ${PAGE.classes[now]} ${percent(steps[state.t][now])}`;
  canvas.setAttribute("aria-label", text);
  panel.part(".legend").childNodes.forEach((item, k) => {
    item.lastChild.textContent = percent(steps[state.t][panel.classes[k]]);
  });
}

// The share of attention on the figure; needs its box. A fine layer's locations are covered by the box, too.
function showShare(panel) {
  const box = panel.part(".share");
  box.hidden = !(video.coverage && glimpseOf(panel));
  if (box.hidden) return;
  const shareAt = (t) => {
    const weights = panel.given ? panel.given.weights : panel.alpha[t];
    return video.coverage[t].reduce((sum, covered, i) => sum + covered * weights[i], 0);
  };
  const covered = video.coverage[state.t];
  const uniform = covered.reduce((a, b) => a + b) / covered.length;
  const now = shareAt(state.t);
  const mean = video.rows.reduce((sum, _, t) => sum + shareAt(t), 0) / video.m;
  panel.part(".share span").textContent = `attention on the figure ${percent(now)}, mean ${percent(mean)}`;
  panel.part(".bar i").style.width = `${100 * now}%`;
  panel.part(".bar b").style.left = `${100 * uniform}%`;
  panel.part(".bar").title = `a uniform glimpse has ${percent(uniform)}`;
}

// ---------------------------------------------------------------- what changes: frame, glimpse, video and models

function showFrame() {
  element("frame").value = state.t;
  const row = video.rows[state.t] + 1;
  element("frame").setAttribute("aria-valuetext", `frame ${row} of ${video.nFrames}`);
  element("place").textContent = `${row} / ${video.nFrames}`;
  for (const panel of panels) {
    drawFrame(panel);
    drawCurves(panel);
    showShare(panel);
  }
}

// Computes the models under the glimpse by hand, or goes back to their own. The windows whose steps are shown come
// first: their mean is the class until all windows are computed, in slices between which the page reacts.
let computation = 0;
async function showGlimpse() {
  const mine = ++computation;
  const { row, column, width } = state.spot;
  const weights = spotlight(row, column, width, PAGE.sides[0]);
  for (const panel of panels) panel.given = state.byHand && panel.params ? { weights, windows: [], probs: null } : null;
  const given = panels.filter((panel) => panel.given);
  const shown = [...new Set(video.places.map(([window]) => window))];
  for (const panel of given) {
    panel.states ??= initialStates(panel.model, video.cubes, video.windows);
    panel.given.seen = seenFrames(panel.model, video.cubes, weights);
    for (const w of shown) computeWindow(panel, w);
    panel.given.steps = video.places.map(([window, step]) => panel.given.windows[window][step]);
  }
  state.complete = given.length === 0;
  showResult();
  if (state.complete) return;
  let began = performance.now();
  for (const w of video.windows.keys()) {
    for (const panel of given) if (!panel.given.windows[w]) computeWindow(panel, w);
    if (performance.now() - began > 12) {
      await new Promise(requestAnimationFrame);
      if (mine !== computation) return; // the spotlight has moved, or the video or the models have changed
      began = performance.now();
    }
  }
  state.complete = true;
  showResult();
}

function computeWindow({ model, given, states }, w) {
  given.windows[w] = windowSteps(model, given.seen, video.windows[w], states[w]);
}

function showResult() {
  for (const panel of panels) {
    // the windows that are computed; others are holes of the array
    if (panel.given) panel.given.probs = videoProbabilities(panel.model.options, Object.values(panel.given.windows));
    chooseClasses(panel);
    showSpot(panel);
  }
  for (const panel of panels) {
    showVerdicts(panel);
    showLegend(panel);
  }
  showFrame();
}

function showSpot(panel) {
  const spot = panel.part(".spot");
  const { row, column, width } = state.spot;
  const K = PAGE.sides[0];
  spot.hidden = !panel.given;
  spot.style.left = `${(100 * (column + 0.5)) / K}%`;
  spot.style.top = `${(100 * (row + 0.5)) / K}%`;
  spot.style.width = spot.style.height = `${(100 * width) / K}%`;
  if (!panel.given) return;
  spot.setAttribute("aria-valuenow", Math.round(row) * K + Math.round(column) + 1);
  const place = `row ${(row + 1).toFixed(1)}, column ${(column + 1).toFixed(1)} of ${K}`;
  spot.setAttribute("aria-valuetext", `${place}; ${verdict(panel.given.probs).text}`);
}

let waiting = false;
function glimpseChanged() {
  if (waiting) return; // several movements between two pictures are one
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    showGlimpse();
  });
}

function moveSpot(row, column) {
  const last = PAGE.sides[0] - 1;
  Object.assign(state.spot, { row: clamp(row, 0, last), column: clamp(column, 0, last) });
  glimpseChanged();
}

function setWidth(width) {
  const input = element("width");
  input.value = width; // the browser keeps it between min and max
  state.spot.width = Number(input.value);
  input.setAttribute("aria-valuetext", `${state.spot.width} locations`);
  glimpseChanged();
}

function showPanels() {
  const chosen = [...document.querySelectorAll("#models input:checked")].map((input) => Number(input.value));
  panels = chosen.map(openPanel);
  element("panels").style.setProperty("--n", panels.length);
  element("panels").replaceChildren(...panels.map((panel) => panel.root));
  for (const input of document.querySelectorAll("#models input")) {
    const full = input.checked ? chosen.length === 1 : chosen.length === MOST_MODELS;
    input.disabled = full; // at least one, at most three
  }
  document.body.classList.toggle("by-hand", state.byHand);
  showGlimpse();
}

let request = 0; // a video that takes long to open must not replace one that was chosen later
async function showVideo(number) {
  const mine = ++request;
  const opened = await openVideo(number);
  if (mine !== request) return;
  video = opened;
  state.t = 0;
  element("frame").max = video.m - 1;
  showPanels();
}

// ---------------------------------------------------------------- time

let last = 0;
function tick(now) {
  if (!state.playing) return;
  const interval = 1000 / (PAGE.fps * Number(element("speed").value));
  const steps = Math.floor((now - last) / interval);
  if (steps > 0) {
    last = steps > 5 ? now : last + steps * interval; // after a pause of the browser, go on where it was
    goTo((state.t + 1) % video.m);
  }
  requestAnimationFrame(tick);
}

function goTo(t) {
  state.t = clamp(t, 0, video.m - 1);
  showFrame();
}

function play(playing) {
  state.playing = playing;
  element("play").textContent = playing ? "Pause" : "Play";
  if (!playing) return;
  if (state.t === video.m - 1) goTo(0);
  last = performance.now();
  requestAnimationFrame(tick);
}

// ---------------------------------------------------------------- input

function listenToSpot(panel) {
  const stage = panel.part(".stage");
  const spot = panel.part(".spot");
  const K = PAGE.sides[0];
  const follow = (event) => {
    const box = stage.getBoundingClientRect();
    moveSpot(((event.clientY - box.top) * K) / box.height - 0.5, ((event.clientX - box.left) * K) / box.width - 0.5);
  };
  stage.addEventListener("pointerdown", (event) => {
    if (!panel.given || event.button !== 0) return;
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    spot.focus({ preventScroll: true });
    follow(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) follow(event);
  });
  spot.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const step = event.shiftKey ? 1 : 0.25; // in locations
    const { row, column, width } = state.spot;
    if (event.key in moves) moveSpot(row + step * moves[event.key][0], column + step * moves[event.key][1]);
    else if (event.key === "+" || event.key === "-") setWidth(width + (event.key === "+" ? 0.25 : -0.25));
    else return;
    event.preventDefault();
    event.stopPropagation(); // the same keys step through the frames elsewhere
  });
}

function listenToCurves(panel) {
  const follow = (event) => {
    const { left, width } = panel.curves.getBoundingClientRect();
    const [from, to] = [34, width - 4]; // see drawCurves
    goTo(Math.round(((event.clientX - left - from) / (to - from)) * (video.m - 1)));
  };
  panel.curves.addEventListener("pointerdown", (event) => {
    panel.curves.setPointerCapture(event.pointerId);
    follow(event);
  });
  panel.curves.addEventListener("pointermove", (event) => {
    if (panel.curves.hasPointerCapture(event.pointerId)) follow(event);
  });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || !video) return;
  const target = event.target;
  const typing = target.matches("select, input:not(#frame)"); // these keys have a meaning there
  if (event.key === " " && !typing && !target.matches("button, summary")) play(!state.playing);
  else if (event.key === "ArrowLeft" && !typing) goTo(state.t - 1);
  else if (event.key === "ArrowRight" && !typing) goTo(state.t + 1);
  else return;
  event.preventDefault();
});
element("play").addEventListener("click", () => play(!state.playing));
element("frame").addEventListener("input", (event) => goTo(Number(event.target.value)));
element("video").addEventListener("change", (event) => showVideo(Number(event.target.value)));
element("models").addEventListener("change", showPanels);
element("styles").addEventListener("change", (event) => {
  state.style = event.target.value;
  showFrame();
});
element("by-hand").addEventListener("change", (event) => {
  state.byHand = event.target.checked;
  element("width").disabled = !state.byHand;
  document.body.classList.toggle("by-hand", state.byHand);
  showGlimpse();
});
element("width").addEventListener("input", (event) => setWidth(Number(event.target.value)));
window.addEventListener("resize", () => video && panels.forEach(drawCurves));

// ---------------------------------------------------------------- the start

function fillControls() {
  for (const [k, about] of PAGE.videos.entries()) {
    const right = about.true.includes(likeliest(about.models[0].probs));
    element("video").append(new Option(`${right ? "✓" : "✗"} ${about.name}`, k));
  }
  for (const [k, model] of PAGE.models.entries()) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "checkbox", value: k, checked: k < 2 });
    label.append(input, model.title);
    element("models").append(label);
  }
  if (PAGE.models.every((model) => model.reason)) {
    const model = PAGE.models.find(({ attends }) => attends) || PAGE.models[0];
    const text = document.createElement("p");
    text.textContent = model.reason;
    text.className = "soft";
    element("hand").querySelectorAll("label").forEach((label) => label.remove());
    element("hand").append(text);
  }
}

async function start() {
  models = await Promise.all(
    PAGE.models.map(async (model) => ({ ...model, params: model.params && (await unpackAll(model.params)) })),
  );
  fillControls();
  await showVideo(0);
}
start();
