/*
 * A cascade: kernels in a row, each of which reads some rows of the result before. Only the rows that are needed next are
 * kept, in a rolling buffer of each result but the last: rows that nobody reads any more leave it, those that stay move to
 * its start, new ones are computed behind them. A buffer has its border: rows above and below, bytes left and right.
 */
#ifndef EC_CASCADE_H
#define EC_CASCADE_H

#include <string.h>

#include "ec_common.h"

#define EC_CASCADE_STAGES 16
#define EC_CASCADE_PARTS 32 /* pointers of one kernel */

/* Where a pointer of a kernel leads: to a tensor, into the buffer of the stage before, into that of its own result. */
enum { EC_CASCADE_WHOLE, EC_CASCADE_READ, EC_CASCADE_WRITTEN };

typedef struct {
    int kind;
    ptrdiff_t row; /* whole: bytes by which it moves for a row of the result */
} ec_cascade_part;

typedef struct {
    void (*run)(char *const *p, size_t begin, size_t end); /* rows from where p leads on */
    const ec_cascade_part *parts;
    size_t count;           /* of parts */
    size_t rows;            /* of its result */
    size_t span, stride;    /* rows that one row of its result reads, and how much further on the next one's begin */
    size_t above;           /* rows of the border above its result */
    size_t left, right;     /* bytes of the border beside each row */
    size_t row;             /* bytes of a row of its buffer, with the border */
    size_t held;            /* rows that its buffer holds */
    size_t element;         /* bytes of an element of the border: 1, 2, 4 or 8 */
    unsigned char value[8]; /* that element */
} ec_cascade_stage;

/* A rolling buffer: rows first .. end - 1 of a result, counted with its border; done: rows computed, without border. */
typedef struct {
    char *data;
    size_t first, end, done;
} ec_cascade_buffer;

typedef struct {
    size_t begin, end;
} ec_cascade_rows;

EC_INLINE void ec_cascade_fill(char *at, size_t bytes, const ec_cascade_stage *s)
{
    if (s->element == 1) {
        memset(at, s->value[0], bytes);
        return;
    }
    for (size_t i = 0; i < bytes; i += s->element)
        memcpy(at + i, s->value, s->element);
}

/* The border beside all rows; those of the tensor are written between, and rows move with their border. */
EC_INLINE void ec_cascade_sides(const ec_cascade_buffer *b, const ec_cascade_stage *s)
{
    for (size_t i = 0; i < s->held; i++) {
        ec_cascade_fill(b->data + i * s->row, s->left, s);
        ec_cascade_fill(b->data + (i + 1) * s->row - s->right, s->right, s);
    }
}

/* Makes room for a window of rows, and fills those of the border that are new in it. */
EC_INLINE void ec_cascade_move(ec_cascade_buffer *b, const ec_cascade_stage *s, ec_cascade_rows window)
{
    if (window.begin < b->end && window.begin > b->first)
        memmove(b->data, b->data + (window.begin - b->first) * s->row, (b->end - window.begin) * s->row);
    const size_t from = b->end > window.begin ? b->end : window.begin;
    for (size_t row = from; row < window.end; row++) {
        if (row < s->above || row >= s->above + s->rows)
            ec_cascade_fill(b->data + (row - window.begin) * s->row, s->row, s);
    }
    b->first = window.begin;
    b->end = window.end;
}

/* Computes rows of a stage; `before` is the buffer that it reads, `own` that of its result, where there are such. */
EC_INLINE void ec_cascade_run(const ec_cascade_stage *s, char *const *p, const ec_cascade_buffer *before,
                              size_t before_row, const ec_cascade_buffer *own, ec_cascade_rows rows)
{
    char *at[EC_CASCADE_PARTS];
    for (size_t i = 0; i < s->count; i++) {
        if (s->parts[i].kind == EC_CASCADE_READ)
            at[i] = before->data + (rows.begin * s->stride - before->first) * before_row;
        else if (s->parts[i].kind == EC_CASCADE_WRITTEN)
            at[i] = own->data + (rows.begin + s->above - own->first) * s->row + s->left;
        else
            at[i] = p[i] + (ptrdiff_t)rows.begin * s->parts[i].row;
    }
    s->run(at, 0, rows.end - rows.begin);
}

/* The rows of a stage that a window of its result leaves to be computed. */
EC_INLINE ec_cascade_rows ec_cascade_missing(const ec_cascade_stage *s, ec_cascade_rows window, size_t done)
{
    ec_cascade_rows found = {window.begin > s->above ? window.begin - s->above : 0,
                             window.end > s->above ? window.end - s->above : 0};
    found.begin = found.begin < s->rows ? found.begin : s->rows;
    found.end = found.end < s->rows ? found.end : s->rows;
    found.begin = found.begin > done ? found.begin : done;
    found.end = found.end > found.begin ? found.end : found.begin;
    return found;
}

/*
 * Computes rows begin .. end - 1 of the result of the last of n stages, `together` at a time. p: the pointers of all
 * stages; scratch: the rolling buffers, one behind the other, each rounded up to 64 bytes.
 */
EC_INLINE void ec_cascade(const ec_cascade_stage *const *stages, size_t n, char *const *p, char *scratch,
                          size_t together, size_t begin, size_t end)
{
    ec_cascade_buffer buffers[EC_CASCADE_STAGES] = {{NULL, 0, 0, 0}};
    for (size_t i = 0; i + 1 < n; i++) {
        buffers[i].data = scratch;
        scratch += (stages[i]->held * stages[i]->row + 63) / 64 * 64;
        ec_cascade_sides(&buffers[i], stages[i]);
    }
    for (size_t row = begin; row < end; row += together) {
        ec_cascade_rows rows[EC_CASCADE_STAGES];
        rows[n - 1].begin = row;
        rows[n - 1].end = row + together < end ? row + together : end;
        for (size_t i = n - 1; i > 0; i--) { /* from what is wanted to what it needs */
            rows[i - 1].begin = rows[i - 1].end = buffers[i - 1].done;
            if (rows[i].begin == rows[i].end)
                continue;
            const ec_cascade_rows window = {rows[i].begin * stages[i]->stride,
                                            (rows[i].end - 1) * stages[i]->stride + stages[i]->span};
            rows[i - 1] = ec_cascade_missing(stages[i - 1], window, buffers[i - 1].done);
            ec_cascade_move(&buffers[i - 1], stages[i - 1], window);
            buffers[i - 1].done = rows[i - 1].end;
        }
        char *const *pointers = p;
        for (size_t i = 0; i < n; pointers += stages[i++]->count) {
            const ec_cascade_buffer *before = i > 0 ? &buffers[i - 1] : NULL;
            if (rows[i].begin < rows[i].end)
                ec_cascade_run(stages[i], pointers, before, i > 0 ? stages[i - 1]->row : 0, &buffers[i], rows[i]);
        }
    }
}

#endif
