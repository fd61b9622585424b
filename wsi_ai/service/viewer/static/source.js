/** The levels as the server has them: its own tile sizes, its own steps between levels. */

const STRIPE_PX = 8;

/** Grey stripes, as the server draws them: white would read as glass. */
function hatched(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), {width, height});
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#949494";
  pen.fillRect(0, 0, width, height);
  pen.strokeStyle = "#bababa";
  pen.lineWidth = STRIPE_PX;
  for (let at = -height; at < width + height; at += STRIPE_PX * 2.8) {
    pen.beginPath();
    pen.moveTo(at, 0);
    pen.lineTo(at - height, height);
    pen.stroke();
  }
  return pen;
}

/** A 404 that is a picture is the server's own hatched tile. */
async function drawn(url, signal) {
  const answer = await fetch(url, {signal});
  const kind = answer.headers.get("content-type") || "";
  if (!kind.startsWith("image/")) throw new Error(`${answer.status}`);
  const image = await createImageBitmap(await answer.blob(), {colorSpaceConversion: "none"});
  const canvas = Object.assign(document.createElement("canvas"), {width: image.width, height: image.height});
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  image.close();
  return {pen, readable: answer.ok};
}

/**
 * @param unreadable is called with the address of every tile that could not be shown.
 * Tiles are fetched and decoded here, so that none is left out in silence: what fails is hatched.
 */
export function tileSource(base, info, unreadable) {
  const levels = [...info.levels].reverse();
  const source = new OpenSeadragon.TileSource({
    width: info.width, height: info.height, tileOverlap: 0, minLevel: 0, maxLevel: levels.length - 1,
    tileWidth: levels.at(-1).tile[0], tileHeight: levels.at(-1).tile[1],
  });
  source.getLevelScale = (level) => (levels[level] ? 1 / levels[level].downsample : 0);
  source.getTileWidth = (level) => levels[level].tile[0];
  source.getTileHeight = (level) => levels[level].tile[1];
  source.getNumTiles = (level) => {
    const {width, height, tile} = levels[level];
    return new OpenSeadragon.Point(Math.ceil(width / tile[0]), Math.ceil(height / tile[1]));
  };
  source.getTileUrl = (level, col, row) => `${base}/tiles/${info.key}/${levels.length - 1 - level}/${col}_${row}`;
  source.downloadTileStart = (job) => {
    const stop = new AbortController();
    job.userData.stop = stop;
    drawn(job.src, stop.signal).then(({pen, readable}) => {
      if (!readable) unreadable(job.src);
      job.finish(pen, null, "context2d");
    }).catch((error) => {
      if (error.name === "AbortError") return job.fail("no longer wanted", null);
      unreadable(job.src);
      const [width, height] = levels[job.tile.level].tile;
      return job.finish(hatched(width, height), null, "context2d");
    });
  };
  source.downloadTileAbort = (job) => job.userData.stop?.abort();
  return source;
}
