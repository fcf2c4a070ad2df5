#include "report/svg.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "report/colours.h"
#include "report/text.h"

/* One decimal, without ".0". */
static void put(FILE *out, double v)
{
    const long tenths = lround(10 * v);
    const char *sign = tenths < 0 ? "-" : "";
    const long size = tenths < 0 ? -tenths : tenths;
    if (size % 10 == 0)
        fprintf(out, "%s%ld", sign, size / 10);
    else
        fprintf(out, "%s%ld.%ld", sign, size / 10, size % 10);
}

static void attribute(FILE *out, const char *name, double v)
{
    fprintf(out, " %s=\"", name);
    put(out, v);
    fputc('"', out);
}

static void class_attribute(FILE *out, const char *class)
{
    if (class[0] != '\0')
        fprintf(out, " class=\"%s\"", class);
}

static void end_with_tip(FILE *out, const char *element, const char *tip)
{
    if (tip == NULL) {
        fputs("/>\n", out);
        return;
    }
    fputs("><title>", out);
    ol_text_escape(tip, out);
    fprintf(out, "</title></%s>\n", element);
}

void ol_svg_open(const struct ol_canvas *c, double width, double height)
{
    /* Inside HTML the name space goes without saying. */
    fprintf(c->out, "<svg%s viewBox=\"0 0 %.0f %.0f\"",
            c->standalone ? " xmlns=\"http://www.w3.org/2000/svg\"" : "", width, height);
    if (!c->standalone) {
        fputs(" role=\"img\" aria-label=\"", c->out);
        ol_text_escape(c->title, c->out);
        fputs("\">\n", c->out);
        return;
    }
    fprintf(c->out, " width=\"%.0f\" height=\"%.0f\" class=\"ol\">\n<title>", width,
            height);
    ol_text_escape(c->title, c->out);
    fputs("</title>\n<style>\ntext{font:12px sans-serif}\n.t{font-weight:bold}\n"
          ".l{fill:none;stroke-width:1.6}\n.ax,.gr{stroke-width:1}\n.pale{fill-opacity:."
          "2}\n",
          c->out);
    ol_colours_css(c->out, false);
    fputs("</style>\n", c->out);
    ol_svg_rect(c->out, 0, 0, width, height, "bg", NULL);
}

void ol_svg_close(const struct ol_canvas *c)
{
    fputs("</svg>\n", c->out);
}

void ol_svg_text(FILE *out, double x, double y, char align, const char *class,
                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = ol_xvasprintf(format, args);
    va_end(args);
    fputs("<text", out);
    attribute(out, "x", x);
    attribute(out, "y", y);
    if (align != 's')
        fprintf(out, " text-anchor=\"%s\"", align == 'm' ? "middle" : "end");
    class_attribute(out, class);
    fputc('>', out);
    ol_text_escape(text, out);
    fputs("</text>\n", out);
    free(text);
}

void ol_svg_text_up(FILE *out, double x, double y, const char *text)
{
    fputs("<text class=\"mu\" text-anchor=\"middle\" transform=\"translate(", out);
    put(out, x);
    fputc(' ', out);
    put(out, y);
    fputs(") rotate(-90)\">", out);
    ol_text_escape(text, out);
    fputs("</text>\n", out);
}

void ol_svg_line(FILE *out, double x1, double y1, double x2, double y2, const char *class)
{
    fputs("<line", out);
    attribute(out, "x1", x1);
    attribute(out, "y1", y1);
    attribute(out, "x2", x2);
    attribute(out, "y2", y2);
    class_attribute(out, class);
    fputs("/>\n", out);
}

void ol_svg_rect(FILE *out, double x, double y, double width, double height,
                 const char *class, const char *tip)
{
    fputs("<rect", out);
    attribute(out, "x", x);
    attribute(out, "y", y);
    attribute(out, "width", width > 0 ? width : 0);
    attribute(out, "height", height > 0 ? height : 0);
    class_attribute(out, class);
    end_with_tip(out, "rect", tip);
}

void ol_svg_circle(FILE *out, double x, double y, double radius, const char *class,
                   const char *tip)
{
    fputs("<circle", out);
    attribute(out, "cx", x);
    attribute(out, "cy", y);
    attribute(out, "r", radius);
    class_attribute(out, class);
    end_with_tip(out, "circle", tip);
}

void ol_svg_path(FILE *out, const double *x, const double *y, long n, const char *class,
                 int dash)
{
    static const char *const dashes[] = {"", "6 3", "2 3", "8 3 2 3"};
    bool pen = false;
    fprintf(out, "<path class=\"%s\"", class);
    if (dash > 0)
        fprintf(out, " stroke-dasharray=\"%s\"", dashes[dash % 4]);
    fputs(" d=\"", out);
    for (long i = 0; i < n; i++) {
        if (isnan(y[i]) || isnan(x[i])) {
            pen = false;
            continue;
        }
        fputc(pen ? 'L' : 'M', out);
        put(out, x[i]);
        fputc(' ', out);
        put(out, y[i]);
        pen = true;
    }
    fputs("\"/>\n", out);
}
