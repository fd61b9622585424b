// A batch of model tiles, cut out of stored tiles that lie in device memory, shrunk, and written as
// the network wants them: one launch.  Integers throughout, so that a processor gives the same bytes
// (see tiles/reading/shrink.py).
//
// PLANES  1: out is (tiles, 3, side, side); 0: (tiles, side, side, 3)
// OUT     the type of an element of out; lut holds its bits for each channel and grey level
#ifndef PLANES
#define PLANES 0
#endif
#ifndef OUT
#define OUT unsigned char
#endif
#define WHITE 255
#define NOTHING (-0x7fffffffffffffffLL - 1)  // no stored tile there: never scanned

struct Level {
    int width, height;    // of what is stored, in its own pixels
    int tile_w, tile_h;   // of a stored tile
    int cols, rows;       // stored tiles under a model's tile, at most
};

struct Shape {
    int side;             // of a model's tile
    int taps_w, taps_h;   // pixels that are weighed for one, along rows and down columns
    int total;            // of all their weights: 2^23 at most, so that sums fit in 32 bits
    int tiles;            // in this batch; those after them are black
};

struct Rgb { unsigned r, g, b; };

// One pixel of a model's tile as it lies on the level, counted from the tile's corner
__device__ static Rgb pixel(
    const unsigned char *pool, const long long *under, const Level &level,
    int left, int top, int x, int y)
{
    const Rgb white = {WHITE, WHITE, WHITE};
    x += left;
    y += top;
    if (x < 0 || y < 0 || x >= level.width || y >= level.height) return white;
    const int first_col = (left < 0 ? 0 : left) / level.tile_w;
    const int first_row = (top < 0 ? 0 : top) / level.tile_h;
    const int col = x / level.tile_w, row = y / level.tile_h;
    const long long at = under[(row - first_row) * level.cols + (col - first_col)];
    if (at == NOTHING) return white;
    const unsigned char *p =
        pool + at + ((long long)(y - row * level.tile_h) * level.tile_w + (x - col * level.tile_w)) * 3;
    const Rgb found = {p[0], p[1], p[2]};
    return found;
}

// Halves up.  Never beyond the table of grey levels, whatever the weights are
__device__ static unsigned mean(unsigned sum, unsigned whole)
{
    const unsigned half = whole / 2, v = (sum + half) / whole;
    return v > WHITE ? WHITE : v;
}

// grid: (enough blocks for side * side pixels, tiles of out); the numbers are those of Level and
// Shape, one by one, for they are passed by value
extern "C" __global__ void cut(
    const unsigned char *pool, const long long *under, const int *corners,
    const int *xs, const int *ys,   // (1 + taps, side): the first of the taps, then their weights
    const unsigned int *lut, OUT *out,
    int width, int height, int tile_w, int tile_h, int cols, int rows,
    int side, int taps_w, int taps_h, int total, int tiles)
{
    const Level level = {width, height, tile_w, tile_h, cols, rows};
    const Shape shape = {side, taps_w, taps_h, total, tiles};
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= side * side) return;
    const int tile = blockIdx.y, ox = at % side, oy = at / side;
    Rgb sum = {0, 0, 0};
    if (tile < shape.tiles) {
        const int left = corners[2 * tile], top = corners[2 * tile + 1];
        const long long *mine = under + (long long)tile * level.cols * level.rows;
        for (int j = 0; j < shape.taps_h; ++j) {
            const unsigned down = ys[(1 + j) * side + oy];
            if (down == 0) continue;
            Rgb row = {0, 0, 0};
            for (int i = 0; i < shape.taps_w; ++i) {
                const unsigned along = xs[(1 + i) * side + ox];
                if (along == 0) continue;
                const Rgb p = pixel(pool, mine, level, left, top, xs[ox] + i, ys[oy] + j);
                row.r += along * p.r;
                row.g += along * p.g;
                row.b += along * p.b;
            }
            sum.r += down * row.r;
            sum.g += down * row.g;
            sum.b += down * row.b;
        }
        sum.r = mean(sum.r, shape.total);
        sum.g = mean(sum.g, shape.total);
        sum.b = mean(sum.b, shape.total);
    }
    const unsigned int v[3] = {lut[sum.r], lut[256 + sum.g], lut[512 + sum.b]};
    for (int c = 0; c < 3; ++c) {
        const long long to = PLANES ? ((long long)(tile * 3 + c) * side + oy) * side + ox
                                    : (((long long)tile * side + oy) * side + ox) * 3 + c;
        out[to] = (OUT)v[c];
    }
}
