#include "analyze/findings.h"

#include <stdlib.h>

struct ol_findings {
    bool has_looked, has_massive, has_asked;
    struct ol_massive massive;
    int n_written;
    struct ol_written written[OL_FINDINGS_WRITTEN];
};

struct ol_findings *ol_findings_new(void)
{
    return ol_xcalloc(1, sizeof(struct ol_findings));
}

void ol_findings_free(struct ol_findings *f)
{
    for (int i = 0; i < f->n_written; i++)
        ol_written_clear(&f->written[i]);
    ol_massive_clear(&f->massive);
    free(f);
}

const struct ol_massive *ol_findings_massive(const struct ol_analysis *a)
{
    struct ol_findings *f = a->findings;
    if (!f->has_looked)
        f->has_massive = ol_massive_find(a->parts, &ol_massive_default, &f->massive);
    f->has_looked = true;
    return f->has_massive ? &f->massive : NULL;
}

const struct ol_written *ol_findings_written(const struct ol_analysis *a, int *n)
{
    struct ol_findings *f = a->findings;
    const struct ol_massive *m = ol_findings_massive(a);
    if (!f->has_asked && m != NULL) {
        struct ol_question questions[OL_FINDINGS_WRITTEN];
        for (; f->n_written < m->n_features && f->n_written < OL_FINDINGS_WRITTEN;
             f->n_written++)
            questions[f->n_written] = (struct ol_question){
                m->features[f->n_written].feature, OL_EVENT_MASSIVE, -1};
        ol_writers_find(a, m, NULL, questions, f->n_written, f->written);
    }
    f->has_asked = true;
    *n = f->n_written;
    return f->written;
}
