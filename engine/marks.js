// What is painted on a photograph, and the files that leave the page. Nothing in this file touches the document.
//
// Points and radii are in px of the photograph, (0, 0) is its top left corner and a pixel's center lies at +0.5.
// A mask is never read back from a canvas: browsers that resist fingerprinting add noise to what they return.
"use strict";

const DAMAGED = 1, INTACT = 2, PROTECTED = 4; // flags of a painted pixel; 0: as detected
const BAND = 256; // rows that are worked on at a time, so that a scan of 100 megapixels needs little memory

/** The bytes of a base64 text of zlib data. */
async function inflate(text) {
  const packed = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A raster of `width` x `height` px for a photograph of size [w, h]: its rows from `top` on. */
function raster([w, h], width, height, top = 0, rows = height) {
  return { width, height, top, rows, sx: width / w, sy: height / h };
}

/**
 * Calls paint(start, end) for the pixels of each row whose center is at most `radius` away from the line a-b.
 * start and end count from the first pixel of the raster. Returns the box [left, top, right, bottom] that holds them.
 */
function sweep(grid, a, b, radius, paint) {
  const [ax, ay, bx, by] = [a[0] * grid.sx, a[1] * grid.sy, b[0] * grid.sx, b[1] * grid.sy];
  const r = Math.max(radius * grid.sx, 0.71); // covers at least one center
  const length = Math.hypot(bx - ax, by - ay) || 1;
  const nx = r * (ay - by) / length, ny = r * (bx - ax) / length; // across the line
  const corners = [[ax + nx, ay + ny], [bx + nx, by + ny], [bx - nx, by - ny], [ax - nx, ay - ny]];
  const first = Math.max(grid.top, Math.ceil(Math.min(ay, by) - r - 0.5));
  const last = Math.min(grid.top + grid.rows - 1, Math.floor(Math.max(ay, by) + r - 0.5));
  for (let row = first; row <= last; row++) {
    const y = row + 0.5;
    let left = Infinity, right = -Infinity;
    for (const [x, center] of [[ax, ay], [bx, by]]) {
      const reach = r * r - (y - center) ** 2;
      if (reach < 0) continue;
      left = Math.min(left, x - Math.sqrt(reach));
      right = Math.max(right, x + Math.sqrt(reach));
    }
    corners.forEach(([px, py], index) => {
      const [qx, qy] = corners[(index + 1) % 4];
      if (py === qy || y < Math.min(py, qy) || y > Math.max(py, qy)) return;
      const x = px + (qx - px) * (y - py) / (qy - py);
      left = Math.min(left, x);
      right = Math.max(right, x);
    });
    const start = Math.max(0, Math.ceil(left - 0.5)), end = Math.min(grid.width, Math.floor(right - 0.5) + 1);
    if (start < end) paint((row - grid.top) * grid.width + start, (row - grid.top) * grid.width + end);
  }
  return [Math.min(ax, bx) - r, first, Math.max(ax, bx) + r, last + 1];
}

/** How a tool paints the run [start, end) of a plane of flags (Uint8Array) or, for color, of RGBA (Uint32Array). */
function painter(plane, stroke) {
  if (stroke.tool === "color") return (start, end) => plane.fill(packedColor(stroke.color), start, end);
  if (stroke.tool === "eraser") return (start, end) => plane.fill(INTACT, start, end);
  const [kept, added] = stroke.tool === "brush" ? [PROTECTED, DAMAGED] : [255, PROTECTED];
  return (start, end) => { for (let i = start; i < end; i++) plane[i] = plane[i] & kept | added; };
}

/** "#rrggbb" as four bytes R, G, B, 255 in the machine's order; null, which clears, as 0. */
function packedColor(color) {
  if (!color) return 0;
  const bytes = [1, 3, 5].map(place => parseInt(color.slice(place, place + 2), 16));
  return new Uint32Array(new Uint8Array([...bytes, 255]).buffer)[0];
}

/** Draws the strokes of one kind, colors or marks, into a plane over `grid`. */
function drawStrokes(grid, plane, strokes, colors) {
  for (const stroke of strokes) {
    if ((stroke.tool === "color") !== colors) continue;
    const paint = painter(plane, stroke);
    stroke.points.forEach((point, index) => sweep(grid, stroke.points[Math.max(0, index - 1)], point, stroke.radius, paint));
  }
}

/** Rows of a mask that is stored as bits, each row starting a byte: 255 damaged, 0 intact. */
function unpack(bits, width, top, rows) {
  const pitch = Math.ceil(width / 8), out = new Uint8Array(rows * width);
  for (let row = 0; row < rows; row++)
    for (let byte = 0; byte < pitch; byte++) {
      const value = bits[(top + row) * pitch + byte];
      if (value) // most are 0
        for (let bit = 0; bit < 8 && byte * 8 + bit < width; bit++)
          if (value & 128 >> bit) out[row * width + byte * 8 + bit] = 255;
    }
  return out;
}

/** That mask at a smaller size: a pixel is damaged if any that it stands for is, so that thin cracks can be seen. */
function shrink(bits, [w, h], width, height) {
  const pitch = Math.ceil(w / 8), out = new Uint8Array(width * height);
  for (let y = 0; y < h; y++) {
    const row = Math.min(height - 1, Math.floor(y * height / h)) * width;
    for (let byte = 0; byte < pitch; byte++) {
      const value = bits[y * pitch + byte];
      if (value)
        for (let bit = 0; bit < 8 && byte * 8 + bit < w; bit++)
          if (value & 128 >> bit) out[row + Math.min(width - 1, Math.floor((byte * 8 + bit) * width / w))] = 255;
    }
  }
  return out;
}

/** The probability, levels of [w, h] px, interpolated linearly over `grid` as the program does it. */
function enlarge(levels, [w, h], grid) {
  const out = new Float32Array(grid.rows * grid.width), line = new Float32Array(w);
  const place = (index, from, to) => Math.min(from - 1, Math.max(0, (index + 0.5) * from / to - 0.5));
  const columns = Float64Array.from({ length: grid.width }, (_, x) => place(x, w, grid.width));
  for (let row = 0; row < grid.rows; row++) {
    const y = place(grid.top + row, h, grid.height), upper = Math.floor(y), v = y - upper;
    const above = upper * w, below = Math.min(upper + 1, h - 1) * w, start = row * grid.width;
    for (let x = 0; x < w; x++) line[x] = levels[above + x] * (1 - v) + levels[below + x] * v;
    for (let x = 0; x < grid.width; x++) {
      const left = Math.floor(columns[x]), u = columns[x] - left;
      out[start + x] = u ? line[left] * (1 - u) + line[left + 1] * u : line[left]; // u is 0 in the last column
    }
  }
  return out;
}

/** The mask of levels: 255 from the threshold on, else 0. */
function atLeast(levels, threshold) {
  const out = new Uint8Array(levels.length);
  for (let i = 0; i < out.length; i++) if (levels[i] >= threshold) out[i] = 255;
  return out;
}

/** Levels without the connected parts (8-neighborhood) of those from the threshold on whose share of the area is out of limits. */
function ofSizes(levels, [w, h], threshold, [least, most]) {
  const out = levels.slice(), seen = new Uint8Array(w * h), part = new Int32Array(w * h);
  for (let start = 0; start < levels.length; start++) {
    if (seen[start] || levels[start] < threshold) continue;
    let size = 1;
    [part[0], seen[start]] = [start, 1];
    for (let at = 0; at < size; at++) {
      const x = part[at] % w, y = (part[at] - x) / w;
      for (let row = Math.max(0, y - 1); row <= Math.min(h - 1, y + 1); row++)
        for (let column = Math.max(0, x - 1); column <= Math.min(w - 1, x + 1); column++) {
          const next = row * w + column;
          if (seen[next] || levels[next] < threshold) continue;
          seen[next] = 1;
          part[size++] = next;
        }
    }
    const share = size / levels.length;
    if (share < least || share > most) for (let at = 0; at < size; at++) out[part[at]] = 0;
  }
  return out;
}

/** The levels that a threshold applies to: without marks of a size that is left out. */
function levelsFor(photo, threshold) {
  return photo.limits ? ofSizes(photo.levels, photo.levelsSize, threshold, photo.limits) : photo.levels;
}

/** Sets a mask to `value` where another one is 255; null: nowhere. */
function stamp(mask, where, value) {
  if (where) for (let i = 0; i < mask.length; i++) if (where[i]) mask[i] = value;
  return mask;
}

/** The final mask in place of the detected one: 255 damaged, 0 intact. */
function applyFlags(mask, flags) {
  for (let i = 0; i < mask.length; i++) {
    const flag = flags[i];
    if (flag) mask[i] = flag & PROTECTED || !(flag & DAMAGED) ? 0 : 255;
  }
  return mask;
}

/** The final mask of a photograph at its own size, as a PNG of 8-bit grey. threshold: of `levels`; null: the stored mask. */
function maskFile(photo, strokes, threshold) {
  const [w, h] = photo.size, levels = threshold === null ? null : levelsFor(photo, threshold);
  const plane = (bits, top, rows) => bits && unpack(bits, w, top, rows);
  return png(w, h, 1, (top, rows) => {
    const grid = raster(photo.size, w, h, top, rows), flags = new Uint8Array(rows * w);
    const mask = levels ? atLeast(enlarge(levels, photo.levelsSize, grid), threshold) : unpack(photo.bits, w, top, rows);
    if (levels) stamp(stamp(mask, plane(photo.infrared, top, rows), 255), plane(photo.protected, top, rows), 0);
    drawStrokes(grid, flags, strokes, false);
    return applyFlags(mask, flags);
  });
}

/** The painted colors of a photograph at its own size, as a PNG with transparency. */
function hintsFile(photo, strokes) {
  const [w, h] = photo.size;
  return png(w, h, 4, (top, rows) => {
    const plane = new Uint32Array(rows * w);
    drawStrokes(raster(photo.size, w, h, top, rows), plane, strokes, true);
    return new Uint8Array(plane.buffer);
  });
}

const CRC = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? value >>> 1 ^ 0xedb88320 : value >>> 1;
  return value;
});

/** CRC-32 as in PNG and ZIP. */
function crc32(...parts) {
  let crc = -1;
  for (const part of parts) for (const byte of part) crc = crc >>> 8 ^ CRC[(crc ^ byte) & 255];
  return ~crc >>> 0;
}

/** Bytes of whole numbers, [size in bytes, value] each. */
function numbers(pairs, littleEndian) {
  const view = new DataView(new ArrayBuffer(pairs.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of pairs) {
    if (size === 4) view.setUint32(at, value, littleEndian);
    else if (size === 2) view.setUint16(at, value, littleEndian);
    else view.setUint8(at, value);
    at += size;
  }
  return new Uint8Array(view.buffer);
}

/** A PNG of 8 bits, 1 (grey) or 4 (RGBA) channels; rowsAt(top, rows) gives the bytes of a band of rows. */
async function png(width, height, channels, rowsAt) {
  const deflate = new CompressionStream("deflate"), writer = deflate.writable.getWriter();
  const written = new Response(deflate.readable).arrayBuffer(), pitch = width * channels;
  for (let top = 0; top < height; top += BAND) {
    const rows = Math.min(BAND, height - top), pixels = rowsAt(top, rows);
    const lines = new Uint8Array(rows * (pitch + 1)); // each after its filter type, 0: none
    for (let row = 0; row < rows; row++) lines.set(pixels.subarray(row * pitch, (row + 1) * pitch), row * (pitch + 1) + 1);
    await writer.write(lines);
  }
  await writer.close();
  const chunk = (name, data) => {
    const type = new TextEncoder().encode(name);
    return [numbers([[4, data.length]]), type, data, numbers([[4, crc32(type, data)]])];
  };
  const header = numbers([[4, width], [4, height], [1, 8], [1, channels === 1 ? 0 : 6], [1, 0], [1, 0], [1, 0]]);
  const parts = [new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]), ...chunk("IHDR", header),
    ...chunk("IDAT", new Uint8Array(await written)), ...chunk("IEND", new Uint8Array())];
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** A ZIP archive of [name, bytes] entries, stored without compression. */
function zip(entries) {
  const parts = [], directory = [];
  let offset = 0, length = 0;
  for (const [name, data] of entries) {
    const title = new TextEncoder().encode(name), size = data.length;
    // version 2.0, names in UTF-8, stored, 1 January 1980, CRC-32, sizes, length of the name, no extra field
    const facts = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 33], [4, crc32(data)], [4, size], [4, size], [2, title.length], [2, 0]];
    parts.push(numbers([[4, 0x04034b50], ...facts], true), title, data);
    directory.push(numbers([[4, 0x02014b50], [2, 20], ...facts, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]], true), title);
    offset += 30 + title.length + size;
    length += 46 + title.length;
  }
  const count = entries.length;
  const end = numbers([[4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, length], [4, offset], [2, 0]], true);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
