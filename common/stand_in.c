#include "common/stand_in.h"

#include <string.h>
#include <strings.h>

const char *ol_stand_in(const char *bytes, size_t n)
{
    static const struct {
        const char *begins, *meaning;
    } known[] = {
        {"version https://git-lfs.github.com/spec/",
         "this is a Git LFS pointer, not the file itself: get it with \"git lfs pull\", "
         "or "
         "download it again"},
        {"<!doctype html", "this is an HTML page, not the file: download it again"},
        {"<html", "this is an HTML page, not the file: download it again"},
        {"<?xml", "this is an XML message, not the file: download it again"},
    };
    static const char bom[] = "\xef\xbb\xbf";
    if (n >= sizeof bom - 1 && memcmp(bytes, bom, sizeof bom - 1) == 0) {
        bytes += sizeof bom - 1;
        n -= sizeof bom - 1;
    }
    for (; n > 0 && strchr(" \t\r\n", *bytes) != NULL && *bytes != '\0'; n--)
        bytes++;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (n >= strlen(known[i].begins) &&
            strncasecmp(bytes, known[i].begins, strlen(known[i].begins)) == 0)
            return known[i].meaning;
    return NULL;
}
