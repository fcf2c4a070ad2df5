/* The scale is a straight line in lightness of OKLab (bottosson.github.io/posts/oklab),
 * so that equal steps look equal and a grey print keeps the order; hue turns from yellow
 * over green to violet, which people who confuse red and green can tell apart. */
#include "report/colours.h"

#include <math.h>

int ol_colours_level(double share)
{
    const int level = (int)(share * OL_COLOUR_LEVELS);
    return level < 0 ? 0 : level >= OL_COLOUR_LEVELS ? OL_COLOUR_LEVELS - 1 : level;
}

static int channel(double linear)
{
    const double x = linear < 0 ? 0 : linear > 1 ? 1 : linear;
    const double s = x <= 0.0031308 ? 12.92 * x : 1.055 * pow(x, 1 / 2.4) - 0.055;
    return (int)lround(255 * s);
}

static void put_oklch(double lightness, double chroma, double degrees, FILE *out)
{
    const double hue = degrees * acos(-1) / 180, a = chroma * cos(hue),
                 b = chroma * sin(hue);
    const double l = pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3),
                 m = pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3),
                 s = pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
    fprintf(out, "#%02x%02x%02x",
            channel(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
            channel(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
            channel(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s));
}

static void put_scale(FILE *out, bool dark)
{
    for (int i = 0; i < OL_COLOUR_LEVELS; i++) {
        const double t = (double)i / (OL_COLOUR_LEVELS - 1);
        fprintf(out, ".c%d{fill:", i);
        if (dark)
            put_oklch(0.29 + 0.63 * t, 0.10 + 0.05 * sin(3 * t), 300 - 195 * t, out);
        else
            put_oklch(0.965 - 0.68 * t, 0.045 + 0.085 * sin(2.6 * t), 108 + 192 * t, out);
        fputs("}\n", out);
    }
}

void ol_colours_css(FILE *out, bool dark)
{
    static const char *const series[2][OL_SERIES_COLOURS] = {
        {"#0b62a4", "#b9480a", "#00795a", "#8a3f8f"},
        {"#6db6f2", "#f0a04b", "#4fc9a0", "#d699dc"}};
    const char *ink = dark ? "#e6e8eb" : "#1c2126", *muted = dark ? "#a9b1ba" : "#56606b",
               *rule = dark ? "#7d8791" : "#6f7a85", *grid = dark ? "#2c333a" : "#e3e6ea";
    fprintf(out,
            "figure svg text,svg.ol text{fill:%s}\n.mu{fill:%s!important}\n"
            ".ax{stroke:%s}\n.gr{stroke:%s}\n.na{fill:%s}\n"
            ".mk{fill:none;stroke:%s}\n.bg{fill:%s}\n",
            ink, muted, rule, grid, dark ? "#20262c" : "#f1f3f5",
            dark ? "#ffffff" : "#000000", dark ? "#14181c" : "#ffffff");
    for (int i = 0; i < OL_SERIES_COLOURS; i++)
        fprintf(out, ".s%d{stroke:%s}\n.f%d{fill:%s}\n", i + 1, series[dark][i], i + 1,
                series[dark][i]);
    put_scale(out, dark);
}
