// One picture at another size, by whole numbers: see shrink.py, which says what is computed, and does
// the same in NumPy.  Rows are weighed first, in 32 bits, then the pixels along each row of the result.
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__)
// The fastest that the processor knows is taken when the library is loaded; all give the same bytes.
#define FASTEST __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define FASTEST
#endif
#define INLINE static inline __attribute__((always_inline))

enum {
    ROWS = 4,   // of the result at a time, so that each weight along them is loaded once for all
    SPARE = 1,  // numbers behind the last pixel of a line, for they are read and written by fours
};
typedef int32_t Four __attribute__((vector_size(16)));

typedef struct {
    const int32_t *first, *weights;  // of each pixel of the result, and of each of its taps
    Py_ssize_t count, taps;
} Axis;

INLINE void weigh_rows(
    const uint8_t *rows, Py_ssize_t length, const int32_t *weights, Py_ssize_t taps,
    int32_t *restrict line)
{
    if (taps == 3) {
        const int32_t a = weights[0], b = weights[1], c = weights[2];
        for (Py_ssize_t i = 0; i < length; ++i)
            line[i] = a * rows[i] + b * rows[length + i] + c * rows[2 * length + i];
        return;
    }
    for (Py_ssize_t i = 0; i < length; ++i) line[i] = weights[0] * rows[i];
    for (Py_ssize_t t = 1; t < taps; ++t) {
        const uint8_t *row = rows + t * length;
        const int32_t weight = weights[t];
        for (Py_ssize_t i = 0; i < length; ++i) line[i] += weight * row[i];
    }
}

INLINE void weigh_pixels_by(
    const int32_t *lines, Py_ssize_t line_length, const Axis *along, Py_ssize_t taps, int32_t *sums)
{
    const Py_ssize_t sum_length = 3 * along->count + SPARE;
    for (Py_ssize_t x = 0; x < along->count; ++x) {
        const int32_t *pixels = lines + 3 * along->first[x], *weights = along->weights + x * taps;
        Four sum[ROWS] = {{0}};  // red, green, blue, and what lies behind
        for (Py_ssize_t t = 0; t < taps; ++t)
            for (int row = 0; row < ROWS; ++row) {
                Four pixel;
                memcpy(&pixel, pixels + row * line_length + 3 * t, sizeof pixel);
                sum[row] += weights[t] * pixel;
            }
        for (int row = 0; row < ROWS; ++row)
            memcpy(sums + row * sum_length + 3 * x, &sum[row], sizeof sum[row]);
    }
}

// The loops over taps are unrolled where there are as few as on most slides.
INLINE void weigh_pixels(
    const int32_t *lines, Py_ssize_t line_length, const Axis *along, int32_t *sums)
{
    switch (along->taps) {
        case 2: weigh_pixels_by(lines, line_length, along, 2, sums); break;
        case 3: weigh_pixels_by(lines, line_length, along, 3, sums); break;
        case 4: weigh_pixels_by(lines, line_length, along, 4, sums); break;
        default: weigh_pixels_by(lines, line_length, along, along->taps, sums);
    }
}

// Divides by total, halves up.  The quotient in single precision is one off at most.
INLINE void divide(const int32_t *sums, Py_ssize_t length, int32_t total, uint8_t *restrict out)
{
    const int32_t half = total / 2;
    const float part = 1.0f / (float)total;
    for (Py_ssize_t i = 0; i < length; ++i) {
        const int32_t sum = sums[i] + half;
        const int32_t near = (int32_t)((float)sum * part);
        const int32_t rest = sum - near * total;
        out[i] = (uint8_t)(near + (rest >= total) - (rest < 0));
    }
}

// lines and sums are for ROWS rows; those of the last ones that are not there are left as they were.
FASTEST static void resample_into(
    const uint8_t *source, Py_ssize_t width, const Axis *down, const Axis *along, int32_t total,
    int32_t *lines, int32_t *sums, uint8_t *out)
{
    const Py_ssize_t length = 3 * width, side = 3 * along->count;
    for (Py_ssize_t top = 0; top < down->count; top += ROWS) {
        const Py_ssize_t rows = down->count - top < ROWS ? down->count - top : ROWS;
        for (Py_ssize_t y = 0; y < rows; ++y)
            weigh_rows(
                source + down->first[top + y] * length, length,
                down->weights + (top + y) * down->taps, down->taps, lines + y * (length + SPARE));
        weigh_pixels(lines, length + SPARE, along, sums);
        for (Py_ssize_t y = 0; y < rows; ++y)
            divide(sums + y * (side + SPARE), side, total, out + (top + y) * side);
    }
}

static int is_image(const Py_buffer *view)
{
    return view->ndim == 3 && view->itemsize == 1 && view->shape[2] == 3;
}

// Whether these are whole numbers of 32 bits for so many pixels, none of which lies beyond read.
static int as_axis(const Py_buffer *first, const Py_buffer *weights, Py_ssize_t read, Axis *axis)
{
    if (first->ndim != 1 || weights->ndim != 2 || first->itemsize != 4 || weights->itemsize != 4)
        return 0;
    *axis = (Axis){first->buf, weights->buf, first->shape[0], weights->shape[1]};
    if (weights->shape[0] != axis->count || axis->count < 1 || axis->taps < 1) return 0;
    for (Py_ssize_t i = 0; i < axis->count; ++i)
        if (axis->first[i] < 0 || axis->first[i] + axis->taps > read) return 0;
    return 1;
}

enum { SOURCE, OUT, DOWN, DOWN_WEIGHTS, ALONG, ALONG_WEIGHTS, ARRAYS };

static PyObject *resampled(const Py_buffer *views, long total)
{
    Axis down, along;
    if (!is_image(&views[SOURCE]) || !is_image(&views[OUT]) || total < 1 || total > 1 << 23
        || !as_axis(&views[DOWN], &views[DOWN_WEIGHTS], views[SOURCE].shape[0], &down)
        || !as_axis(&views[ALONG], &views[ALONG_WEIGHTS], views[SOURCE].shape[1], &along)
        || views[OUT].shape[0] != down.count || views[OUT].shape[1] != along.count) {
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit each other");
        return NULL;
    }
    const Py_ssize_t width = views[SOURCE].shape[1];
    const Py_ssize_t line = 3 * width + SPARE, sum = 3 * along.count + SPARE;
    int32_t *lines = calloc(ROWS * (line + sum), sizeof *lines);
    if (lines == NULL) return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    resample_into(
        views[SOURCE].buf, width, &down, &along, (int32_t)total, lines, lines + ROWS * line,
        views[OUT].buf);
    Py_END_ALLOW_THREADS
    free(lines);
    Py_RETURN_NONE;
}

static PyObject *resample(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    (void)module;
    if (count != ARRAYS + 1) {
        PyErr_SetString(PyExc_TypeError, "resample takes six arrays and a number");
        return NULL;
    }
    const long total = PyLong_AsLong(given[ARRAYS]);
    if (total == -1 && PyErr_Occurred()) return NULL;
    Py_buffer views[ARRAYS];
    PyObject *result = NULL;
    int held = 0;
    while (held < ARRAYS) {
        const int flags = PyBUF_C_CONTIGUOUS | (held == OUT ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(given[held], &views[held], flags) < 0) break;
        ++held;
    }
    if (held == ARRAYS) result = resampled(views, total);
    while (held) PyBuffer_Release(&views[--held]);
    return result;
}

static PyMethodDef methods[] = {
    {"resample", (PyCFunction)(void (*)(void))resample, METH_FASTCALL,
     "resample(source, out, down, down_weights, along, along_weights, total)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_resample", NULL, 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__resample(void) { return PyModuleDef_Init(&module); }
