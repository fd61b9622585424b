// cut.cu on a processor, in each of its forms: its threads one after the other, in an order drawn
// from a seed, so that whatever depends on their order shows.
//
//     g++ -std=c++17 -O2 -shared -fPIC -DSOURCE='"cut.cu"' on_host.cpp
#include <algorithm>
#include <numeric>
#include <random>
#include <vector>
#define __global__
#define __device__
struct Dim { unsigned x, y, z; };
static thread_local Dim blockIdx, threadIdx, blockDim, gridDim;

static std::vector<unsigned> shuffled(unsigned count, unsigned seed)
{
    std::vector<unsigned> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::mt19937 draw(seed);
    if (seed) std::shuffle(order.begin(), order.end(), draw);
    return order;
}

template <typename Thread>
static void every(unsigned gx, unsigned gy, unsigned bx, unsigned seed, Thread thread)
{
    const std::vector<unsigned> blocks = shuffled(gx * gy, seed), threads = shuffled(bx, seed);
    gridDim = {gx, gy, 1};
    blockDim = {bx, 1, 1};
    for (unsigned b : blocks) {
        blockIdx = {b % gx, b / gx, 0};
        for (unsigned t : threads) {
            threadIdx = {t, 0, 0};
            thread();
        }
    }
}

#define RUN(NAME, SPACE, TYPE)                                                                     \
    extern "C" void NAME(unsigned gx, unsigned gy, unsigned bx, unsigned seed,                     \
        const unsigned char *pool, const long long *under, const int *corners, const int *xs,      \
        const int *ys, const unsigned *lut, void *out, const int *n)                               \
    {                                                                                              \
        every(gx, gy, bx, seed, [=] {                                                              \
            SPACE::cut(pool, under, corners, xs, ys, lut, (TYPE *)out, n[0], n[1], n[2], n[3],     \
                n[4], n[5], n[6], n[7], n[8], n[9], n[10]);                                        \
        });                                                                                        \
    }
