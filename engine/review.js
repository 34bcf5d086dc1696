// The review page: moves between photographs, shows them, takes strokes and keys, and saves.
"use strict";

const page = JSON.parse(byId("index").textContent), count = page.photos.length, SHELF = "review " + page.id;
const stage = byId("stage"), sheet = byId("sheet"), overlay = byId("overlay"), context = overlay.getContext("2d");
const TOOLS = [ // name, key, label, icon
  ["move", "v", "Move", "M10 2v16M2 10h16M10 2 8 4M10 2l2 2M10 18l-2-2M10 18l2-2M2 10l2-2M2 10l2 2M18 10l-2-2M18 10l-2 2"],
  ["brush", "b", "Brush", "M3 17c2.500 0 4.500-.5 4.500-3a2.200 2.200 0 0 0-4.400 0c0 1.600-.6 2.500-1.100 2.800M7.500 12 16.500 2.500l1.200 1.200L9 13"],
  ["eraser", "e", "Eraser", "M8 17h9M3.500 12.500 11 5a1.700 1.700 0 0 1 2.400 0L16 7.600a1.700 1.700 0 0 1 0 2.400L9 17H7zM7.500 8.500l5 5"],
  ["protect", "p", "Protect", "M10 2l6 2.500v4.500c0 4.200-2.500 7-6 9-3.500-2-6-4.800-6-9V4.500z"],
  ["color", "c", "Color", "M10 2c3.400 4.200 5 6.500 5 9.500a5 5 0 0 1-10 0C5 8.500 6.600 6.200 10 2z"],
];
const PICK = "M12.500 4.500l3 3M10.500 6.500l3 3-7 7h-3v-3zM12.200 4.800a2.100 2.100 0 0 1 3 3";
const COLORS = [["#d9a68c", "skin"], ["#6b4a2f", "brown"], ["#8a7f55", "khaki"], ["#4f6f3a", "green"], ["#2c3e66", "navy"], ["#8fb4d8", "sky"],
  ["#a8322f", "red"], ["#808080", "grey: no color"]];

// at: the photograph shown. photos: number of a photograph -> approved, and its actions in order: strokes
// {tool, radius, points, color}, {threshold} in percent, or null for the detected mask, and {reset}.
let state = shelf.read(SHELF, { at: 0, photos: {} }), stored = true, unsaved = false;
const undone = {}; // number of a photograph -> actions that redo brings back, the next one last
let current = null; // what `load` gave for the photograph shown; null until it is decoded
let tool = "move", color = COLORS[0][0], sizeValue = 40, showMask = true, flipped = false, result = null, split = 0.5, picking = false;
let view = { k: 1, x: 0, y: 0 }, fitted = true, stroke = null, cursor = null, penDown = false;

// ---------------------------------------------------------------------------------------------- what was done

const workOf = index => state.photos[index] ?? { approved: false, actions: [] };

function keep() {
  unsaved = true;
  stored = shelf.write(SHELF, state);
}

/** The threshold, null for the detected mask, and the strokes that actions lead to. */
function replay(actions) {
  let threshold = null, strokes = [];
  for (const action of actions)
    if (action.reset) [threshold, strokes] = [null, []];
    else if ("threshold" in action) threshold = action.threshold;
    else strokes = [...strokes, action];
  return { threshold, strokes };
}

function isChanged(index) {
  const { threshold, strokes } = replay(workOf(index).actions);
  return threshold !== null || strokes.length > 0;
}

function act(action) {
  const { actions } = workOf(state.at), again = "threshold" in action && actions.length && "threshold" in actions.at(-1);
  state.photos[state.at] = { approved: false, actions: [...(again ? actions.slice(0, -1) : actions), action] };
  delete undone[state.at];
  keep();
  showState();
}

function undo() {
  const { actions, approved } = workOf(state.at);
  if (!actions.length && !approved) return;
  if (actions.length) (undone[state.at] ??= []).push(actions.at(-1));
  state.photos[state.at] = { approved: false, actions: actions.slice(0, -1) };
  keep();
  repaint();
}

function redo() {
  const action = undone[state.at]?.pop();
  if (!action) return;
  state.photos[state.at] = { approved: false, actions: [...workOf(state.at).actions, action] };
  keep();
  repaint();
}

function reset() {
  if (!isChanged(state.at)) return;
  act({ reset: true });
  repaint();
}

function approve() {
  if (stroke || !current) return;
  state.photos[state.at] = { ...workOf(state.at), approved: true };
  keep();
  const order = page.photos.map((_, place) => (state.at + place) % count);
  const next = order.find(index => !workOf(index).approved);
  if (next === undefined) showState("All are approved: save, and run the command that is shown then.");
  else go(next);
}

// ---------------------------------------------------------------------------------------------- photographs

/** What the mask of a photograph is made of. */
async function masksOf(index) {
  const data = JSON.parse(byId(`photo-${index}`).textContent), entry = page.photos[index];
  const planes = { bits: await inflate(data.mask), infrared: null, protected: null };
  for (const name of ["infrared", "protected"]) if (data[name]) planes[name] = await inflate(data[name]);
  const photo = { ...entry, ...planes, index, pictures: data.pictures, levels: null, limits: data.limits };
  return data.probability ? { ...photo, levels: await inflate(data.probability.levels), levelsSize: data.probability.size } : photo;
}

/** A canvas with the picture of a data URL. Unlike an image it gives its memory back when it is told to. */
async function drawn(url) {
  const [head, text] = url.split(","), bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: head.slice(5, head.indexOf(";")) }));
  const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
  canvas.getContext("bitmaprenderer").transferFromImageBitmap(bitmap);
  return canvas;
}

async function decode(index) {
  const { pictures, ...photo } = await masksOf(index), names = Object.keys(pictures);
  const canvases = await Promise.all(Object.values(pictures).map(drawn));
  const images = Object.fromEntries(names.map((name, place) => [name, canvases[place]]));
  const { width, height } = images.original, grid = raster(photo.size, width, height);
  const small = bits => bits && shrink(bits, photo.size, width, height);
  return { ...photo, images, width, height, grid, detected: small(photo.bits), always: small(photo.infrared), never: small(photo.protected),
    smooth: photo.levels && enlarge(photo.levels, photo.levelsSize, grid), base: null,
    flags: new Uint8Array(width * height), colors: new Uint32Array(width * height) };
}

const cache = new Map(); // number -> promise of a decoded photograph: the one shown and its neighbours only

function load(index) {
  for (const [old, photo] of cache)
    if (Math.abs(old - index) > 1 && Math.abs(old - state.at) > 1) {
      cache.delete(old);
      photo.then(({ images }) => Object.values(images).forEach(image => { image.width = 0; }), () => {}); // frees its pixels
    }
  if (!cache.has(index)) {
    const photo = decode(index);
    photo.catch(() => cache.delete(index)); // tried again when it is shown again
    cache.set(index, photo);
  }
  return cache.get(index);
}

async function go(index) {
  finishStroke();
  state.at = Math.min(Math.max(index, 0), count - 1);
  stored = shelf.write(SHELF, state);
  const wanted = state.at, waiting = load(wanted);
  current = null;
  showState();
  const photo = await waiting.catch(error => showState(`It cannot be shown: ${error.message}`));
  if (!photo || wanted !== state.at) return; // moved on meanwhile
  current = photo;
  const names = Object.keys(photo.images).filter(name => name !== "original");
  result = names.includes(result) ? result : names[0] ?? null;
  [overlay.width, overlay.height] = [photo.width, photo.height];
  photo.picture = context.createImageData(photo.width, photo.height);
  sheet.style.width = `${photo.width}px`;
  sheet.style.height = `${photo.height}px`;
  cursor = null;
  showResult();
  showSize();
  fit();
  repaint();
  if (wanted + 1 < count) load(wanted + 1);
}

// ---------------------------------------------------------------------------------------------- the picture

const rgba = (...bytes) => new Uint32Array(new Uint8Array(bytes).buffer)[0];
const MARK = rgba(255, 59, 92, 150), SHIELD = [rgba(62, 224, 150, 170), rgba(62, 224, 150, 70)], GLAZE = rgba(255, 255, 255, 216);

/** Draws everything anew from the actions. */
function repaint() {
  if (!current) return showState();
  const { threshold, strokes } = replay(workOf(state.at).actions);
  preview(threshold);
  current.flags.fill(0);
  current.colors.fill(0);
  drawStrokes(current.grid, current.flags, strokes, false);
  drawStrokes(current.grid, current.colors, strokes, true);
  compose();
  showState();
}

function preview(threshold) {
  const { detected, smooth, limits, levelsSize, grid, always, never } = current;
  const levels = limits && threshold !== null ? enlarge(levelsFor(current, threshold), levelsSize, grid) : smooth;
  current.base = threshold === null ? detected : stamp(stamp(atLeast(levels, threshold), always, 255), never, 0);
}

/** Puts mask, protection and colors on the overlay, all or a box [left, top, right, bottom] of it. */
function compose(box = [0, 0, current.width, current.height]) {
  const { width, height, flags, colors, base, picture } = current, pixels = new Uint32Array(picture.data.buffer);
  const [left, top] = [Math.max(0, Math.floor(box[0])), Math.max(0, Math.floor(box[1]))];
  const [right, bottom] = [Math.min(width, Math.ceil(box[2])), Math.min(height, Math.ceil(box[3]))];
  if (left >= right || top >= bottom) return;
  for (let y = top; y < bottom; y++)
    for (let x = left, i = y * width + left; x < right; x++, i++) {
      const flag = flags[i];
      pixels[i] = colors[i] ? colors[i] & GLAZE : flag & PROTECTED ? SHIELD[(x + y) >> 2 & 1] : (flag ? flag & DAMAGED : base[i]) ? MARK : 0;
    }
  context.putImageData(picture, 0, 0, left, top, right - left, bottom - top);
}

function markedShare() {
  const { flags, base } = current;
  let marked = 0;
  for (let i = 0; i < flags.length; i++) if (flags[i] ? flags[i] & DAMAGED && !(flags[i] & PROTECTED) : base[i]) marked++;
  return marked / flags.length;
}

function fit() {
  if (!current) return;
  const { clientWidth, clientHeight } = stage, { width, height } = current;
  const k = Math.min((clientWidth - 24) / width, (clientHeight - 24) / height);
  view = { k, x: (clientWidth - width * k) / 2, y: (clientHeight - height * k) / 2 };
  fitted = true;
  showView();
}

function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  if (!current) return;
  const least = Math.min(stage.clientWidth / current.width, stage.clientHeight / current.height) / 2;
  const k = Math.min(Math.max(view.k * factor, least), 24);
  view = { k, x: x - (x - view.x) * k / view.k, y: y - (y - view.y) * k / view.k };
  pan(0, 0);
}

/** Moves the picture; some of it always stays in sight. */
function pan(dx, dy) {
  if (!current) return;
  const rest = 60, { k } = view;
  view.x = Math.min(Math.max(view.x + dx, rest - current.width * k), stage.clientWidth - rest);
  view.y = Math.min(Math.max(view.y + dy, rest - current.height * k), stage.clientHeight - rest);
  fitted = false;
  showView();
}

function showView() {
  sheet.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.k})`;
  stage.classList.toggle("close", view.k > 3);
  byId("scale").textContent = `${Math.round(view.k * current.grid.sx * 100)}%`;
  showSplit();
  showRing();
}

/** The border between before and after is a place in the window, so that it is in sight at any zoom. */
function showSplit() {
  const place = flipped ? 1 : split, handle = byId("split");
  handle.hidden = !result || flipped;
  handle.style.left = `${split * 100}%`;
  handle.setAttribute("aria-valuenow", Math.round(split * 100));
  handle.setAttribute("aria-valuetext", `${Math.round(split * 100)}% before`);
  if (!current || !result) return;
  const share = (place * stage.clientWidth - view.x) / view.k / current.width;
  current.images[result].style.clipPath = `inset(0 0 0 ${Math.min(Math.max(share, 0), 1) * 100}%)`;
}

function showResult() {
  sheet.replaceChildren(...[current.images.original, current.images[result], overlay].filter(Boolean));
  overlay.hidden = !showMask;
  byId("tagAfter").hidden = !result || flipped;
  byId("tagBefore").textContent = flipped || !result ? "Original" : "Before";
  byId("tagAfter").textContent = { restored: "Restored", restored_color: "Restored, color", color: "Color" }[result] ?? "After";
  showButtons();
  showSplit();
}

// ---------------------------------------------------------------------------------------------- strokes

const paints = () => tool !== "move" && !picking;

/** Radius of the tools in px of the photograph: of 0.08 to 12 % of its longer side. */
function radius() {
  return Math.max(0.5, Math.max(...page.photos[state.at].size) * 0.0008 * 150 ** (sizeValue / 100));
}

function pointAt(event) {
  const { left, top } = stage.getBoundingClientRect(), { sx, sy } = current.grid;
  return [(event.clientX - left - view.x) / view.k / sx, (event.clientY - top - view.y) / view.k / sy];
}

function beginStroke(point) {
  if (!showMask) toggleMask();
  stroke = { tool, radius: Math.round(radius() * 100) / 100, points: [], ...(tool === "color" ? { color } : {}) };
  extendStroke(point);
}

function extendStroke(point) {
  point = point.map(value => Math.round(value * 10) / 10);
  const last = stroke.points.at(-1) ?? point, far = Math.hypot(point[0] - last[0], point[1] - last[1]);
  if (stroke.points.length && far < Math.min(stroke.radius / 4, 1 / (view.k * current.grid.sx))) return;
  stroke.points.push(point);
  const plane = tool === "color" ? current.colors : current.flags;
  compose(sweep(current.grid, last, point, stroke.radius, painter(plane, stroke)));
}

function finishStroke() {
  penDown = false;
  if (!stroke) return;
  const done = stroke;
  stroke = null;
  act(done);
}

function cancelStroke() {
  stroke = null;
  penDown = false;
  repaint();
}

function pick(event) {
  const { left } = stage.getBoundingClientRect(), [x, y] = pointAt(event), { sx, sy, width, height } = current.grid;
  const after = result && !flipped && event.clientX - left > split * stage.clientWidth;
  const [column, row] = [Math.floor(x * sx), Math.floor(y * sy)];
  if (column < 0 || row < 0 || column >= width || row >= height) return;
  const spot = new OffscreenCanvas(1, 1).getContext("2d");
  spot.drawImage(current.images[after ? result : "original"], column, row, 1, 1, 0, 0, 1, 1);
  const bytes = spot.getImageData(0, 0, 1, 1).data;
  setColor("#" + Array.from(bytes.slice(0, 3), byte => byte.toString(16).padStart(2, "0")).join(""));
}

function showRing() {
  const ring = byId("ring"), shown = Boolean(current && cursor && paints());
  ring.hidden = !shown;
  if (!shown) return;
  const { sx, sy } = current.grid, side = Math.max(4, 2 * radius() * sx * view.k);
  ring.style.width = ring.style.height = `${side}px`;
  ring.style.transform = `translate(${view.x + cursor[0] * sx * view.k - side / 2}px, ${view.y + cursor[1] * sy * view.k - side / 2}px)`;
  ring.classList.toggle("pressed", Boolean(stroke));
}

// ---------------------------------------------------------------------------------------------- pointers

const pointers = new Map(); // of the fingers and the mouse on the picture: id -> [x, y]
let gesture = ""; // pan, paint, pinch, or done until all fingers are lifted
const middle = () => [...pointers.values()].reduce(([x, y], [px, py]) => [x + px / pointers.size, y + py / pointers.size], [0, 0]);
const span = () => { const [a, b] = [...pointers.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
let pinch = null;

stage.onpointerdown = event => {
  if (byId("list").classList.contains("open")) return openList(false); // it covers the picture on a phone
  if (!current || event.target.closest("#zoom, #split")) return;
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, [event.clientX, event.clientY]);
  stage.focus({ preventScroll: true });
  if (pointers.size === 2) {
    if (stroke) cancelStroke();
    gesture = "pinch";
    pinch = { span: span(), middle: middle() };
  } else if (pointers.size === 1) {
    if (picking && event.button === 0) { pick(event); gesture = "done"; return; }
    gesture = paints() && event.button === 0 ? "paint" : "pan";
    if (gesture === "paint") { cursor = pointAt(event); beginStroke(cursor); showRing(); }
    stage.classList.toggle("grabbing", gesture === "pan");
  }
  event.preventDefault();
};

stage.onpointermove = event => {
  if (!current) return;
  const before = pointers.get(event.pointerId);
  if (before) pointers.set(event.pointerId, [event.clientX, event.clientY]);
  if (before && gesture === "pan") pan(event.clientX - before[0], event.clientY - before[1]);
  if (before && gesture === "pinch" && pointers.size === 2) {
    const { left, top } = stage.getBoundingClientRect(), now = { span: span(), middle: middle() };
    pan(now.middle[0] - pinch.middle[0], now.middle[1] - pinch.middle[1]);
    zoom(now.span / pinch.span, now.middle[0] - left, now.middle[1] - top);
    pinch = now;
  }
  if (before && gesture === "paint" && stroke) {
    const steps = event.getCoalescedEvents?.() ?? [];
    for (const step of steps.length ? steps : [event]) extendStroke(pointAt(step));
  }
  if (!penDown) cursor = pointAt(event);
  showRing();
};

stage.onpointerup = stage.onpointercancel = event => {
  if (!pointers.delete(event.pointerId)) return;
  if (gesture === "paint") {
    if (event.type === "pointercancel") cancelStroke();
    else finishStroke();
  }
  gesture = pointers.size ? "done" : "";
  stage.classList.remove("grabbing");
  if (event.pointerType !== "mouse") cursor = null;
  showRing();
};

stage.onpointerleave = () => { if (!stroke && !penDown) { cursor = null; showRing(); } };
stage.oncontextmenu = event => event.preventDefault();
stage.onauxclick = event => event.preventDefault();
stage.addEventListener("wheel", event => {
  event.preventDefault();
  const { left, top } = stage.getBoundingClientRect(), step = event.deltaMode === 1 ? 20 * event.deltaY : event.deltaY;
  zoom(Math.exp(-step * (event.ctrlKey ? 0.01 : 0.0016)), event.clientX - left, event.clientY - top);
}, { passive: false });

byId("split").onpointerdown = event => {
  const handle = event.currentTarget, { left, width } = stage.getBoundingClientRect();
  handle.setPointerCapture(event.pointerId);
  handle.onpointermove = move => { split = Math.min(Math.max((move.clientX - left) / width, 0), 1); showSplit(); };
  handle.onpointerup = handle.onpointercancel = () => { handle.onpointermove = null; stage.focus({ preventScroll: true }); };
};
byId("split").onkeydown = event => {
  const places = { ArrowLeft: split - 0.02, ArrowRight: split + 0.02, Home: 0, End: 1, PageUp: split + 0.1, PageDown: split - 0.1 };
  if (!(event.key in places) || event.shiftKey) return;
  split = Math.min(Math.max(places[event.key], 0), 1);
  showSplit();
  event.preventDefault();
  event.stopPropagation();
};

// ---------------------------------------------------------------------------------------------- the panel

function icon(path) {
  const drawing = byId("icon").content.firstElementChild.cloneNode(true);
  drawing.firstElementChild.setAttribute("d", path);
  return drawing;
}

function button(label, key, click, ...content) {
  const element = document.createElement("button");
  if (content.length) element.setAttribute("aria-label", label);
  element.append(...(content.length ? content : [label]));
  if (key) {
    const cap = document.createElement("kbd");
    cap.textContent = key.toUpperCase();
    element.append(" ", cap);
    element.setAttribute("aria-keyshortcuts", key);
    element.title = `${label} (${key.toUpperCase()})`;
  } else element.title = label;
  element.onclick = click;
  return element;
}

const toolButtons = TOOLS.map(([name, key, label, path]) => button(label, key, () => setTool(name), icon(path), label));
byId("tools").append(...toolButtons);
const swatches = COLORS.map(([value, label]) => {
  const swatch = button(label, "", () => setColor(value), "");
  swatch.style.background = value;
  return swatch;
});
const clear = button("Erase colors", "", () => setColor(null), "✕"), dropper = button("Take a color from the picture (I)", "", () => togglePicking(), icon(PICK));
const ownColor = Object.assign(document.createElement("input"), { type: "color", value: color, title: "Any color", oninput: () => setColor(ownColor.value) });
ownColor.setAttribute("aria-label", "Any color");
byId("swatches").append(...swatches, ownColor, dropper, clear);
const maskButton = button("Mask", "m", () => toggleMask()), originalButton = button("Original", "x", () => toggleOriginal());
const colorButton = button("In color", "g", () => toggleColored());
byId("shown").append(maskButton, originalButton, colorButton);

function setTool(name) {
  finishStroke();
  picking = false;
  tool = name;
  showButtons();
  showRing();
}

function setColor(value) {
  finishStroke();
  color = value;
  if (value) ownColor.value = value;
  setTool("color");
}

function togglePicking() {
  finishStroke();
  tool = "color";
  picking = !picking;
  showButtons();
  showRing();
}

function toggleMask() { showMask = !showMask; overlay.hidden = !showMask; showButtons(); }
function toggleOriginal() { flipped = !flipped; if (current) showResult(); }
function coloredName() {
  const names = current ? Object.keys(current.images) : [], other = { restored: "restored_color", restored_color: "restored" }[result];
  return names.includes(other) ? other : null;
}
function toggleColored() { const other = coloredName(); if (other) { result = other; showResult(); } }

function setSize(value) {
  finishStroke();
  sizeValue = Math.min(Math.max(value, 0), 100);
  showSize();
  showRing();
}

function showSize() {
  const text = `${Math.max(1, Math.round(2 * radius()))} px`;
  byId("size").value = sizeValue;
  byId("sizeText").textContent = text;
  byId("size").setAttribute("aria-valuetext", text);
}

const initial = () => Math.round((page.photos[state.at].threshold ?? 0) * 100);

function setThreshold(percent) {
  if (!current?.levels) return;
  finishStroke();
  percent = Math.min(Math.max(percent, 3), 99);
  act({ threshold: percent === initial() ? null : percent });
  preview(percent === initial() ? null : percent);
  compose();
  showState();
}

function showThreshold() {
  const slider = byId("threshold"), changed = replay(workOf(state.at).actions).threshold, has = page.photos[state.at].threshold !== null;
  slider.disabled = !has || !current?.levels;
  slider.hidden = !has;
  byId("thresholdRow").classList.toggle("without", !has);
  slider.value = changed ?? initial();
  const share = current?.base ? `${(markedShare() * 100).toFixed(1)}% marked` : "";
  const text = [has && (slider.value / 100).toFixed(2), share].filter(Boolean).join(", ");
  byId("thresholdText").textContent = text;
  slider.setAttribute("aria-valuetext", text);
  const kept = current?.always ? " Marks from infrared stay." : "";
  byId("thresholdHint").textContent = has ? `Lower marks more. Detected with ${(initial() / 100).toFixed(2)}.${kept}` : page.photos[state.at].no_threshold || "There is no threshold to change.";
}

function showButtons() {
  toolButtons.forEach((element, index) => element.setAttribute("aria-pressed", TOOLS[index][0] === tool));
  swatches.forEach((element, index) => element.setAttribute("aria-pressed", COLORS[index][0] === color && !picking));
  clear.setAttribute("aria-pressed", color === null && !picking);
  dropper.setAttribute("aria-pressed", picking);
  maskButton.setAttribute("aria-pressed", showMask);
  originalButton.setAttribute("aria-pressed", flipped);
  originalButton.disabled = !result;
  colorButton.setAttribute("aria-pressed", Boolean(result?.includes("color")));
  colorButton.hidden = !coloredName();
  byId("colorRow").hidden = tool !== "color";
  byId("sizeRow").hidden = tool === "move";
  stage.classList.toggle("painting", paints());
  stage.classList.toggle("picking", picking);
}

// ---------------------------------------------------------------------------------------------- list and status

const rows = page.photos.map((photo, index) => {
  const row = document.createElement("li"), element = document.createElement("button"), mark = document.createElement("i");
  const image = Object.assign(document.createElement("img"), { alt: "", loading: "lazy", decoding: "async", src: photo.thumb });
  const [name, why] = ["b", "small"].map(kind => document.createElement(kind));
  name.textContent = photo.name;
  why.textContent = photo.reasons[0];
  element.append(image, name, mark, why);
  element.onclick = () => { openList(false); go(index); };
  row.append(element);
  return { row, element, mark, state: "" };
});
byId("list").querySelector("ol").append(...rows.map(({ row }) => row));
for (const [index, file] of page.files.entries()) {
  const link = Object.assign(document.createElement("a"), { textContent: `page ${index + 1}`, href: file });
  if (index === page.number) byId("others").append(index ? ", " : "", `page ${index + 1}`);
  else byId("others").append(index ? ", " : "", link);
}
byId("others").hidden = page.files.length < 2;

function showRow(index) {
  const entry = rows[index], { approved } = workOf(index), changed = isChanged(index);
  const state = [changed ? "corrected" : "", approved ? "approved" : ""].filter(Boolean).join(", ");
  entry.mark.textContent = approved ? "✓" : changed ? "●" : "";
  entry.mark.classList.toggle("changed", changed);
  entry.element.setAttribute("aria-label", [page.photos[index].name, page.photos[index].reasons[0], state].filter(Boolean).join(", "));
}

let shownRow = -1;

function showState(message = "") {
  const photo = page.photos[state.at], { approved, actions } = workOf(state.at), changed = isChanged(state.at);
  const done = page.photos.filter((_, index) => workOf(index).approved).length;
  byId("name").textContent = photo.name;
  byId("name").title = photo.input;
  const facts = [`${state.at + 1} of ${count}`, changed ? "corrected" : "", approved ? "approved" : ""].filter(Boolean).join(", ");
  byId("status").textContent = message || `${facts}. ${done} approved.`;
  byId("bar").max = count;
  byId("bar").value = done;
  stage.setAttribute("aria-label", `${photo.name}, ${photo.size[0]} by ${photo.size[1]} pixels. Tool: ${tool}.`);
  if (shownRow !== state.at) {
    byId("why").querySelector("summary").textContent = photo.reasons[0];
    byId("why").querySelector("ul").replaceChildren(...photo.reasons.slice(1).map(text => Object.assign(document.createElement("li"), { textContent: text })));
    rows[shownRow]?.element.removeAttribute("aria-current");
    rows[state.at].element.setAttribute("aria-current", "true");
    rows[state.at].row.scrollIntoView({ block: "nearest" });
    shownRow = state.at;
  }
  showRow(state.at);
  byId("undo").disabled = !actions.length && !approved;
  byId("redo").disabled = !undone[state.at]?.length;
  byId("reset").disabled = !changed;
  byId("previous").disabled = state.at === 0;
  byId("next").disabled = state.at === count - 1;
  byId("approve").textContent = approved ? "Approved ✓" : "Approve";
  showThreshold();
}

function openList(open) {
  byId("list").classList.toggle("open", open);
  byId("menu").setAttribute("aria-expanded", open);
  if (open) rows[state.at].element.focus();
}

// ---------------------------------------------------------------------------------------------- saving

/** The file of corrections: of each photograph that was approved or changed its mask, and what was decided. */
async function corrections(chosen) {
  const entries = [], photos = [];
  for (const [number, index] of chosen.entries()) {
    showState(`Writing ${number + 1} of ${chosen.length} …`);
    const photo = await masksOf(index), { threshold, strokes } = replay(workOf(index).actions), { name, input, sha256, size } = photo;
    const hints = strokes.some(stroke => stroke.tool === "color");
    entries.push([`masks/${name}.png`, await maskFile(photo, strokes, threshold)]);
    if (hints) entries.push([`hints/${name}.png`, await hintsFile(photo, strokes)]);
    photos.push({ name, input, sha256, size, approved: workOf(index).approved, changed: isChanged(index), hints,
      threshold: threshold === null ? null : threshold / 100, strokes: strokes.length });
  }
  const decisions = { version: 1, page: page.id, saved: new Date().toISOString(), photos };
  entries.push(["decisions.json", new TextEncoder().encode(JSON.stringify(decisions, null, 2) + "\n")]);
  return zip(entries);
}

async function save() {
  finishStroke();
  const chosen = page.photos.map((_, index) => index).filter(index => workOf(index).approved || isChanged(index));
  if (!chosen.length) return showState("Nothing to save yet: approve or correct a photograph first.");
  byId("save").disabled = true;
  try {
    saveFile(await corrections(chosen), page.corrections);
    unsaved = false;
  } catch (error) {
    return showState(`Not saved: ${error.message}`);
  } finally {
    byId("save").disabled = false;
  }
  showState();
  const changed = chosen.filter(isChanged).length, approved = chosen.length - changed, plural = number => number === 1 ? "photograph" : "photographs";
  byId("savedTitle").textContent = `Saved as ${page.corrections}`;
  byId("savedText").textContent = `${changed} ${plural(changed)} corrected, ${approved} approved unchanged.`;
  byId("savedNote").textContent = changed ? "Only corrected photographs are repaired again; all others are skipped."
    : "There is nothing to repair again. The masks can train the network: segment.py train --corrections.";
  for (const id of ["savedHow", "command", "copy"]) byId(id).hidden = !changed; // there is nothing to run
  byId("saved").showModal();
}

byId("command").append(...page.command.split(" ").flatMap((word, index) => [ // no line ends within a word
  index ? " " : "", Object.assign(document.createElement("span"), { textContent: word })]));
byId("copy").onclick = async () => {
  try {
    await navigator.clipboard.writeText(page.command);
    byId("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(byId("command"));
    byId("copy").textContent = "Selected: copy it";
  }
};

// ---------------------------------------------------------------------------------------------- keys

const KEYS = [ // keys, what they do, action of each
  [["ArrowLeft", "ArrowRight"], "previous, next photograph", () => go(state.at - 1), () => go(state.at + 1)],
  [["Enter"], "approve, and go to the next one that is not", approve],
  [["u", "y"], "undo, redo", undo, redo],
  [["v"], "move the picture", () => setTool("move")],
  [["b", "e"], "brush: mark damage; eraser: unmark it", () => setTool("brush"), () => setTool("eraser")],
  [["p"], "protect: never repair this, whatever the threshold", () => setTool("protect")],
  [["c", "i"], "color stroke; take its color from the picture", () => setTool("color"), togglePicking],
  [["[", "]"], "smaller, larger tool", () => setSize(sizeValue - 5), () => setSize(sizeValue + 5)],
  [[",", "."], "lower, higher threshold", () => setThreshold(Number(byId("threshold").value) - 1), () => setThreshold(Number(byId("threshold").value) + 1)],
  [["m", "x", "g"], "hide the mask; only the original; result in color or not", toggleMask, toggleOriginal, toggleColored],
  [["+", "-", "0"], "zoom in, out, fit", () => zoom(1.25), () => zoom(0.8), fit],
  [["Shift+Arrows"], "move the picture, or the tool"],
  [["Space"], "put the tool down, or lift it"],
  [["s"], "save"],
  [["?"], "these keys", () => byId("keys").showModal()],
];
const byKey = Object.fromEntries(KEYS.flatMap(([keys, , ...actions]) => actions.map((action, index) => [keys[index], action])));
byKey["="] = byKey["+"];
byKey.s = save;
const capOf = key => ({ ArrowLeft: "←", ArrowRight: "→", "Shift+Arrows": "Shift + arrows" })[key] ?? (key.length === 1 ? key.toUpperCase() : key);
byId("keys").querySelector("dl").append(...KEYS.flatMap(([keys, text]) => {
  const [caps, what] = ["dt", "dd"].map(kind => document.createElement(kind));
  caps.append(...keys.flatMap((key, index) => [index ? " " : "", Object.assign(document.createElement("kbd"), { textContent: capOf(key) })]));
  what.textContent = text;
  return [caps, what];
}));

/** Shift and an arrow: moves the tool, and the picture with it at the rim; without a tool the picture. */
function step(dx, dy) {
  if (!current) return;
  if (!paints()) return pan(-80 * dx, -80 * dy);
  const { sx, sy } = current.grid, [w, h] = current.size, { clientWidth, clientHeight } = stage;
  cursor ??= [(clientWidth / 2 - view.x) / view.k / sx, (clientHeight / 2 - view.y) / view.k / sy];
  const far = Math.max(radius() / 2, 3 / (view.k * sx));
  cursor = [Math.min(Math.max(cursor[0] + dx * far, 0), w), Math.min(Math.max(cursor[1] + dy * far, 0), h)];
  if (stroke) extendStroke(cursor);
  const x = view.x + cursor[0] * sx * view.k, y = view.y + cursor[1] * sy * view.k, rim = 40;
  const inside = (place, size) => place < rim ? rim - place : place > size - rim ? size - rim - place : 0;
  const [right, down] = [inside(x, clientWidth), inside(y, clientHeight)];
  if (right || down) pan(right, down);
  showRing();
}

function pen() {
  if (!current || !paints()) return;
  if (stroke) finishStroke();
  else { step(0, 0); beginStroke(cursor); penDown = true; }
  showRing();
}

document.onkeydown = event => {
  if (document.querySelector("dialog[open]") || event.altKey) return;
  const { key, target } = event, control = event.ctrlKey || event.metaKey, lower = key.length === 1 ? key.toLowerCase() : key;
  if (control && !["z", "y", "s"].includes(lower)) return;
  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  let action;
  if (control) action = { z: event.shiftKey ? redo : undo, y: redo, s: save }[lower];
  else if (arrow && event.shiftKey) action = () => step(...arrow);
  else if (arrow && target.type === "range") return;
  else if (["Enter", " "].includes(key) && target.closest("button, summary, a, input")) return;
  else if (key === " ") action = pen;
  else if (key === "Escape") action = stroke ? cancelStroke : () => { openList(false); setTool("move"); };
  else action = byKey[lower];
  if (!action) return;
  event.preventDefault();
  action();
};

// After a click the keys belong to the photograph again; who moves by Tab keeps the focus.
document.addEventListener("click", event => {
  if (event.detail && event.target.closest("#panel button, #zoom button, #list button")) stage.focus({ preventScroll: true });
});
for (const dialog of [byId("saved"), byId("keys")])
  dialog.onclose = () => { if ([document.body, null].includes(document.activeElement) || dialog.contains(document.activeElement)) stage.focus(); };
for (const id of ["size", "threshold"]) byId(id).onpointerup = () => setTimeout(() => stage.focus({ preventScroll: true }));

byId("size").oninput = () => setSize(Number(byId("size").value));
byId("threshold").oninput = () => setThreshold(Number(byId("threshold").value));
byId("undo").onclick = undo;
byId("redo").onclick = redo;
byId("reset").onclick = reset;
byId("approve").onclick = approve;
byId("previous").onclick = () => go(state.at - 1);
byId("next").onclick = () => go(state.at + 1);
byId("out").onclick = () => zoom(0.8);
byId("in").onclick = () => zoom(1.25);
byId("fit").onclick = fit;
byId("save").onclick = save;
byId("help").onclick = () => byId("keys").showModal();
byId("menu").onclick = () => openList(!byId("list").classList.contains("open"));
new ResizeObserver(() => current && (fitted ? fit() : showView())).observe(stage);
addEventListener("beforeunload", event => { if (unsaved && !stored) event.preventDefault(); });
if (innerWidth <= 860) byId("why").open = false;
rows.forEach((_, index) => showRow(index));
showButtons();
if (!window.DecompressionStream) byId("status").textContent = "This browser is too old: take one from 2023 or later.";
else go(Math.min(state.at, count - 1));
