#include "report/page.h"

#include <stdlib.h>

#include "common/error.h"
#include "common/sha256.h"
#include "report/colours.h"
#include "report/text.h"

static const char *const style[] = {
    "*{box-sizing:border-box}\n"
    "html{color-scheme:light dark;-webkit-text-size-adjust:100%;scroll-behavior:smooth}\n"
    "body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.55 system-ui,"
    "-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\n"
    ":root{--bg:#fbfbfa;--fg:#1c2126;--mu:#56606b;--line:#d6dade;--card:#fff;"
    "--link:#0b5394;--focus:#b9480a;--warn:#fdf4e3;--edge:#b9480a;--head:#f1f3f4;--shade:"
    "#0004}\n"
    "@media screen and (prefers-color-scheme:dark){:root{--bg:#14181c;--fg:#e6e8eb;"
    "--mu:#a9b1ba;--line:#333b43;--card:#1a1f25;--link:#8cc4f5;--focus:#f0a04b;"
    "--warn:#2a2317;--edge:#f0a04b;--head:#20262c;--shade:#000b}}\n",
    "a{color:var(--link);text-underline-offset:2px}\n"
    ":focus-visible{outline:3px solid "
    "var(--focus);outline-offset:2px;border-radius:2px}\n"
    ".skip{position:absolute;left:-99em}.skip:focus{left:1rem;top:1rem;"
    "background:var(--card);padding:.5rem 1rem;z-index:9}\n"
    "header,main,footer{max-width:62rem;margin:0 auto;padding:0 1.25rem}\n"
    "header{padding-top:2.5rem}footer{padding-bottom:3rem;color:var(--mu);"
    "font-size:.85rem;overflow-wrap:anywhere}\n"
    "h1{font-size:1.9rem;line-height:1.2;margin:0 0 .35rem;letter-spacing:-.015em;"
    "overflow-wrap:anywhere}\n"
    "h1,h2,h3{font-weight:650}\n"
    ".sub{color:var(--mu);margin:0 0 1.5rem;overflow-wrap:anywhere}\n"
    "h2{font-size:1.35rem;margin:0 0 .6rem;letter-spacing:-.01em}\n"
    "h3{font-size:1.02rem;margin:1.8rem 0 .3rem}\n"
    "section{padding-top:2rem;margin-top:2.2rem;border-top:1px solid var(--line);"
    "scroll-margin-top:1rem}\n"
    "p{margin:.5rem 0;max-width:44rem}\n",
    "nav{font-size:.9rem}nav b{display:block;color:var(--mu);font-weight:600}\n"
    "nav ol{list-style:none;margin:.3rem 0 0;padding:0;display:flex;flex-wrap:wrap;"
    "gap:.15rem 1rem}nav a{display:inline-block;padding:.15rem 0;text-decoration:none}\n"
    "nav a:hover{text-decoration:underline}\n"
    "@media screen and (min-width:80rem){body:not(.wide){padding-left:15rem}"
    "body:not(.wide) :is(header,main,footer){margin:0}main{max-width:none}"
    "body:not(.wide) nav{position:fixed;"
    "left:0;top:0;bottom:0;width:15rem;padding:2.8rem 1rem 1rem 1.75rem;overflow:auto;"
    "border-right:1px solid var(--line)}body:not(.wide) nav ol{display:block}"
    "body:not(.wide) nav a{padding:.22rem 0}}\n"
    "body.wide :is(header,main,footer){max-width:110rem}\n"
    "body.wide :is(th,td){padding:.28rem .45rem}\n",
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.6rem,1fr));"
    "gap:.7rem;margin:1.2rem 0;padding:0}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:8px;"
    "padding:.65rem .9rem .7rem;margin:0}\n"
    ".card dt{color:var(--mu);font-size:.84rem}\n"
    ".card dd{margin:0;font-size:1.6rem;line-height:1.25;font-weight:600;"
    "font-variant-numeric:tabular-nums;letter-spacing:-.02em}\n"
    ".card dd small{display:block;font-size:.79rem;font-weight:400;line-height:1.35;"
    "color:var(--mu);letter-spacing:0}\n"
    ".warning{background:var(--warn);border-left:4px solid var(--edge);padding:.55rem "
    ".9rem;border-radius:0 6px 6px 0;max-width:none}\n"
    ".absent{color:var(--mu);border:1px dashed var(--line);border-radius:6px;"
    "padding:.6rem .9rem;max-width:none}\n",
    "figure{margin:1.4rem 0 1.8rem;padding:0}\n"
    "figure .scroll{background:var(--card);border:1px solid var(--line);"
    "border-radius:8px;padding:.7rem}\n"
    "figure{max-width:62rem}\n"
    /* Of 12 pixels in a drawing of 800, 11 are left. */
    "figure svg{display:block;width:100%;min-width:46rem;height:auto}\n"
    "svg .pale{fill-opacity:.2}\n"
    "figcaption{font-size:.88rem;color:var(--mu);margin-top:.5rem;max-width:46rem}\n"
    "figcaption b{color:var(--fg)}\n"
    ".pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(23rem,100%),1fr)"
    ");gap:0 1.2rem}.pair figure{min-width:0;max-width:32rem}.pair figure "
    "svg{min-width:20.7rem}\n"
    ".scroll{overflow-x:auto;max-width:100%;background-image:linear-gradient(90deg,var(--"
    "under) 30%,transparent),linear-gradient(270deg,var(--under) "
    "30%,transparent),linear-gradient(90deg,var(--shade),transparent),linear-gradient("
    "270deg,var(--shade),transparent)!important;background-repeat:no-repeat!important;"
    "background-position:0 0,100% 0,0 0,100% 0!important;"
    "background-size:2.5rem 100%,2.5rem 100%,.8rem 100%,.8rem "
    "100%!important;background-attachment:local,local,scroll,scroll!important;--under:"
    "var(--bg)}figure .scroll{--under:var(--card)}\n"
    "svg text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif}\n"
    "svg .t{font-weight:650}.l{fill:none;stroke-width:1.6}.ax,.gr{stroke-width:1}\n"
    ".mk{stroke-width:1.6}\n",
    "table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums;"
    "min-width:min(26rem,100%);margin:.2rem 0 .6rem}\n"
    "caption{text-align:left;color:var(--mu);padding:.3rem 0;font-size:.86rem}\n"
    "th,td{padding:.28rem .6rem;text-align:left;border-bottom:1px solid var(--line);"
    "white-space:nowrap}\n"
    "th{font-weight:600;background:var(--head);vertical-align:bottom}\n"
    "th{white-space:normal}td.w{white-space:normal;overflow-wrap:anywhere;"
    "min-width:min(13rem,40vw)}\n"
    "th.n,td.n{text-align:right}\n"
    "tbody tr:hover{background:var(--head)}\n"
    "th button{all:unset;cursor:pointer;font:inherit}\n"
    "th button:hover{text-decoration:underline}\n"
    "th button:focus-visible{outline:3px solid var(--focus);outline-offset:3px}\n"
    "th[aria-sort=ascending] button::after{content:' \\25b2'}\n"
    "th[aria-sort=descending] button::after{content:' \\25bc'}\n"
    ".mu{color:var(--mu)}code{font:0.95em ui-monospace,SFMono-Regular,Menlo,Consolas,"
    "monospace;unicode-bidi:isolate}\n"
    "details{margin:.6rem 0}summary{cursor:pointer;color:var(--link);font-size:.92rem;"
    "padding:.2rem 0}\n"
    "dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;"
    "font-size:.92rem;margin:.8rem 0}dl.facts dt{color:var(--mu)}"
    "dl.facts dd{margin:0;overflow-wrap:anywhere;min-width:0}\n"
    "#tip{position:fixed;pointer-events:none;background:var(--fg);color:var(--bg);"
    "font-size:.82rem;padding:.2rem .5rem;border-radius:4px;max-width:20rem;z-index:9;"
    "display:none}\n",
    "@media(max-width:34rem){header{padding-top:1.4rem}h1{font-size:1.5rem}"
    "th,td{padding:.26rem .4rem}td:first-child{white-space:normal;overflow-wrap:anywhere;"
    "min-width:6.5rem}td.n:first-child{min-width:0}figure "
    ".scroll{padding:.4rem}header,main,footer{padding-left:1rem;"
    "padding-right:1rem}.card dd{font-size:1.35rem}}\n"
    "@media print{nav,.skip,#tip{display:none}body{font-size:10.5pt;background:#fff}"
    "header,main,footer{max-width:none;padding:0}figure,.card,tr{break-inside:avoid}"
    "h2,h3{break-after:avoid}.scroll{overflow:visible;background-image:none!important}"
    "figure svg{min-width:0}table{font-size:7pt}th,td{padding:.15rem .3rem}"
    "th{white-space:normal}"
    "section{margin-top:1rem;padding-top:1rem}a{color:inherit}}\n",
    NULL};

/* Sortable tables, and tooltips without the browser's delay. */
static const char *const script[] = {
    "'use strict';\n"
    "const value=c=>{const v=c.dataset.v??c.textContent;const n=parseFloat(v);"
    "return v===''?NaN:Number.isNaN(n)?v:n};\n"
    "const order=(a,b)=>{const x=Number.isNaN(a),y=Number.isNaN(b);"
    "return x||y?x-y:typeof a==='number'&&typeof b==='number'?a-b:"
    "String(a).localeCompare(String(b))};\n",
    "for(const t of document.querySelectorAll('table'))t.querySelectorAll('thead th')."
    "forEach((h,i)=>{const b=document.createElement('button');b.type='button';"
    "b.append(...h.childNodes);h.append(b);b.addEventListener('click',()=>{"
    "const down=h.ariaSort!=='descending'&&(h.classList.contains('n')||"
    "h.ariaSort==='ascending');"
    "for(const o of h.parentNode.children)o.removeAttribute('aria-sort');"
    "h.setAttribute('aria-sort',down?'descending':'ascending');"
    "const rows=[...t.tBodies[0].rows];"
    "rows.sort((p,q)=>{const a=value(p.cells[i]),c=value(q.cells[i]);"
    "return Number.isNaN(a)||Number.isNaN(c)?order(a,c):down?order(c,a):order(a,c)});"
    "t.tBodies[0].append(...rows)})});\n",
    "const tip=document.createElement('div');tip.id='tip';tip.setAttribute('aria-hidden',"
    "'true');document.body.append(tip);\n"
    "document.addEventListener('pointermove',e=>{const s=e.target.closest?.('svg *');"
    "const t=s?.querySelector?.(':scope>title');if(t){s.tip=t.textContent;t.remove()}"
    "if(!s?.tip){tip.style.display='none';return}"
    "tip.textContent=s.tip;tip.style.display='block';"
    "const w=tip.offsetWidth,x=e.clientX+14;"
    "tip.style.left=Math.max(4,x+w>innerWidth?e.clientX-w-10:x)+'px';"
    "tip.style.top=Math.max(4,e.clientY-34)+'px'});\n"
    "document.addEventListener('scroll',()=>{tip.style.display='none'},true);\n",
    NULL};

static void put_all(const char *const *texts, FILE *out)
{
    for (; *texts != NULL; texts++)
        fputs(*texts, out);
}

static void put_style(FILE *out)
{
    fputs("\n", out);
    put_all(style, out);
    ol_colours_css(out, false);
    fputs("@media screen and (prefers-color-scheme:dark){\n", out);
    ol_colours_css(out, true);
    fputs("}\n", out);
}

static void put_script(FILE *out)
{
    fputs("\n", out);
    put_all(script, out);
}

/* The policy names the one style and the one script by what they are, so that nothing
 * that gets into the page by its texts can run or dress it. */
static void put_hash(void (*write)(FILE *out), FILE *out)
{
    char *text = NULL, digest[OL_SHA256_BASE64_BYTES];
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    if (memory != NULL)
        write(memory);
    /* A hash of less than all would keep the page from its style. */
    const bool good = memory != NULL && !ferror(memory);
    if ((memory != NULL && fclose(memory) != 0) || !good) {
        ol_warn("out of memory for the style of a page");
        exit(1);
    }
    struct ol_sha256 *sha = ol_sha256_new();
    ol_sha256_update(sha, text, bytes);
    ol_sha256_finish_base64(sha, digest);
    fprintf(out, "'sha256-%s'", digest);
    free(text);
}

void ol_page_open(FILE *out, const char *title, const char *subtitle, bool wide,
                  const struct ol_page_section *contents)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "style-src ",
          out);
    put_hash(put_style, out);
    fputs("; script-src ", out);
    put_hash(put_script, out);
    fputs("; img-src data:; base-uri 'none'; form-action 'none'\">\n"
          "<link rel=\"icon\" href=\"data:,\">\n<title>",
          out);
    ol_text_escape(title, out);
    fputs("</title>\n<style>", out);
    put_style(out);
    fputs("</style>\n</head>\n<body", out);
    fputs(wide ? " class=\"wide\"" : "", out);
    fputs(">\n<a class=\"skip\" href=\"#content\">Skip to the "
          "content</a>\n<header><h1>",
          out);
    ol_text_escape(title, out);
    fputs("</h1>\n<p class=\"sub\">", out);
    ol_text_escape(subtitle, out);
    fputs("</p>\n<nav aria-label=\"Contents\"><b>Contents</b><ol>\n", out);
    for (; contents->id != NULL; contents++)
        fprintf(out, "<li><a href=\"#%s\">%s</a></li>\n", contents->id, contents->title);
    fputs("</ol></nav></header>\n<main id=\"content\">\n", out);
}

void ol_page_close(FILE *out, const char *origin)
{
    fputs("</main>\n<footer><p>", out);
    ol_text_escape(origin, out);
    fputs("</p></footer>\n<script>", out);
    put_script(out);
    fputs("</script>\n</body>\n</html>\n", out);
}

void ol_page_begin_section(FILE *out, const struct ol_page_section *section)
{
    fprintf(out,
            "<section id=\"%s\" aria-labelledby=\"%s-h\">\n<h2 id=\"%s-h\">%s</h2>\n",
            section->id, section->id, section->id, section->title);
}

void ol_page_end_section(FILE *out)
{
    fputs("</section>\n", out);
}

void ol_page_absent(FILE *out, const char *what, const char *needs)
{
    fputs("<p class=\"absent\"><b>", out);
    ol_text_escape(what, out);
    fputs("</b> is not in these results. ", out);
    ol_text_escape(needs, out);
    fputs("</p>\n", out);
}

void ol_page_warning(FILE *out, const char *text)
{
    fputs("<p class=\"warning\" role=\"note\"><b>Warning.</b> ", out);
    ol_text_escape(text, out);
    fputs("</p>\n", out);
}

void ol_page_begin_figure(FILE *out, const char *name, const char *title)
{
    fprintf(out,
            "<figure id=\"figure-%s\"><div class=\"scroll\" tabindex=\"0\" "
            "role=\"region\" aria-label=\"",
            name);
    ol_text_escape(title, out);
    fputs("\">\n", out);
}

void ol_page_end_figure(FILE *out, const char *title, const char *caption)
{
    fputs("</div>\n<figcaption><b>", out);
    ol_text_escape(title, out);
    fputs(".</b> ", out);
    ol_text_escape(caption, out);
    fputs("</figcaption></figure>\n", out);
}

void ol_page_card(FILE *out, const char *name, const char *value, const char *note)
{
    fputs("<div class=\"card\"><dt>", out);
    ol_text_escape(name, out);
    fputs("</dt><dd>", out);
    ol_text_escape(value, out);
    if (note != NULL) {
        fputs("<small>", out);
        ol_text_escape(note, out);
        fputs("</small>", out);
    }
    fputs("</dd></div>\n", out);
}
