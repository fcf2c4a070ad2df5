#include "report/format.h"

#include <math.h>

extern const struct ol_format ol_markdown_format, ol_json_format, ol_csv_format,
    ol_html_format, ol_svg_format, ol_png_format, ol_study_format,
    ol_super_experts_format;

/* One line each. */
/* clang-format off */
const struct ol_format *const ol_formats[] = {
    &ol_markdown_format,
    &ol_html_format,
    &ol_json_format,
    &ol_csv_format,
    &ol_svg_format,
    &ol_png_format,
    &ol_study_format,
    &ol_super_experts_format,
    NULL,
};
/* clang-format on */

char *ol_report_parameters(int64_t n)
{
    static const struct {
        double unit;
        const char *name;
    } units[] = {{1e12, " T"}, {1e9, " B"}, {1e6, " M"}, {1e3, " K"}, {1, ""}};
    int i = 0;
    while (i < 4 && (double)n < units[i].unit)
        i++;
    return ol_xasprintf("%.3g%s", (double)n / units[i].unit, units[i].name);
}

char *ol_report_magnitude(double value)
{
    if (isinf(value))
        return ol_xstrdup("inf");
    return ol_xasprintf(value < 100 ? "%.2f" : value < 1000 ? "%.1f" : "%.0f", value);
}

bool ol_report_same_criterion(const struct ol_report *report)
{
    const struct ol_report_results *a = &report->results[0];
    for (int i = 1; i < report->n; i++) {
        const struct ol_report_results *b = &report->results[i];
        if (a->criterion.threshold != b->criterion.threshold ||
            a->criterion.min_layers != b->criterion.min_layers ||
            a->criterion.min_positions != b->criterion.min_positions ||
            a->criterion.batch_size != b->criterion.batch_size)
            return false;
    }
    return true;
}
