// A batch of model tiles, cut out of stored tiles that lie in device memory, shrunk, and written as
// the network wants them: one launch.  Integers throughout, so that a processor gives the same bytes.
//
// LINEAR  1: the tile is stretched before it is averaged (see tiles/reading/shrink.py); 0: it is not
// PLANES  1: out is (tiles, 3, side, side); 0: (tiles, side, side, 3)
// OUT     the type of an element of out; lut holds its bits for each channel and grey level
#ifndef LINEAR
#define LINEAR 0
#endif
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
    int box_w, box_h;     // stretched pixels that are averaged into one
    int tiles;            // in this batch; those after them are black
};

struct Rgb { int r, g, b; };

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

#if LINEAR
// Two rows into one, in fixed point of 16 bits, as OpenCV's linear resizing rounds it
__device__ static int between(int above, int below, int b0, int b1)
{
    const int v = (((b0 * (above >> 4)) >> 16) + ((b1 * (below >> 4)) >> 16) + 2) >> 2;
    return v < 0 ? 0 : v > 255 ? 255 : v;
}
#endif

// Of count values, as OpenCV's area resizing rounds it: four by a shift, others in single precision
__device__ static int mean(int sum, int count, bool four)
{
    if (count == 1) return sum;
    if (four) return (sum + 2) >> 2;
    const int v = __float2int_rn(__fmul_rn((float)sum, 1.0f / (float)count));
    return v > 255 ? 255 : v;
}

// grid: (enough blocks for side * side pixels, tiles of out); the numbers are those of Level and
// Shape, one by one, for they are passed by value
extern "C" __global__ void cut(
    const unsigned char *pool, const long long *under, const int *corners,
    const int *xs, const int *ys,   // (4, side * box): first tap, second tap, their weights
    const unsigned int *lut, OUT *out,
    int width, int height, int tile_w, int tile_h, int cols, int rows,
    int side, int box_w, int box_h, int tiles)
{
    const Level level = {width, height, tile_w, tile_h, cols, rows};
    const Shape shape = {side, box_w, box_h, tiles};
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= side * side) return;
    const int tile = blockIdx.y, ox = at % side, oy = at / side;
    Rgb sum = {0, 0, 0};
    if (tile < shape.tiles) {
        const int left = corners[2 * tile], top = corners[2 * tile + 1];
        const long long *mine = under + (long long)tile * level.cols * level.rows;
        for (int j = 0; j < shape.box_h; ++j)
            for (int i = 0; i < shape.box_w; ++i) {
                const int X = ox * shape.box_w + i, Y = oy * shape.box_h + j;
                const int x0 = xs[X], y0 = ys[Y];
                const Rgb a = pixel(pool, mine, level, left, top, x0, y0);
#if LINEAR
                const int nx = side * shape.box_w, ny = side * shape.box_h;
                const int x1 = xs[nx + X], y1 = ys[ny + Y];
                const int a0 = xs[2 * nx + X], a1 = xs[3 * nx + X];
                const int b0 = ys[2 * ny + Y], b1 = ys[3 * ny + Y];
                const Rgb b = pixel(pool, mine, level, left, top, x1, y0);
                const Rgb c = pixel(pool, mine, level, left, top, x0, y1);
                const Rgb d = pixel(pool, mine, level, left, top, x1, y1);
                sum.r += between(a.r * a0 + b.r * a1, c.r * a0 + d.r * a1, b0, b1);
                sum.g += between(a.g * a0 + b.g * a1, c.g * a0 + d.g * a1, b0, b1);
                sum.b += between(a.b * a0 + b.b * a1, c.b * a0 + d.b * a1, b0, b1);
#else
                sum.r += a.r;
                sum.g += a.g;
                sum.b += a.b;
#endif
            }
        const int count = shape.box_w * shape.box_h;
        const bool four = shape.box_w == 2 && shape.box_h == 2;
        sum.r = mean(sum.r, count, four);
        sum.g = mean(sum.g, count, four);
        sum.b = mean(sum.b, count, four);
    }
    const unsigned int v[3] = {lut[sum.r], lut[256 + sum.g], lut[512 + sum.b]};
    for (int c = 0; c < 3; ++c) {
        const long long to = PLANES ? ((long long)(tile * 3 + c) * side + oy) * side + ox
                                    : (((long long)tile * side + oy) * side + ox) * 3 + c;
        out[to] = (OUT)v[c];
    }
}
