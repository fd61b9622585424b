/** Scores on the slide: fetched once as 8-bit codes, coloured here. */

const LEAST_CELL_PX = 1;
const MOST_WINDOWS = 64;
const ABOVE = 230, BELOW = 46;

/** viridis by nine stops (van der Walt and Smith, CC0), even to the eye and safe for the colour-blind. */
const STOPS = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37],
];

export function viridis(score) {
  const at = Math.min(Math.max(score, 0), 1) * (STOPS.length - 1);
  const low = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[low].map((value, n) => Math.round(value + (STOPS[low + 1][n] - value) * (at - low)));
}

/** Colours by code: nothing where not assessed, a pale tint below the threshold, full from there on. */
export function colourTable(threshold) {
  const table = new Uint32Array(256);
  const bytes = new Uint8Array(table.buffer);
  for (let code = 1; code < 256; code += 1) {
    const above = code - 1 >= threshold;
    const colour = above ? viridis((code - 1) / 254) : [70, 110, 150];
    bytes.set([...colour, above ? ABOVE : BELOW], code * 4);
  }
  return table;
}

async function codesOf(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${answer.status}`);
  const options = {colorSpaceConversion: "none", premultiplyAlpha: "none"};
  const image = await createImageBitmap(await answer.blob(), options);
  const canvas = new OffscreenCanvas(image.width, image.height);
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  pen.drawImage(image, 0, 0);
  const rgba = new Uint32Array(pen.getImageData(0, 0, image.width, image.height).data.buffer);
  const codes = new Uint8Array(rgba.length);
  for (let i = 0; i < rgba.length; i += 1) codes[i] = rgba[i] & 255;
  return {codes, canvas, pen, width: image.width, height: image.height};
}

/** Draws one channel of one map; asks for a redraw when a window has come. */
export class HeatLayer {
  constructor(base, map, channel, changed, failed) {
    Object.assign(this, {base, map, channel, changed, failed});
    this.windows = new Map();
    this.threshold = 0;
    this.table = colourTable(0);
  }

  /** In codes less one: 0 to 254. */
  setThreshold(threshold) {
    this.threshold = threshold;
    this.table = colourTable(threshold);
    for (const one of this.windows.values()) one.fresh = false;
    this.changed();
  }

  /** The coarsest level whose cells are at least a pixel on the screen is fine enough. */
  levelFor(pxPerLevel0) {
    const side = Math.min(...this.map.cell_px) * pxPerLevel0;
    const wanted = Math.floor(Math.log2(Math.max(LEAST_CELL_PX / side, 1)));
    return Math.min(wanted, this.map.levels.length - 1);
  }

  /** ``view``: level-0 pixels that are seen; ``pen`` has level-0 pixels as its unit. */
  draw(pen, view, pxPerLevel0) {
    const level = this.levelFor(pxPerLevel0), grid = this.map.levels[level];
    const [across, down] = this.map.cell_px.map((side) => side * 2 ** level);
    const side = grid.window_px;
    pen.imageSmoothingEnabled = false;
    const lastRow = Math.ceil(grid.rows / side) - 1, lastCol = Math.ceil(grid.cols / side) - 1;
    const range = (from, to, step, last) => [Math.max(0, Math.floor(from / step / side)), Math.min(last, Math.floor(to / step / side))];
    const [top, bottom] = range(view.top, view.bottom, down, lastRow);
    const [left, right] = range(view.left, view.right, across, lastCol);
    for (let row = top; row <= bottom; row += 1) {
      for (let col = left; col <= right; col += 1) {
        const one = this.window(level, col, row);
        if (one?.codes) {
          const x = col * side * across, y = row * side * down;
          pen.drawImage(this.coloured(one), x, y, one.width * across, one.height * down);
        }
      }
    }
  }

  window(level, col, row) {
    const key = `${level}/${col}_${row}`;
    const known = this.windows.get(key);
    if (known) return known;
    if (this.windows.size >= MOST_WINDOWS) this.windows.delete(this.windows.keys().next().value);
    const one = {fresh: false};
    this.windows.set(key, one);
    codesOf(`${this.base}/${this.channel}/${key}.png`)
      .then((codes) => { Object.assign(one, codes); this.changed(); })
      .catch(() => this.failed());
    return one;
  }

  coloured(one) {
    if (!one.fresh) {
      const picture = new ImageData(one.width, one.height);
      const pixels = new Uint32Array(picture.data.buffer);
      for (let i = 0; i < pixels.length; i += 1) pixels[i] = this.table[one.codes[i]];
      one.pen.putImageData(picture, 0, 0);
      one.fresh = true;
    }
    return one.canvas;
  }
}
