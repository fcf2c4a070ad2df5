#include "report/format.h"

#include <string.h>

/* One line each. */
/* clang-format off */
#define FORMATS(F)   \
    F(markdown)      \
    F(html)          \
    F(json)          \
    F(csv)           \
    F(svg)           \
    F(png)           \
    F(pdf)           \
    F(study)         \
    F(super_experts)

#define DECLARE(name) extern const struct ol_format ol_##name##_format;
FORMATS(DECLARE)
#define ADDRESS(name) &ol_##name##_format,
const struct ol_format *const ol_formats[] = {FORMATS(ADDRESS) NULL};
/* clang-format on */

char *ol_report_parameters(int64_t n)
{
    static const struct {
        double divisor;
        const char *name;
    } sizes[] = {{1e12, " T"}, {1e9, " B"}, {1e6, " M"}, {1e3, " K"}, {1, ""}};
    int i = 0;
    while (i < 4 && (double)n < sizes[i].divisor)
        i++;
    return ol_xasprintf("%.3g%s", (double)n / sizes[i].divisor, sizes[i].name);
}

char *ol_report_run(const struct ol_report_results *r)
{
    const bool known = *r->run->processor != '\0';
    return ol_xasprintf("%s on %s (%s%s%s)", r->run->precision, r->run->backend,
                        r->run->device, known ? "; " : "", r->run->processor);
}

bool ol_report_rounds(const struct ol_report_results *r)
{
    return strcmp(r->run->precision, "bf16") == 0;
}
