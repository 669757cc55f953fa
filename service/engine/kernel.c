/* The compiled engine: one row of features to probabilities, score and reasons in a few microseconds.
 *
 * Repeats service/engine/portable.py, service/score/policy.py and the rules of service/score/reasons.py operation by operation;
 * build with -ffp-contract=off, since a fused multiply-add would differ in the last bit. Everything is read from
 * `struct model`, which service/engine/compiled.py fills and keeps alive; nothing is allocated, nothing is global,
 * so any number of threads may call at once. */

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Limits and rules have their home in Python: service.engine.layout.KERNEL_CONSTANTS states each as -DNAME=VALUE. */
#ifndef ABI
#error "build with python -m service.engine.compiled FILE, which states the constants"
#endif

#define UNKNOWN (-1)     /* score of a counterfactual that was not asked for yet */
#define VECTOR 32        /* a wider one is taken apart through memory where the processor has none */

#ifdef QF_CLONES         /* the same source for several kinds of processor, chosen when the library is loaded */
#define FOR_EACH_CPU __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define FOR_EACH_CPU
#endif
#define INLINE static inline __attribute__((always_inline))

typedef double lanes __attribute__((vector_size(LANES * sizeof(double)), aligned(sizeof(double))));
typedef float floats __attribute__((vector_size(WIDE * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t ints __attribute__((vector_size(WIDE * sizeof(int32_t)), aligned(sizeof(int32_t)), may_alias));
typedef uint64_t bytes __attribute__((vector_size(VECTOR), aligned(1), may_alias));

struct model {
    int32_t features, trees, stride, leaf_bits, outputs, families, width, summand_blocks, fields;
    int32_t objective;             /* 0: three margins, 1: two cumulative logits */
    int32_t constants, active, groups;
    int32_t known;                 /* the feature that is missing where no class was observed */
    double scale;
    const float *borders;          /* by feature, rising */
    const int32_t *starts;         /* features + 1 */
    const float *missing;          /* features: what a missing value counts as */
    const int32_t *asked;          /* (groups, WIDE): the `active` features that trees ask about, most borders first */
    const int32_t *first;          /* (groups, WIDE): their first rows of masks */
    const int32_t *group_borders;  /* groups: the most borders that one of its features has */
    const float *border_rows;      /* (borders of all groups, WIDE): a column a feature, infinity below its borders */
    const uint8_t *masks;          /* (borders + features, stride) */
    const double *leaf_values;     /* (trees, leaves, width): raw values by output, then contributions */
    const double *bias;            /* LANES */
    const uint16_t *summand_place; /* (summand_blocks, SUMMANDS): where a family's contributions lie among the leaves */
    const uint8_t *block_family;   /* summand_blocks: the family */
    const double *knots;           /* (2, 3, CELLS + 1): of unknown customers, of known ones */
    const double *reference;       /* features */
    const double *baseline;        /* families: the contributions of the reference */
    const int32_t *family_start;   /* families + 1: its candidates */
    const int32_t *candidate_field;
    const uint8_t *allowed;        /* (candidates, 3): too high, too low, missing */
    const int32_t *lead_start;     /* candidates + 1 */
    const int32_t *leads;
    const int32_t *moved_start;    /* fields + 1 */
    const int32_t *moved;
    const int32_t *again_start;    /* fields + 1: derived features to compute again, as positions in `output_*` */
    const int32_t *again;
    const int32_t *touched_start;  /* fields + 1: the trees that a move can change */
    const uint16_t *touched;
    const uint8_t *basis;          /* fields: known (1) or not (0) after a move, 2 as before */
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
    int8_t verdict, count, band, best; /* verdict: band and best as one number */
    int16_t number[MAX_REASONS];
    double lost[MAX_FAMILIES];     /* by family: the margin's contribution less the reference's */
};

int32_t qf_abi(void) { return ABI; }
int32_t qf_model_size(void) { return (int32_t)sizeof(struct model); }
int32_t qf_answer_size(void) { return (int32_t)sizeof(struct answer); }

/* The row of masks for a value of one feature: how many borders lie below it. */
INLINE int32_t cell_of(const struct model *m, int32_t feature, double value)
{
    const float *border = m->borders + m->starts[feature];
    const int32_t n = m->starts[feature + 1] - m->starts[feature];
    const float x = value == value ? (float)value : m->missing[feature];
    int32_t below = 0;
    for (int32_t i = 0; i < n; i++)
        below += border[i] < x;
    return m->starts[feature] + feature + below;
}

/* The same for all features that trees ask about, WIDE of them at once. Every border is compared: that takes less time
 * than one branch of a search that is guessed wrong. */
INLINE void cells_of(const struct model *m, const double *row, int32_t *cell)
{
    float x[MAX_FEATURES];
    for (int32_t i = 0; i < m->groups * WIDE; i++) {
        const double value = row[m->asked[i]];
        x[i] = value == value ? (float)value : m->missing[m->asked[i]];
    }
    const floats *border = (const floats *)m->border_rows;
    for (int32_t group = 0; group < m->groups; group++) {
        const floats own = *(const floats *)(x + group * WIDE);
        ints found = *(const ints *)(m->first + group * WIDE);
        for (int32_t n = m->group_borders[group]; n; n--)
            found -= *border++ < own; /* a comparison that holds is -1 */
        *(ints *)(cell + group * WIDE) = found;
    }
}

INLINE void leaves_of(const struct model *m, const double *row, uint8_t *restrict leaf)
{
    const uint8_t *rows[MAX_FEATURES];
    int32_t cell[MAX_FEATURES];
    const int32_t active = m->active, stride = m->stride;
    cells_of(m, row, cell);
    for (int32_t i = 0; i < active; i++)
        rows[i] = m->masks + (int64_t)cell[i] * stride;
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
    const double *tree = m->leaf_values;
    const int64_t width = m->width, step = width << m->leaf_bits;
    for (int32_t t = 0; t < m->trees; t++, tree += step)
        sum += *(const lanes *)(tree + width * leaf[t]);
    finish(m, &sum);
    *raw = sum;
}

/* Raw values, and what the row's leaves say side by side. `parts` is a constant wherever this is called: the inner loop
 * becomes straight code. */
INLINE void gather(const struct model *m, const uint8_t *leaf, lanes *raw, double *values, const int32_t parts)
{
    lanes sum = {0};
    const double *tree = m->leaf_values;
    const int64_t width = parts * LANES, step = width << m->leaf_bits;
    for (int32_t t = 0; t < m->trees; t++, tree += step, values += width) {
        const double *from = tree + width * leaf[t];
        sum += *(const lanes *)from;
        for (int32_t k = 0; k < parts; k++)
            *(lanes *)(values + k * LANES) = *(const lanes *)(from + k * LANES);
    }
    *values = 0.0; /* what places that fill a block refer to */
    finish(m, &sum);
    *raw = sum;
}

/* Raw values and contributions. A family's values are picked from among all, since adding each tree's values to their
 * families would store to memory at every step. */
INLINE void sums_of(const struct model *m, const uint8_t *leaf, lanes *raw, double *total)
{
    double values[m->trees * m->width + 1]; /* as this model needs: the largest would not fit small stacks */
    switch (m->width / LANES) {
    case 2: gather(m, leaf, raw, values, 2); break;
    case 3: gather(m, leaf, raw, values, 3); break;
    default: gather(m, leaf, raw, values, m->width / LANES);
    }
    memset(total, 0, sizeof(double) * m->families);
    for (int32_t h = 0; h < m->summand_blocks; h++) {
        const uint16_t *at = m->summand_place + h * SUMMANDS;
        total[m->block_family[h]] += ((values[at[0]] + values[at[1]]) + (values[at[2]] + values[at[3]])) +
                                     ((values[at[4]] + values[at[5]]) + (values[at[6]] + values[at[7]]));
    }
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

INLINE int32_t known_of(const struct model *m, const double *row) { return row[m->known] == row[m->known]; }

INLINE int32_t calibrate(const struct model *m, double *p, int32_t known)
{
    const double *knots = m->knots + known * 3 * (CELLS + 1);
    for (int k = 0; k < 3; k++) {
        const double place = p[k] * CELLS;
        int cell = (int)place;
        cell = cell < CELLS - 1 ? cell : CELLS - 1;
        const double *knot = knots + k * (CELLS + 1) + cell;
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

/* The score after a field alone is moved to the reference: the raw values, and what the trees that the move can change
 * say then less what they leaf_values before. */
INLINE int32_t moved_score(const struct model *m, const double *row, double *registers, const uint8_t *leaf,
                           const lanes *raw, int32_t field)
{
    uint8_t moved[MAX_TREES];
    double p[3];
    lanes change = {0};
    const int64_t width = m->width;
    moved_leaves(m, row, registers, leaf, field, moved);
    for (int32_t i = m->touched_start[field]; i < m->touched_start[field + 1]; i++) {
        const int64_t t = m->touched[i];
        const double *tree = m->leaf_values + (t << m->leaf_bits) * width;
        change += *(const lanes *)(tree + width * moved[t]) - *(const lanes *)(tree + width * leaf[t]);
    }
    change = *raw + change * m->scale;
    probabilities(m, &change, p);
    return calibrate(m, p, m->basis[field] < 2 ? m->basis[field] : known_of(m, row));
}

/* Missing before the first lead that differs from the reference; -1 if none differs or it may not be named. */
INLINE int32_t direction_of(const struct model *m, const double *row, int32_t candidate)
{
    int32_t found = -1;
    for (int32_t i = m->lead_start[candidate]; i < m->lead_start[candidate + 1]; i++) {
        const double value = row[m->leads[i]], reference = m->reference[m->leads[i]];
        if (value != value)
            return 2;
        if (found < 0 && value != reference)
            found = value > reference ? 0 : 1;
    }
    return found < 0 || m->allowed[3 * candidate + found] ? found : -1;
}

/* The family that lost most; -1 if none lost anything. Negative numbers, read as bits, rise as they fall: compared so,
 * they are chosen without a branch that might be guessed wrong. */
INLINE int32_t worst_of(const double *lost, int32_t families)
{
    uint64_t most = (uint64_t)1 << 63; /* the bits of -0.0 */
    int32_t worst = -1;
    for (int32_t f = 0; f < families; f++) {
        uint64_t bits;
        memcpy(&bits, lost + f, sizeof bits);
        worst = bits > most ? f : worst;
        most = bits > most ? bits : most;
    }
    return worst;
}

/* Fills `number` with the reasons and returns how many there are; `lost` begins as the contributions. */
INLINE int32_t reasons_of(const struct model *m, const double *row, const uint8_t *leaf, const lanes *raw, int32_t score,
                          double *lost, double *family_loss, int16_t *number)
{
    double registers[MAX_REGISTERS];
    int32_t after[MAX_FIELDS], count = 0;
    uint64_t named = 0;
    memcpy(registers, row, sizeof(double) * m->features);
    memcpy(registers + m->features, m->constant, sizeof(double) * m->constants);
    for (int32_t f = 0; f < m->families; f++)
        family_loss[f] = lost[f] -= m->baseline[f];
    for (int32_t f = 0; f < m->fields; f++)
        after[f] = UNKNOWN;
    while (count < MAX_REASONS) {
        const int32_t worst = worst_of(lost, m->families);
        int32_t most = score, best = -1, reason = -1;
        if (worst < 0)
            break;
        lost[worst] = 0.0;
        for (int32_t c = m->family_start[worst]; c < m->family_start[worst + 1]; c++) {
            const int32_t field = m->candidate_field[c];
            if (named >> field & 1)
                continue;
            const int32_t direction = direction_of(m, row, c);
            if (direction < 0)
                continue;
            if (after[field] == UNKNOWN)
                after[field] = moved_score(m, row, registers, leaf, raw, field);
            if (after[field] > most) {
                most = after[field];
                best = field;
                reason = 3 * c + direction;
            }
        }
        if (best >= 0) {
            named |= (uint64_t)1 << best;
            number[count++] = (int16_t)reason;
        }
    }
    return count;
}

INLINE void answer_row(const struct model *m, const double *row, int32_t reasons, struct answer *out)
{
    uint8_t leaf[MAX_TREES];
    double *p = out->probability, lost[MAX_FAMILIES];
    lanes raw;
    leaves_of(m, row, leaf);
    if (reasons)
        sums_of(m, leaf, &raw, lost);
    else
        raw_of(m, leaf, &raw);
    probabilities(m, &raw, p);
    out->score = calibrate(m, p, known_of(m, row));
    out->band = (int8_t)((out->score > POOR_MAX) + (out->score > STANDARD_MAX));
    out->best = (int8_t)(p[1] > p[0] ? (p[2] > p[1] ? 2 : 1) : (p[2] > p[0] ? 2 : 0));
    out->verdict = (int8_t)(3 * out->band + out->best);
    for (int i = 0; i < MAX_REASONS; i++)
        out->number[i] = -1;
    if (!reasons)
        memset(out->lost, 0, sizeof(double) * m->families);
    out->count = reasons ? (int8_t)reasons_of(m, row, leaf, &raw, out->score, lost, out->lost, out->number) : 0;
}

FOR_EACH_CPU void qf_assess(const struct model *m, struct answer *out, const double *row) { answer_row(m, row, 1, out); }

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
        lanes raw;
        sums_of(m, leaf, &raw, out + i * m->families);
    }
}
