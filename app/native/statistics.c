/* Summarize the elements of arrays: min, max, mean, L2 norm, and the counts of zeros, NaN and Inf.
 *
 * Elements are added in double precision, so a sum of ten million float32 numbers is right in about 14 digits. The order of the
 * additions is fixed, so the numbers depend on neither the processor nor the compiler:
 *
 * 1. An array is split into parts of PART elements.
 * 2. In a part, lane k adds the elements k, k + LANES, k + 2 LANES and so on.
 * 3. The upper half of the lanes is added to the lower half, until one sum is left.
 * 4. The sums of the parts are added in order.
 *
 * The norm is the square root of the sum of the squares, which are added in the same way. The compiler must not fuse or
 * reorder operations.
 * Zeros have no sign, and NaN is always the same NaN. The library uses neither Python nor PyTorch; library.py calls it.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define INTERFACE 1 /* INTERFACE of library.py */
#define LANES 64    /* a power of two */
#define PART 2048   /* a multiple of LANES */

/* On x86-64, the loader selects the variant for the processor. */
#if defined(__x86_64__) && defined(__GNUC__) && defined(__GLIBC__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

enum dtype { FLOAT32, FLOAT64, FLOAT16, BFLOAT16 }; /* the order of DTYPES in library.py */

/* The results of the parts so far. Each lane has its own minimum and maximum. */
struct found {
    double total, squares;
    double low[LANES], high[LANES];
    int64_t zeros, nans, infinities;
};

static inline double from_float16(uint16_t bits) { /* without branches, which a processor cannot predict here */
    uint64_t exponent = (bits >> 10) & 31, fraction = bits & 1023, sign = (uint64_t)(bits >> 15) << 63, wide;
    double subnormal = (double)fraction * 0x1p-24, value;
    uint64_t small, normal = (exponent == 31 ? 2047 : exponent + 1008) << 52 | fraction << 42;
    memcpy(&small, &subnormal, sizeof small);
    wide = sign | (exponent == 0 ? small : normal);
    memcpy(&value, &wide, sizeof value);
    return value;
}

static inline double from_bfloat16(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* Convert `size` elements, from the one at `start`. */
FOR_EACH_PROCESSOR
static void widen(const void *elements, enum dtype dtype, int64_t start, int64_t size, double *wide) {
    int64_t i;
    switch (dtype) {
    case FLOAT32:
        for (i = 0; i < size; i++)
            wide[i] = ((const float *)elements)[start + i];
        break;
    case FLOAT64:
        memcpy(wide, (const double *)elements + start, (size_t)size * sizeof *wide);
        break;
    case FLOAT16:
        for (i = 0; i < size; i++)
            wide[i] = from_float16(((const uint16_t *)elements)[start + i]);
        break;
    case BFLOAT16:
        for (i = 0; i < size; i++)
            wide[i] = from_bfloat16(((const uint16_t *)elements)[start + i]);
        break;
    }
}

/* The sums and counts of each lane in one part. A lane is an independent sum, so the compiler may add several lanes at once. */
struct lanes {
    double sums[LANES], squares[LANES], zeros[LANES];
};

static inline void add_row(const double *restrict row, int size, struct lanes *restrict lanes, double *restrict low,
                           double *restrict high) {
    for (int k = 0; k < size; k++) {
        double value = row[k];
        lanes->sums[k] += value;
        lanes->squares[k] += value * value;
        lanes->zeros[k] += value == 0;
        low[k] = value < low[k] ? value : low[k];
        high[k] = value > high[k] ? value : high[k];
    }
}

/* Add a part of `size` elements, at most PART. */
FOR_EACH_PROCESSOR
static void add_part(const double *restrict part, int64_t size, struct found *restrict found) {
    struct lanes lanes = {{0}, {0}, {0}};
    int64_t start = 0;
    for (; start + LANES <= size; start += LANES) /* the compiler knows the size */
        add_row(part + start, LANES, &lanes, found->low, found->high);
    add_row(part + start, (int)(size - start), &lanes, found->low, found->high);
    for (int half = LANES / 2; half; half /= 2)
        for (int k = 0; k < half; k++) {
            lanes.sums[k] += lanes.sums[k + half];
            lanes.squares[k] += lanes.squares[k + half];
            lanes.zeros[k] += lanes.zeros[k + half];
        }
    found->total += lanes.sums[0];
    found->squares += lanes.squares[0];
    found->zeros += (int64_t)lanes.zeros[0];
    if (!isfinite(lanes.squares[0])) /* NaN and Inf are rare, so they are counted only if there may be any */
        for (int64_t i = 0; i < size; i++) {
            found->nans += isnan(part[i]) != 0;
            found->infinities += isinf(part[i]) != 0;
        }
}

static void summarize(const void *elements, int64_t count, enum dtype dtype, double *numbers, int64_t *counts) {
    struct found found = {0};
    double wide[PART], low = INFINITY, high = -INFINITY, mean;
    for (int k = 0; k < LANES; k++)
        found.low[k] = INFINITY, found.high[k] = -INFINITY;
    for (int64_t start = 0; start < count; start += PART) {
        int64_t size = count - start < PART ? count - start : PART;
        if (dtype == FLOAT64)
            add_part((const double *)elements + start, size, &found);
        else {
            widen(elements, dtype, start, size, wide);
            add_part(wide, size, &found);
        }
    }
    for (int k = 0; k < LANES; k++) {
        low = found.low[k] < low ? found.low[k] : low;
        high = found.high[k] > high ? found.high[k] : high;
    }
    mean = found.total / (double)count;
    numbers[0] = found.nans ? NAN : low + 0.0; /* without the sign of a zero */
    numbers[1] = found.nans ? NAN : high + 0.0;
    numbers[2] = isnan(mean) ? NAN : mean;
    numbers[3] = isnan(found.squares) ? NAN : sqrt(found.squares);
    counts[0] = found.zeros, counts[1] = found.nans, counts[2] = found.infinities;
}

int tapedeck_interface(void) { return INTERFACE; }

/* Summarize `arrays` arrays. Each array writes four numbers to `numbers` and three to `counts`. */
void tapedeck_summarize(int64_t arrays, const void *const *elements, const int64_t *sizes, int32_t dtype, double *numbers,
                        int64_t *counts) {
    for (int64_t i = 0; i < arrays; i++)
        summarize(elements[i], sizes[i], (enum dtype)dtype, numbers + 4 * i, counts + 3 * i);
}
