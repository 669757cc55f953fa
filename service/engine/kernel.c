/* The compiled engine: one row of features to probabilities, score and reasons in a few microseconds.
 *
 * Repeats service/engine/leaf_table.py, service/policy.py and the rules of service/reasons.py operation by operation;
 * build with -ffp-contract=off, since a fused multiply-add would differ in the last bit. Everything is read from
 * `struct model`, which service/engine/compiled.py fills and keeps alive; nothing is allocated, nothing is global,
 * so any number of threads may call at once. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define ABI 1
#define MAX_TREES 4096   /* leaf numbers of a row live on the stack */
#define MAX_FEATURES 256
#define MAX_REGISTERS 512
#define MAX_FAMILIES 64
#define MAX_FIELDS 64
#define MAX_CANDIDATES 128
#define UNKNOWN (-1)     /* score of a move: not asked yet, or asked and about to be known */
#define ASKED (-2)
#define MAX_REASONS 4
#define WINDOW 4         /* families tried at once: as many as reasons are wanted */
#define QUAD 4           /* moves evaluated at once: their sums do not wait for one another */
#define BANKS 4          /* independent sums, so that adding to a family does not wait for the last addition */
#define LANES 4          /* outputs padded to one vector */
#define BLOCK 64         /* leaf numbers handled at once; rows of masks are padded to it */
#define VECTOR 32        /* a wider one is taken apart through memory where the processor has none */
#define CELLS 32
#define SCORE_MAX 1000.0
#define POOR_MAX 300
#define STANDARD_MAX 700

#ifdef QF_CLONES         /* the same source for several kinds of processor, chosen when the library is loaded */
#define FOR_EACH_CPU __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define FOR_EACH_CPU
#endif
#define INLINE static inline __attribute__((always_inline))

typedef double lanes __attribute__((vector_size(LANES * sizeof(double)), aligned(sizeof(double))));
typedef uint64_t bytes __attribute__((vector_size(VECTOR), aligned(1), may_alias));

struct model {
    int32_t features, trees, stride, leaf_bits, outputs, families, slots, candidates, fields;
    int32_t objective;             /* 0: three margins, 1: two cumulative logits */
    int32_t constants, active;
    double scale;
    const float *borders;          /* by feature, rising */
    const int32_t *starts;         /* features + 1 */
    const uint8_t *missing_high;
    const int32_t *asked;          /* the `active` features that any tree asks about */
    const uint8_t *masks;          /* (borders + features, stride) */
    const double *values;          /* (trees, leaves, LANES) */
    const double *bias;            /* LANES */
    const double *shap;            /* (trees, leaves, slots) */
    const uint8_t *slot_family;    /* (trees, slots); `families` for a slot that is empty */
    const double *knots;           /* (3, CELLS + 1) */
    const double *reference;       /* features */
    const double *even;            /* families */
    const int32_t *family_start;   /* families + 1: its candidates */
    const int32_t *candidate_field;
    const uint8_t *allowed;        /* (candidates, 3): too high, too low, missing */
    const int32_t *lead_start;     /* candidates + 1 */
    const int32_t *leads;
    const int32_t *moved_start;    /* fields + 1 */
    const int32_t *moved;
    const int32_t *again_start;    /* fields + 1: derived features to compute again, as positions in `output_*` */
    const int32_t *again;
    const uint8_t *keep;           /* (fields, stride) */
    const uint8_t *fresh;          /* (fields, stride) */
    const double *constant;
    const int32_t *step_start;     /* fields + 1: the arithmetic that depends on the field */
    const int32_t *step;           /* (steps, 4): operation, left, right and result register */
    const int32_t *output_feature; /* the derived features and where they come out */
    const int32_t *output_register;
};

struct answer {
    double probability[3];
    int32_t score;
    int8_t band, best, count, spare;
    int16_t number[MAX_REASONS];
};

int32_t qf_abi(void) { return ABI; }
int32_t qf_model_size(void) { return (int32_t)sizeof(struct model); }
int32_t qf_answer_size(void) { return (int32_t)sizeof(struct answer); }

/* The row of masks for a value: how many borders lie below it. */
INLINE int32_t cell_of(const struct model *m, int32_t feature, double value)
{
    const float *base = m->borders + m->starts[feature], *at = base;
    int32_t n = m->starts[feature + 1] - m->starts[feature];
    const int32_t first = m->starts[feature] + feature;
    const float x = (float)value;
    if (x != x)
        return first + (m->missing_high[feature] ? n : 0);
    while (n > 1) {
        const int32_t half = n >> 1;
        at = at[half - 1] < x ? at + half : at;
        n -= half;
    }
    return first + (int32_t)(at - base) + (n == 1 && *at < x);
}

INLINE void leaves_of(const struct model *m, const double *row, uint8_t *restrict leaf)
{
    const uint8_t *rows[MAX_FEATURES];
    for (int32_t i = 0; i < m->active; i++)
        rows[i] = m->masks + (int64_t)cell_of(m, m->asked[i], row[m->asked[i]]) * m->stride;
    const int32_t active = m->active, stride = m->stride;
    for (int32_t block = 0; block < stride; block += BLOCK) {
        bytes low = {0}, high = {0};
        for (int32_t i = 0; i < active; i++) {
            low |= *(const bytes *)(rows[i] + block);
            high |= *(const bytes *)(rows[i] + block + VECTOR);
        }
        *(bytes *)(leaf + block) = low;
        *(bytes *)(leaf + block + VECTOR) = high;
    }
}

/* Vectors travel by pointer: passed by value their convention differs between kinds of processor, which clang refuses. */
INLINE void finish(const struct model *m, lanes *sum)
{
    const lanes bias = *(const lanes *)m->bias;
    *sum = *sum * m->scale + bias;
}

/* Sums go from the first tree to the last, as CatBoost's do: equal to the last bit. */
INLINE void raw_of(const struct model *m, const uint8_t *leaf, lanes *raw)
{
    lanes sum = {0};
    const double *tree = m->values;
    const int64_t step = (int64_t)LANES << m->leaf_bits;
    for (int32_t t = 0; t < m->trees; t++, tree += step)
        sum += *(const lanes *)(tree + LANES * leaf[t]);
    finish(m, &sum);
    *raw = sum;
}

/* `slots` is a constant wherever this is called: the inner loop becomes straight code. */
INLINE void add_slots(const struct model *m, const uint8_t *leaf, double (*sums)[MAX_FAMILIES + 1], const int32_t slots)
{
    const double *tree = m->shap;
    const uint8_t *family = m->slot_family;
    const int64_t step = (int64_t)slots << m->leaf_bits;
    for (int32_t t = 0; t < m->trees; t++, tree += step, family += slots) {
        const double *value = tree + slots * leaf[t];
        double *bank = sums[t % BANKS];
        for (int32_t s = 0; s < slots; s++)
            bank[family[s]] += value[s];
    }
}

INLINE void contributions_of(const struct model *m, const uint8_t *leaf, double *total)
{
    double sums[BANKS][MAX_FAMILIES + 1] = {{0}};
    switch (m->slots) {
    case 4: add_slots(m, leaf, sums, 4); break;
    case 5: add_slots(m, leaf, sums, 5); break;
    case 6: add_slots(m, leaf, sums, 6); break;
    default: add_slots(m, leaf, sums, m->slots);
    }
    for (int32_t f = 0; f < m->families; f++)
        total[f] = (sums[0][f] + sums[1][f]) + (sums[2][f] + sums[3][f]);
}

INLINE double sigmoid(double value)
{
    if (value >= 0.0)
        return 1.0 / (1.0 + exp(-value));
    const double power = exp(value);
    return power / (1.0 + power);
}

INLINE void probabilities(const struct model *m, const lanes *margins, double *p)
{
    const lanes raw = *margins;
    if (m->objective == 0) {
        double top = raw[0] > raw[1] ? raw[0] : raw[1];
        top = top > raw[2] ? top : raw[2];
        for (int k = 0; k < 3; k++)
            p[k] = exp(raw[k] - top);
        const double total = p[0] + p[1] + p[2];
        for (int k = 0; k < 3; k++)
            p[k] /= total;
    } else {
        const double above = sigmoid(raw[0]), high = sigmoid(raw[1]);
        const double good = high < above ? high : above;
        p[0] = 1.0 - above;
        p[1] = above - good;
        p[2] = good;
    }
}

INLINE int32_t calibrate(const struct model *m, double *p)
{
    for (int k = 0; k < 3; k++) {
        const double place = p[k] * CELLS;
        int cell = (int)place;
        cell = cell < CELLS - 1 ? cell : CELLS - 1;
        const double *knot = m->knots + k * (CELLS + 1) + cell;
        p[k] = knot[0] + (place - cell) * (knot[1] - knot[0]);
    }
    const double total = p[0] + p[1] + p[2];
    for (int k = 0; k < 3; k++)
        p[k] /= total;
    return (int32_t)rint(SCORE_MAX * (p[2] + 0.5 * p[1]));
}

/* Replays the formulas that depend on a field with the field at the reference; `registers` begin with the row, which is
 * put back. */
INLINE void replay(const struct model *m, const double *row, int32_t field, double *registers)
{
    for (int32_t i = m->moved_start[field]; i < m->moved_start[field + 1]; i++)
        registers[m->moved[i]] = m->reference[m->moved[i]];
    for (int32_t i = m->step_start[field]; i < m->step_start[field + 1]; i++) {
        const int32_t *step = m->step + 4 * i;
        const double left = registers[step[1]], right = registers[step[2]];
        switch (step[0]) {
        case 0: registers[step[3]] = left + right; break;
        case 1: registers[step[3]] = left - right; break;
        case 2: registers[step[3]] = left * right; break;
        default: registers[step[3]] = left / right;
        }
    }
    for (int32_t i = m->moved_start[field]; i < m->moved_start[field + 1]; i++)
        registers[m->moved[i]] = row[m->moved[i]];
}

INLINE void moved_leaves(const struct model *m, const double *row, double *registers, const uint8_t *leaf, int32_t field,
                         uint8_t *moved)
{
    const uint8_t *rows[MAX_FEATURES];
    const int32_t first = m->again_start[field], count = m->again_start[field + 1] - first, stride = m->stride;
    const uint8_t *keep = m->keep + (int64_t)field * stride, *fresh = m->fresh + (int64_t)field * stride;
    if (count)
        replay(m, row, field, registers);
    for (int32_t i = 0; i < count; i++) {
        const int32_t output = m->again[first + i];
        const int32_t cell = cell_of(m, m->output_feature[output], registers[m->output_register[output]]);
        rows[i] = m->masks + (int64_t)cell * stride;
    }
    for (int32_t block = 0; block < stride; block += VECTOR) {
        bytes bits = *(const bytes *)(leaf + block) & *(const bytes *)(keep + block);
        bits |= *(const bytes *)(fresh + block);
        for (int32_t i = 0; i < count; i++)
            bits |= *(const bytes *)(rows[i] + block);
        *(bytes *)(moved + block) = bits;
    }
}

/* The score after each of 1 to QUAD fields alone is moved to the reference. */
INLINE void moved_scores(const struct model *m, const double *row, double *registers, const uint8_t *leaf,
                         const int32_t *field, int32_t count, int32_t *after)
{
    uint8_t moved[QUAD][MAX_TREES + BLOCK]; /* not a multiple of the page: the rows must not share cache sets */
    for (int32_t i = 0; i < count; i++)
        moved_leaves(m, row, registers, leaf, field[i], moved[i]);
    const uint8_t *a = moved[0], *b = moved[count > 1 ? 1 : 0], *c = moved[count > 2 ? 2 : 0],
                  *d = moved[count > 3 ? 3 : 0];
    lanes sum[QUAD] = {{0}};
    const double *tree = m->values;
    const int64_t step = (int64_t)LANES << m->leaf_bits;
    for (int32_t t = 0; t < m->trees; t++, tree += step) {
        sum[0] += *(const lanes *)(tree + LANES * a[t]);
        sum[1] += *(const lanes *)(tree + LANES * b[t]);
        sum[2] += *(const lanes *)(tree + LANES * c[t]);
        sum[3] += *(const lanes *)(tree + LANES * d[t]);
    }
    for (int32_t i = 0; i < count; i++) {
        double p[3];
        finish(m, &sum[i]);
        probabilities(m, &sum[i], p);
        after[field[i]] = calibrate(m, p);
    }
}

/* Missing before the first lead that differs from the reference; -1 if none differs or it may not be told. */
INLINE int32_t direction_of(const struct model *m, const double *row, int32_t candidate)
{
    int32_t found = -1;
    for (int32_t i = m->lead_start[candidate]; i < m->lead_start[candidate + 1]; i++) {
        const double value = row[m->leads[i]], even = m->reference[m->leads[i]];
        if (value != value)
            return 2;
        if (found < 0 && value != even)
            found = value > even ? 0 : 1;
    }
    return found < 0 || m->allowed[3 * candidate + found] ? found : -1;
}

INLINE int32_t reasons_of(const struct model *m, const double *row, const uint8_t *leaf, int32_t score, int16_t *number)
{
    double lost[MAX_FAMILIES], registers[MAX_REGISTERS];
    int32_t after[MAX_FIELDS], direction[MAX_CANDIDATES], count = 0;
    uint64_t named = 0;
    memcpy(registers, row, sizeof(double) * m->features);
    memcpy(registers + m->features, m->constant, sizeof(double) * m->constants);
    contributions_of(m, leaf, lost);
    for (int32_t f = 0; f < m->families; f++)
        lost[f] -= m->even[f];
    for (int32_t f = 0; f < m->fields; f++)
        after[f] = UNKNOWN;
    for (;;) {
        int32_t window[WINDOW], width = 0, tried[QUAD], trying = 0;
        while (width < WINDOW) {
            int32_t worst = -1, tellable = 0;
            for (int32_t f = 0; f < m->families; f++)
                if (lost[f] < 0.0 && (worst < 0 || lost[f] < lost[worst]))
                    worst = f;
            if (worst < 0)
                break;
            lost[worst] = 0.0;
            for (int32_t c = m->family_start[worst]; c < m->family_start[worst + 1]; c++) {
                const int32_t field = m->candidate_field[c];
                direction[c] = direction_of(m, row, c);
                if (direction[c] < 0)
                    continue;
                tellable = 1;
                if (after[field] != UNKNOWN)
                    continue;
                after[field] = ASKED;
                tried[trying++] = field;
                if (trying == QUAD) {
                    moved_scores(m, row, registers, leaf, tried, trying, after);
                    trying = 0;
                }
            }
            if (tellable)
                window[width++] = worst;
        }
        if (!width)
            return count;
        if (trying)
            moved_scores(m, row, registers, leaf, tried, trying, after);
        for (int32_t w = 0; w < width; w++) {
            int32_t best = -1;
            for (int32_t c = m->family_start[window[w]]; c < m->family_start[window[w] + 1]; c++)
                if (direction[c] >= 0 && !(named >> m->candidate_field[c] & 1) &&
                    (best < 0 || after[m->candidate_field[c]] > after[m->candidate_field[best]]))
                    best = c;
            if (best < 0 || after[m->candidate_field[best]] <= score)
                continue;
            named |= (uint64_t)1 << m->candidate_field[best];
            number[count++] = (int16_t)(best * 3 + direction[best]);
            if (count == MAX_REASONS)
                return count;
        }
    }
}

INLINE void answer_row(const struct model *m, const double *row, int32_t reasons, struct answer *out)
{
    uint8_t leaf[MAX_TREES];
    double *p = out->probability;
    lanes raw;
    leaves_of(m, row, leaf);
    raw_of(m, leaf, &raw);
    probabilities(m, &raw, p);
    out->score = calibrate(m, p);
    out->band = (int8_t)((out->score > POOR_MAX) + (out->score > STANDARD_MAX));
    out->best = (int8_t)(p[1] > p[0] ? (p[2] > p[1] ? 2 : 1) : (p[2] > p[0] ? 2 : 0));
    out->spare = 0;
    for (int i = 0; i < MAX_REASONS; i++)
        out->number[i] = -1;
    out->count = reasons ? (int8_t)reasons_of(m, row, leaf, out->score, out->number) : 0;
}

FOR_EACH_CPU void qf_assess(const struct model *m, const double *row, struct answer *out) { answer_row(m, row, 1, out); }

FOR_EACH_CPU void qf_assess_many(const struct model *m, const double *rows, int64_t count, int32_t reasons,
                                 struct answer *out)
{
    for (int64_t i = 0; i < count; i++)
        answer_row(m, rows + i * m->features, reasons, out + i);
}

FOR_EACH_CPU void qf_raw(const struct model *m, const double *rows, int64_t count, double *out)
{
    uint8_t leaf[MAX_TREES];
    for (int64_t i = 0; i < count; i++) {
        leaves_of(m, rows + i * m->features, leaf);
        lanes raw;
        raw_of(m, leaf, &raw);
        for (int32_t k = 0; k < m->outputs; k++)
            out[i * m->outputs + k] = raw[k];
    }
}

FOR_EACH_CPU void qf_contributions(const struct model *m, const double *rows, int64_t count, double *out)
{
    uint8_t leaf[MAX_TREES];
    for (int64_t i = 0; i < count; i++) {
        leaves_of(m, rows + i * m->features, leaf);
        contributions_of(m, leaf, out + i * m->families);
    }
}
