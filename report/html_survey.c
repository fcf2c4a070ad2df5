#include "report/html.h"

void ol_html_survey(const struct ol_report *report, FILE *out)
{
    (void)report;
    (void)out;
}
