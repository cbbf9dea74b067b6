#include "totals.h"

/* What the channels of a tensor have; of none, no number is less than the greatest. */
static void of_channels(State summaries, int64_t first, int64_t end, double *total)
{
    const double *count = row_of(summaries, COUNT), *mean = row_of(summaries, MEAN), *m2 = row_of(summaries, M2);
    const double *lowest = row_of(summaries, LOWEST), *highest = row_of(summaries, HIGHEST);
    const double *zeros = row_of(summaries, ZEROS), *nonfinite = row_of(summaries, NONFINITE);
    double values = 0, samples = 0, nonempty = 0, sum = 0, squared_means = 0, variances = 0, all_zeros = 0;
    double all_nonfinite = 0, dead = 0, squares = 0, norms = 0;
    double least = INFINITY, greatest = -INFINITY, greatest_square = -INFINITY;
    SIMD(reduction(+ : values, nonempty, sum, squared_means, variances, all_zeros, all_nonfinite, dead, squares, norms)
             reduction(min : least) reduction(max : samples, greatest, greatest_square))
    for (int64_t c = first; c < end; ++c) {
        const double n = count[c], square_of_mean = mean[c] * mean[c], square = m2[c] + n * square_of_mean;
        values += n;
        samples = HIGHER(n, samples);
        nonempty += n > 0;
        sum += n * mean[c];
        squared_means += square_of_mean;
        variances += m2[c] / HIGHER(n, 1);
        least = LOWER(lowest[c], least);
        greatest = HIGHER(highest[c], greatest);
        all_zeros += zeros[c];
        all_nonfinite += nonfinite[c];
        dead += (n > 0) & (zeros[c] == n);
        squares += square;
        norms += sqrt(square);
        greatest_square = HIGHER(square, greatest_square);
    }
    total[VALUES] = values, total[SAMPLES] = samples, total[NONEMPTY] = nonempty;
    total[MEAN_OF_ALL] = sum / values;
    total[SQUARED_MEANS] = squared_means, total[VARIANCES] = variances;
    total[LEAST] = least, total[GREATEST] = greatest;
    total[ALL_ZEROS] = all_zeros, total[ALL_NONFINITE] = all_nonfinite, total[DEAD] = dead;
    total[SQUARES] = squares, total[NORMS] = norms;
    total[GREATEST_NORM] = isnan(norms) ? norms : greatest_square < 0 ? greatest_square : sqrt(greatest_square);
}

static double pooled_m2(State summaries, int64_t first, int64_t end, double mean_of_all)
{
    const double *count = row_of(summaries, COUNT), *mean = row_of(summaries, MEAN), *m2 = row_of(summaries, M2);
    double sum = 0;
    SIMD(reduction(+ : sum))
    for (int64_t c = first; c < end; ++c) {
        const double d = mean[c] - mean_of_all;
        sum += m2[c] + count[c] * d * d;
    }
    return sum;
}

void add_up(State summaries, const int64_t *sizes, int64_t tensors, double *totals)
{
    int64_t first = 0;
    for (int64_t p = 0; p < tensors; ++p) {
        const int64_t end = first + sizes[p];
        double total[TOTALS];
        of_channels(summaries, first, end, total);
        total[POOLED_M2] = pooled_m2(summaries, first, end, total[MEAN_OF_ALL]);
        for (int k = 0; k < TOTALS; ++k)
            totals[k * tensors + p] = total[k];
        first = end;
    }
}
