#include "report/format.h"

#include <string.h>

extern const struct ol_format ol_markdown_format, ol_json_format, ol_csv_format,
    ol_svg_format, ol_png_format, ol_pdf_format, ol_study_format, ol_super_experts_format;

/* One line each. */
/* clang-format off */
const struct ol_format *const ol_formats[] = {
    &ol_markdown_format,
    &ol_html_format,
    &ol_json_format,
    &ol_csv_format,
    &ol_svg_format,
    &ol_png_format,
    &ol_pdf_format,
    &ol_study_format,
    &ol_super_experts_format,
    NULL,
};
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
